"""Checks of what readers write in chapter 13: they grade properties and show no answer.

Chapter: 13 Prior mismatch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..processes import SDE, noise_like
from ..sdes import OUVE, RichterOUVE
from .report import Report, guarded


@guarded
def check_kl(my_kl: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check the mismatch of a start: KL of the kernel at t = 1 to the prior, bin by bin, in nats.

    Args:
        my_kl: called as ``my_kl(x0, y, s, sigma)`` with x0 and y of shape (B,), complex or real,
            and the numbers s(1) and σ(1); returns the KL of each bin, shape (B,).
        seed: another seed gives other hidden values.

    Chapter: 13 Prior mismatch.
    """
    generator = torch.Generator().manual_seed(seed)
    s, sigma = (0.2 + 0.5 * torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
    x0, y = 0.3 * torch.randn(2, 8, dtype=torch.complex128, generator=generator)
    ask = lambda a, b, *numbers: torch.as_tensor(my_kl(a, b, *numbers))  # noqa: E731
    found = ask(x0, y, s, sigma)
    fault = _form(found, y)
    findings = [("one real number a bin", fault)]
    if not fault:
        findings += [
            ("no mismatch where x0 = y", _zero(ask(y, y, s, sigma))),
            ("s(1) plays no part", _scale(found, ask(x0, y, s / 2, sigma))),
            ("σ(1)", _level(found, ask(x0, y, s, sigma / 2))),
            ("complex bins", _size(found, (x0 - y).abs() / sigma, s, complex_=True)),
            ("real values", _size(ask(x0.real, y.real, s, sigma), (x0 - y).real.abs() / sigma, s,
                                  complex_=False)),
        ]  # fmt: skip
    return Report("kl", seed, tuple(findings))


def _near(found: Tensor, expected: Tensor | float, rtol: float = 1e-6) -> bool:
    expected = torch.as_tensor(expected, dtype=torch.float64)
    return bool((found - expected).abs().max() <= rtol * expected.abs().max() + 1e-12)


def _form(found: Tensor, y: Tensor) -> str:
    if found.is_complex():
        return "found complex numbers; a KL is real: take |r|², not r²"
    if found.shape != y.shape:
        return f"found shape {tuple(found.shape)}, expected {tuple(y.shape)}: do not sum over bins"
    return "" if bool(found.isfinite().all()) else "not finite"


def _zero(found: Tensor) -> str:
    return "" if _near(found, 0.0) else "the kernel is the prior there, and yet the KL is not 0"


def _scale(found: Tensor, halved: Tensor) -> str:
    ratio = float((halved / found).mean())
    if abs(ratio - 1) < 1e-6:
        return ""
    hint = "the means differ by s r, the spread is s σ: s stands in both"
    return f"half of s multiplies the KL by {ratio:.2f}: {hint}"


def _level(found: Tensor, halved: Tensor) -> str:
    ratio = float((halved / found).mean())
    if abs(ratio - 4) < 1e-6:
        return ""
    hint = "; it is a square" if abs(ratio - 2) < 1e-6 else ""
    return f"half of σ multiplies the KL by {ratio:.2f}, expected 4{hint}"


def _size(found: Tensor, z: Tensor, s: float, *, complex_: bool) -> str:
    expected = z.square() if complex_ else z.square() / 2
    if _near(found, expected):
        return ""
    ratio = float((found / expected).mean())
    if complex_ and abs(ratio - 0.5) < 1e-6:
        return "half of the right one: ½ belongs to real values, where E ε² = 1 in one direction"
    if not complex_ and abs(ratio - 2) < 1e-6:
        return "twice the right one: ln of a real Gaussian has the factor ½"
    return f"{ratio:.2f} times the right one, on average"


@guarded
def check_start(my_start: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check a start that is told x0: a draw of the kernel at t = 1 from given diffusion noise.

    Args:
        my_start: called as ``my_start(x0, y, sde, z)`` with x0, y and unit noise z of shape (B,),
            complex, and a schedule; returns x_1, shape (B,).
        seed: another seed gives other hidden values.

    Chapter: 13 Prior mismatch.
    """
    generator = torch.Generator().manual_seed(seed)
    gamma = 0.5 + float(torch.rand(1, generator=generator))
    schedules: list[SDE] = [OUVE(gamma), RichterOUVE(gamma)]
    x0, y = 0.3 * torch.randn(2, 8, dtype=torch.complex128, generator=generator)
    z = noise_like(y, generator)
    faults: dict[str, str] = dict.fromkeys(
        ("shape of y", "without diffusion noise", "spread", "told that x0 = y, it is the prior"), ""
    )
    for sde in schedules:
        mean, std = sde.kernel(x0, y, 1.0)
        plain, noisy = my_start(x0, y, sde, 0 * z), my_start(x0, y, sde, z)
        if noisy.shape != y.shape:
            faults["shape of y"] = f"found {tuple(noisy.shape)}"
            break
        faults["without diffusion noise"] = faults["without diffusion noise"] or _mean(
            plain, mean, x0, y, float(std)
        )
        faults["spread"] = faults["spread"] or _spread((noisy - plain) / z, std, sde)
        equal = my_start(y, y, sde, z)
        if not _close(equal, y + std * z, float(std)):
            faults["told that x0 = y, it is the prior"] = "it is not y + s(1) σ(1) z"
    return Report("start", seed, tuple(faults.items()))


def _close(found: Tensor, expected: Tensor, scale: float) -> bool:
    return float((found - expected).abs().max()) < 1e-5 * scale


def _mean(found: Tensor, mean: Tensor, x0: Tensor, y: Tensor, std: float) -> str:
    if _close(found, mean, std):
        return ""
    if _close(found, x0, std):
        return "this is x0: at t = 1 only the share s(1) of r is left"
    if _close(found, y, std):
        return "this is y: it was not told"
    return "expected the mean of the kernel, y + s(1) r"


def _spread(found: Tensor, std: Tensor, sde: SDE) -> str:
    ratio = float((found / std).abs().mean())
    if abs(ratio - 1) < 1e-5:
        return ""
    if abs(ratio * float(sde.s(1.0)) - 1) < 1e-5:
        return "this is σ(1), the unscaled level; x_1 has the spread s(1) σ(1)"
    return f"{ratio:.2f} times s(1) σ(1)"
