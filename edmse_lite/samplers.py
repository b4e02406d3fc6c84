"""Samplers walk down the noise: each defines one step, and one loop runs it and counts the calls.

Chapter: 11 The predictor-corrector sampler, 12 The EDM sampler.

Traps.  Heun's method costs 2N − 1 calls, not 2N.  A denoiser is never called at σ = 0: the last
step is its estimate at the last level.  No gradient is kept through a sampler.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from edmse_lite.denoisers import Denoiser
from edmse_lite.grids import Grid, RhoGrid, check_steps
from edmse_lite.processes import SDE, noise_like

MAX_CHURN = math.sqrt(2) - 1  # a step at most doubles the variance of the diffusion noise


@dataclass(frozen=True)
class Step:
    """One step of a sampler: the state the denoiser was asked about, and its answer.

    Args:
        index: 0 … N−1.
        t: diffusion time of ``x_t``; churn above σ(1) makes it exceed 1.
        sigma: noise level of ``x_t``, after churn.
        x_t: shifted state, after churn or correction, before the move down; shape of y.
        x0_hat: estimate of x0 from ``x_t``; in the last step it is the sampler's output.
        nfe: calls of the denoiser so far, this step's included.

    Chapter: 12 The EDM sampler.
    """

    index: int
    t: float
    sigma: float
    x_t: Tensor
    x0_hat: Tensor
    nfe: int


class _Run:
    """What a step may use: the counted denoiser, the schedule, y, the source of its noise."""

    memory: Tensor  # what a multistep method keeps from one step to the next

    def __init__(
        self, denoiser: Denoiser, sde: SDE, y: Tensor, generator: torch.Generator | None
    ) -> None:
        self.denoiser, self.sde, self.y, self.generator = denoiser, sde, y, generator
        self.sigma_range = getattr(denoiser, "sigma_range", None)
        self.nfe = 0

    def denoise(self, x_tilde: Tensor, sigma: float) -> Tensor:
        self.nfe += 1
        return self.denoiser(x_tilde, self.y, torch.tensor(sigma, dtype=torch.float64))

    def noise(self) -> Tensor:
        return noise_like(self.y, self.generator)


@dataclass(frozen=True)
class _Move:
    """What a step hands to the loop: the state it asked about, the estimate, the next state."""

    t: float
    sigma: float
    x_t: Tensor
    x0_hat: Tensor
    x_next: Tensor


class Sampler(ABC):
    """The loop that all samplers share.

    Noise is drawn by one ``torch.randn`` call a use: the start, then in each step corrector and
    predictor, or churn (also where the churn is 0).  Device and dtype come from y.

    Chapter: 12 The EDM sampler.
    """

    steps: int

    @abstractmethod
    def _nodes(self, run: _Run) -> list[float]:
        """Return the N levels or times at which the steps begin."""

    @abstractmethod
    def _start(self, run: _Run, nodes: list[float]) -> Tensor:
        """Return the first state."""

    @abstractmethod
    def _step(self, run: _Run, x: Tensor, nodes: list[float], i: int) -> _Move:
        """Do step i from state x."""

    def iterate(
        self, denoiser: Denoiser, sde: SDE, y: Tensor, generator: torch.Generator | None = None
    ) -> Iterator[Step]:
        """Yield one :class:`Step` an iteration.

        Args:
            denoiser: called as ``denoiser(x_tilde, y, sigma)`` with σ a float64 scalar tensor.
            sde: schedule, for t, s(t) and the range of levels.
            y: noisy spectrogram, (B, 1, F, L) complex; or real, any shape.
            generator: carries all randomness; None uses torch's global one.

        Chapter: 12 The EDM sampler.
        """
        run = _Run(denoiser, sde, y, generator)
        nodes = self._nodes(run)
        with torch.no_grad():
            x = self._start(run, nodes)
        for i in range(self.steps):
            with torch.no_grad():
                move = self._step(run, x, nodes, i)
            x = move.x_next
            yield Step(i, move.t, move.sigma, move.x_t, move.x0_hat, run.nfe)

    def __call__(
        self, denoiser: Denoiser, sde: SDE, y: Tensor, generator: torch.Generator | None = None
    ) -> Step:
        """Return the last :class:`Step`, whose ``x0_hat`` is the output; arguments as iterate's.

        Chapter: 12 The EDM sampler.
        """
        for step in self.iterate(denoiser, sde, y, generator):  # noqa: B007
            pass
        return step


@dataclass(frozen=True)
class EDM(Sampler):
    """Heun's method with churn, in x̃ and σ: dx̃/dσ = (x̃ − D) / σ (Karras et al. 2022, alg. 2).

    Neither s, nor the stiffness, nor the drift towards y enters.  It starts at σ_0 ε in x̃ and
    makes 2N − 1 calls; the last step is y + D at the last level.

    Args:
        steps: N ≥ 1.
        s_churn: S_churn ≥ 0; each step raises σ by the factor 1 + min(S_churn / N, √2 − 1).
            0 is the deterministic sampler, infinity the most noise.
        s_min: churn only where s_min ≤ σ ≤ s_max.
        s_max: see ``s_min``.
        s_noise: S_noise, factor on the std of the churn's noise.
        grid: makes the levels; the default is the ρ grid over the range that the denoiser was
            trained on.

    Raises:
        ValueError: N < 1 or S_churn < 0.

    Chapter: 12 The EDM sampler.
    """

    steps: int = 16
    s_churn: float = math.inf
    s_min: float = 0.0
    s_max: float = math.inf
    s_noise: float = 1.0
    grid: Grid = RhoGrid()

    def __post_init__(self) -> None:
        check_steps(self.steps)
        if not self.s_churn >= 0:
            raise ValueError(f"s_churn={self.s_churn} must be >= 0; 0 switches churn off")
        if not 0 <= self.s_min <= self.s_max:
            raise ValueError(f"s_min={self.s_min} must lie between 0 and s_max={self.s_max}")
        if not 0 <= self.s_noise < math.inf:
            raise ValueError(f"s_noise={self.s_noise} must be >= 0 and finite; 1 is usual")

    def _nodes(self, run: _Run) -> list[float]:
        return self.grid(run.sde, self.steps, run.sigma_range).tolist()

    def _start(self, run: _Run, nodes: list[float]) -> Tensor:
        return nodes[0] * run.noise()  # x̃, zero mean: the model of y + r + σ ε without r

    def _churned(self, sigma: float, sigma_range: tuple[float, float] | None) -> float:
        """Return σ̂ ≥ σ, never above the range that the denoiser was trained on."""
        if not self.s_min <= sigma <= self.s_max:
            return sigma
        sigma_hat = sigma * (1 + min(self.s_churn / self.steps, MAX_CHURN))
        highest = sigma_range[1] if sigma_range else math.inf
        return max(sigma, min(sigma_hat, highest))

    def _step(self, run: _Run, x: Tensor, nodes: list[float], i: int) -> _Move:
        sigma = nodes[i]
        sigma_hat = self._churned(sigma, run.sigma_range)
        added = math.sqrt(sigma_hat**2 - sigma**2) * self.s_noise
        x_hat = x + added * run.noise()
        d = run.denoise(x_hat, sigma_hat)
        last = i == self.steps - 1
        x_next = d if last else self._heun(run, x_hat, d, sigma_hat, nodes[i + 1])
        t = float(run.sde.sigma_inv(sigma_hat))
        x_t = run.y + float(run.sde.s(t)) * x_hat
        return _Move(t, sigma_hat, x_t, run.y + d, x_next)

    def _heun(self, run: _Run, x: Tensor, d: Tensor, sigma: float, sigma_next: float) -> Tensor:
        """Return x̃ at ``sigma_next`` > 0; D at the start is known, so this costs one call."""
        slope = (x - d) / sigma
        x_next = x + (sigma_next - sigma) * slope
        slope_next = (x_next - run.denoise(x_next, sigma_next)) / sigma_next
        return x + (sigma_next - sigma) * (slope + slope_next) / 2


@dataclass(frozen=True)
class PC(Sampler):
    """Predictor and corrector in x_t, the corrector first (Song et al. 2021; Richter et al. 2023).

    Times t_i are uniform from 1 to ``t_eps``.  Corrector, annealed Langevin: ε = 2 (r_corr s σ)²,
    x ← x + ε·score + √(2ε) z.  Predictor, reverse diffusion: x ← x − f·(x − y) Δ + g²·score·Δ
    + g √Δ z.  It makes N (1 + corrector_steps) calls.

    Args:
        steps: N ≥ 1.
        corrector_steps: corrector moves a step, ≥ 0.
        snr: r_corr, size of a corrector move.
        t_eps: last time, in (0, 1); the last Δ goes from there to 0.
        last: ``"tweedie"`` replaces the last predictor by y + D, at no extra call; ``"mean"`` is
            SGMSE's own last step, the predictor without its noise.

    Raises:
        ValueError: an argument outside its range.

    Chapter: 11 The predictor-corrector sampler.
    """

    steps: int = 30
    corrector_steps: int = 1
    snr: float = 0.5
    t_eps: float = 0.03
    last: str = "tweedie"

    def __post_init__(self) -> None:
        check_steps(self.steps)
        if not isinstance(self.corrector_steps, int) or self.corrector_steps < 0:
            raise ValueError(
                f"corrector_steps={self.corrector_steps} must be a whole number >= 0"
            )
        if not 0 <= self.snr < math.inf:
            raise ValueError(f"snr={self.snr} must be >= 0 and finite; SGMSE uses 0.5")
        if not 0 < self.t_eps < 1:
            raise ValueError(f"t_eps={self.t_eps} must lie between 0 and 1; SGMSE uses 0.03")
        if self.last not in ("tweedie", "mean"):
            raise ValueError(f"last={self.last!r} is not known; choose 'tweedie' or 'mean'")

    def _nodes(self, run: _Run) -> list[float]:
        return torch.linspace(1, self.t_eps, self.steps, dtype=torch.float64).tolist()

    def _start(self, run: _Run, nodes: list[float]) -> Tensor:
        return run.sde.prior(run.y, run.generator)

    def _step(self, run: _Run, x: Tensor, nodes: list[float], i: int) -> _Move:
        t, sde, y = nodes[i], run.sde, run.y
        s, sigma = float(sde.s(t)), float(sde.sigma(t))
        for _ in range(self.corrector_steps):
            d = run.denoise((x - y) / s, sigma)
            epsilon = 2 * (self.snr * s * sigma) ** 2
            x = x + epsilon * _score(x - y, d, s, sigma) + math.sqrt(2 * epsilon) * run.noise()
        d = run.denoise((x - y) / s, sigma)
        last = i == self.steps - 1
        delta = t if last else t - nodes[i + 1]
        f, g = float(sde.f(t)), float(sde.g(t))
        mean = x - f * (x - y) * delta + g**2 * _score(x - y, d, s, sigma) * delta
        x_next = mean + g * math.sqrt(delta) * run.noise()
        x0_hat = mean if last and self.last == "mean" else y + d
        return _Move(t, sigma, x, x0_hat, x_next)


def _score(shifted: Tensor, d: Tensor, s: float, sigma: float) -> Tensor:
    """Return (D − x̃) / (s σ²), the score of x_t, from x_t − y and D."""
    return (d - shifted / s) / (s * sigma**2)
