"""Checks of the training loss, and of the moving average of weights.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .report import Report, guarded

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]


@guarded
def check_loss(my_loss: Callable[..., Tensor], seed: int = 0) -> Report:
    """Check the loss of a denoiser, item by item.

    Args:
        my_loss: ``my_loss(denoise, x0, y, sigma, noise, sigma_data)``: calls
            ``denoise(x_tilde, y, sigma)`` once with ``sigma`` of shape (B,); spectrograms are
            complex, (B, 1, F, L); returns (B,).
        seed: of the hidden spectrograms.

    Returns:
        A report: what the denoiser is asked, one value an item, zero for a perfect denoiser, the
        weight of each level, and the mean over bins.

    Chapter: 10 The compact score model, trained on a GPU.
    """
    draw = torch.Generator().manual_seed(seed)
    shape = (5, 1, 12, 9)
    x0, n, noise = torch.randn(3, *shape, dtype=torch.complex128, generator=draw)
    y, rho = x0 + 0.4 * n, 0.4
    fault = torch.randn(shape, dtype=torch.complex128, generator=draw)
    sigma = torch.tensor([0.02, 0.1, 0.4, 1.0, 3.0], dtype=torch.float64)
    asked: list[tuple[Tensor, Tensor, Tensor]] = []

    def off_by(error: float) -> Denoise:
        def denoise(x_tilde: Tensor, y_: Tensor, level: Tensor) -> Tensor:
            asked.append((x_tilde, y_, torch.as_tensor(level).double().flatten()))
            return x0 - y + error * sigma.view(-1, 1, 1, 1) * fault

        return denoise

    error = 0.3 * sigma.view(-1, 1, 1, 1) * fault
    perfect = my_loss(off_by(0.0), x0, y, sigma, noise, rho)
    found = my_loss(off_by(0.3), x0, y, sigma, noise, rho)
    findings = (
        ("it asks once, for x̃ = r + σε, y and σ", _asked(asked, x0 - y, y, noise, sigma)),
        ("it returns one loss an item", _items(found, len(sigma))),
        ("a perfect denoiser has the loss 0", _perfect(perfect)),
        ("λ is right at every level", _weights(found, error, sigma, rho)),
        ("it is a mean over bins", _mean(my_loss, sigma, rho, draw)),
    )
    return Report("loss", seed, findings)


@guarded
def check_average(my_average: Callable[[float, float, int], float], seed: int = 0) -> Report:
    """Check one step of a moving average of weights.

    Args:
        my_average: ``my_average(mean, now, step)`` with the mean so far, today's weight and the
            number of the step from 0; returns the new mean. Decay 0.999, and less at first:
            min(0.999, (1 + step) / (10 + step)).
        seed: of the hidden weights.

    Returns:
        A report: a constant stays, the newest weight has a small share that is right late and
        early, and the beginning is forgotten.

    Chapter: 10 The compact score model, trained on a GPU.
    """
    draw = torch.Generator().manual_seed(seed)
    value, other = (1 + torch.rand(2, generator=draw, dtype=torch.float64)).tolist()
    late = (float(my_average(value, value + 1, 10**6)) - value) * 1.0
    early = float(my_average(value, value + 1, 0)) - value
    mean = 100.0
    for step in range(400):
        mean = float(my_average(mean, other, step))
    findings = (
        ("weights that stand still are their own average", _still(my_average, value)),
        ("late, the newest weight has the share 1 − 0.999", _late(late)),
        ("at the first step it has the share 0.9", _early(early)),
        ("after 400 steps the random start is forgotten", "" if abs(mean - other) < 0.5 else
         f"a start of 100 still moves the average by {abs(mean - other):.3g}"),
    )  # fmt: skip
    return Report("average", seed, findings)


def _asked(asked: list, r: Tensor, y: Tensor, noise: Tensor, sigma: Tensor) -> str:
    if len(asked) != 2:
        return f"the denoiser was called {len(asked) / 2:g} times for one loss"
    x_tilde, given, level = asked[0]
    if x_tilde.shape != r.shape or level.shape not in (sigma.shape, (1,)):
        return f"x̃ has the shape {tuple(x_tilde.shape)}, σ has {tuple(level.shape)}"
    if given.shape != y.shape or not torch.allclose(given, y):
        return "the denoiser was not given y: it may see x̃, y and σ, and nothing else"
    expected = r + sigma.view(-1, 1, 1, 1) * noise
    if torch.allclose(x_tilde, expected):
        return "" if torch.allclose(level, sigma) else "the σ that is asked is not the σ of x̃"
    if torch.allclose(x_tilde - r, sigma.square().view(-1, 1, 1, 1) * noise):
        return "the diffusion noise has the variance σ⁴: multiply ε by σ"
    return "the state that was asked about is not x0 − y + σε"


def _items(found: Tensor, count: int) -> str:
    shape = tuple(torch.as_tensor(found).shape)
    return "" if shape == (count,) else f"the shape is {shape}, not ({count},)"


def _perfect(found: Tensor) -> str:
    top = float(torch.as_tensor(found).abs().max())
    return "" if top < 1e-12 else f"it is {top:.3g}: what is D compared with?"


def _weights(found: Tensor, error: Tensor, sigma: Tensor, rho: float) -> str:
    found = torch.as_tensor(found).double()
    if found.shape != sigma.shape:
        return "it cannot be seen before there is one loss an item"
    power = error.abs().square().mean(dim=(1, 2, 3))
    right = power * (sigma**-2 + rho**-2)
    if torch.allclose(found, right):
        return ""
    if torch.allclose(found, power):
        return "λ is missing: high levels then drown the others"
    if torch.allclose(found, power * sigma**-2):
        return "λ is 1/σ², the weight of the score: EDM adds 1/σ_d²"
    if torch.allclose(found, right / power * error.real.square().mean(dim=(1, 2, 3))):
        return "the error is complex: its imaginary part counts, too"
    worst = float((found / right).log().abs().max().exp())
    return f"at one level the loss is wrong by a factor {worst:.3g}"


def _mean(my_loss: Callable[..., Tensor], sigma: Tensor, rho: float, draw: torch.Generator) -> str:
    sums = []
    for frames in (4, 16):
        x0, n, noise = torch.randn(3, 5, 1, 8, frames, dtype=torch.complex128, generator=draw)
        r = -n
        denoise = lambda x, y, level, r=r: r + 0.3  # noqa: E731
        sums.append(torch.as_tensor(my_loss(denoise, x0, x0 + n, sigma, noise, rho)).sum())
    ratio = float(sums[1] / sums[0])
    if abs(ratio - 1) < 1e-6:
        return ""
    return f"four times the frames gave {ratio:.3g} times the loss: average, do not add"


def _still(my_average: Callable[[float, float, int], float], value: float) -> str:
    found = [float(my_average(value, value, step)) for step in (0, 7, 5_000)]
    worst = max(abs(each - value) for each in found)
    return "" if worst < 1e-12 else f"a weight of {value:.3g} became {found[-1]:.3g}"


def _late(late: float) -> str:
    if abs(late - 0.001) < 1e-6:
        return ""
    if abs(late - 0.999) < 1e-6:
        return "mean and newest weight are swapped: it forgets the past in one step"
    return f"the share is {late:.3g}"


def _early(early: float) -> str:
    if abs(early - 0.9) < 1e-6:
        return ""
    return f"the share is {early:.3g}: at first the random start must be forgotten quickly"
