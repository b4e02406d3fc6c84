"""Checks of what readers write in chapters 11 and 12: a corrector, a grid, a whole sampler.

Chapter: 11 The predictor-corrector sampler (grid and sampler: chapter 12).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..oracles import GaussianOracle
from ..processes import noise_like
from .asked import HEUN, Asked
from .report import Report, guarded


@guarded
def check_corrector(my_corrector: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check one move of annealed Langevin dynamics in x_t, with ε = 2 (r_corr s σ)².

    Args:
        my_corrector: called as ``my_corrector(denoiser, x, y, s, sigma, r_corr, z)`` with x, y and
            the unit diffusion noise z of shape (B,), complex, and three numbers; returns the
            corrected x_t, (B,).
        seed: another seed gives another hidden oracle, y, s, σ and r_corr.

    Chapter: 11 The predictor-corrector sampler.
    """
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
    oracle = GaussianOracle(0.1 + 0.4 * u[0], 0.1 + 0.4 * u[1])
    s, sigma, snr = 0.3 + 0.3 * u[2], 0.4 + 0.4 * u[3], 0.2 + 0.2 * u[4]
    y = noise_like(torch.empty(20_000, dtype=torch.complex128), generator)
    spread = (float(oracle.var) + sigma**2) ** 0.5
    centre, kappa = y + s * oracle.mean(y), 2 * (snr * sigma / spread) ** 2
    x = centre + s * spread * noise_like(y, generator)  # exact draws of x_t
    asked: list[tuple[Tensor, float]] = []

    def counted(x_tilde: Tensor, y: Tensor, level: float | Tensor) -> Tensor:
        asked.append((x_tilde, float(level)))
        return oracle(x_tilde, y, level)

    def move(z: Tensor, size: float = snr) -> Tensor:
        return my_corrector(counted, x, y, s, sigma, size, z)

    z = noise_like(y, generator)
    moved, still = move(z), move(0 * z)
    drift = still - x
    exact = 2 * snr**2 * (y + s * oracle((x - y) / s, y, sigma) - x)
    findings = [
        ("calls", "" if len(asked) == 2 else f"{len(asked) / 2:g} calls a move, expected 1"),
        ("what the denoiser is asked", _asked(asked, (x - y) / s, x, sigma, s)),
        ("no move for r_corr = 0", _none(move(z, 0.0), x)),
        ("fresh diffusion noise", _fresh(moved - still, z, s, sigma, snr)),
        ("drift", _drift(drift, exact)),
        ("keeps the density of x_t", _kept(_rms(moved - centre) / (s * spread), kappa)),
    ]
    return Report("corrector", seed, tuple(findings))


def _rms(x: Tensor) -> float:
    return float(x.abs().square().mean().sqrt())


def _asked(
    asked: list[tuple[Tensor, float]], x_tilde: Tensor, x: Tensor, sigma: float, s: float
) -> str:
    if not asked:
        return "it is never asked, and the score comes from it"
    state, level = asked[0]
    if abs(level / (s * sigma) - 1) < 1e-6:
        return "asked at the level s σ; a denoiser takes the unscaled level σ"
    if abs(level / sigma - 1) > 1e-6:
        return f"asked at the level {level:.3g}, expected σ = {sigma:.3g}"
    if _rms(state - x_tilde) < 1e-6 * _rms(x_tilde):
        return ""
    which = "x_t" if _rms(state - x) < 1e-6 * _rms(x) else "another state"
    return f"asked about {which}; a denoiser takes x̃ = (x_t − y)/s"


def _none(found: Tensor, x: Tensor) -> str:
    return "" if _rms(found - x) < 1e-9 * _rms(x) else "x_t changes although ε = 0"


def _fresh(found: Tensor, z: Tensor, s: float, sigma: float, snr: float) -> str:
    if _rms(found) == 0:
        return "z is not used: without it this is a walk uphill, and the density shrinks"
    ratio = _rms(found) / (2 * snr * s * sigma * _rms(z))
    if abs(ratio - 1) < 1e-6 and _rms(found / found.abs() - z / z.abs()) < 1e-6:
        return ""
    if abs(ratio * 2**0.5 - 1) < 1e-6:
        return "its std is √ε, expected √(2ε)"
    if abs(ratio * s - 1) < 1e-6:
        return "the step is made from σ; the spread of the diffusion noise in x_t is s σ"
    if abs(ratio / (2 * snr * s * sigma) - 1) < 1e-6:
        return "its std is 2ε, the variance; take the root"
    return f"its std is {ratio:.2f} times √(2ε)"


