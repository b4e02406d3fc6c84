"""The complex spectrogram as data: a transform that compresses magnitudes and keeps phases.

Chapter: 2 (The complex spectrogram as data).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SAMPLE_RATE = 16_000
"""Hz. Every model of this library works at this rate; other rates are resampled."""

REFERENCE_RMS = 0.1
"""Root mean square to which a noisy waveform is brought before its transform."""

SILENCE_RMS = 1e-5
"""Waveforms below this root mean square (-100 dB re full scale) count as silence."""


def level(wave: Tensor) -> Tensor:
    """Level of a waveform, so that ``wave / level(wave)`` has the root mean square 0.1.

    The paper divides by max |y| instead; one click would then set the level of a whole recording.
    Silence (below -100 dB) has the level of its threshold, so that nothing divides by zero.

    Args:
        wave: waveform, shape (..., T), full scale is 1.

    Returns:
        Level, shape (..., 1).

    Chapter: 2.
    """
    rms = wave.square().mean(dim=-1, keepdim=True).sqrt()
    return rms.clamp_min(SILENCE_RMS) / REFERENCE_RMS


@dataclass(frozen=True)
class Spectrogram:
    r"""Compressed complex STFT, and its inverse.

    .. math:: c(X) = a\,|X|^{\alpha} e^{j\angle X}

    with the factor :math:`a` and the exponent :math:`\alpha`. A square-root Hann window is used
    on both sides, frames are centred, the transform is unnormalised, and the Nyquist bin is left
    out (it returns as zero). Source of a = 0.15 and alpha = 0.5: Richter et al. 2023,
    arXiv 2208.05830, section V.

    Args:
        n_fft: window and transform length, samples; F = n_fft / 2 bins are kept.
        hop: hop between frames, samples; at most n_fft / 2.
        factor: a, larger than 0.
        exponent: alpha, in (0, 1]; 1 leaves magnitudes linear.

    Raises:
        ValueError: if a number is outside the range given above.

    Chapter: 2.
    """

    n_fft: int = 512
    hop: int = 256
    factor: float = 0.15
    exponent: float = 0.5

    def __post_init__(self) -> None:
        if self.n_fft < 4 or self.n_fft % 2:
            raise ValueError(f"n_fft must be even and at least 4, got {self.n_fft}")
        if not 1 <= self.hop <= self.n_fft // 2:
            raise ValueError(f"hop must lie in 1 ... n_fft/2 = {self.n_fft // 2}, got {self.hop}")
        if not 0 < self.factor < float("inf") or not 0 < self.exponent <= 1:
            raise ValueError(
                "factor must be above 0 and exponent in (0, 1], "
                f"got {self.factor} and {self.exponent}"
            )

    @property
    def bins(self) -> int:
        """Number F of frequency bins kept."""
        return self.n_fft // 2

    def frames(self, samples: int) -> int:
        """Number L of frames of a waveform of so many samples."""
        return -(-samples // self.hop) + 1

    def stft(self, wave: Tensor) -> Tensor:
        """Linear complex STFT.

        Args:
            wave: real waveform, shape (B, T) or (T,).

        Returns:
            Spectrogram, shape (B, 1, F, L), complex.
        """
        wave = wave.reshape(-1, wave.shape[-1])  # (B, T)
        missing = -wave.shape[-1] % self.hop
        wave = torch.nn.functional.pad(wave, (0, missing))  # every sample lies in two frames
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, window=self._window(wave), center=True,
            pad_mode="constant", return_complex=True,
        )  # (B, F + 1, L) complex
        return spectrum[:, None, : self.bins]

    def istft(self, spectrum: Tensor, length: int) -> Tensor:
        """Inverse of :meth:`stft`.

        Args:
            spectrum: shape (B, 1, F, L), complex.
            length: samples T of the waveform, which the frames alone do not tell.

        Returns:
            Waveform, shape (B, T).
        """
        spectrum = torch.nn.functional.pad(spectrum[:, 0], (0, 0, 0, 1))  # Nyquist bin: zero
        padded = length + (-length % self.hop)
        window = self._window(spectrum.real)
        wave = torch.istft(spectrum, self.n_fft, self.hop, window=window, length=padded)
        return wave[:, :length]

    def compress(self, spectrum: Tensor) -> Tensor:
        """Compress magnitudes, a |X|^alpha, and keep phases; any shape, complex."""
        if self.exponent == 1:
            return self.factor * spectrum
        return torch.polar(self.factor * spectrum.abs() ** self.exponent, spectrum.angle())

    def expand(self, compressed: Tensor) -> Tensor:
        """Inverse of :meth:`compress`; any shape, complex."""
        if self.exponent == 1:
            return compressed / self.factor
        magnitude = (compressed.abs() / self.factor) ** (1 / self.exponent)
        return torch.polar(magnitude, compressed.angle())

    def forward(self, wave: Tensor) -> Tensor:
        """Waveform (B, T) to compressed spectrogram (B, 1, F, L): ``compress(stft(wave))``."""
        return self.compress(self.stft(wave))

    def inverse(self, compressed: Tensor, length: int) -> Tensor:
        """Compressed spectrogram (B, 1, F, L) to a waveform (B, length)."""
        return self.istft(self.expand(compressed), length)

    def _window(self, like: Tensor) -> Tensor:
        hann = torch.hann_window(self.n_fft, dtype=torch.float64)  # on the CPU: MPS has no float64
        return hann.sqrt().to(like.dtype).to(like.device)
