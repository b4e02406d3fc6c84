"""What a drift towards y can still change, one small experiment each, on exact denoisers.

Chapter: 7 The shifted SDE and its perturbation kernel.

In σ the exact process contains no drift.  These experiments look at what is left: steps of finite
size in t, the largest level, the levels at which a sampler stops, the levels of training, and what
a network is fed.  Each is repeated over seeds for an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from edmse_lite.denoisers import Denoiser, score
from edmse_lite.grids import Grid, UniformT, rho
from edmse_lite.intervals import Interval, paired_interval
from edmse_lite.oracles import GaussianOracle, MixtureOracle
from edmse_lite.preconditioning import Coefficients, Preconditioning
from edmse_lite.processes import SDE, T_EPS
from edmse_lite.samplers import EDM

MU = 0.15 + 0.075j
"""The likelier answer of :func:`two_answers`, in units of the compressed STFT."""


def two_answers(weight: float = 0.7) -> MixtureOracle:
    """Return the exact denoiser of an r that is near μ = 0.15 + 0.075j or near −μ.

    r | y ~ w N_C(μ, τ²) + (1 − w) N_C(−μ, τ²) with τ = 0.03, in each bin on its own.

    Args:
        weight: w, the probability of μ.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    return MixtureOracle(torch.tensor([weight, 1 - weight]), torch.tensor([MU, -MU]), 0.03)


def near_mu(r: Tensor) -> tuple[float, float]:
    """Return the share of results nearer to μ than to −μ, and the half-width of its 95 % interval.

    Args:
        r: results, one a draw, complex, any shape.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    share = float(((r - MU).abs() < (r + MU).abs()).double().mean())
    return share, 1.96 * (share * (1 - share) / r.numel()) ** 0.5


def rms(z: Tensor) -> float:
    """Return the root mean square of a tensor, real or complex, any shape.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    return float(z.abs().square().mean().sqrt())


def velocity(denoiser: Denoiser, sde: SDE, x_t: Tensor, y: Tensor, t: float | Tensor) -> Tensor:
    """Return dx/dt of the probability flow in x_t: f (x − y) − ½ g² ∇ log p_t(x).

    Source: Song et al. 2021, with the drift towards y.

    Args:
        denoiser: any denoiser.
        sde: the schedule.
        x_t: shifted state, any shape, complex or real.
        y: noisy values, same shape.
        t: diffusion time in (0, 1].

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    f, g = float(sde.f(t)), float(sde.g(t))
    return f * (x_t - y) - 0.5 * g**2 * score(denoiser, sde, x_t, y, t)


def solve_in_t(denoiser: Denoiser, sde: SDE, x_1: Tensor, y: Tensor, t_end: float = 0.02) -> Tensor:
    """Return x_t at ``t_end``, the probability flow in x_t solved by scipy to ten digits.

    Args:
        denoiser: any denoiser.
        sde: the schedule.
        x_1: real state at t = 1, shape (N,).
        y: noisy values, shape (N,).
        t_end: diffusion time in (0, 1).

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    from scipy.integrate import solve_ivp

    def slope(t: float, x: object) -> object:
        return velocity(denoiser, sde, torch.as_tensor(x), y, t).numpy()

    found = solve_ivp(slope, (1.0, t_end), x_1.numpy(), rtol=1e-10, atol=1e-12)
    return torch.as_tensor(found.y[:, -1])


def heun_in_t(
    denoiser: Denoiser, sde: SDE, y: Tensor, steps: int, generator: torch.Generator | None = None
) -> Tensor:
    """Return x0_hat by Heun's method in x_t and t, drift and all; the last step is y + D.

    Only for the comparison with :class:`~edmse_lite.samplers.EDM`, which steps in σ.

    Args:
        denoiser: any denoiser.
        sde: the schedule.
        y: noisy values, any shape, complex or real.
        steps: N ≥ 1, uniform in t.
        generator: carries the randomness of the start.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    x, t = sde.prior(y, generator), torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    for now, then in zip(t[:-2], t[1:-1], strict=True):
        slope = velocity(denoiser, sde, x, y, now)
        after = velocity(denoiser, sde, x + (then - now) * slope, y, then)
        x = x + (then - now) * (slope + after) / 2
    return y + denoiser((x - y) / float(sde.s(t[-2])), y, sde.sigma(t[-2]))


def share_near_mu(
    denoiser: Denoiser, sde: SDE, y: Tensor, steps: int = 64, seed: int = 1
) -> tuple[float, float]:
    """Return :func:`near_mu` of the results of :func:`heun_in_t`.

    The steps are in x_t and t, so that the drift of the schedule takes part in them.

    Args:
        denoiser: the oracle :func:`two_answers`.
        sde: the schedule.
        y: noisy values, one a draw, complex.
        steps: N, uniform in t.
        seed: of the start.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    generator = torch.Generator().manual_seed(seed)
    return near_mu(heun_in_t(denoiser, sde, y, steps, generator) - y)