def _drift(found: Tensor, exact: Tensor) -> str:
    if _rms(found - exact) < 1e-6 * _rms(exact):
        return ""
    share = float((found * exact.conj()).real.mean() / exact.abs().square().mean())
    if share < 0:
        return "it goes down the score, away from likely states; the sign is +"
    if _rms(found - share * exact) > 1e-6 * _rms(found):
        return "it does not point along the score"
    return f"{share:.2f} times ε · score, where the score of x_t is (D − x̃)/(s σ²)"


def _kept(found: float, kappa: float) -> str:
    """Compare spreads with the exact recursion: a move of finite size widens a little."""
    wanted = ((1 - kappa) ** 2 + 2 * kappa) ** 0.5
    if abs(found / wanted - 1) < 0.03:
        return ""
    return f"the spread becomes {found / wanted:.2f} times that of the exact move"


@guarded
def check_grid(my_grid: Callable[..., Sequence[float] | Tensor], seed: int = 0) -> Report:
    """Check a ρ grid: N levels from σ_max down to σ_min, uniform in σ^(1/ρ).

    Args:
        my_grid: called as ``my_grid(steps, sigma_min, sigma_max, rho)``; returns the levels.
        seed: another seed gives another hidden range and ρ.

    Chapter: 12 The EDM sampler.
    """
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    low, high, rho, steps = 0.01 + 0.02 * u[0], 0.8 + u[1], 3.0 + 5 * u[2], 12
    found = torch.as_tensor(my_grid(steps, low, high, rho), dtype=torch.float64)
    single = torch.as_tensor(my_grid(1, low, high, rho), dtype=torch.float64)
    findings = [("N levels", "" if found.shape == (steps,) else _count(found, steps))]
    if found.ndim == 1 and len(found) > 2:
        findings += [
            ("all above 0", "" if bool((found > 0).all()) else _zero(found)),
            ("falling", "" if bool((found.diff() < 0).all()) else "levels must fall"),
            ("from σ_max", _end(float(found[0]), high, "first")),
            ("to σ_min", _end(float(found[-1]), low, "last")),
            ("uniform in σ^(1/ρ)", _uniform(found, rho)),
        ]
    one = single.numel() == 1 and abs(float(single.reshape(-1)[0]) / high - 1) < 1e-5
    findings.append(("one step is σ_max", "" if one else "N = 1 must give the one level σ_max"))
    return Report("grid", seed, tuple(findings))


def _count(found: Tensor, steps: int) -> str:
    extra = "; the end, σ = 0, is not a node" if found.shape == (steps + 1,) else ""
    return f"found shape {tuple(found.shape)}, expected ({steps},){extra}"


def _zero(found: Tensor) -> str:
    return "a denoiser cannot be asked at σ = 0" if bool((found == 0).any()) else "negative levels"


def _end(found: float, expected: float, which: str) -> str:
    if abs(found / expected - 1) < 1e-5:
        return ""
    return f"the {which} level is {found:.4f}, expected {expected:.4f}"


def _uniform(found: Tensor, rho: float) -> str:
    """Look for the power in which the levels are evenly spaced."""

    def uneven(levels: Tensor) -> float:
        step = levels.diff()
        return float((step.max() - step.min()) / step.abs().max())

    if not bool((found > 0).all()):
        return "look at the levels that are not above 0 first"
    if uneven(found ** (1 / rho)) < 1e-4:
        return ""
    for name, levels in (("σ", found), ("ln σ", found.log()), ("σ^ρ", found**rho)):
        if uneven(levels) < 1e-4:
            return f"uniform in {name}"
    return "not uniform; i runs from 0 to N − 1, so divide by N − 1"


