"""Pictures of a network and of its training: its blocks, what a bin sees, scores over steps.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .base import COLOURS, DASHES, panels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..anatomy import Block

_MARKS = "osD^vP"


def unet(blocks: Sequence[Block]) -> Figure:
    """The network as a U: down on the left, up on the right, straight across in between.

    Each box says its channels and bands, and its share of the operations.

    Args:
        blocks: parts of a network, from :func:`edmse_lite.anatomy.blocks`.

    Chapter: 10 The compact score model, trained on a GPU.
    """
    found = {block.name: block for block in blocks}
    depth, whole = max(block.level for block in blocks), sum(block.operations for block in blocks)
    with style():
        fig, (ax,) = panels(1, 1.0 + 0.72 * (depth + 1))
        ax.set(xlim=(0, 10), ylim=(-depth, 1.75))
        ax.axis("off")
        ax.text(2.3, 1.4, "$c_{in}$x̃ · y · |y| · place", ha="center", va="center")
        ax.text(7.7, 1.4, "F = a + b y + c x̃", ha="center", va="center")
        for side, name, row in ((2.3, "stem", 0.35), (7.7, "head", 0.35)):
            _box(ax, side, row, found[name], whole, name)
            ends = ((side, 1.15), (side, 0.65))
            _arrow(ax, *(ends if name == "stem" else ends[::-1]))
        for k in range(1, depth + 1):
            middle = k == depth
            _box(ax, 5.0 if middle else 2.3, -k + 0.35, found[f"down {k}"], whole, f"level {k}")
            if middle:
                continue
            _box(ax, 7.7, -k + 0.35, found[f"up {k}"], whole, f"level {k}")
            _arrow(ax, (4.35, -k + 0.35), (5.65, -k + 0.35), DASHES[1])
        for k in range(depth - 1):
            _arrow(ax, (2.3, -k + 0.05), (2.3, -k - 0.35))
            _arrow(ax, (7.7, -k - 0.35), (7.7, -k + 0.05))
        _arrow(ax, (2.3, -depth + 1.05), (3.0, -depth + 0.4))
        _arrow(ax, (7.0, -depth + 0.4), (7.7, -depth + 1.05))
    return fig


def _box(ax: Axes, x: float, y: float, block: Block, whole: float, name: str) -> None:
    channels, bands, _ = block.shape
    share = 100 * block.operations / whole
    said = f"{share:.0f} %" if share >= 1 else "< 1 %"
    frame = {"boxstyle": "round,pad=0.25", "facecolor": "#dceaf5", "edgecolor": COLOURS[0]}
    text = f"{name}: {channels} × {bands}, {said}"
    ax.text(x, y, text, ha="center", va="center", bbox=frame, fontsize=10)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], ls: str = "-") -> None:
    look = {"arrowstyle": "->", "color": "#444444", "lw": 1.4, "linestyle": ls}
    ax.annotate("", xy=end, xytext=start, arrowprops=look)


def influence(
    maps: Mapping[str, Tensor], at: int, inside: tuple[int, int], hop: float, floor: float = 1e-12
) -> Figure:
    """How much each input frame moves one output bin, dB, with the computed field shaded.

    Args:
        maps: name and squared gradient, shape (F, L).
        at: frame of the output.
        inside: first and last frame of the computed field.
        hop: seconds between frames.
        floor: smallest share that is drawn.

    Chapter: 10 The compact score model, trained on a GPU.
    """
    with style():
        fig, (ax,) = panels(1, 2.8)
        edges = [(frame - at) * hop for frame in (inside[0] - 0.5, inside[1] + 0.5)]
        ax.axvspan(*edges, color="#999999", alpha=0.25, lw=0, label="computed field")
        for i, (name, grid) in enumerate(maps.items()):
            share = grid.double().sum(dim=0) / grid.double().sum()
            level = 10 * share.clamp_min(floor).log10()
            level = torch.where(share > 0, level, torch.nan)
            time = (torch.arange(len(share)) - at) * hop
            ax.plot(time, level, color=COLOURS[i], ls=DASHES[i], label=name)
        ax.set(xlabel="input frame minus output frame, s", ylabel="share of influence, dB")
        ax.grid(axis="y", color="#dddddd", lw=0.8)
        fig.legend(loc="outside lower center", ncols=2, fontsize=9)
    return fig


def stages(
    panels_of: Mapping[str, Mapping[str, tuple[Iterable[float], Iterable[float]]]],
    levels: Mapping[str, float],
    xlabel: str,
) -> Figure:
    """Scores over steps, one line of dots a run, so that a new run does not join the last.

    Args:
        panels_of: vertical title of a panel; in it, name of a run, its steps and its values.
        levels: vertical title of a panel and the value of what was not enhanced, a grey line.
        xlabel: horizontal title.

    Chapter: 10 The compact score model, trained on a GPU.
    """
    with style():
        fig, axes = panels(len(panels_of), 2.0)
        for ax, (ylabel, runs) in zip(axes, panels_of.items(), strict=True):
            if ylabel in levels:
                ax.axhline(levels[ylabel], color="#777777", lw=4, alpha=0.45, label="noisy")
            for i, (name, (steps, values)) in enumerate(runs.items()):
                look = {"color": COLOURS[i % 6], "marker": _MARKS[i % 6], "ms": 4, "lw": 1.2}
                ax.plot(list(steps), list(values), ls=DASHES[i % 6], label=name, **look)
            ax.set(ylabel=ylabel)
            ax.grid(axis="y", color="#dddddd", lw=0.8)
        axes[-1].set_xlabel(xlabel)
        names = axes[0].get_legend_handles_labels()
        fig.legend(*names, loc="outside lower center", ncols=2, fontsize=9)
    return fig
