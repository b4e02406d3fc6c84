"""Distortion against perception: what is near the truth, and what sounds like clean speech.

Chapter: 4 Many clean answers to one recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from . import metrics
from .spectrograms import Spectrogram


def sibilance(clean: Tensor, estimate: Tensor) -> float:
    """Power from 3 to 8 kHz relative to that of the clean recording, dB: is a hiss kept or blurred?

    Args:
        clean: reference at 16 kHz, shape (T,).
        estimate: estimate, shape (T,).

    Chapter: 4 Many clean answers to one recording.
    """
    power = Spectrogram().stft(torch.stack([estimate, clean]))[:, 0, 96:].abs().square()
    high = power.sum((1, 2)).log10()
    return 10 * float(high[0] - high[1])


def squared_error(clean: Tensor, estimate: Tensor) -> float:
    """Squared error relative to the power of the clean recording, a ratio.

    Args:
        clean: reference, shape (T,).
        estimate: estimate, shape (T,).

    Chapter: 4 Many clean answers to one recording.
    """
    return float((estimate - clean).square().sum() / clean.square().sum())


SCORES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "SI-SDR, dB": metrics.si_sdr,
    "PESQ": metrics.pesq,
    "3–8 kHz, dB": sibilance,
    "DNSMOS": lambda clean, estimate: metrics.dnsmos(estimate, max_windows=1, threads=2).ovrl,
    "error": squared_error,
}
"""What chapter 4 asks of a guess: the first and the last compare, the others listen."""


def scored(clean: Tensor, guesses: Mapping[str, Tensor]) -> dict[str, dict[str, np.ndarray]]:
    """Score guesses; several seeds of one guess give the mean of their scores.

    Args:
        clean: references at 16 kHz, shape (B, T).
        guesses: name and waveforms, shape (B, S, T) with S seeds.

    Returns:
        Scores by guess and by name of :data:`SCORES`, each of shape (B,).

    Chapter: 4 Many clean answers to one recording.
    """
    return {
        name: {
            key: np.array(
                [
                    np.mean([score(x0, wave) for wave in seeds])
                    for x0, seeds in zip(clean, waves, strict=True)
                ]
            )
            for key, score in SCORES.items()
        }
        for name, waves in guesses.items()
    }
