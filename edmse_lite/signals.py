"""Can this be scored? Checks that come before every metric, and a look for swapped arguments.

A signal is 1-D float audio at 16 kHz, torch or numpy; two signals come as (clean, estimate).

Chapter: 3 Judging an enhancement
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .spectrograms import SAMPLE_RATE

Audio = Tensor | np.ndarray  # floats, shape (samples,)


def checked_wave(audio: Audio, name: str) -> np.ndarray:
    """Copy `audio` to float64, if it can be scored.

    Args:
        audio: signal, shape (samples,).
        name: what errors call it.

    Raises:
        ValueError: not 1-D, not floats, empty, NaN or infinite samples.

    Chapter: 3 Judging an enhancement
    """
    if isinstance(audio, Tensor):
        audio = audio.detach().cpu()
        audio = (audio.double() if audio.is_floating_point() else audio).numpy()
    wave = np.asarray(audio)
    if wave.ndim != 1:
        raise ValueError(f"{name} has shape {wave.shape}, expected (samples,): pass one channel")
    if wave.dtype.kind != "f":
        raise ValueError(
            f"{name} is {wave.dtype}, expected floats in −1 … 1: divide int16 by 32768"
        )
    if wave.size == 0:
        raise ValueError(f"{name} is empty: pass at least one sample")
    wave = wave.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(wave))
    if bad.size:
        raise ValueError(
            f"{name} holds {bad.size} NaN or infinite samples, the first at {bad[0]}: "
            "find the step that made them"
        )
    return wave


def checked_pair(clean: Audio, estimate: Audio) -> tuple[np.ndarray, np.ndarray]:
    """Copy both signals to float64, if they can be compared.

    Args:
        clean: reference, shape (samples,).
        estimate: estimate, shape (samples,).

    Raises:
        ValueError: as `checked_wave`; other lengths; a silent clean signal.

    Chapter: 3 Judging an enhancement
    """
    x, y = checked_wave(clean, "clean"), checked_wave(estimate, "estimate")
    if x.size != y.size:
        raise ValueError(
            f"clean has {x.size} samples, estimate has {y.size}: align them and cut to one length"
        )
    if not x.any():
        raise ValueError("clean is silent: there is no speech to compare with, leave this pair out")
    return x, y


def refuse_silence(estimate: np.ndarray, score: str) -> None:
    """Raise a ``ValueError`` if `estimate` is silent; `score` is what is not defined then.

    Chapter: 3 Judging an enhancement
    """
    if not estimate.any():
        raise ValueError(
            f"estimate is silent, so {score} is not defined: count it as a failure of the system, "
            "do not leave the pair out"
        )


def _depth(wave: np.ndarray) -> float:
    """How far the quietest frames (5 %) lie under the loud ones (95 %), dB, frames of 32 ms."""
    frames = wave[: wave.size // 512 * 512].reshape(-1, 512)
    power = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10 * np.mean(wave**2) + 1e-300)
    return float(np.subtract(*np.percentile(power, (95, 5))))


def looks_swapped(clean: Audio, estimate: Audio) -> bool:
    """Whether `clean` looks like the noisy one: its pauses are filled, and the other's are not.

    True if the quietest frames of `clean` lie less than 20 dB under its loud ones, and those of
    `estimate` at least 10 dB deeper. It is a check of pauses, no proof: under steady noise it
    finds most swaps, an estimate that still has noise in its pauses escapes. With known mixtures
    `snr` is exact.

    Args:
        clean: reference, shape (samples,), a second or more.
        estimate: estimate or noisy signal, shape (samples,).

    Chapter: 3 Judging an enhancement
    """
    x, y = checked_wave(clean, "clean"), checked_wave(estimate, "estimate")
    if min(x.size, y.size) < SAMPLE_RATE or not (x.any() and y.any()):
        return False
    return _depth(x) < 20 and _depth(y) > _depth(x) + 10
