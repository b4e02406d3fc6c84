"""Checks of what readers write in chapters 5 and 6: they grade properties and show no answer.

Chapter: 5 Denoising at one noise level (steps and whole samplers: chapter 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..oracles import GaussianOracle, MixtureOracle
from ..processes import noise_like
from .asked import HEUN, Asked
from .report import Report, guarded

MAXIMAL_CHURN = math.sqrt(2) - 1


@guarded
def check_denoiser(my_denoiser: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check the denoiser of r for speech plus environmental noise, x0 ~ N(0, c), n ~ N(0, v).

    Args:
        my_denoiser: called as ``my_denoiser(x_tilde, y, sigma, clean_var, noise_var)`` with x̃ and y
            of shape (B,), complex or real, and three numbers; returns the estimate of r, (B,).
        seed: another seed gives another hidden c, v and y.

    Chapter: 5 Denoising at one noise level.
    """
    generator = torch.Generator().manual_seed(seed)
    c, v = (0.1 + 0.4 * torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
    oracle = GaussianOracle(c, v)
    middle = float(oracle.var) ** 0.5
    findings = []
    for dtype, kind in ((torch.complex128, "complex"), (torch.float64, "real")):
        clean = c**0.5 * noise_like(torch.empty(20_000, dtype=dtype), generator)
        y = clean + v**0.5 * noise_like(clean, generator)
        r, eps = clean - y, noise_like(y, generator)
        between = (0.5 * middle, middle, 2 * middle)
        found = {
            sigma: my_denoiser(r + sigma * eps, y, sigma, c, v) for sigma in (1e-4, *between, 1e4)
        }
        wrong = [d for d in found.values() if d.shape != y.shape or d.dtype != dtype]
        fault = f"found {tuple(wrong[0].shape)} {wrong[0].dtype}" if wrong else ""
        findings.append((f"{kind}: shape and dtype of x̃", fault))
        if wrong:
            continue
        exact = {sigma: oracle(r + sigma * eps, y, sigma) for sigma in between}
        worse = (_middle(found[sigma], exact[sigma], r) for sigma in between)
        findings += [
            (f"{kind}: r itself for small σ", _small(found[1e-4], r, clean)),
            (f"{kind}: the posterior mean for large σ", _large(found[1e4], oracle.mean(y), y)),
            (f"{kind}: the least error in between", next((fault for fault in worse if fault), "")),
        ]
    return Report("denoiser", seed, tuple(findings))


def _rms(x: Tensor) -> float:
    return float(x.abs().square().mean().sqrt())


def _small(found: Tensor, r: Tensor, clean: Tensor) -> str:
    if _rms(found - r) < 1e-2 * _rms(r):
        return ""
    if _rms(found - clean) < 1e-2 * _rms(clean):
        return "this is x0; D estimates r = x0 − y"
    return f"off by {_rms(found - r) / _rms(r):.2f} of r: x̃ is nearly r there, so return nearly x̃"


def _large(found: Tensor, mean: Tensor, y: Tensor) -> str:
    if _rms(found - mean) < 2e-2 * _rms(mean):
        return ""
    if _rms(found - mean - y) < 2e-2 * _rms(y):
        return "this is the Wiener estimate of x0; D estimates r = x0 − y"
    if _rms(found) < 2e-2 * _rms(mean):
        return "D goes to 0, so y is not used: it tells something about r"
    return f"off by {_rms(found - mean) / _rms(mean):.2f} of the mean; x̃ tells nothing there"


def _middle(found: Tensor, exact: Tensor, r: Tensor) -> str:
    ratio = (_rms(found - r) / _rms(exact - r)) ** 2
    if ratio < 1.02:
        return ""
    return f"mean squared error {ratio:.2f} times the smallest possible: look at the weight of x̃"


@guarded
def check_score(my_score: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check a score that is computed from a log-density by automatic differentiation.

    Args:
        my_score: called as ``my_score(log_density, x_tilde)``, where ``log_density(x_tilde)`` is
            real, shape (B,), and x̃ is real or complex, (B,); returns ∂ log p / ∂x̃*, (B,).
        seed: another seed gives another hidden density and other x̃.

    Chapter: 5 Denoising at one noise level.
    """
    generator = torch.Generator().manual_seed(seed)
    place, std, sigma = (0.3 + 0.6 * torch.rand(3, generator=generator)).tolist()
    findings = []
    for dtype, kind in ((torch.float64, "real"), (torch.complex128, "complex")):
        turn = 1.0 if dtype == torch.float64 else complex(0.8, 0.6)
        oracle = MixtureOracle(
            torch.tensor([0.7, 0.3]), torch.tensor([turn * place, -turn * place], dtype=dtype), std
        )
        x = 0.5 * noise_like(torch.empty(64, dtype=dtype), generator)
        y = torch.zeros_like(x)
        found = my_score(lambda at, o=oracle, y=y: o.log_prob(at, y, sigma), x.clone()).detach()
        same = found.shape == x.shape and found.dtype == dtype
        fault = "" if same else f"found {tuple(found.shape)} {found.dtype}"
        findings.append((f"{kind}: shape and dtype of x̃", fault))
        if same:
            exact = oracle.score(x, y, sigma)
            findings += [
                (f"{kind}: points to where the density rises", _direction(found, exact)),
                (f"{kind}: Tweedie, x̃ + σ² score = D", _length(found, exact)),
            ]
    return Report("score", seed, tuple(findings))


def _direction(found: Tensor, exact: Tensor) -> str:
    product = max(_rms(found) * _rms(exact), 1e-12)
    cosine = float((found * exact.conj()).real.mean()) / product
    if cosine > 1 - 1e-6:
        return ""
    if cosine < -1 + 1e-6:
        return "it points the other way: the sign"
    if float((found * exact).real.mean()) / product > 1 - 1e-6:
        return "the imaginary part has the wrong sign: the derivative is ∂/∂x̃*, not ∂/∂x̃"
    return "another direction: differentiate log p by x̃, each entry by its own"


def _length(found: Tensor, exact: Tensor) -> str:
    ratio = _rms(found) / _rms(exact)
    if abs(ratio - 1) < 1e-6:
        return ""
    return f"the score is {ratio:.3g} times too long: what does autograd return for this type?"


@guarded
def check_step(my_step: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check one step of Heun's method for dx̃/dσ = (x̃ − D)/σ against an exact flow.

    Args:
        my_step: called as ``my_step(denoiser, x_tilde, y, sigma, sigma_next)`` with numbers σ >
            σ_next > 0; returns x̃ at ``sigma_next``, of the shape of ``x_tilde``.
        seed: another seed gives another hidden oracle and start.

    Chapter: 6 Walking down the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    c, v = (0.1 + 0.4 * torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
    oracle, high, low = GaussianOracle(c, v), 2.0, 0.1
    y = noise_like(torch.empty(64, dtype=torch.complex128), generator)
    start = high * noise_like(y, generator)
    exact, asked = oracle.flow(start, y, high, low), Asked(oracle)
    errors = []
    for steps in (32, 64, 128):
        ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        levels = ((high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7).tolist()
        x = start
        asked.levels.clear()
        for sigma, sigma_next in zip(levels, levels[1:], strict=False):
            x = my_step(asked, x, y, sigma, sigma_next)
        errors.append(_rms(x - exact))
    order = math.log2(errors[1] / errors[2]) if min(errors) > 0 else math.inf
    each = len(asked.levels) / 128
    heun = "" if asked.exactly(levels[:-1] + levels[1:]) else HEUN
    findings = [
        ("leads to the exact flow", _flow(errors, exact, start)),
        ("order", "" if order > 1.8 else f"order {order:.1f}, expected 2.0"),
        ("calls", "" if each == 2 else f"{each:g} calls of the denoiser a step, expected 2"),
        ("levels that are asked", heun if each == 2 else "look at the number of calls first"),
    ]
    return Report("step", seed, tuple(findings))


def _flow(errors: list[float], exact: Tensor, start: Tensor) -> str:
    if errors[-1] < 0.02 * _rms(exact):
        return ""
    if errors[-1] > _rms(start - exact):
        return "it moves away from the exact flow: look at the sign of σ_next − σ and of the slope"
    return (
        f"off by {errors[-1] / _rms(exact):.2f} of x̃ after 128 steps, and smaller steps hardly help"
    )


@guarded
def check_sampler(my_sampler: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check a whole sampler: Heun's steps between given levels, churn, and D at the last level.

    Args:
        my_sampler: called as ``my_sampler(denoiser, x_tilde, y, sigmas, churn, generator)`` with a
            list of N falling levels, x̃ of shape (B,) at the first, and the relative rise of the
            level before each step (0 is none); returns D at the last level, (B,).
        seed: another seed gives another hidden oracle and start.

    Chapter: 6 Walking down the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    c, v = (0.1 + 0.4 * torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
    oracle = GaussianOracle(c, v)
    low, high = float(oracle.var) ** 0.5, 2.0
    y = noise_like(torch.empty(64, dtype=torch.complex128), generator)
    start = high * noise_like(y, generator)
    exact = oracle(oracle.flow(start, y, high, low), y, low)
    asked, ends = Asked(oracle), []
    for steps in (16, 32, 64):
        asked.levels.clear()
        levels = torch.linspace(high, low, steps + 1, dtype=torch.float64).tolist()
        ends.append(my_sampler(asked, start, y, levels, 0.0, generator))
    findings = [
        ("asks at the given levels only", _given(asked, levels)),
        ("calls", _calls(len(asked.levels), 65)),
        ("ends with the estimate at the last level", _end(ends, exact, start, oracle, y, low)),
        ("order of the walk", _order([_rms(end - exact) for end in ends])),
        ("churn: the spread of the results", _churned(my_sampler, oracle, seed)),
    ]
    return Report("sampler", seed, tuple(findings))


def _given(asked: Asked, levels: list[float]) -> str:
    low, high = min(asked.levels, default=0.0), max(asked.levels, default=0.0)
    if low <= 0:
        return "the denoiser was called at σ = 0, or never; a network has no answer there"
    if low < min(levels) * (1 - 1e-5) or high > max(levels) * (1 + 1e-5):
        return f"levels from {low:.3g} to {high:.3g} were asked"
    return "" if asked.only_at(levels) else HEUN


def _calls(found: int, levels: int) -> str:
    names = {2 * levels: "2N", levels: "N", 2 * levels - 2: "2N − 2", 3 * levels: "3N"}
    if found == 2 * levels - 1:
        return ""
    return f"{names.get(found, found)} calls for N = {levels} levels, expected 2N − 1"


def _end(
    ends: list[Tensor], exact: Tensor, start: Tensor, oracle: GaussianOracle, y: Tensor, low: float
) -> str:
    if _rms(ends[-1] - exact) < 0.01 * _rms(exact):
        return ""
    if _rms(ends[-1] - oracle.flow(start, y, 2.0, low)) < 0.01 * _rms(exact):
        return "this is x̃ at the last level, which still holds diffusion noise"
    if _rms(ends[-1] - exact - y) < 0.01 * _rms(exact):
        return "this is y + D; return D, the estimate of r"
    return f"off by {_rms(ends[-1] - exact) / _rms(exact):.2f} of the exact result"


def _order(errors: list[float]) -> str:
    order = math.log2(errors[1] / errors[2]) if min(errors) > 0 else math.inf
    return "" if order > 1.8 else f"order {order:.1f}, expected 2.0"


def _churned(my_sampler: Callable[..., Tensor], oracle: GaussianOracle, seed: int) -> str:
    """Start 20,000 walkers with the exact density; churn must leave its spread as it is."""
    low, high = 0.01 * float(oracle.var) ** 0.5, 1.0
    ramp = torch.linspace(0, 1, 41, dtype=torch.float64)
    levels = ((high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7).tolist()
    y = torch.zeros(20_000, dtype=torch.complex128)
    generator = torch.Generator().manual_seed(seed + 1)
    start = oracle.sample(y, generator) + high * noise_like(y, generator)

    asked = Asked(oracle)

    def run() -> Tensor:
        again = torch.Generator().manual_seed(seed)
        asked.levels.clear()
        return my_sampler(asked, start, y, levels, MAXIMAL_CHURN, again)

    found = run()
    if not torch.equal(found, run()):
        return "the same generator gives another result: draw with the one that is passed"
    quiet = my_sampler(oracle, start, y, levels, 0.0, generator)
    kept = float(torch.corrcoef(torch.stack([found.real, quiet.real]))[0, 1])
    if kept > 0.9:
        return "the results hardly change: no diffusion noise is added"
    raised = [(1 + MAXIMAL_CHURN) * level for level in levels]
    walk = raised[:-1] + levels[1:]
    if not any(asked.exactly([*walk, last]) for last in (levels[-1], raised[-1])):
        return "each level is raised before its step: ask there, and at the next level as it is"
    ratio = float(found.std()) / float(oracle.var) ** 0.5
    parts = float(found.real.std() / found.imag.std())
    if abs(ratio - 1) < 0.04 and abs(parts - 1) < 0.06:
        return ""
    if abs(parts - 1) >= 0.06:
        return f"the real part spreads {parts:.2f} times as far as the imaginary: noise for both"
    why = "variances add, and then start from the raised level"
    return f"{ratio:.2f} times the exact spread: {why}"
