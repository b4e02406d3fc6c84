"""Recordings of your own enter training: bad ones are named, and refused or left out.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .corpora import Clip, Corpus
from .mixing import Mixer, MixingConfig
from .spectrograms import SILENCE_RMS
from .states import TrainingError

CHOICES = ("refuse", "skip")
"""What can be done about bad recordings."""


@dataclass(frozen=True)
class Intake:
    """A corpus as training takes it.

    Args:
        mixer: draws mixtures of the good recordings.
        name: file name of the manifest and the start of its SHA-256: another corpus, another name.
        skipped: a line for each recording that was left out: its file, and what is wrong with it.

    Chapter: 10.
    """

    mixer: Mixer
    name: str
    skipped: tuple[str, ...]


def take(
    manifest: str | Path,
    config: MixingConfig,
    device: torch.device | str = "cpu",
    bad_audio: str = "refuse",
    split: str = "train",
) -> Intake:
    """Read the training recordings of a manifest.

    Args:
        manifest: CSV file as of :meth:`Corpus.from_manifest`, or a folder with ``manifest.csv``.
        config: what the mixtures are like.
        device: where the recordings stay and are mixed.
        bad_audio: ``refuse`` or ``skip`` recordings that are missing, damaged, empty or silent.
        split: of the manifest.

    Raises:
        FileNotFoundError: if there is no manifest.
        ValueError: another `bad_audio`, or a manifest without a column it needs.
        TrainingError: a bad recording, where those are refused; or no good speech, or no noise.

    Chapter: 10.
    """
    if bad_audio not in CHOICES:
        raise ValueError(f"bad_audio must be {' or '.join(CHOICES)}, got {bad_audio!r}")
    manifest = Path(manifest)
    manifest = manifest / "manifest.csv" if manifest.is_dir() else manifest
    clips = Corpus.from_manifest(manifest).where(split=split)
    by_voice = sorted(clips.where(kind="speech"), key=lambda clip: (clip.label, clip.language))
    speech, noises = _read(by_voice), _read([*clips.where(kind="noise")])
    skipped = tuple(each for each in (*speech, *noises) if isinstance(each, str))
    if skipped and bad_audio == "refuse":
        shown = "; ".join(skipped[:5]) + ("; …" if len(skipped) > 5 else "")
        raise TrainingError(
            f"{len(skipped)} bad recordings: {shown}. Mend or remove them, or leave them out with "
            "--bad-audio skip"
        )
    good = [[wave for wave in waves if isinstance(wave, Tensor)] for waves in (speech, noises)]
    if not all(good):
        raise TrainingError(
            f"{manifest}: {len(good[0])} good recordings of speech and {len(good[1])} of noise in "
            f"the split {split!r}, expected one or more of each"
        )
    name = f"{manifest.name} {hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]}"
    return Intake(Mixer(*good, config, device), name, skipped)


def _read(clips: Sequence[Clip]) -> list[Tensor | str]:
    """Waveform of each recording, or what is wrong with it, read by several threads."""
    with ThreadPoolExecutor() as threads:
        return list(threads.map(_wave_or_fault, clips))


def _wave_or_fault(clip: Clip) -> Tensor | str:
    try:
        wave = clip.audio()
    except (OSError, ValueError) as error:
        return str(error)
    if float(wave.square().mean().sqrt()) < SILENCE_RMS:
        return f"{clip.path}: silent, below -100 dB"
    return wave
