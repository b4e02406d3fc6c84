"""Pictures of many answers: waveforms below one another, maps of disagreement, the trade-off.

Chapter: 4 Many clean answers to one recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..answers import disagreement as spread_of
from ..answers import extremes, place
from ..intervals import Interval
from .base import COLOURS, DASHES, panels, style
from .charts import MARKS, _length

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def traces(
    x: Tensor, panels_of: Mapping[str, Sequence[Tensor]], xlabel: str, apart: str = ""
) -> Figure:
    """Waveforms in panels below one another, on one scale; several in a panel differ in dash.

    Args:
        x: positions, shape (N,).
        panels_of: title and waveforms, each (N,).
        xlabel: horizontal title, with its unit.
        apart: title of a panel that has a scale of its own.

    Chapter: 4 Many clean answers to one recording.
    """
    tops = {k: 1.1 * max(float(w.abs().max()) for w in waves) for k, waves in panels_of.items()}
    top = max(value for title, value in tops.items() if title != apart)
    with style():
        fig, axes = panels(len(panels_of), 1.25)
        for ax, (title, waves) in zip(axes, panels_of.items(), strict=True):
            for i, wave in enumerate(waves):
                ax.plot(x.numpy(), wave.numpy(), color=COLOURS[i], ls=DASHES[i], lw=1.3)
            limit = tops[title] if title == apart else top
            ax.set(title=title, ylim=(-limit, limit))
        axes[-1].set_xlabel(xlabel)
    return fig


def disagreement(levels: Tensor) -> Figure:
    """Mean level of several samples over time and frequency, and their standard deviation, dB.

    Args:
        levels: from :func:`edmse_lite.answers.levels`, shape (K, rows, columns).

    Chapter: 4 Many clean answers to one recording.
    """
    right, upper = place((levels.shape[1], levels.shape[2]))
    look = {"origin": "lower", "aspect": "auto", "extent": (0, right, 0, upper / 1000)}
    spread = spread_of(levels)
    shown = {
        "mean level": (levels.mean(0), 0.0, "dB re loudest cell"),
        "disagreement": (spread, float(spread[extremes(levels)[0]]), "standard deviation, dB"),
    }
    with style():
        fig, axes = panels(2, 1.9)
        for ax, (title, (image, top, label)) in zip(axes, shown.items(), strict=True):
            picture = ax.imshow(
                image.numpy(), cmap="cividis", interpolation="nearest", vmax=top, **look
            )
            ax.set(title=title, ylabel="kHz")
            fig.colorbar(picture, ax=ax, label=label, pad=0.02)
        axes[-1].set_xlabel("time, s")
    return fig


def tradeoff(
    panels_of: Mapping[str, Mapping[str, tuple[Interval, Interval]]],
    xlabel: str,
    line: tuple[Sequence[float], Sequence[float]] | None = None,
    ideal: Sequence[float | None] = (),
) -> Figure:
    """Perception over distortion, one panel a measure of perception, all over one distortion.

    Args:
        panels_of: vertical title, and for each guess its distortion and its measure.
        xlabel: title of the distortion, with its unit.
        line: exact distortion and measure, drawn in the first panel.
        ideal: for each panel the value of clean speech, a dashed line, or None.

    Chapter: 4 Many clean answers to one recording.
    """
    values = [*ideal, *[None] * len(panels_of)]
    with style():
        fig, axes = panels(len(panels_of), 2.1)
        for i, (ax, (ylabel, points)) in enumerate(zip(axes, panels_of.items(), strict=True)):
            if i == 0 and line is not None:
                ax.plot(*line, color="#777777", lw=1.2, zorder=0)
            if values[i] is not None:
                ax.axhline(values[i], color="#555555", ls="--", lw=1)
            _points(ax, points)
            ax.set(ylabel=ylabel)
        handles = dict(zip(*axes[-1].get_legend_handles_labels()[::-1], strict=True))
        fig.legend(handles.values(), handles, loc="outside lower center", ncols=2, fontsize=10)
        axes[-1].set_xlabel(xlabel)
    return fig


def _points(ax: Axes, points: Mapping[str, tuple[Interval, Interval]]) -> None:
    """Draw guesses as marks with bars in both directions."""
    for i, (name, (x, y)) in enumerate(points.items()):
        ax.errorbar(
            [x.mean], [y.mean], xerr=_bar(x), yerr=_bar(y), fmt=MARKS[i], color=COLOURS[i],
            capsize=2, lw=1.3, ms=6, label=name,
        )  # fmt: skip


def _bar(interval: Interval) -> list[list[float]]:
    below, above = interval.mean - interval.low, interval.high - interval.mean
    return [[_length(below)], [_length(above)]]
