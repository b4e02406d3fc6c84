"""edmse_lite: diffusion speech enhancement in one idea: unshift, unscale, and it is EDM.

The names below come in the order in which the book teaches them.  Each is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "SDE": "processes",
    "OUVE": "sdes",
    "RichterOUVE": "sdes",
    "VE": "sdes",
    "OUVP": "sdes",
    "VP": "sdes",
    "Cosine": "sdes",
    "BBED": "bridges",
    "BBCD": "bridges",
    "BBLS": "bridges",
    "Preconditioning": "preconditioning",
    "Denoiser": "denoisers",
    "ScoreModel": "denoisers",
    "ForeignScore": "denoisers",
    "score": "denoisers",
    "GaussianOracle": "oracles",
    "MixtureOracle": "oracles",
    "Step": "samplers",
    "EDM": "samplers",
    "PC": "samplers",
}
_MODULES = ("sdes", "grids", "denoisers", "oracles", "samplers")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name in _HOME:
        return getattr(importlib.import_module(f"edmse_lite.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"edmse_lite.{name}")
    raise AttributeError(f"module 'edmse_lite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