def nodes_errors(
    denoiser: Denoiser,
    sdes: Mapping[str, SDE],
    y: Tensor,
    top: float,
    counts: Sequence[int],
    seed: int = 1,
) -> dict[str, list[float]]:
    """Return the rms distance of N steps, uniform in t, to the exact flow from the same start.

    Args:
        denoiser: any denoiser.
        sdes: each gives the levels σ(t_i); its own scaling and drift play no part.
        y: noisy values, any shape.
        top: level at which all begin.
        counts: numbers of steps N.
        seed: of the start.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """

    def end(sde: SDE, steps: int, grid: Grid) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return EDM(steps, s_churn=0.0, grid=grid)(denoiser, sde, y, generator).x0_hat

    def below(sde: SDE, steps: int, sigma_range: object = None) -> Tensor:
        return UniformT()(sde, steps, (0.0, top))

    exact = end(next(iter(sdes.values())), 200, rho(1e-3, top))
    return {name: [rms(end(sde, n, below) - exact) for n in counts] for name, sde in sdes.items()}


def limited_model_errors(
    sde: SDE,
    levels: Tensor,
    preconditioning: Preconditioning | None = None,
    draws: int = 20_000,
    seed: int = 1,
) -> list[float]:
    """Return at each level the rms error of a model too small to be right everywhere.

    The model is D = c_skip x̃ + c_out F(u, y; c_noise) with the library's own coefficients, the
    input u = c_in x̃ + c_shift y and the weight λ.  F is a u + b y, with a and b linear in c_noise,
    fitted by least squares to real speech plus environmental noise, x0 and n ~ N(0, 0.02).  The
    exact denoiser is known, so the error is, too: relative to the rms of the least possible error
    of r without x̃, which is 0.1.

    Args:
        sde: decides which levels are trained, t uniform on [0.01, 1], and what t and s are.
        levels: where to measure, shape (K,), reached by the schedule if t is needed.
        preconditioning: decides what the model is fed; EDM's unless told otherwise.
        draws: number of training examples.
        seed: of the examples.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    chosen, oracle = preconditioning or Preconditioning.edm(), GaussianOracle(0.02, 0.02)
    generator = torch.Generator().manual_seed(seed)
    t = T_EPS + (1 - T_EPS) * torch.rand(draws, dtype=torch.float64, generator=generator)
    z = torch.randn(4, draws, dtype=torch.float64, generator=generator)
    sigma, r = sde.sigma(t), -(0.02**0.5) * z[1]
    y = 0.02**0.5 * z[0] - r
    inputs, c = _features(chosen, sde, r + sigma * z[2], y, sigma)
    scale = (chosen.loss_weight(sigma).sqrt() * c.c_out)[:, None]
    target = chosen.loss_weight(sigma).sqrt() * (r - c.c_skip * (r + sigma * z[2]))
    solution = torch.linalg.lstsq(scale * inputs, target[:, None]).solution
    errors = []
    for level in levels:
        x, at = r + level * z[3], level.expand(draws)
        inputs, c = _features(chosen, sde, x, y, at)
        found = c.c_skip * x + c.c_out * (inputs @ solution)[:, 0]
        errors.append(rms(found - oracle(x, y, float(level))) / float(oracle.var) ** 0.5)
    return errors


def _features(
    chosen: Preconditioning, sde: SDE, x_tilde: Tensor, y: Tensor, sigma: Tensor
) -> tuple[Tensor, Coefficients]:
    """Return u and y, each times 1 and c_noise, (draws, 4), and the coefficients."""
    c = chosen.coefficients(sigma, sde)
    both = torch.stack([c.c_in * x_tilde + c.c_shift * y, y], -1)  # (draws, 2)
    return torch.cat([both, c.c_noise[:, None] * both], -1), c


def over_seeds(
    first: Callable[[int], float], second: Callable[[int], float], seeds: int = 10
) -> Interval:
    """Return the mean of first − second over seeds, both with the same seed, and its interval.

    Args:
        first: an experiment that a seed repeats; returns its score.
        second: another, from the same start for the same seed.
        seeds: number of repetitions, 0, 1, …

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    scores = [[run(seed) for seed in range(seeds)] for run in (first, second)]
    return paired_interval(*scores, range(seeds))


def away(
    denoiser: MixtureOracle, sde: SDE, y: Tensor, walk: Callable[[torch.Generator], Tensor]
) -> Callable[[int], float]:
    """Return a function of the seed: distance of a walk's x0_hat to the exact flow, same start.

    It is an rms over draws, in % of the rms of r.

    Args:
        denoiser: an oracle that can be sampled, as :func:`two_answers`.
        sde: decides where the walk starts, at σ(1).
        y: noisy values, any shape.
        walk: makes x0_hat from a generator.

    Chapter: 8 A zoo of schedules.
    """
    unit = rms(denoiser.sample(y, torch.Generator().manual_seed(0))) / 100
    flow = EDM(200, s_churn=0.0, grid=rho(1e-3, sde.sigma_1))

    def run(seed: int) -> float:
        exact, found = (torch.Generator().manual_seed(seed) for _ in range(2))
        return rms(walk(found) - flow(denoiser, sde, y, exact).x0_hat) / unit

    return run
