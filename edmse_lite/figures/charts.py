"""Means with intervals as pictures: a dot for each mean, a bar for its interval.

Chapter: 3 Judging an enhancement; the results page shows them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..intervals import Interval
from .base import COLOURS, panels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = "osD^vP*X"


def over_axis(found: Mapping[str, Mapping[float, Interval]], xlabel: str, ylabel: str) -> Figure:
    """Means over a few positions of an axis, one line of dots a system, side by side.

    Args:
        found: interval by system and position.
        xlabel, ylabel: titles of the axes, with units.

    Chapter: 3.
    """
    positions = sorted(next(iter(found.values())))
    with style():
        fig, (ax,) = panels(1, 3.6)
        for i, (name, intervals) in enumerate(found.items()):
            shift = (i - (len(found) - 1) / 2) * 0.11
            places = [k + shift for k in range(len(positions))]
            _dots(ax, places, [intervals[p] for p in positions], i, name, upright=True)
        ax.set_xticks(range(len(positions)), [f"{p:g}" for p in positions])
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(axis="y", color="#dddddd", lw=0.8)
        fig.legend(loc="outside lower center", ncols=2, fontsize=10)
    return fig


def over_groups(found: Mapping[str, Mapping[str, Interval]], xlabel: str) -> Figure:
    """Means by group, groups below one another, their names on the left.

    Args:
        found: interval by system and group; a group with one recording has no interval.
        xlabel: title of the axis, with its unit.

    Chapter: 3.
    """
    groups = list(next(iter(found.values())))
    with style():
        fig, (ax,) = panels(1, 1.4 + 0.42 * len(groups))
        for i, (name, intervals) in enumerate(found.items()):
            shift = (i - (len(found) - 1) / 2) * 0.16
            places = [-(k + shift) for k in range(len(groups))]
            _dots(ax, places, [intervals[g] for g in groups], i, name, upright=False)
        ax.set_yticks([-k for k in range(len(groups))], [g.replace("-", " ") for g in groups])
        ax.set(xlabel=xlabel)
        ax.grid(axis="x", color="#dddddd", lw=0.8)
        fig.legend(loc="outside lower center", ncols=2, fontsize=10)
    return fig


def _dots(
    ax: Axes, places: list[float], intervals: list[Interval], index: int, name: str, upright: bool
) -> None:
    """Draw means and intervals at places along x (upright) or along y."""
    means = [interval.mean for interval in intervals]
    ends = [
        [_length(i.mean - i.low) for i in intervals],
        [_length(i.high - i.mean) for i in intervals],
    ]
    look = {"fmt": MARKS[index], "color": COLOURS[index], "capsize": 2, "lw": 1.5, "ms": 5}
    if upright:
        ax.errorbar(places, means, yerr=ends, label=name, **look)
    else:
        ax.errorbar(means, places, xerr=ends, label=name, **look)


def _length(value: float) -> float:
    return 0.0 if math.isnan(value) else max(value, 0.0)
