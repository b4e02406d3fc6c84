"""A zoo of schedules: each is two functions, s(t) and σ(t).

Chapter: 8 A zoo of schedules.

The base class is in ``processes.py``, the Brownian bridges are in ``bridges.py``; both can be
imported from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edmse_lite.bridges import BBCD, BBED, BBLS
from edmse_lite.processes import SDE, as_level, check_positive, check_stiffness

__all__ = ["BBCD", "BBED", "BBLS", "OUVE", "OUVP", "SDE", "VE", "VP", "Cosine", "RichterOUVE"]


@dataclass(frozen=True)
class OUVE(SDE):
    """Ornstein-Uhlenbeck, variance exploding, with a σ(t) that does not depend on the stiffness.

    s = e^(−γt), σ² = σ_min² (p^(2t) − 1), g = e^(−γt) σ_min p^t √(2 ln p), p = σ_max / σ_min
    (Gonzalez et al. 2024).  At t = 1, σ² = σ_max² − σ_min².

    Args:
        stiffness: γ, the rate of the drift towards y, in 1/t.
        sigma_min: σ_min, in units of the compressed STFT.
        sigma_max: σ_max, same unit; not ``sigma_1``.

    Raises:
        ValueError: γ < 0, or not 0 < σ_min < σ_max.

    Chapter: 8 A zoo of schedules.
    """

    stiffness: float = 1.5
    sigma_min: float = 0.05
    sigma_max: float = 0.5

    def __post_init__(self) -> None:
        check_stiffness(self.stiffness)
        check_positive(self, "sigma_min", "sigma_max")
        if self.sigma_max <= self.sigma_min:
            raise ValueError(f"sigma_max={self.sigma_max} must exceed sigma_min={self.sigma_min}")

    @property
    def _log_p(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def s(self, t: float | Tensor) -> Tensor:
        """Return s(t) = e^(−γt)."""
        return torch.exp(-self.stiffness * as_level(t))

    def sigma(self, t: float | Tensor) -> Tensor:
        """Return σ(t) = σ_min √(p^(2t) − 1)."""
        return self.sigma_min * torch.expm1(2 * self._log_p * as_level(t)).sqrt()

    def sigma_inv(self, sigma: float | Tensor) -> Tensor:
        """Return t(σ) = ½ ln(1 + (σ/σ_min)²) / ln p."""
        return torch.log1p((as_level(sigma) / self.sigma_min).square()) / (2 * self._log_p)

    def f(self, t: float | Tensor) -> Tensor:
        """Return f(t) = −γ."""
        return torch.full_like(as_level(t), -self.stiffness)

    def g(self, t: float | Tensor) -> Tensor:
        """Return g(t) = e^(−γt) σ_min p^t √(2 ln p)."""
        t = as_level(t)
        scale = self.sigma_min * math.sqrt(2 * self._log_p)
        return scale * torch.exp((self._log_p - self.stiffness) * t)


@dataclass(frozen=True)
class RichterOUVE(OUVE):
    """The OUVE of SGMSE+: its g(t) does not depend on the stiffness, so its σ(t) does.

    s = e^(−γt), σ² = σ_min² (p^(2t) e^(2γt) − 1) / (1 + γ / ln p), g = σ_min p^t √(2 ln p)
    (Richter et al. 2023).

    Args:
        stiffness: γ, the rate of the drift towards y, in 1/t.
        sigma_min: σ_min, in units of the compressed STFT.
        sigma_max: σ_max, same unit; not ``sigma_1`` (0.5 against 1.743 with the defaults).

    Raises:
        ValueError: γ < 0, or not 0 < σ_min < σ_max.

    Chapter: 8 A zoo of schedules.
    """

    @property
    def _rate(self) -> float:
        return self.stiffness + self._log_p  # γ + ln p

    def sigma(self, t: float | Tensor) -> Tensor:
        """Return σ(t) = σ_min √((p^(2t) e^(2γt) − 1) / (1 + γ/ln p))."""
        scale = self.sigma_min * math.sqrt(self._log_p / self._rate)
        return scale * torch.expm1(2 * self._rate * as_level(t)).sqrt()

    def sigma_inv(self, sigma: float | Tensor) -> Tensor:
        """Return t(σ) = ½ ln(1 + (1 + γ/ln p) (σ/σ_min)²) / (γ + ln p)."""
        ratio = (as_level(sigma) / self.sigma_min).square() * (self._rate / self._log_p)
        return torch.log1p(ratio) / (2 * self._rate)

    def g(self, t: float | Tensor) -> Tensor:
        """Return g(t) = σ_min p^t √(2 ln p)."""
        scale = self.sigma_min * math.sqrt(2 * self._log_p)
        return scale * torch.exp(self._log_p * as_level(t))


@dataclass(frozen=True)
class VE(OUVE):
    """Variance exploding: OUVE without drift, s = 1 and σ² = σ_min² (p^(2t) − 1).

    Args:
        sigma_min: σ_min, in units of the compressed STFT.
        sigma_max: σ_max, same unit; not ``sigma_1``.

    Raises:
        ValueError: not 0 < σ_min < σ_max.

    Chapter: 8 A zoo of schedules.
    """

    stiffness: float = field(default=0.0, init=False, repr=False)


@dataclass(frozen=True)
class OUVP(SDE):
    """Ornstein-Uhlenbeck, variance preserving up to the drift.

    s = e^(−γt) / √(1 + σ²), σ² = exp(½ β_d t² + β_min t) − 1, g = e^(−γt) √β,
    β = β_min + β_d t, β_d = β_max − β_min (Gonzalez et al. 2024).

    Args:
        stiffness: γ, the rate of the extra drift towards y, in 1/t.
        beta_min: β at t = 0, in 1/t.
        beta_max: β at t = 1, in 1/t.

    Raises:
        ValueError: γ < 0, or not 0 < β_min ≤ β_max.

    Chapter: 8 A zoo of schedules.
    """

    stiffness: float = 1.5
    beta_min: float = 0.01
    beta_max: float = 1.0

    def __post_init__(self) -> None:
        check_stiffness(self.stiffness)
        check_positive(self, "beta_min", "beta_max")
        if self.beta_max < self.beta_min:
            raise ValueError(f"beta_max={self.beta_max} must be >= beta_min={self.beta_min}")

    @property
    def _beta_d(self) -> float:
        return self.beta_max - self.beta_min

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + self._beta_d * t

    def _integral(self, t: Tensor) -> Tensor:
        return (self.beta_min + 0.5 * self._beta_d * t) * t  # ∫ β from 0 to t = ln(1 + σ²)

    def s(self, t: float | Tensor) -> Tensor:
        """Return s(t) = e^(−γt) / √(1 + σ²)."""
        t = as_level(t)
        return torch.exp(-self.stiffness * t - 0.5 * self._integral(t))

    def sigma(self, t: float | Tensor) -> Tensor:
        """Return σ(t) = √(exp(½ β_d t² + β_min t) − 1)."""
        return torch.expm1(self._integral(as_level(t))).sqrt()

    def sigma_inv(self, sigma: float | Tensor) -> Tensor:
        """Return t(σ) = (√(β_min² + 2 β_d ln(1 + σ²)) − β_min) / β_d."""
        log = torch.log1p(as_level(sigma).square())
        # the root of ½ β_d t² + β_min t = log, in the form that does not cancel at small t
        return 2 * log / (self.beta_min + (self.beta_min**2 + 2 * self._beta_d * log).sqrt())

    def f(self, t: float | Tensor) -> Tensor:
        """Return f(t) = −γ − ½ β."""
        return -self.stiffness - 0.5 * self._beta(as_level(t))

    def g(self, t: float | Tensor) -> Tensor:
        """Return g(t) = e^(−γt) √β."""
        t = as_level(t)
        return torch.exp(-self.stiffness * t) * self._beta(t).sqrt()


@dataclass(frozen=True)
class VP(OUVP):
    """Variance preserving: OUVP without the extra drift, s = 1 / √(1 + σ²).

    Args:
        beta_min: β at t = 0, in 1/t.
        beta_max: β at t = 1, in 1/t.

    Raises:
        ValueError: not 0 < β_min ≤ β_max.

    Chapter: 8 A zoo of schedules.
    """

    stiffness: float = field(default=0.0, init=False, repr=False)


@dataclass(frozen=True)
class Cosine(SDE):
    """The shifted cosine schedule, with no clamp on its g(t).

    s = e^(−γt) / √(1 + σ²), σ = tan(½ π t_d t) e^(−ν/2), t_d = (2/π) arctan e^(−λ_min/2)
    (Nichol & Dhariwal 2021; Hoogeboom et al. 2023; Gonzalez et al. 2024).  Clamping β, as some
    code does, makes a deterministic sampler converge to the wrong map.

    Args:
        stiffness: γ, the rate of the extra drift towards y, in 1/t.
        shift: ν, added to the log-SNR of the process, in nats; 3 lowers σ by e^(−3/2).
        lambda_min: λ_min, the log-SNR of the process at t = 1 before the shift, in nats.

    Raises:
        ValueError: γ < 0.

    Chapter: 8 A zoo of schedules.
    """

    stiffness: float = 0.0
    shift: float = 3.0
    lambda_min: float = -12.0

    def __post_init__(self) -> None:
        check_stiffness(self.stiffness)

    @property
    def _rate(self) -> float:
        return math.atan(math.exp(-0.5 * self.lambda_min))  # ½ π t_d, the angle at t = 1

    @property
    def _scale(self) -> float:
        return math.exp(-0.5 * self.shift)

    def s(self, t: float | Tensor) -> Tensor:
        """Return s(t) = e^(−γt) / √(1 + σ²)."""
        t = as_level(t)
        return torch.exp(-self.stiffness * t) * (1 + self.sigma(t).square()).rsqrt()

    def sigma(self, t: float | Tensor) -> Tensor:
        """Return σ(t) = tan(½ π t_d t) e^(−ν/2)."""
        return self._scale * torch.tan(self._rate * as_level(t))

    def sigma_inv(self, sigma: float | Tensor) -> Tensor:
        """Return t(σ) = arctan(σ e^(ν/2)) / (½ π t_d)."""
        return torch.atan(as_level(sigma) / self._scale) / self._rate

    def _sigma_dot(self, sigma: Tensor) -> Tensor:
        return self._rate * (self._scale + sigma.square() / self._scale)  # tan' = 1 + tan²

    def f(self, t: float | Tensor) -> Tensor:
        """Return f(t) = −γ − σ σ' / (1 + σ²)."""
        sigma = self.sigma(t)
        return -self.stiffness - sigma * self._sigma_dot(sigma) / (1 + sigma.square())

    def g(self, t: float | Tensor) -> Tensor:
        """Return g(t) = s √(2 σ σ')."""
        t = as_level(t)
        sigma = self.sigma(t)
        return self.s(t) * (2 * sigma * self._sigma_dot(sigma)).sqrt()
