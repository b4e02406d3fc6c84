"""What a network sees and makes at each noise level: from its coefficients, and measured.

Chapter: 9 Preconditioning, c_shift and the choice of σ.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .corpora import Corpus
from .mixing import Mixer, MixingConfig
from .preconditioning import Preconditioning
from .processes import SDE
from .spectrograms import Spectrogram, level


def mixtures(count: int, seconds: float = 1.0, seed: int = 0, clips: int = 40) -> Pairs:
    """Training mixtures from a random part of the bundled corpus, as spectrograms.

    Args:
        count: number of mixtures B.
        seconds: length of each, s.
        seed: of everything random.
        clips: recordings of speech, and of environmental noise, to draw from.

    Returns:
        Clean and noisy spectrograms, each (B, 1, F, L), at the level of the shipped model.

    Chapter: 9.
    """
    draw = torch.Generator().manual_seed(seed)
    audio = []
    for kind in ("speech", "noise"):
        found = Corpus.bundled().where(split="train", kind=kind)
        chosen = torch.randperm(len(found), generator=draw)[:clips].tolist()
        audio.append([found.clips[i].audio() for i in chosen])
    clean, noisy = Mixer(*audio, MixingConfig(seconds=seconds)).batch(count, draw)
    transform, scale = Spectrogram(), level(noisy)
    return Pairs(transform.forward(clean / scale), transform.forward(noisy / scale))


@dataclass(frozen=True)
class Pairs:
    """Clean and noisy spectrograms, each of shape (B, 1, F, L), complex.

    Chapter: 9.
    """

    x0: Tensor
    y: Tensor

    @property
    def r(self) -> Tensor:
        """What the denoiser estimates, x0 - y."""
        return self.x0 - self.y

    @property
    def rms(self) -> Tensor:
        """Root mean square of r of each mixture, shape (B,)."""
        return self.r.abs().square().mean(dim=(1, 2, 3)).sqrt()


@dataclass(frozen=True)
class Scales:
    """Root mean squares at one noise level: all three are 1 where a design is balanced.

    Args:
        sigma: unscaled noise level.
        seen: of c_in x_tilde, the part of the input that changes with the level.
        made: of the target F* = (r - c_skip x_tilde) / c_out.
        weight: lambda c_out^2, the weight of the raw network's squared error in the loss.

    Chapter: 9.
    """

    sigma: float
    seen: float
    made: float
    weight: float


def predict_scales(
    design: Preconditioning, sde: SDE, sigma: float, rms: float | None = None
) -> Scales:
    """Scales from the coefficients alone, for r of mean zero.

    .. math:: c_{in}^2(\\rho^2 + \\sigma^2), \\quad
              [(1 - c_{skip})^2\\rho^2 + c_{skip}^2\\sigma^2] / c_{out}^2, \\quad \\lambda c_{out}^2

    Args:
        design: the coefficients.
        sde: gives t and s to those that need them.
        sigma: unscaled noise level.
        rms: true root mean square rho of r; default: the design's sigma_data.

    Source: Karras et al. 2022, appendix B.6, with r as the data.

    Chapter: 9.
    """
    c = design.coefficients(torch.tensor(sigma, dtype=torch.float64), sde)
    rho = design.sigma_data if rms is None else rms
    seen = c.c_in * (rho**2 + sigma**2) ** 0.5
    made = (((1 - c.c_skip) * rho) ** 2 + (c.c_skip * sigma) ** 2).sqrt() / c.c_out.abs()
    weight = design.loss_weight(sigma) * c.c_out.square()
    return Scales(sigma, float(seen), float(made), float(weight))


def measure_scales(
    design: Preconditioning, sde: SDE, sigma: float, r: Tensor, seed: int = 0
) -> Scales:
    """Scales on real r, with diffusion noise added.

    Args:
        design: the coefficients.
        sde: gives t and s to those that need them.
        sigma: unscaled noise level.
        r: x0 - y, any shape, complex.
        seed: of the diffusion noise.

    Chapter: 9.
    """
    noise = torch.randn(r.shape, dtype=r.dtype, generator=torch.Generator().manual_seed(seed))
    c = design.coefficients(torch.tensor(sigma, dtype=torch.float64), sde)
    x = r + sigma * noise
    power = [v.abs().square().mean() for v in (c.c_in * x, (r - c.c_skip * x) / c.c_out)]
    weight = design.loss_weight(sigma) * c.c_out.square()
    return Scales(sigma, float(power[0].sqrt()), float(power[1].sqrt()), float(weight))
