"""Checks of preconditioning, and of the one number that it is built on.

Chapter: 9 Preconditioning, c_shift and the choice of σ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .report import Report, guarded


@guarded
def check_preconditioning(my_coefficients: Callable[..., tuple], seed: int = 0) -> Report:
    """Check c_skip, c_out, c_in and λ of a denoiser D = c_skip x̃ + c_out F(c_in x̃).

    Args:
        my_coefficients: ``my_coefficients(sigma, sigma_data)`` with a level and the rms of r, both
            floats; returns c_skip, c_out, c_in and the loss weight.
        seed: of the hidden levels and data.

    Returns:
        A report: unit input, unit target, smallest amplification of the network's error, unit
        weight, and the limits at low and high levels.

    Chapter: 9 Preconditioning, c_shift and the choice of σ.
    """
    draw = torch.Generator().manual_seed(seed)
    rho = float(0.05 + 0.5 * torch.rand(1, generator=draw))
    levels = (rho * 10 ** (2 * torch.rand(6, generator=draw) - 1)).tolist()
    r, noise = torch.randn(2, 40_000, dtype=torch.complex128, generator=draw)
    found = [tuple(float(c) for c in my_coefficients(sigma, rho)) for sigma in levels]
    each = list(zip(levels, found, strict=True))
    findings = (
        ("the input has unit power", _first(_input(rho * r + s * noise, *c) for s, c in each)),
        ("the target has unit power", _first(_target(rho * r, s * noise, *c) for s, c in each)),
        ("c_out is as small as it can be", _first(_smallest(rho, s, *c) for s, c in each)),
        ("the loss weighs all levels alike", _first(_weight(s, *c) for s, c in each)),
        ("at high levels D forgets x̃", _high(my_coefficients, rho)),
    )
    return Report("preconditioning", seed, findings)


@guarded
def check_sigma_data(my_sigma_data: Callable[[Tensor, Tensor], float], seed: int = 0) -> Report:
    """Check a measurement of σ_d from clean and noisy spectrograms.

    Args:
        my_sigma_data: ``my_sigma_data(x0, y)`` with complex spectrograms, each (B, 1, F, L);
            returns one number.
        seed: of the hidden spectrograms.

    Returns:
        A report: it is about r and not about x0 or y, counts both parts of a complex number,
        averages power, and subtracts no mean.

    Chapter: 9 Preconditioning, c_shift and the choice of σ.
    """
    draw = torch.Generator().manual_seed(seed)
    shape = (6, 1, 20, 30)
    x0, n = torch.randn(2, *shape, dtype=torch.complex128, generator=draw)
    n = n * torch.linspace(0.1, 1.5, shape[0], dtype=torch.float64).view(-1, 1, 1, 1)
    plain = float(my_sigma_data(x0, x0 + n))
    rms = float(n.abs().square().mean().sqrt())
    louder = float(my_sigma_data(x0 + 3, x0 + 3 + n))
    offset = float(my_sigma_data(x0, x0 + n + 2))
    whole = float((n + 2).abs().square().mean().sqrt())
    findings = (
        ("it does not depend on what both share", _about_r(plain, louder)),
        ("it counts real and imaginary part", _parts(plain, rms)),
        ("it averages power over all mixtures", _power(plain, rms, n)),
        ("it keeps the mean of r", "" if abs(offset - whole) < 1e-6 * whole or plain == 0 else
         "r with a constant offset gave too little: the network sees the offset too"),
    )  # fmt: skip
    return Report("sigma_data", seed, findings)


def _first(faults: object) -> str:
    return next((fault for fault in faults if fault), "")


def _input(x: Tensor, c_skip: float, c_out: float, c_in: float, weight: float) -> str:
    rms = float((c_in * x).abs().square().mean().sqrt())
    return "" if abs(rms - 1) < 0.02 else f"c_in x̃ has rms {rms:.3g} at one of the levels"


def _target(
    r: Tensor, noise: Tensor, c_skip: float, c_out: float, c_in: float, weight: float
) -> str:
    if c_out == 0:
        return "c_out is 0: the network would have no say"
    rms = float(((r - c_skip * (r + noise)) / c_out).abs().square().mean().sqrt())
    return "" if abs(rms - 1) < 0.02 else f"(r − c_skip x̃)/c_out has rms {rms:.3g} at one level"


def _smallest(
    rho: float, sigma: float, c_skip: float, c_out: float, c_in: float, weight: float
) -> str:
    least = sigma * rho / (sigma**2 + rho**2) ** 0.5
    if abs(c_out) < least * 1.001:
        return ""
    ratio = abs(c_out) / least
    return f"errors of the network come out {ratio:.2f} times larger than they must: look at c_skip"


def _weight(sigma: float, c_skip: float, c_out: float, c_in: float, weight: float) -> str:
    found = weight * c_out**2
    return "" if abs(found - 1) < 1e-3 else f"λ c_out² is {found:.3g} at one of the levels, not 1"


def _high(my_coefficients: Callable[..., tuple], rho: float) -> str:
    c_skip, c_out, *_ = (float(c) for c in my_coefficients(1e4 * rho, rho))
    if abs(c_skip) > 1e-6:
        return f"c_skip is {c_skip:.2g} at a level 10,000 times the data: D would be all noise"
    return "" if abs(abs(c_out) / rho - 1) < 1e-3 else "c_out does not tend to σ_d"


def _about_r(plain: float, louder: float) -> str:
    if plain > 0 and abs(plain - louder) < 1e-6 * plain:
        return ""
    return "the same r under a louder clean signal gave another value: measure x0 − y, not x0 or y"


def _parts(plain: float, rms: float) -> str:
    half = abs(plain / rms - 2**-0.5) < 0.02
    return "the value is 1/√2 of what it should be: E|r|² has two parts" if half else ""


def _power(plain: float, rms: float, n: Tensor) -> str:
    if abs(plain - rms) < 1e-6 * rms:
        return ""
    per_item = float(n.abs().square().mean(dim=(1, 2, 3)).sqrt().mean())
    if abs(plain - per_item) < 1e-6 * rms:
        return "it averages root mean squares: average the squares, then take one root"
    if abs(plain - rms**2) < 1e-6 * rms:
        return "it is the mean square: take the root"
    return f"it is {plain / rms:.3g} times the root mean square of r"
