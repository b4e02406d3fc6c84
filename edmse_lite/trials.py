"""Small networks, trained for seconds, that show what a choice of scales does to learning.

Chapter: 9 Preconditioning, c_shift and the choice of σ.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from .denoisers import ScoreModel
from .preconditioning import Preconditioning
from .processes import SDE
from .scales import Pairs
from .training import denoising_loss

Draw = Callable[[int, torch.Generator], Tensor]
"""Draws the unscaled noise levels of so many mixtures, shape (n,): a training distribution."""

T = TypeVar("T")
_ONE_AT_A_TIME = threading.Lock()  # for what draws from torch's own generator


def together(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Do several jobs at a time, each with one thread: operations this small gain little from more.

    Args:
        jobs: functions without arguments that do not depend on each other.

    Returns:
        What each returned, in their order.

    Chapter: 9.
    """
    with ThreadPoolExecutor(
        torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        return [done.result() for done in [pool.submit(job) for job in jobs]]


class TinyNetwork(nn.Module):
    """Three convolutions and a scale and shift by the noise level: 20 thousand parameters.

    Args:
        channels: feature channels.
        stride: bins that the first layer folds into one band.

    Chapter: 9.
    """

    def __init__(self, channels: int = 24, stride: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, channels, (2 * stride - 1, 3), (stride, 1), (stride - 1, 1))
        self.film = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 2 * channels))
        self.middle = nn.Conv2d(channels, channels, (5, 5), padding=2)
        self.head = nn.Conv2d(channels, 2 * stride, 3, padding=1)
        self.stride = stride

    def forward(self, inputs: Tensor, noise_label: Tensor) -> Tensor:
        """Map inputs (B, 4, F, L) and noise labels (B,) to (B, 2, F, L)."""
        features = torch.stack([noise_label, noise_label.sin(), noise_label.cos()], dim=1)
        scale, shift = self.film(features)[:, :, None, None].chunk(2, dim=1)
        h = functional.silu(self.stem(inputs) * (1 + scale) + shift)
        h = functional.silu(h + self.middle(h))
        h = self.head(h)  # (B, 2 * stride, bands, L)
        batch, _, bands, frames = h.shape
        h = h.view(batch, 2, self.stride, bands, frames).transpose(2, 3)
        return h.reshape(batch, 2, self.stride * bands, frames)


def absorb_shift(stem: nn.Conv2d, shift: float) -> nn.Conv2d:
    """Copy a first layer so that it undoes a constant c_shift.

    With u = c_in x_tilde + c_shift y, the weights (W_u, W_y - c_shift W_u) on (u, y) give what
    (W_u, W_y) give on (c_in x_tilde, y).

    Args:
        stem: convolution over the channels Re u, Im u, Re y, Im y.
        shift: the constant c_shift.

    Chapter: 9.
    """
    found = copy.deepcopy(stem)
    with torch.no_grad():
        found.weight[:, 2:] -= shift * found.weight[:, :2]
    return found


