"""Checks of what readers write in chapters 5 and 6: they grade properties and show no answer.

Chapter: 5 Denoising at one noise level (steps of a sampler: chapter 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..oracles import GaussianOracle
from ..processes import noise_like
from .report import Report


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
        found = {
            sigma: my_denoiser(r + sigma * eps, y, sigma, c, v) for sigma in (1e-4, middle, 1e4)
        }
        wrong = [d for d in found.values() if d.shape != y.shape or d.dtype != dtype]
        fault = f"found {tuple(wrong[0].shape)} {wrong[0].dtype}" if wrong else ""
        findings.append((f"{kind}: shape and dtype of x̃", fault))
        if wrong:
            continue
        exact = oracle(r + middle * eps, y, middle)
        findings += [
            (f"{kind}: r itself for small σ", _small(found[1e-4], r, clean)),
            (f"{kind}: the posterior mean for large σ", _large(found[1e4], oracle.mean(y), y)),
            (f"{kind}: the least error in between", _middle(found[middle], exact, r)),
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
    exact, calls = oracle.flow(start, y, high, low), 0

    def counted(x_tilde: Tensor, y: Tensor, sigma: float) -> Tensor:
        nonlocal calls
        calls += 1
        return oracle(x_tilde, y, sigma)

    errors = []
    for steps in (32, 64, 128):
        ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        levels = ((high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7).tolist()
        x, calls = start, 0
        for sigma, sigma_next in zip(levels, levels[1:], strict=False):
            x = my_step(counted, x, y, sigma, sigma_next)
        errors.append(_rms(x - exact))
    order = math.log2(errors[1] / errors[2]) if min(errors) > 0 else math.inf
    each = calls / 128
    findings = [
        ("leads to the exact flow", _flow(errors, exact, start)),
        ("order", "" if order > 1.8 else f"order {order:.1f}, expected 2.0"),
        ("calls", "" if each == 2 else f"{each:g} calls of the denoiser a step, expected 2"),
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
