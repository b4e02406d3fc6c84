"""Quality over calls with intervals, and the path of one walk.

Chapter: 14 EDM against PC, hands on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..intervals import Interval
from .base import COLOURS, DASHES, panels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKS = "osD^vP"


def over_calls(
    found: Mapping[str, Mapping[str, Mapping[int, Interval]]],
    floor: Mapping[str, float] | None = None,
    floor_name: str = "noisy",
    logy: bool = False,
) -> Figure:
    """Scores over calls of the network, a panel a score, with bars for the intervals.

    A mean far below the grey line would squash all others: it is an arrow with its value.

    Args:
        found: title of a panel; name of a curve; interval by number of calls.
        floor: value of a grey line, by title.
        floor_name: what the grey line is.
        logy: whether the vertical axes are logarithmic.

    Chapter: 14.
    """
    floor = floor or {}
    with style():
        fig, axes = panels(len(found), 1.9 if len(found) > 1 else 3.0)
        for ax, (title, lines) in zip(axes, found.items(), strict=True):
            if title in floor:
                ax.axhline(floor[title], color="#777777", lw=4, alpha=0.45, label=floor_name)
            for i, (name, points) in enumerate(lines.items()):
                _bars(ax, points, i, name)
            if title in floor and not logy:
                _frame(ax, lines, floor[title])
            ax.set(title=title, yscale="log" if logy else "linear")
            ax.grid(axis="y", color="#dddddd", lw=0.8)
        highest = max(max(p) for lines in found.values() for p in lines.values())
        ticks = [2**k for k in range(round(math.log2(highest)) + 1)]
        axes[-1].set_xscale("log", base=2)
        axes[-1].set_xticks(ticks, [str(n) for n in ticks])
        axes[-1].minorticks_off()
        axes[-1].set_xlabel("calls of the denoiser (NFE)")
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return fig


def _bars(ax: Axes, points: Mapping[int, Interval], index: int, name: str) -> None:
    calls, found = list(points), list(points.values())
    low = [0.0 if math.isnan(i.low) else max(i.mean - i.low, 0.0) for i in found]
    high = [0.0 if math.isnan(i.high) else max(i.high - i.mean, 0.0) for i in found]
    look = {"color": COLOURS[index], "ls": DASHES[index], "marker": _MARKS[index], "ms": 5}
    means = [interval.mean for interval in found]
    ax.errorbar(calls, means, yerr=[low, high], capsize=2, lw=1.6, label=name, **look)


def _frame(ax: Axes, lines: Mapping[str, Mapping[int, Interval]], floor: float) -> None:
    """End the frame a little below the grey line; what lies under it gets an arrow."""
    every = [interval.mean for points in lines.values() for interval in points.values()]
    bottom = floor - 0.5 * max(max(every) - floor, 0.1 * abs(floor))
    if min(every) >= bottom:
        return
    ax.set_ylim(bottom=bottom)
    for points in lines.values():
        for calls, interval in points.items():
            if interval.mean < bottom:
                text = f"↓ {interval.mean:.2g}".replace("-", "−")
                ax.annotate(text, (calls, bottom), (4, 3), textcoords="offset points", fontsize=9)


def path(
    calls: Sequence[int], levels: Sequence[float], scores: Sequence[float], noisy: float
) -> Figure:
    """One walk: the level that the denoiser was asked at, and the SI-SDR of its estimate.

    Args:
        calls: calls so far, one number a step.
        levels: σ of each step.
        scores: SI-SDR of each step's estimate, dB.
        noisy: SI-SDR of the noisy clip, dB.

    Chapter: 14.
    """
    with style():
        fig, (top, bottom) = panels(2, 1.6)
        top.plot(calls, levels, color=COLOURS[0], marker="o")
        top.set(ylabel="level σ", yscale="log")
        bottom.axhline(noisy, color="#777777", lw=4, alpha=0.45, label="noisy")
        bottom.plot(calls, scores, color=COLOURS[1], ls="--", marker="s", label="estimate")
        bottom.set(ylabel="SI-SDR, dB", xlabel="calls so far (NFE)")
        bottom.legend(fontsize=9)
        ticks = [v * 10**k for k in range(-3, 1) for v in (1, 1.5, 2, 3, 5)]
        low, high = min(levels) / 1.4, max(levels) * 1.4
        kept = [v for v in ticks if low <= v <= high]
        top.set_yticks(kept, [f"{v:g}" for v in kept])
        top.minorticks_off()
        top.set_ylim(low, high)
        for ax in (top, bottom):
            ax.grid(axis="y", color="#dddddd", lw=0.8)
    return fig