@guarded
def check_edm(my_sampler: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check a whole sampler in x̃: Heun's method with churn, ended by D at the last level.

    Args:
        my_sampler: called as ``my_sampler(denoiser, y, levels, churn, noise)`` with y of shape
            (B,), the N levels, the number churn ≥ 0 that raises each level to (1 + churn) σ, and
            ``noise()`` that returns unit diffusion noise like y: call it for the start, and then
            once a step. Returns the estimate of r, (B,).
        seed: another seed gives another hidden oracle and y.

    Chapter: 12 The EDM sampler.
    """
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    oracle, high, low = GaussianOracle(0.1 + 0.4 * u[0], 0.1 + 0.4 * u[1]), 2.0, 0.1
    asked = Asked(lambda x_tilde, y, sigma: oracle(x_tilde, y, max(float(sigma), 1e-12)))

    def run(y: Tensor, steps: int, churn: float) -> tuple[Tensor, Tensor, int]:
        asked.levels.clear()
        drawn: list[Tensor] = []

        def noise() -> Tensor:
            drawn.append(noise_like(y, generator))
            return drawn[-1]

        out = my_sampler(asked, y, _rho_levels(steps, low, high), churn, noise)
        return out, drawn[0] if drawn else torch.zeros_like(y), len(drawn)

    y, errors = noise_like(torch.empty(64, dtype=torch.complex128), generator), []
    for steps in (33, 65, 129):
        out, start, _ = run(y, steps, 0.0)
        exact = oracle(oracle.flow(high * start, y, high, low), y, low)
        errors.append(_rms(out - exact) / _rms(exact))
    heun, quiet = _levels(asked, low, high), len(asked.levels)
    order = math.log2(errors[1] / errors[2]) if min(errors) > 0 else math.inf
    wide = torch.zeros(20_000, dtype=torch.float64)
    churned, _, draws = run(wide, 65, 0.2)
    wanted = _spread(oracle, _rho_levels(65, low, high), 0.2)
    findings = [
        ("NFE", _nfe(quiet, 129)),
        ("levels that are asked", heun),
        ("levels that are asked with churn", _raised(asked, _rho_levels(65, low, high), 0.2)),
        ("leads to D at the end of the flow", _lands(errors[-1])),
        ("order", "" if order > 1.8 else f"order {order:.1f}, expected 2.0"),
        ("spread with churn", _drawn(draws, 65) or _width(float(churned.std()) / wanted)),
    ]
    return Report("edm", seed, tuple(findings))


def _rho_levels(steps: int, low: float, high: float) -> list[float]:
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    return ((high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7).tolist()


def _spread(oracle: GaussianOracle, levels: list[float], churn: float) -> float:
    """Return the std of the result for an exact flow: churn adds variance, the flow scales it."""
    p = float(oracle.var)
    variance = levels[0] ** 2
    for sigma, after in zip(levels, [*levels[1:], None], strict=True):
        hat = (1 + churn) * sigma
        variance += hat**2 - sigma**2
        variance *= (p / (p + hat**2)) ** 2 if after is None else (p + after**2) / (p + hat**2)
    return variance**0.5


def _nfe(found: int, steps: int) -> str:
    if found == 2 * steps - 1:
        return ""
    name = {2 * steps: "2N", steps: "N", 2 * steps - 2: "2N − 2"}.get(found, f"{found}")
    return f"NFE {name}, expected 2N − 1"


def _levels(asked: Asked, low: float, high: float) -> str:
    quiet = asked.levels
    if not quiet or min(quiet) < low / 2:
        return "the denoiser is asked near σ = 0; the last level is the lowest"
    if abs(max(quiet) / high - 1) > 1e-5:
        return f"the highest is {max(quiet):.3g} without churn, expected {high:g}"
    given = _rho_levels(129, low, high)
    return "" if asked.exactly(given + given[1:]) else HEUN


def _raised(asked: Asked, given: list[float], churn: float) -> str:
    top = (1 + churn) * given[0]
    if abs(max(asked.levels, default=0.0) / top - 1) > 1e-5:
        return "after churn ask at σ̂ = (1 + churn) σ, the level that x̂ has"
    if asked.exactly([(1 + churn) * s for s in given] + given[1:]):
        return ""
    return "churn raises every level before its step, the last one too"


def _lands(error: float) -> str:
    return "" if error < 0.02 else f"off by {error:.2f} of it after 129 steps"


def _drawn(found: int, steps: int) -> str:
    if found == steps + 1:
        return ""
    return f"noise() is called {found} times for N = {steps}, expected N + 1: the start, each step"


def _width(ratio: float) -> str:
    if abs(ratio - 1) < 0.04:
        return ""
    hint = "; variances add: the added std is √(σ̂² − σ²)" if ratio < 0.9 else ""
    return f"{ratio:.2f} times the exact one{hint}"