def yardstick(model: ScoreModel, pairs: Pairs, sigma: float, seed: int = 0) -> Tensor:
    """Error of a denoiser in units that suit every design: |D - r|^2 (1/sigma^2 + 1/rho^2).

    Its mean is 1 for the best estimate that knows neither y nor the neighbours of a bin.

    Args:
        model: denoiser.
        pairs: mixtures to measure on.
        sigma: unscaled noise level.
        seed: of the diffusion noise.

    Returns:
        One value a mixture, shape (B,); rho is the rms of r over all of them.

    Chapter: 9.
    """
    r = pairs.r
    noise = torch.randn(r.shape, dtype=r.dtype, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        error = model(r + sigma * noise, pairs.y, sigma) - r
    scale = sigma**-2 + float(r.abs().square().mean()) ** -1
    return scale * error.abs().square().mean(dim=(1, 2, 3))


def uniform_time(sde: SDE) -> Draw:
    """Levels sigma(t) with t uniform in [0.01, 1], as the schedule has them.

    Args:
        sde: the schedule.

    Source: Gonzalez et al. 2024, section III.

    Chapter: 9.
    """
    return lambda count, draw: sde.sigma(
        0.01 + 0.99 * torch.rand(count, generator=draw, dtype=torch.float64)
    ).float()


def log_normal(mean: float, std: float) -> Draw:
    """Levels with ln sigma ~ N(mean, std^2).

    Args:
        mean, std: P_mean and P_std of Karras et al. 2022, table 1.

    Raises:
        ValueError: std is not above 0.

    Chapter: 9.
    """
    if not std > 0:
        raise ValueError(f"std={std} must be > 0; EDM's is 1.2")
    return lambda count, draw: (mean + std * torch.randn(count, generator=draw)).exp()


def fit(
    design: Preconditioning,
    sde: SDE,
    pairs: Pairs,
    seed: int,
    steps: int = 80,
    batch: int = 4,
    rate: float = 3e-3,
    levels: Draw | None = None,
    network: Callable[[], nn.Module] = TinyNetwork,
) -> ScoreModel:
    """Train a small network for a fixed number of steps.

    Args:
        design: preconditioning and loss weight.
        sde: what the coefficients need, and the levels where none are given.
        pairs: mixtures to draw from.
        seed: of the weights and of everything drawn.
        steps, batch, rate: optimiser steps, mixtures a step, highest learning rate of Adam.
        levels: training distribution of sigma; default :func:`uniform_time`.
        network: makes a network with random weights, from inputs (B, 4, F, L) to (B, 2, F, L).

    Chapter: 9.
    """
    levels = levels or uniform_time(sde)
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = ScoreModel(network(), sde, design)
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        chosen = torch.randint(len(pairs.y), (batch,), generator=draw)
        sigma = levels(batch, draw)
        x0, y = pairs.x0[chosen], pairs.y[chosen]
        noise = torch.randn(y.shape, dtype=y.dtype, generator=draw)
        loss = denoising_loss(model, x0, y, sigma, noise).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def errors(models: Sequence[ScoreModel], test: Pairs, sigmas: Sequence[float]) -> Tensor:
    """Yardstick of each model, level and mixture, shape (models, levels, B).

    Args:
        models: denoisers.
        test: mixtures to measure on.
        sigmas: unscaled noise levels to measure at.

    Chapter: 9.
    """
    jobs = [partial(yardstick, model, test, sigma) for model in models for sigma in sigmas]
    return torch.stack(together(jobs)).view(len(models), len(sigmas), -1)


def compare_fits(
    designs: Sequence[Preconditioning],
    sde: SDE,
    train: Pairs,
    test: Pairs,
    sigmas: Sequence[float],
    seeds: Sequence[int],
    steps: int = 80,
) -> Tensor:
    """Yardstick of each design, seed, level and mixture after the same budget.

    Args:
        designs: preconditionings.
        sde: as for :func:`fit`.
        train, test: mixtures to learn from, and to measure on.
        sigmas: unscaled noise levels to measure at.
        seeds: of the runs.
        steps: optimiser steps of a run.

    Returns:
        Shape (designs, seeds, levels, B).

    Chapter: 9.
    """
    jobs = [partial(fit, design, sde, train, seed, steps) for design in designs for seed in seeds]
    found = errors(together(jobs), test, sigmas)
    return found.view(len(designs), len(seeds), *found.shape[1:])


@dataclass(frozen=True)
class Pulls:
    """What one noise level does to an untrained network; each is a root mean square but `slope`.

    Args:
        seen: of the complex input u.
        first: of what the first layer makes, before the level enters.
        middle: of what the middle layer makes.
        slope: norm of the gradient of the loss over all weights.

    Chapter: 9.
    """

    seen: float
    first: float
    middle: float
    slope: float


def pulls(design: Preconditioning, sde: SDE, pairs: Pairs, sigma: float) -> Pulls:
    """Input, activations and gradient of an untrained :class:`TinyNetwork` at one level.

    Args:
        design: preconditioning and loss weight.
        sde: gives t and s to the coefficients that need them.
        pairs: mixtures.
        sigma: unscaled noise level.

    Chapter: 9.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = ScoreModel(TinyNetwork(), sde, design)
    made: dict[str, Tensor] = {}
    stem, middle = model.network.stem, model.network.middle
    stem.register_forward_hook(lambda _, got, out: made.update(u=got[0][:, :2], first=out))
    middle.register_forward_hook(lambda _, got, out: made.update(middle=out))
    noise = torch.randn(
        pairs.y.shape, dtype=pairs.y.dtype, generator=torch.Generator().manual_seed(0)
    )
    levels = torch.full((len(pairs.y),), sigma)
    denoising_loss(model, pairs.x0, pairs.y, levels, noise).mean().backward()
    slopes = [p.grad.square().sum() for p in model.parameters() if p.grad is not None]
    power = {name: float(value.detach().square().mean()) for name, value in made.items()}
    return Pulls(
        seen=(2 * power["u"]) ** 0.5,  # |u|^2 has two parts
        first=power["first"] ** 0.5,
        middle=power["middle"] ** 0.5,
        slope=float(torch.stack(slopes).sum().sqrt()),
    )
