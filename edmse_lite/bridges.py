"""Brownian bridges are schedules too: s = 1 − t̃ walks from x0 all the way to y.

Chapter: 8 A zoo of schedules.

At t̃ = 1 the scaling is 0 and σ may be infinite, so t̃ = 0.999 t.  The chain rule then multiplies
f by 0.999 and g by √0.999, which keeps g² = s² dσ²/dt exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from edmse_lite.processes import SDE, as_level, check_positive

T_SCALE = 0.999  # t̃ = 0.999 t
QUADRATURE_NODES = 64
NEWTON_STEPS = 60


@dataclass(frozen=True)
class BBCD(SDE):
    """Brownian bridge with constant diffusion: σ² = c² t̃ / (1 − t̃), g = c √0.999.

    Args:
        c: the diffusion coefficient, in units of the compressed STFT.

    Raises:
        ValueError: c ≤ 0.

    Chapter: 8 A zoo of schedules.
    """

    c: float = 0.1

    def __post_init__(self) -> None:
        check_positive(self, "c")

    def s(self, t: float | Tensor) -> Tensor:
        """Return s(t) = 1 − t̃."""
        return 1 - T_SCALE * as_level(t)

    def f(self, t: float | Tensor) -> Tensor:
        """Return f(t) = −0.999 / (1 − t̃)."""
        return -T_SCALE / self.s(t)

    def sigma(self, t: float | Tensor) -> Tensor:
        """Return σ(t) = c √(t̃ / (1 − t̃))."""
        t = T_SCALE * as_level(t)
        return self.c * (t / (1 - t)).sqrt()

    def sigma_inv(self, sigma: float | Tensor) -> Tensor:
        """Return t(σ) = σ² / (c² + σ²) / 0.999."""
        variance = as_level(sigma).square()
        return variance / (self.c**2 + variance) / T_SCALE

    def g(self, t: float | Tensor) -> Tensor:
        """Return g(t) = c √0.999."""
        return torch.full_like(as_level(t), self.c * math.sqrt(T_SCALE))


@dataclass(frozen=True)
class BBLS(BBCD):
    """BBCD's bridge with linear std: σ = c t̃, g = c (1 − t̃) √(2 t̃) √0.999.

    Args:
        c: σ at t̃ = 1, in units of the compressed STFT.

    Raises:
        ValueError: c ≤ 0.

    Chapter: 8 A zoo of schedules.
    """

    def sigma(self, t: float | Tensor) -> Tensor:
        """Return σ(t) = c t̃."""
        return self.c * T_SCALE * as_level(t)

    def sigma_inv(self, sigma: float | Tensor) -> Tensor:
        """Return t(σ) = σ / (0.999 c)."""
        return as_level(sigma) / (self.c * T_SCALE)

    def g(self, t: float | Tensor) -> Tensor:
        """Return g(t) = c (1 − t̃) √(2 t̃) √0.999."""
        t = as_level(t)
        return self.c * T_SCALE * self.s(t) * (2 * t).sqrt()  # √0.999 twice: from t̃ and from dt̃


@dataclass(frozen=True)
class BBED(BBCD):
    """BBCD's bridge with exponential diffusion: g = c k^t̃ √0.999 (Lay et al. 2023).

    σ² = c² ∫ k^(2τ) / (1 − τ)² dτ from 0 to t̃.  The closed form has exponential integrals that
    cancel at small t; with 1 − τ = e^(−v) the integrand is smooth and positive,
    exp(v + 2 ln k (1 − e^(−v))), and Gauss-Legendre quadrature is exact to rounding.

    Args:
        c: the diffusion coefficient at t = 0, in units of the compressed STFT.
        k: the growth of the diffusion coefficient over the whole bridge, ≥ 1.

    Raises:
        ValueError: c ≤ 0 or k < 1.

    Chapter: 8 A zoo of schedules.
    """

    k: float = 10.0

    def __post_init__(self) -> None:
        check_positive(self, "c", "k")
        if self.k < 1:
            raise ValueError(f"BBED: k={self.k} must be >= 1; k = 1 is BBCD")

    def sigma(self, t: float | Tensor) -> Tensor:
        """Return σ(t) = c √∫ k^(2τ) / (1 − τ)² dτ, by quadrature."""
        return self.c * self._integral(-torch.log1p(-T_SCALE * as_level(t))).sqrt()

    def sigma_inv(self, sigma: float | Tensor) -> Tensor:
        """Return t(σ) by Newton's method, to rounding."""
        level = as_level(sigma)
        target = (level.to("cpu", torch.float64) / self.c).square()  # some devices lack float64
        v = torch.log1p(target)  # k = 1, an upper bound: Newton on a convex function walks down
        for _ in range(NEWTON_STEPS):
            step = (self._integral(v) - target) / self._integrand(v).clamp(min=1.0)
            v = v - step
            if bool((step.abs() <= 4e-16 * v).all()):
                break
        return (-torch.expm1(-v) / T_SCALE).to(level)

    def g(self, t: float | Tensor) -> Tensor:
        """Return g(t) = c k^t̃ √0.999."""
        return self.c * math.sqrt(T_SCALE) * self.k ** (T_SCALE * as_level(t))

    def _integrand(self, v: Tensor) -> Tensor:
        return torch.exp(v - 2 * math.log(self.k) * torch.expm1(-v))

    def _integral(self, v: Tensor) -> Tensor:
        """Return σ² / c² at t̃ = 1 − e^(−v)."""
        nodes, weights = (part.to(v) for part in _gauss_legendre())  # on [0, 1]
        return v * (self._integrand(v.unsqueeze(-1) * nodes) * weights).sum(-1)


@cache
def _gauss_legendre() -> tuple[Tensor, Tensor]:
    """Return nodes and weights of the quadrature on [0, 1], float64."""
    from numpy.polynomial.legendre import leggauss

    nodes, weights = (torch.from_numpy(part) for part in leggauss(QUADRATURE_NODES))
    return (nodes + 1) / 2, weights / 2
