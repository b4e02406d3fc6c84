"""Pictures of samplers: closed forms with measured dots, errors with slope triangles, stops.

Chapter: 11 The predictor-corrector sampler (errors and stops: chapter 12).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..intervals import Interval
from .base import COLOURS, DASHES, panels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKS = "osD^vP"


def against(
    x: Tensor,
    lines: Mapping[str, Tensor],
    dots: Mapping[str, Mapping[float, Interval]],
    xlabel: str,
    ylabel: str,
    truth: float | None = None,
) -> Figure:
    """Closed forms as lines, and measurements of the same quantities as dots with intervals.

    Args:
        x: positions of the lines, shape (N,).
        lines: name and closed form at the positions, (N,).
        dots: the same names; interval of a measurement by position.
        xlabel, ylabel: titles of the axes, with units.
        truth: value of a perfect method, a grey line.

    Chapter: 11 The predictor-corrector sampler.
    """
    with style():
        fig, (ax,) = panels(1, 3.2)
        if truth is not None:
            ax.axhline(truth, color="#777777", lw=4, alpha=0.45, label="exact")
        for i, (name, values) in enumerate(lines.items()):
            ax.plot(x, values, color=COLOURS[i], ls=DASHES[i], label=name)
            found = dots.get(name, {})
            means = [interval.mean for interval in found.values()]
            low = [interval.mean - interval.low for interval in found.values()]
            high = [interval.high - interval.mean for interval in found.values()]
            look = {"fmt": _MARKS[i], "color": COLOURS[i], "capsize": 3}
            ax.errorbar(list(found), means, yerr=[low, high], **look)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(axis="y", color="#dddddd", lw=0.8)
        ax.legend(fontsize=9)
    return fig


def beside(
    samples: Mapping[str, Tensor],
    density: Callable[[Tensor], Tensor],
    xlabel: str,
    limits: tuple[float, float],
) -> Figure:
    """Histograms below one another, each against the same closed form.

    Args:
        samples: name and real values, any shape.
        density: the closed form, of positions (N,).
        xlabel: what the values are, with their unit.
        limits: ends of the horizontal axis.

    Chapter: 11 The predictor-corrector sampler.
    """
    at = torch.linspace(*limits, 401, dtype=torch.float64)
    edges = torch.linspace(*limits, 81, dtype=torch.float64)
    with style():
        fig, axes = panels(len(samples), 1.15)
        for i, (ax, (name, values)) in enumerate(zip(axes, samples.items(), strict=True)):
            counts = torch.histogram(values.double().flatten(), edges).hist / values.numel()
            ax.stairs(counts / edges.diff(), edges, fill=True, color=COLOURS[i], alpha=0.6)
            ax.plot(at, density(at), color="#1a1a1a", lw=1.5)
            ax.set(title=name, ylabel="density", xlim=limits)
        axes[-1].set_xlabel(xlabel)
    return fig


def slopes(
    found: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    triangles: Mapping[int, tuple[float, float]],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Errors over calls, both axes logarithmic, with triangles that show what an order looks like.

    Args:
        found: name of a method, and its numbers of calls with its errors.
        triangles: order k by the place of its triangle's left corner, (calls, error): from there
            it goes down by 2^k while the calls double.
        xlabel, ylabel: titles of the axes.

    Chapter: 12 The EDM sampler.
    """
    with style():
        fig, (ax,) = panels(1, 4.0)
        for i, (name, (calls, errors)) in enumerate(found.items()):
            look = {"color": COLOURS[i], "ls": DASHES[i], "marker": _MARKS[i], "ms": 5}
            ax.plot(list(calls), list(errors), label=name, **look)
        for order, (left, top) in triangles.items():
            _triangle(ax, order, left, top)
        ticks = sorted({2 ** round(math.log2(n)) for calls, _ in found.values() for n in calls})
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.minorticks_off()
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(axis="y", color="#dddddd", lw=0.8)
        fig.legend(loc="outside lower center", ncols=2, fontsize=9)
    return fig


def _triangle(ax: Axes, order: int, left: float, top: float) -> None:
    """Draw a triangle of slope −order over one doubling, with its two sides named."""
    right, bottom = 2 * left, top / 2**order
    ax.fill([left, right, left], [top, bottom, bottom], color="#999999", alpha=0.5, lw=0)
    middle = (top * bottom) ** 0.5
    ax.text(left / 1.04, middle, f"{order}", ha="right", va="center", fontsize=10)
    ax.text(left * 2**0.5, bottom / 1.12, "1", ha="center", va="top", fontsize=10)


def stops(grids: Mapping[str, Tensor], marks: Mapping[str, float], xlabel: str) -> Figure:
    """Where samplers stop: one row of dots a grid, on a logarithmic axis of levels.

    Args:
        grids: name and noise levels, shape (N,).
        marks: name and level of vertical lines.
        xlabel: title of the axis.

    Chapter: 12 The EDM sampler.
    """
    with style():
        fig, (ax,) = panels(1, 0.9 + 0.36 * len(grids))
        for i, levels in enumerate(grids.values()):
            ax.plot(levels, [-i] * len(levels), color=COLOURS[i % 6], marker=_MARKS[i % 6], lw=0.7)
        for i, (name, level) in enumerate(marks.items()):
            ax.axvline(level, color="#555555", ls=DASHES[i + 1], lw=1.2, label=name)
        ax.set_yticks([-i for i in range(len(grids))], list(grids))
        ax.set(xlabel=xlabel, xscale="log", ylim=(-len(grids) + 0.4, 0.6))
        low, high = ax.get_xlim()
        ticks = [v * 10**k for k in range(-4, 3) for v in (1, 3) if low <= v * 10**k <= high]
        ax.set_xticks(ticks, [f"{v:g}" for v in ticks])
        ax.minorticks_off()
        ax.invert_xaxis()
        fig.legend(loc="outside lower center", ncols=2, fontsize=9)
    return fig
