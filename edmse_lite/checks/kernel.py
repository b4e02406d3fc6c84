"""Checks of what readers write in chapters 7 and 8: they grade properties and show no answer.

Chapter: 7 The shifted SDE and its perturbation kernel (levels: chapter 8).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .report import Report, guarded


@guarded
def check_kernel(my_kernel: Callable[..., tuple[Tensor, Tensor]], seed: int = 0) -> Report:
    """Check the perturbation kernel of dx = −γ (x − y) dt + g dw with constant γ and g.

    Args:
        my_kernel: called as ``my_kernel(x0, y, t, stiffness, g)`` with x0 and y of shape (B,),
            complex, and three numbers; returns the mean, shape (B,), and the std of x_t.
        seed: another seed gives another hidden γ, g, x0 and y.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    generator = torch.Generator().manual_seed(seed)
    stiffness, g = (0.5 + 2 * torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
    x0, y = torch.randn(2, 8, dtype=torch.complex128, generator=generator)

    def ask(t: float) -> tuple[Tensor, Tensor]:
        mean, std = my_kernel(x0, y, t, stiffness, g)
        return torch.as_tensor(mean), torch.as_tensor(std)

    late, early, middle = 40 / stiffness, 1e-4, 0.5
    findings = [
        ("starts at x0, without spread", _start(*ask(0.0), x0)),
        ("long-term mean", _long_term(ask(late)[0], y)),
        ("mean in between", _mean(ask(middle)[0], x0, y, stiffness * middle)),
        ("first growth of the spread", _growth(ask(early)[1], g, early)),
        ("spread after a long time", _stationary(ask(late)[1], g, stiffness)),
        ("spread in between", _spread(ask(middle)[1], g, stiffness, middle)),
    ]
    return Report("kernel", seed, tuple(findings))


def _near(found: Tensor, expected: Tensor | float, rtol: float = 1e-6) -> bool:
    expected = torch.as_tensor(expected)
    if not bool(torch.isfinite(torch.view_as_real(found) if found.is_complex() else found).all()):
        return False
    return bool((found - expected).abs().max() <= rtol * expected.abs().max() + 1e-12)


def _start(mean: Tensor, std: Tensor, x0: Tensor) -> str:
    if not _near(mean, x0):
        return "at t = 0 the mean is not x0"
    return "" if _near(std, 0.0) else "at t = 0 the spread is not 0"


def _long_term(mean: Tensor, y: Tensor) -> str:
    if _near(mean, y):
        return ""
    if _near(mean, torch.zeros_like(y)):
        return "the mean goes to 0: this process settles at y"
    return "the mean does not go to y: look at the sign in the exponent"


def _mean(mean: Tensor, x0: Tensor, y: Tensor, product: float) -> str:
    kept = math.exp(-product)
    if _near(mean, y + kept * (x0 - y)):
        return ""
    return "the distance to y must shrink by the factor s = exp ∫ f"


def _growth(std: Tensor, g: float, t: float) -> str:
    ratio = float(std.abs().max()) / (g * math.sqrt(t))
    if abs(ratio - 1) < 1e-2:
        return ""
    if abs(ratio / (g * math.sqrt(t)) - 1) < 1e-2:
        return "this is the variance; return its root"
    if abs(ratio / math.sqrt(t) - 1) < 1e-2:
        return "it grows as g t; increments add as variances, so it grows as g √t"
    return f"{ratio:.2f} times g √t, expected 1"


def _stationary(std: Tensor, g: float, stiffness: float) -> str:
    ratio = float(std.abs().max()) / (g / math.sqrt(2 * stiffness))
    if abs(ratio - 1) < 1e-6:
        return ""
    if not ratio < 1e3:
        return "it grows without bound: this is σ, the unscaled level; x_t has the spread s σ"
    return "it settles at a wrong value: integrate g²/s², then multiply by s²"


def _spread(std: Tensor, g: float, stiffness: float, t: float) -> str:
    variance = -(g**2) * math.expm1(-2 * stiffness * t) / (2 * stiffness)
    if _near(std, math.sqrt(variance)):
        return ""
    return f"{float(std.abs().max()) / math.sqrt(variance):.2f} times the exact one at t = {t}"


@guarded
def check_levels(my_sigma: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check a schedule whose levels are ln σ ~ N(a, b²) when t is uniform on [0, 1].

    Args:
        my_sigma: called as ``my_sigma(t, a, b)`` with t of shape (N,), inside (0, 1), and two
            numbers; returns the levels, shape (N,).
        seed: another seed gives other hidden a and b.

    Chapter: 8 A zoo of schedules.
    """
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.tensor([-2.0, 0.6]) + torch.rand(2, generator=generator)).tolist()
    t = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    found = torch.as_tensor(my_sigma(t, a, b))
    usable = found.shape == t.shape and bool((found > 0).all() and found.isfinite().all())
    findings = [("positive finite levels, one a time", "" if usable else "look at shape and sign")]
    if usable:
        log = found.log()
        findings += [
            ("increasing", "" if bool((log.diff() > 0).all()) else "σ must grow with t"),
            ("median", _median(float(log[9_999:10_001].mean()), a, b)),
            ("spread of ln σ", _width(float(log.std()), b)),
            ("shape of the bell", _bell(log)),
        ]
    return Report("levels", seed, tuple(findings))


def _median(found: float, a: float, b: float) -> str:
    if abs(found - a) < 1e-3:
        return ""
    if abs(found - a * math.log(10)) < 1e-3:
        return "this is a power of 10; ln is the natural logarithm"
    if abs(found - a - b**2) < 1e-2 or abs(found - a - b**2 / 2) < 1e-2:
        return "the median of σ is e^a, not its mean"
    return f"ln of the median is {found:.2f}, expected a = {a:.2f}"


def _width(found: float, b: float) -> str:
    if abs(found / b - 1) < 1e-2:
        return ""
    if abs(found / b**2 - 1) < 1e-2:
        return "this is b², the variance"
    return f"{found / b:.2f} times b"


def _bell(log: Tensor) -> str:
    z = (log - log.mean()) / log.std()
    fourth = float(z.pow(4).mean())
    if abs(fourth - 3) < 0.03:
        return ""
    hint = ": a flat one; use the quantile of the normal, not its cumulative share"
    return f"fourth moment {fourth:.2f}, expected 3" + (hint if fourth < 2.5 else "")


@guarded
def check_design(my_design: Callable[..., tuple[Tensor, Tensor]], seed: int = 0) -> Report:
    """Check the way from (s, σ) to (f, g): f = s'/s and g² = s² dσ²/dt.

    Args:
        my_design: called as ``my_design(s, sigma, t)`` with two functions of time and times of
            shape (N,), inside (0, 1); returns f and g, both (N,).
        seed: another seed gives another hidden schedule.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    generator = torch.Generator().manual_seed(seed)
    a, b, k = (0.5 + torch.rand(3, generator=generator, dtype=torch.float64)).tolist()
    t = 0.05 + 0.9 * torch.rand(50, generator=generator, dtype=torch.float64)
    f, g = (torch.as_tensor(part).detach() for part in my_design(
        lambda u: (1 + a * u) ** -b, lambda u: k * u**1.5, t.clone()
    ))  # fmt: skip
    plain = my_design(lambda u: torch.ones_like(u) + 0 * u, lambda u: k * u**1.5, t.clone())
    s = (1 + a * t) ** -b
    slope = 3 * k**2 * t**2  # dσ²/dt
    findings = [
        ("without scaling there is no drift", "" if _near(plain[0].detach(), 0 * t) else "f ≠ 0"),
        ("f, the rate of the drift", _rate(f, -a * b / (1 + a * t), s)),
        ("g, the growth of the spread", _diffusion(g, slope.sqrt(), s, k * t**1.5)),
    ]
    return Report("design", seed, tuple(findings))


def _rate(f: Tensor, exact: Tensor, s: Tensor) -> str:
    if _near(f, exact):
        return ""
    if _near(f, -exact):
        return "the sign: s falls, so f is negative"
    if _near(f, exact * s):
        return "this is ṡ; the rate is ṡ/s"
    return "off: f is the slope of ln s"


def _diffusion(g: Tensor, root: Tensor, s: Tensor, sigma: Tensor) -> str:
    if _near(g, s * root):
        return ""
    if _near(g, root):
        return "this is g/s, which x̃ has; x is s times x̃"
    if _near(g, (s * root) ** 2):
        return "this is g²; return its root"
    if _near(g, s * root**2 / (2 * sigma)) or _near(g, root**2 / (2 * sigma)):
        return "this has the slope of σ; variances add, so take the slope of σ²"
    return "off: g² = s² dσ²/dt"


@guarded
def check_bridge(my_sigma: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check σ(t) of the Brownian bridge to y with a constant g: s = 1 − t, g = c.

    Args:
        my_sigma: called as ``my_sigma(t, c)`` with t of shape (N,), inside [0, 1), and a number;
            returns the unscaled levels, shape (N,).
        seed: another seed gives another hidden c.

    Chapter: 8 A zoo of schedules.
    """
    generator = torch.Generator().manual_seed(seed)
    c = 0.05 + float(torch.rand(1, generator=generator))
    t = torch.tensor([0.0, 1e-4, 0.2, 0.5, 0.8, 0.9999], dtype=torch.float64)
    found = torch.as_tensor(my_sigma(t, c))
    if found.shape != t.shape:
        return Report("bridge", seed, (("one level a time", f"shape {tuple(found.shape)}"),))
    exact = c * (t / (1 - t)).sqrt()
    off = "" if _near(found[2:5], exact[2:5]) else _bridge_fault(found, t, c)
    findings = [
        ("one level a time", ""),
        ("no spread at t = 0", "" if _near(found[:1], 0.0) else "x_t starts at x0"),
        ("first growth, as c √t", _growth(found[1], c, 1e-4)),
        ("levels in between", off),
        ("grows without bound towards t = 1", "" if float(found[5]) > 50 * c else "it stays small"),
    ]
    return Report("bridge", seed, tuple(findings))


def _bridge_fault(found: Tensor, t: Tensor, c: float) -> str:
    if _near(found, c * (t * (1 - t)).sqrt()):
        return "this is s σ, the spread of x_t, which ends at y; σ is unscaled"
    if _near(found, c * t.sqrt()):
        return "integrate g²/s², not g²"
    if _near(found, c * (-torch.log1p(-t)).sqrt()):
        return "s enters squared: integrate g²/s²"
    return "off: σ² = ∫ g²/s²"
