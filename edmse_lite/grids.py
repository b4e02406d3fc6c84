"""Where a sampler stops on its way down: N noise levels, float64, largest first, all above 0.

Chapter: 12 The EDM sampler.

The end, σ = 0, is not a node: the last step goes there with the denoiser's own estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edmse_lite.processes import SDE, T_EPS


class Grid(Protocol):
    """Anything that makes ``steps`` decreasing noise levels for a schedule.

    Chapter: 12 The EDM sampler.
    """

    def __call__(
        self, sde: SDE, steps: int, sigma_range: tuple[float, float] | None = None
    ) -> Tensor:
        """Return σ_0 > … > σ_{N−1} > 0, float64, shape (steps,)."""
        ...


@dataclass(frozen=True)
class RhoGrid:
    """σ_i = (σ_max^(1/ρ) + i/(N−1) (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ (Karras et al. 2022, eq. 5).

    One step has the single level σ_max.

    Args:
        sigma_min: lowest level; None is the lowest that the denoiser was trained on, or else
            the schedule's σ at t = 0.01.
        sigma_max: highest level; None is the highest that the denoiser was trained on, or else
            the schedule's σ at t = 1.
        rho: ρ; 1 is uniform in σ, larger puts more levels near σ_min.

    Raises:
        ValueError: not 0 < σ_min < σ_max, or ρ ≤ 0.

    Chapter: 12 The EDM sampler.
    """

    sigma_min: float | None = None
    sigma_max: float | None = None
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not self.rho > 0:
            raise ValueError(f"rho={self.rho} must be > 0; 7 is the usual choice")
        if self.sigma_min is not None and not self.sigma_min > 0:
            raise ValueError(f"sigma_min={self.sigma_min} must be > 0; 0 is added by the sampler")
        if self.sigma_max is not None and not 0 < self.sigma_max < math.inf:
            raise ValueError(f"sigma_max={self.sigma_max} must be > 0, and finite")
        if self.sigma_min is not None and self.sigma_max is not None:
            _check_order(self.sigma_min, self.sigma_max)

    def __call__(
        self, sde: SDE, steps: int, sigma_range: tuple[float, float] | None = None
    ) -> Tensor:
        """Return the levels, float64, shape (steps,).

        Args:
            sde: gives the range where nothing else does.
            steps: N ≥ 1.
            sigma_range: levels that the denoiser was trained on, if it declares them.

        Raises:
            ValueError: N < 1, or an empty range.

        Chapter: 12 The EDM sampler.
        """
        check_steps(steps)
        lowest, highest = sigma_range or sde.sigma_range
        lowest = self.sigma_min or lowest or float(sde.sigma(T_EPS))
        highest = highest if self.sigma_max is None else self.sigma_max
        _check_order(lowest, highest)
        ramp = torch.linspace(0, 1, steps, dtype=torch.float64)  # one step: 0
        top, bottom = highest ** (1 / self.rho), lowest ** (1 / self.rho)
        return (top + ramp * (bottom - top)) ** self.rho


@dataclass(frozen=True)
class UniformT:
    """σ_i = σ(t_i) with t_i = t_max (1 − i/N): uniform in diffusion time, down to t = 1/N.

    t_max is 1, or the time of the highest level that the denoiser was trained on, if that is lower.

    Chapter: 12 The EDM sampler.
    """

    def __call__(
        self, sde: SDE, steps: int, sigma_range: tuple[float, float] | None = None
    ) -> Tensor:
        """Return the levels, float64, shape (steps,); arguments as in :class:`RhoGrid`.

        Raises:
            ValueError: N < 1.

        Chapter: 12 The EDM sampler.
        """
        check_steps(steps)
        t_max = 1.0
        if sigma_range is not None and sigma_range[1] < sde.sigma_1:
            t_max = float(sde.sigma_inv(sigma_range[1]))
        t = torch.linspace(t_max, 0, steps + 1, dtype=torch.float64)[:-1]
        return sde.sigma(t)


def rho(
    sigma_min: float | None = None, sigma_max: float | None = None, rho: float = 7.0
) -> RhoGrid:
    """Return the grid of Karras et al.; see :class:`RhoGrid` for the arguments.

    Raises:
        ValueError: not 0 < σ_min < σ_max, or ρ ≤ 0.

    Chapter: 12 The EDM sampler.
    """
    return RhoGrid(sigma_min, sigma_max, rho)


def uniform_t() -> UniformT:
    """Return the grid that is uniform in t, as the predictor-corrector sampler's.

    Chapter: 12 The EDM sampler.
    """
    return UniformT()


def check_steps(steps: int) -> None:
    """Raise a ValueError unless ``steps`` is a whole number ≥ 1."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps={steps!r} must be a whole number >= 1")


def _check_order(lowest: float, highest: float) -> None:
    if not lowest < highest:
        raise ValueError(f"sigma_max={highest} must exceed sigma_min={lowest}")
