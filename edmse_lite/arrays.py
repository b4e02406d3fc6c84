"""Sound in memory, torch or numpy, checked and copied to what the Enhancer works with.

Chapter: 1 (A noisy recording, enhanced).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .audio import check_samples

Audio = Tensor | np.ndarray


def as_channels(noisy: Audio) -> Tensor:
    """Copy audio to (channels, T), float32, on the CPU.

    Args:
        noisy: shape (T,) or (channels, T).

    Raises:
        ValueError: it is no audio; the message says what was expected.

    Chapter: 1.
    """
    if not isinstance(noisy, (Tensor, np.ndarray)):
        raise ValueError(f"noisy is a {type(noisy).__name__}, expected a tensor or a numpy array")
    floats = noisy.is_floating_point() if isinstance(noisy, Tensor) else noisy.dtype.kind == "f"
    if not floats:
        raise ValueError(
            f"noisy is {noisy.dtype}, expected floats in -1 ... 1: divide int16 by 32768"
        )
    wave = noisy.detach().cpu() if isinstance(noisy, Tensor) else _from_numpy(noisy)
    if wave.ndim not in (1, 2) or wave.numel() == 0:
        raise ValueError(
            f"noisy has shape {tuple(wave.shape)}, expected (samples,) or (channels, samples) "
            "with at least one sample"
        )
    if wave.ndim == 2 and wave.shape[0] > max(256, wave.shape[1]):
        raise ValueError(
            f"noisy has shape {tuple(wave.shape)}, expected (channels, samples): transpose it"
        )
    wave = wave.reshape(-1, wave.shape[-1]).float()
    check_samples(wave, "noisy")
    return wave


def _from_numpy(noisy: np.ndarray) -> Tensor:
    """Copy floats of any width and byte order to float32; what it cannot hold becomes infinite."""
    with np.errstate(over="ignore"):
        return torch.from_numpy(noisy.astype(np.float32, order="C", subok=False))
