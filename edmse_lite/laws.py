"""How far a sampler's results are from the posterior when the denoiser is exact.

With one Gaussian answer every sampler is affine in its diffusion noise, so the law of its results
is Gaussian and known without a single draw; with two answers it is measured.

Chapter: 14 EDM against PC, hands on.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from . import drift
from .oracles import GaussianOracle
from .processes import SDE
from .samplers import Sampler


def law(sampler: Sampler, oracle: GaussianOracle, sde: SDE, y: Tensor) -> tuple[Tensor, float]:
    """Return mean and variance of r = x0_hat − y over the diffusion noise, exactly.

    The result is mean + Σ b_k z_k. A run without diffusion noise gives the mean; one run of a
    batch, in which only draw k of element k is 1, gives all b_k. The variance is Σ |b_k|².

    Args:
        sampler: any sampler.
        oracle: exact denoiser of one Gaussian answer.
        sde: schedule.
        y: one noisy value, a scalar, real or complex.

    Chapter: 14.
    """
    draws = 0

    def silent(like: Tensor) -> Tensor:
        nonlocal draws
        draws += 1
        return torch.zeros_like(like)

    mean = sampler(oracle, sde, y[None], silent).x0_hat[0] - y
    units = iter(torch.eye(draws, dtype=y.dtype))
    b = sampler(oracle, sde, y.expand(draws), lambda like: next(units)).x0_hat - y - mean
    return mean, float(b.abs().square().sum())


def divergence(sampler: Sampler, oracle: GaussianOracle, sde: SDE, y: Tensor) -> float:
    """Return KL(results ‖ posterior) in nats, exactly; half of it for real values.

    For N_C(m, v) against N_C(m', p) it is v/p − 1 − ln(v/p) + |m − m'|²/p.

    Args:
        sampler, oracle, sde, y: see :func:`law`.

    Chapter: 14.
    """
    mean, variance = law(sampler, oracle, sde, y)
    ratio = variance / float(oracle.var)
    off = float((mean - oracle.mean(y)).abs().square()) / float(oracle.var)
    return (1.0 if y.is_complex() else 0.5) * (ratio - 1 - math.log(ratio) + off)


def distance(sampler: Sampler, sde: SDE, seed: int, draws: int = 4_000) -> float:
    """Return the Wasserstein distance of results to two answers, in units of τ = 0.03.

    How far results must be moved, on average, to fit exact draws, along the line through both
    answers (chapter 11). The denoiser is :func:`edmse_lite.drift.two_answers`.

    Args:
        sampler: any sampler.
        sde: schedule.
        seed: of the diffusion noise.
        draws: number of results.

    Chapter: 14.
    """
    y, g = torch.zeros(draws, dtype=torch.complex128), torch.Generator().manual_seed(seed)
    return _apart(sampler(drift.two_answers(), sde, y, g).x0_hat)


def chance(seed: int, draws: int = 4_000) -> float:
    """Return :func:`distance` of exact draws: what no sampler can beat on average.

    Chapter: 14.
    """
    y, g = torch.zeros(draws, dtype=torch.complex128), torch.Generator().manual_seed(seed)
    return _apart(drift.two_answers().sample(y, g))


def _apart(r: Tensor) -> float:
    found, exact = _along(r), _exact()
    at = ((torch.arange(len(found)) + 0.5) / len(found) * len(exact)).long()
    return float((found - exact[at]).abs().mean()) / 0.03


def _along(r: Tensor) -> Tensor:
    """Sort the parts along the line through both answers."""
    return (r * (drift.MU / abs(drift.MU)).conjugate()).real.sort().values


@cache
def _exact() -> Tensor:
    """Many exact draws, sorted; always the same."""
    y, g = torch.zeros(400_000, dtype=torch.complex128), torch.Generator().manual_seed(9)
    return _along(drift.two_answers().sample(y, g))
