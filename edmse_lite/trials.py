"""Small networks, trained for seconds, that show what a choice of scales does to learning.

Chapter: 9 Preconditioning, c_shift and the choice of σ.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .denoisers import ScoreModel
from .preconditioning import Preconditioning
from .processes import SDE
from .scales import Pairs
from .training import denoising_loss


class TinyNetwork(nn.Module):
    """Three convolutions and a scale and shift by the noise level: 15 thousand parameters.

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


def fit(
    design: Preconditioning,
    sde: SDE,
    pairs: Pairs,
    seed: int,
    steps: int = 80,
    batch: int = 4,
    rate: float = 3e-3,
) -> ScoreModel:
    """Train a :class:`TinyNetwork` for a fixed number of steps, with t uniform in [0.01, 1].

    Args:
        design: preconditioning and loss weight.
        sde: sigma = sigma(t), and what the coefficients need.
        pairs: mixtures to draw from.
        seed: of the weights and of everything drawn.
        steps, batch, rate: optimiser steps, mixtures a step, highest learning rate of Adam.

    Chapter: 9.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = ScoreModel(TinyNetwork(), sde, design)
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        chosen = torch.randint(len(pairs.y), (batch,), generator=draw)
        t = 0.01 + 0.99 * torch.rand(batch, generator=draw, dtype=torch.float64)
        x0, y = pairs.x0[chosen], pairs.y[chosen]
        noise = torch.randn(y.shape, dtype=y.dtype, generator=draw)
        loss = denoising_loss(model, x0, y, sde.sigma(t).float(), noise).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


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
    found = []
    for design in designs:
        models = [fit(design, sde, train, seed, steps) for seed in seeds]
        found += [torch.stack([yardstick(m, test, sigma) for sigma in sigmas]) for m in models]
    return torch.stack(found).view(len(designs), len(seeds), len(sigmas), -1)


def pulls(design: Preconditioning, sde: SDE, pairs: Pairs, sigma: float) -> tuple[float, float]:
    """Root mean square of an untrained network's input and of the gradient of its loss.

    Args:
        design: preconditioning and loss weight.
        sde: gives t and s to the coefficients that need them.
        pairs: mixtures.
        sigma: unscaled noise level.

    Returns:
        Root mean square of the state's input channels, and norm of the gradient over all weights.

    Chapter: 9.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = ScoreModel(TinyNetwork(), sde, design)
    seen = []
    model.network.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, :2]))
    noise = torch.randn(
        pairs.y.shape, dtype=pairs.y.dtype, generator=torch.Generator().manual_seed(0)
    )
    levels = torch.full((len(pairs.y),), sigma)
    denoising_loss(model, pairs.x0, pairs.y, levels, noise).mean().backward()
    slopes = [p.grad.square().sum() for p in model.parameters() if p.grad is not None]
    power = seen[0].detach().square().sum(dim=1).mean()  # |u|^2 of the complex input
    return float(power.sqrt()), float(torch.stack(slopes).sum().sqrt())
