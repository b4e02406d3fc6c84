"""edmse_lite: diffusion speech enhancement in one idea: unshift, unscale, and it is EDM.

The names below come in the order in which the book teaches them. Each is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "enhancement": ("Enhancer", "enhance_file"),  # chapter 1
    "spectrograms": ("Spectrogram", "SAMPLE_RATE", "level"),  # chapter 2
    "corpora": ("Corpus", "Clip", "Pair"),
    "folders": ("folder_pairs",),
    "mixing": ("Mixer", "MixingConfig", "mix"),
    "evaluation_sets": ("evaluation_set", "whole_prompts", "EVALUATION_SETS"),
    "metrics": ("METRICS",),  # chapter 3
    "intervals": ("Interval", "mean_interval", "paired_interval", "verdict"),
    "oracles": ("GaussianOracle", "MixtureOracle"),  # chapter 5
    "processes": ("SDE",),  # chapters 7 and 8
    "sdes": ("VE", "VP", "OUVE", "RichterOUVE", "OUVP", "Cosine"),
    "bridges": ("BBED", "BBCD", "BBLS"),
    "preconditioning": ("Preconditioning",),  # chapter 9
    "denoisers": ("Denoiser", "ScoreModel", "ForeignScore", "score"),
    "networks": ("CompactUNet", "UNetConfig"),  # chapter 10
    "recipes": ("Recipe", "TrainingConfig"),
    "training": ("Trainer", "denoising_loss"),
    "samplers": ("PC", "EDM", "Step"),  # chapters 11 and 12
    "multistep": ("DPM",),
}
_MODULES = ("baselines", "checkpoints", "grids", "recipes", *_HOME)
_FROM = {name: module for module, names in _HOME.items() for name in names}

__version__ = "0.1.0"
__all__ = [*dict.fromkeys((*_FROM, *_MODULES))]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name in _FROM:
        return getattr(importlib.import_module(f"edmse_lite.{_FROM[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"edmse_lite.{name}")
    raise AttributeError(f"module 'edmse_lite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
