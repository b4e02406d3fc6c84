"""Two enhancers to beat: spectral gating and RNNoise, sample-aligned with their input.

Neither is trained on this corpus. Both take (T,) and give (T,).

Chapter: 1 A noisy recording, enhanced
"""

from __future__ import annotations

import torch
from torch import Tensor

RNNOISE_RATE = 48_000
RNNOISE_FRAME = 480  # samples at 48 kHz
RNNOISE_DELAY = 2 * RNNOISE_FRAME  # half a window of overlap-add, and one frame of lookahead
_MEND = 'install the extra with pip install "edmse-lite[baselines]"'


def _checked(noisy: Tensor) -> Tensor:
    noisy = torch.as_tensor(noisy)
    if noisy.ndim != 1 or not noisy.is_floating_point() or noisy.numel() == 0:
        raise ValueError(
            f"noisy has shape {tuple(noisy.shape)} and dtype {noisy.dtype}, "
            "expected a float signal of shape (samples,)"
        )
    if not torch.isfinite(noisy).all():
        raise ValueError("noisy holds NaN or infinite samples: find the step that made them")
    return noisy


def spectral_gating(noisy: Tensor, sample_rate: int = 16_000) -> Tensor:
    """Spectral gating by the package ``noisereduce``, its non-stationary default.

    Each bin of an STFT is multiplied by a smoothed mask that opens where the bin rises above its
    own running average (Sainburg, doi 10.5281/zenodo.3243139). The output has no delay.

    Args:
        noisy: signal, shape (T,).
        sample_rate: in Hz.

    Raises:
        ValueError: not a finite float signal of shape (T,).
        ModuleNotFoundError: ``noisereduce`` is missing.

    Chapter: 1 A noisy recording, enhanced
    """
    noisy = _checked(noisy)
    if not noisy.any():
        return noisy.clone()  # the package divides by the level of each bin
    try:
        from noisereduce import reduce_noise
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is missing: {_MEND}") from None
    wave = noisy.detach().cpu().double().numpy()
    gated = reduce_noise(y=wave, sr=sample_rate)
    return torch.from_numpy(gated).to(noisy)


def rnnoise(noisy: Tensor, sample_rate: int = 16_000) -> Tensor:
    """RNNoise (Valin 2018, arXiv 1709.08243), by the library in the package ``pyrnnoise``.

    It runs at 48 kHz on frames of 10 ms, so the signal is resampled there and back. Its output is
    two frames late, 20 ms; that is taken off, and T samples come back. Two limits: it was made for
    full-band audio, and 16 kHz audio has nothing above 8 kHz; and its high-pass filter turns the
    phase of low frequencies, which costs SI-SDR though no ear minds.

    Args:
        noisy: signal, shape (T,), full scale ± 1.
        sample_rate: in Hz.

    Raises:
        ValueError: not a finite float signal of shape (T,).
        ModuleNotFoundError: ``pyrnnoise`` or ``torchaudio`` is missing.

    Chapter: 1 A noisy recording, enhanced
    """
    from .resampling import torchaudio

    resample = torchaudio().functional.resample
    noisy = _checked(noisy)
    wide = resample(noisy.detach().cpu().float(), sample_rate, RNNOISE_RATE)
    clean = _rnnoise_frames(wide)[RNNOISE_DELAY : RNNOISE_DELAY + len(wide)]
    narrow = resample(clean, RNNOISE_RATE, sample_rate)
    return narrow[: len(noisy)].to(noisy)


def _rnnoise_frames(wide: Tensor) -> Tensor:
    """RNNoise on 48 kHz audio, still late by `RNNOISE_DELAY`; zeros flush the last frames out."""
    # the library is called with floats: the package's own wrapper rounds to int16 and wraps peaks
    from ctypes import POINTER, c_float

    try:
        from pyrnnoise.rnnoise import create, destroy, lib
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is missing: {_MEND}") from None
    late = len(wide) + RNNOISE_DELAY
    padded = torch.zeros(-(-late // RNNOISE_FRAME) * RNNOISE_FRAME)
    padded[: len(wide)] = 32768 * wide  # it expects the range of 16-bit integers
    frames = padded.numpy().reshape(-1, RNNOISE_FRAME)
    state = create()
    try:
        for frame in frames:  # in place
            pointer = frame.ctypes.data_as(POINTER(c_float))
            lib.rnnoise_process_frame(state, pointer, pointer)
    finally:
        destroy(state)
    return padded / 32768
