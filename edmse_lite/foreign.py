"""A score model that somebody else trained: its transform, its conventions, and an audit of both.

Chapter: Any score model.

SGMSE+ divides by max |y|, has 256 bins from an STFT of 510 samples with a Hann window, keeps the
Nyquist bin, and wants a number of frames that 64 divides.  Its score is −F([x_t, y], t) / t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edmse_lite.denoisers import Denoiser
from edmse_lite.processes import SDE, noise_like
from edmse_lite.samplers import Sampler
from edmse_lite.spectrograms import SILENCE_RMS, Spectrogram


@dataclass(frozen=True)
class HannSpectrogram(Spectrogram):
    """The compressed STFT of SGMSE+ (Richter et al. 2023): Hann window, all n_fft/2 + 1 bins.

    Its 48 kHz models use ``HannSpectrogram(1534, 384, 0.065, 0.667)``.

    Args:
        n_fft: window and transform length, samples; 510 gives 256 bins.
        hop: hop between frames, samples; at most n_fft / 2.
        factor: a of a |X|^alpha.
        exponent: alpha, in (0, 1].

    Raises:
        ValueError: a number outside its range.

    Chapter: Any score model.
    """

    n_fft: int = 510
    hop: int = 128

    @property
    def bins(self) -> int:
        """Number F of frequency bins, the Nyquist bin included."""
        return self.n_fft // 2 + 1

    def frames(self, samples: int) -> int:
        """Number L of frames of a waveform of so many samples."""
        return samples // self.hop + 1

    def stft(self, wave: Tensor) -> Tensor:
        """Linear complex STFT of a waveform (B, T) or (T,), shape (B, 1, F, L)."""
        wave = wave.reshape(-1, wave.shape[-1])
        if wave.shape[-1] <= self.n_fft // 2:
            raise ValueError(
                f"found {wave.shape[-1]} samples, the reflection at the ends needs more than "
                f"{self.n_fft // 2}"
            )
        window = self._window(wave)
        return torch.stft(
            wave, self.n_fft, self.hop, window=window, center=True, return_complex=True
        )[:, None]

    def istft(self, spectrum: Tensor, length: int) -> Tensor:
        """Inverse of :meth:`stft`, shape (B, length)."""
        window = self._window(spectrum.real)
        return torch.istft(spectrum[:, 0], self.n_fft, self.hop, window=window, length=length)

    def _window(self, like: Tensor) -> Tensor:
        return torch.hann_window(self.n_fft, device=like.device, dtype=like.dtype)


def enhance(
    denoiser: Denoiser,
    sde: SDE,
    noisy: Tensor,
    sampler: Sampler,
    transform: Spectrogram | None = None,
    multiple: int = 64,
    seed: int = 0,
) -> Tensor:
    """Enhance one waveform as SGMSE+ does: divide by max |y|, transform, pad frames, walk, undo.

    Args:
        denoiser: any denoiser, as :class:`~edmse_lite.denoisers.ForeignScore`.
        sde: the schedule that it was trained with.
        noisy: waveform at the rate of the model, shape (T,) or (B, T).
        sampler: any sampler.
        transform: default :class:`HannSpectrogram`.
        multiple: frames are filled with zeros to a multiple of this.
        seed: of the diffusion noise.

    Returns:
        The enhanced waveform, of the shape of ``noisy``.

    Chapter: Any score model.
    """
    transform = transform or HannSpectrogram()
    wave = noisy.reshape(-1, noisy.shape[-1])  # (B, T)
    peak = wave.abs().amax(-1, keepdim=True).clamp_min(SILENCE_RMS)
    y = transform.forward(wave / peak)  # (B, 1, F, L) complex
    frames = y.shape[-1]
    y = torch.nn.functional.pad(y, (0, -frames % multiple))
    out = sampler(denoiser, sde, y, torch.Generator().manual_seed(seed)).x0_hat[..., :frames]
    return (transform.inverse(out, wave.shape[-1]) * peak).reshape(noisy.shape)


@dataclass(frozen=True)
class Audit:
    """How far a score is from its best multiple, at each level of a known recording.

    The best denoiser leaves an error D − r that is orthogonal to its own correction D − x̃, so no
    factor on the correction, and hence on the score, could improve it: the best factor is 1.

    Args:
        sigma: levels σ.
        t: diffusion times of the levels.
        factor: Re⟨D − x̃, r − x̃⟩ / |D − x̃|², the best factor on the score; 1 is right.
        error: rms(D − r) over the smaller of σ and rms(r), what D = x̃ and D = 0 leave.

    Chapter: Any score model.
    """

    sigma: tuple[float, ...]
    t: tuple[float, ...]
    factor: tuple[float, ...]
    error: tuple[float, ...]

    @property
    def suspicion(self) -> str:
        """The likeliest fault, in words; empty where each factor lies within 0.8 and 1.25."""
        factors = self.factor
        if all(0.8 < k < 1.25 for k in factors):
            return ""
        if _alike(factors, [-1.0] * len(factors)):
            return "the sign of the score is turned"
        if _alike(factors, [0.5] * len(factors)):
            return "twice too large: autograd of a complex state gives twice the score"
        if _alike(factors, [1 / t for t in self.t]):
            return "a factor t: the division by t is missing"
        if _alike(factors, self.t):
            return "a factor 1/t: divided by t twice"
        return "no single factor mends it: compare schedule, transform, level, order of arguments"


def _alike(found: Sequence[float], expected: Sequence[float]) -> bool:
    return all(0.8 < a / b < 1.25 for a, b in zip(found, expected, strict=True))


def audit(
    denoiser: Denoiser, sde: SDE, x0: Tensor, y: Tensor, levels: Sequence[float], seed: int = 0
) -> Audit:
    """Ask a denoiser for an r that is known, at each level, and say what is wrong with its score.

    Args:
        denoiser: any denoiser, as :class:`~edmse_lite.denoisers.ForeignScore`.
        sde: the schedule, for the times of the levels.
        x0: clean spectrogram, (B, 1, F, L) complex, in the transform and level of the model.
        y: noisy spectrogram, same shape.
        levels: σ > 0, some below rms(r) and some above.
        seed: of the diffusion noise.

    Raises:
        ValueError: no levels, or x0 equal to y.

    Chapter: Any score model.
    """
    r = x0 - y
    size = float(r.abs().square().mean().sqrt())
    if not levels or size == 0:
        raise ValueError("an audit needs at least one level, and a y that differs from x0")
    generator = torch.Generator().manual_seed(seed)
    factors, errors = [], []
    for sigma in levels:
        x_tilde = r + sigma * noise_like(y, generator)
        with torch.no_grad():
            d = denoiser(x_tilde, y, torch.tensor(sigma, dtype=torch.float64))
        correction = d - x_tilde
        along = (correction.conj() * (r - x_tilde)).real.sum()
        factors.append(float(along / correction.abs().square().sum().clamp_min(1e-30)))
        errors.append(float((d - r).abs().square().mean().sqrt()) / min(sigma, size))
    times = tuple(float(sde.sigma_inv(sigma)) for sigma in levels)
    return Audit(tuple(map(float, levels)), times, tuple(factors), tuple(errors))
