"""Checks of what readers write in chapter 4: a best linear guess, and an error split in two.

Chapter: 4 Many clean answers to one recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..processes import noise_like
from .report import Report, guarded


@guarded
def check_wiener(my_wiener: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check the best linear guess of x0 from y = x0 + n, with variances c and v in each bin.

    Args:
        my_wiener: called as ``my_wiener(y, clean_var, noise_var)`` with y of shape (B, N) complex
            or real, and variances of shape (N,); returns the guess of x0, (B, N).
        seed: another seed gives other hidden variances and draws.

    Chapter: 4 Many clean answers to one recording.
    """
    generator = torch.Generator().manual_seed(seed)
    findings = []
    for dtype, kind in ((torch.complex128, "complex"), (torch.float64, "real")):
        c, v = 0.1 + torch.rand(2, 6, generator=generator, dtype=torch.float64)
        size = torch.empty(20_000, 6, dtype=dtype)
        x0, n = c.sqrt() * noise_like(size, generator), v.sqrt() * noise_like(size, generator)
        y = x0 + n
        found = torch.as_tensor(my_wiener(y, c, v))
        wrong = found.shape != y.shape or found.dtype != dtype
        fault = f"found {tuple(found.shape)} {found.dtype}" if wrong else ""
        findings.append((f"{kind}: shape and dtype of y", fault))
        if wrong:
            continue
        findings += [
            (f"{kind}: a linear guess", _linear(my_wiener, y, c, v, found)),
            (f"{kind}: the error is orthogonal to y", _orthogonal(found, x0, y, c, v)),
            (f"{kind}: power of the guess", _power(found, c, v)),
            (f"{kind}: y itself without environmental noise", _quiet(my_wiener, y, c)),
        ]
    return Report("wiener", seed, tuple(findings))


def _rms(x: Tensor) -> float:
    return float(x.abs().square().mean().sqrt())


def _linear(my_wiener: Callable[..., Tensor], y: Tensor, c: Tensor, v: Tensor, at: Tensor) -> str:
    twice = torch.as_tensor(my_wiener(3 * y, c, v))
    if _rms(twice - 3 * at) < 1e-6 * _rms(at) + 1e-12:
        return ""
    return "three times y must give three times the guess: the factor may not depend on y"


def _orthogonal(found: Tensor, x0: Tensor, y: Tensor, c: Tensor, v: Tensor) -> str:
    cross = ((x0 - found) * y.conj()).mean(0).real  # (N,); 0 for the best factor
    allowed = 5 * (c * v).sqrt() / math.sqrt(len(y))  # five standard errors
    if bool((cross.abs() < allowed).all()):
        return ""
    gain = (found * y.conj()).mean(0).real / y.abs().square().mean(0)
    if _rms(gain - (c / (c + v)).sqrt()) < 0.02:
        return "the factor is √(c/(c+v)): that restores the power, not the least error"
    if _rms(gain - v / (c + v)) < 0.02:
        return "this is a guess of the environmental noise"
    if _rms(gain - c.sqrt() / (c.sqrt() + v.sqrt())) < 0.02:
        return "the arguments are variances, not standard deviations"
    size = "large" if float((gain - c / (c + v)).mean()) > 0 else "small"
    return f"something of y is left in the error: the factor is too {size} on average"


def _power(found: Tensor, c: Tensor, v: Tensor) -> str:
    ratio = found.abs().square().mean(0) / (c**2 / (c + v))
    if bool(((ratio - 1).abs() < 0.06).all()):
        return ""
    return f"{float(ratio.mean()):.2f} times what the best guess has, on average over the bins"


def _quiet(my_wiener: Callable[..., Tensor], y: Tensor, c: Tensor) -> str:
    found = torch.as_tensor(my_wiener(y, c, torch.full_like(c, 1e-9)))
    return "" if _rms(found - y) < 1e-6 * _rms(y) else "with v → 0 the recording is clean: return y"


@guarded
def check_split(my_split: Callable[..., tuple[Tensor, Tensor]], seed: int = 0) -> Report:
    """Check the split of the mean squared error of K samples into two parts that add up.

    Args:
        my_split: called as ``my_split(samples, clean)`` with samples (K, N), complex or real, and
            clean (N,); returns two numbers, the squared error of the mean of the samples and the
            spread of the samples around it, both as means over the N bins.
        seed: another seed gives other hidden samples.

    Chapter: 4 Many clean answers to one recording.
    """
    generator = torch.Generator().manual_seed(seed)
    findings = []
    for dtype, kind, count in ((torch.complex128, "complex", 3), (torch.float64, "real", 2)):
        clean = noise_like(torch.empty(400, dtype=dtype), generator)
        offset = 0.3 + 0.5 * torch.rand(400, generator=generator, dtype=torch.float64)
        samples = clean + offset + 0.8 * noise_like(clean.expand(count, 400).clone(), generator)
        error, spread = (torch.as_tensor(part) for part in my_split(samples, clean))
        fault = _two_numbers(error, spread)
        findings.append((f"{kind}: two real numbers", fault))
        if fault:
            continue
        mean = samples.mean(0)
        exact = float((mean - clean).abs().square().mean())
        inside = float((samples - mean).abs().square().mean())
        findings += [
            (f"{kind}: error of the mean", _size(float(error), exact, 400)),
            (f"{kind}: spread around the mean", _around(float(spread), inside, count)),
            (f"{kind}: both add up", _sum(float(error + spread), samples, clean)),
            (f"{kind}: equal samples have no spread", _equal(my_split, clean, count)),
        ]
    return Report("split", seed, tuple(findings))


def _two_numbers(error: Tensor, spread: Tensor) -> str:
    if error.is_complex() or spread.is_complex():
        return "found a complex number: for complex bins |z|² is needed, not z²"
    if error.numel() == spread.numel() == 1:
        return ""
    return f"found shapes {tuple(error.shape)}, {tuple(spread.shape)}"


def _near(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=1e-6)


def _size(found: float, exact: float, bins: int) -> str:
    if _near(found, exact):
        return ""
    if _near(found, exact * bins):
        return "this is a sum over bins, not a mean"
    if _near(found, math.sqrt(exact)):
        return "this is a root mean square; squares add up, roots do not"
    if found < exact:
        return f"{found / exact:.2f} times the right one: for complex bins |z|² is needed, not z²"
    return f"{found / exact:.2f} times the right one: average the samples first, then compare"


def _around(found: float, inside: float, count: int) -> str:
    if _near(found, inside):
        return ""
    if _near(found, inside * count / (count - 1)):
        return "divided by K − 1: that estimates a variance; this identity needs K"
    if _near(found, math.sqrt(inside)):
        return "this is a standard deviation; squares add up, roots do not"
    return f"{found / inside:.2f} times the mean of |sample − mean of samples|²"


def _sum(found: float, samples: Tensor, clean: Tensor) -> str:
    whole = float((samples - clean).abs().square().mean())
    if _near(found, whole):
        return ""
    return f"{found / whole:.2f} times the mean squared error of the samples"


def _equal(my_split: Callable[..., tuple[Tensor, Tensor]], clean: Tensor, count: int) -> str:
    same = (clean + 1).expand(count, len(clean)).clone()
    spread = float(torch.as_tensor(my_split(same, clean)[1]).abs())
    return "" if spread < 1e-9 else f"K equal samples have the spread {spread:.2f}"
