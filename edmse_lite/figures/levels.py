"""Plots of one noise level and of the walk between levels: denoisers, arrows, paths, orders.

Chapter: 5 Denoising at one noise level (paths and orders: chapter 6).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..oracles import MixtureOracle
from .base import COLOURS, DASHES, WIDTH, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS = "osD^vP"


def denoiser_curves(
    oracle: MixtureOracle,
    sigmas: Sequence[float],
    averages: Mapping[float, tuple[Tensor, Tensor]] | None = None,
    limit: float = 2.5,
) -> Figure:
    """Density of x̃ and posterior mean D(x̃) of a real mixture, at several noise levels.

    Args:
        oracle: real mixture with event (), the same for every y.
        sigmas: noise levels.
        averages: for a level, places x̃ and the mean of r found near them, both (n,).
        limit: the axes of x̃ reach from -limit to limit.

    Chapter: 5 Denoising at one noise level.
    """
    x = torch.linspace(-limit, limit, 601, dtype=torch.float64)
    y, at = torch.zeros_like(x), x.numpy()
    with style():
        fig, (top, bottom) = panels(2, 2.6)
        density = oracle.log_prob(x, y).exp().numpy()
        top.fill_between(at, density, color="#bbbbbb", label="r itself")
        for mean, std in zip(oracle.means.tolist(), oracle.stds.tolist(), strict=True):
            bottom.axhspan(mean - 2 * std, mean + 2 * std, color="#dddddd", zorder=0)
        bottom.plot(at, at, color="#777777", lw=1, label="x̃ itself")
        for i, sigma in enumerate(sigmas):
            look = {"color": COLOURS[i], "ls": DASHES[i], "label": f"σ = {sigma:g}"}
            top.plot(at, oracle.log_prob(x, y, sigma).exp().numpy(), **look)
            bottom.plot(at, oracle(x, y, sigma).numpy(), **look)
            if averages and sigma in averages:
                near, mean = (each.numpy() for each in averages[sigma])
                bottom.plot(near, mean, _MARKS[i], color=COLOURS[i], mfc="none", ms=6, mew=1.3)
        top.set(ylabel="density of x̃", ylim=(0, 2))
        bottom.set(xlabel="x̃", ylabel="D(x̃)", ylim=(-1.6, 1.6), xlim=(-limit, limit))
        for ax in (top, bottom):
            ax.legend(fontsize=9, loc="upper left", handlelength=2.6)
    return fig


def arrow_fields(oracle: MixtureOracle, sigmas: Sequence[float], limit: float = 2.0) -> Figure:
    """Score of a complex mixture as arrows over the density of x̃, one panel a noise level.

    An arrow goes 0.35 of the way from x̃ to D(x̃): it is the score times 0.35 σ².

    Args:
        oracle: complex mixture with event (), the same for every y.
        sigmas: noise levels, three at most.
        limit: both axes reach from -limit to limit.

    Chapter: 5 Denoising at one noise level.
    """
    fine, coarse = (_plane(limit, size) for size in (121, 9))
    with style():
        fig, (whole,) = panels(1, WIDTH / len(sigmas))
        whole.remove()
        axes = fig.subplots(1, len(sigmas), sharey=True, squeeze=False)
        for ax, sigma in zip(axes[0], sigmas, strict=True):
            density = oracle.log_prob(fine, torch.zeros_like(fine), sigma).exp().sqrt()
            places = (fine.real.numpy(), fine.imag.numpy())
            ax.pcolormesh(*places, density.numpy(), cmap="Blues", shading="gouraud")
            arrow = 0.35 * (oracle(coarse, torch.zeros_like(coarse), sigma) - coarse)
            parts = [part.numpy() for z in (coarse, arrow) for part in (z.real, z.imag)]
            ax.quiver(
                *parts, angles="xy", scale_units="xy", scale=1, color="#7a1f00", width=0.014,
                headwidth=3.5,
            )  # fmt: skip
            ax.set(title=f"σ = {sigma:g}", aspect="equal", xlabel="Re x̃")
        axes[0, 0].set_ylabel("Im x̃")
    return fig


def _plane(limit: float, size: int) -> Tensor:
    """Square grid of complex numbers, shape (size, size)."""
    line = torch.linspace(-limit, limit, size, dtype=torch.float64)
    return torch.complex(line.expand(size, size), line[:, None].expand(size, size))


def paths(tracks: Mapping[str, tuple[Tensor, Tensor]], limit: float = 5.0) -> Figure:
    """Paths of x̃ over the level, which falls from left to right, one panel a kind of walk.

    Args:
        tracks: title, and levels (n,) with states (n, walkers), real.
        limit: the axis of x̃ reaches from -limit to limit.

    Chapter: 6 Walking down the noise.
    """
    with style():
        fig, axes = panels(len(tracks), 2.1)
        for ax, (title, (levels, states)) in zip(axes, tracks.items(), strict=True):
            up = states[-1] > 0
            for walkers, colour, dash in ((up, COLOURS[0], "-"), (~up, COLOURS[1], "--")):
                ax.plot(levels.numpy(), states[:, walkers].numpy(), dash, color=colour, lw=1)
            ax.set(title=title, ylabel="x̃", ylim=(-limit, limit), xscale="log")
        ticks = [level for level in (3, 1, 0.3, 0.1, 0.03) if level >= float(levels.min())]
        axes[-1].set_xticks(ticks, [f"{level:g}" for level in ticks])
        axes[-1].minorticks_off()
        axes[-1].invert_xaxis()
        axes[-1].set_xlabel("level σ, falling")
    return fig


def orders(steps: Sequence[int], errors: Mapping[str, Sequence[float]], xlabel: str) -> Figure:
    """Errors over the number of steps, both on logarithmic axes; a slope of −k is order k.

    Args:
        steps: numbers of steps.
        errors: name and error at each number of steps.
        xlabel: title of the horizontal axis.

    Chapter: 6 Walking down the noise.
    """
    with style():
        fig, (ax,) = panels(1, 3.6)
        for i, (name, values) in enumerate(errors.items()):
            look = {"color": COLOURS[i], "ls": DASHES[i], "marker": _MARKS[i]}
            ax.plot(list(steps), list(values), label=name, ms=5, **look)
        ax.set_xscale("log", base=2)
        ax.set_xticks(list(steps), [str(n) for n in steps])
        ax.minorticks_off()
        ax.set(xlabel=xlabel, ylabel="rms error", yscale="log")
        ax.grid(axis="y", color="#dddddd", lw=0.8)
        ax.legend(fontsize=9)
    return fig


def thumbnail(spectrum: Tensor, top: float, span: float = 50.0, bands: int = 64) -> str:
    """``data:`` address of a small PNG of a compressed spectrogram, for explorables.

    Low frequencies are below, time runs to the right, frames are joined in pairs; 16 colours from
    ``top`` − ``span`` (dark) to ``top`` (bright).

    Args:
        spectrum: compressed complex spectrogram c = 0.15 √|X|, shape (F, L); 20 lg |X| is shown.
        top: level of the brightest colour, dB.
        span: dB from the brightest to the darkest colour.
        bands: number of bands that the F bins are joined into.

    Chapter: 6 Walking down the noise.
    """
    import matplotlib
    from PIL import Image

    power = (spectrum.abs().float() / 0.15) ** 4  # |X|²
    pool = (power.shape[0] // bands, 2)
    power = torch.nn.functional.avg_pool2d(power[None], pool)[0]  # (bands, L / 2)
    share = 1 + (10 * power.clamp_min(1e-20).log10() - top) / span
    pixels = (15 * share.clamp(0, 1)).round().byte().flip(0)
    image = Image.frombytes("P", pixels.shape[::-1], pixels.numpy().tobytes())
    colours = matplotlib.colormaps["magma"]([i / 15 for i in range(16)], bytes=True)[:, :3]
    image.putpalette(colours.ravel().tolist())
    file = io.BytesIO()
    image.save(file, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
