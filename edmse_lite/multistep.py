"""A sampler that remembers: DPM-Solver++(2M) uses the estimate of the step before, at no new call.

Chapter: 12 The EDM sampler.

In x̃ there is nothing to adapt: shift and scale are gone, and λ = −ln σ is the solver's own time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from edmse_lite.grids import Grid, RhoGrid, check_steps
from edmse_lite.samplers import Sampler, _Move, _Run


@dataclass(frozen=True)
class DPM(Sampler):
    """DPM-Solver++(2M), in x̃ and λ = −ln σ (Lu et al. 2022, algorithm 2).

    x̃_{i+1} = (σ_{i+1}/σ_i) x̃_i + (1 − σ_{i+1}/σ_i) D̄ with D̄ = D_i + (D_i − D_{i−1}) / (2 q) and
    q = (λ_i − λ_{i−1}) / (λ_{i+1} − λ_i).  The first step has D̄ = D_0, which is Euler's step; the
    last step is y + D at the last level.  It makes N calls and adds no diffusion noise.

    Args:
        steps: N ≥ 1.
        grid: makes the levels; the default is the ρ grid over the range that the denoiser was
            trained on.
        order: 2; or 1, which forgets D_{i−1} and is Euler's method in σ, also known as DDIM.

    Raises:
        ValueError: N < 1, or an order other than 1 or 2.

    Chapter: 12 The EDM sampler.
    """

    steps: int = 16
    grid: Grid = RhoGrid()
    order: int = 2

    def __post_init__(self) -> None:
        check_steps(self.steps)
        if self.order not in (1, 2):
            raise ValueError(f"order={self.order!r} is not known; choose 1 or 2")

    def _nodes(self, run: _Run) -> list[float]:
        return self.grid(run.sde, self.steps, run.sigma_range).tolist()

    def _start(self, run: _Run, nodes: list[float]) -> Tensor:
        return nodes[0] * run.noise()  # x̃, zero mean, as in EDM

    def _step(self, run: _Run, x: Tensor, nodes: list[float], i: int) -> _Move:
        sigma, d = nodes[i], run.denoise(x, nodes[i])
        t = float(run.sde.sigma_inv(sigma))
        x_t = run.y + float(run.sde.s(t)) * x
        if i == self.steps - 1:
            return _Move(t, sigma, x_t, run.y + d, d)
        ratio, ahead = nodes[i + 1] / sigma, d
        if self.order == 2 and i > 0:
            q = math.log(nodes[i - 1] / sigma) / math.log(sigma / nodes[i + 1])
            ahead = d + (d - run.memory) / (2 * q)
        run.memory = d
        return _Move(t, sigma, x_t, run.y + d, ratio * x + (1 - ratio) * ahead)
