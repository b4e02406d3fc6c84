"""Pictures of processes: paths with their exact band, and smooth curves over t or σ.

Chapter: 7 The shifted SDE and its perturbation kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .base import COLOURS, DASHES, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bands(
    t: Tensor, panels_of: Mapping[str, tuple[Tensor, Tensor, Tensor]], y: float, x0: float
) -> Figure:
    """Simulated real paths over t, one panel a process, on the exact mean and its 95 % band.

    Args:
        t: diffusion times, shape (N,).
        panels_of: title of a panel and its paths (N, P), mean (N,) and std (N,).
        y: noisy value, drawn as a dotted line.
        x0: clean value, marked at t = 0.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    with style():
        fig, axes = panels(len(panels_of), 2.0)
        for ax, (title, (paths, mean, std)) in zip(axes, panels_of.items(), strict=True):
            low, high = mean - 1.96 * std, mean + 1.96 * std
            ax.fill_between(t, low, high, color=COLOURS[4], alpha=0.35, lw=0, label="95 % band")
            ax.plot(t, paths, color="#555555", lw=0.7)
            ax.plot(t, mean, color=COLOURS[0], label="mean")
            ax.axhline(y, color=COLOURS[1], ls=":", label="y")
            ax.plot([0], [x0], "o", color="#1a1a1a", label="clean x0", clip_on=False)
            ax.set(title=title, ylabel="state")
        low = min(float((mean - 2.2 * std).min()) for _, mean, std in panels_of.values())
        high = max(float((mean + 2.2 * std).max()) for _, mean, std in panels_of.values())
        for ax in axes:
            ax.set_ylim(min(low, y, x0) - 0.1, max(high, y, x0) + 0.1)
        names = axes[0].get_legend_handles_labels()
        fig.legend(*names, loc="outside upper left", ncols=4, columnspacing=1, handlelength=1.4)
        axes[-1].set_xlabel("diffusion time t")
    return fig


def smooth(
    x: Sequence[float] | Tensor,
    panels_of: Mapping[str, Mapping[str, Iterable[float] | Tensor]],
    xlabel: str,
    logx: bool = False,
    logy: bool | Sequence[bool] = False,
    height: float = 2.2,
) -> Figure:
    """Smooth curves without marks, in panels that share the horizontal axis.

    Args:
        x: positions, shape (N,).
        panels_of: vertical title of a panel, and its curves by name.
        xlabel: horizontal title, with its unit.
        logx: whether the horizontal axis is logarithmic.
        logy: whether the vertical axes are, one value for all or one for each.
        height: of a panel, inches.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    logs = [logy] * len(panels_of) if isinstance(logy, bool) else list(logy)
    with style():
        fig, axes = panels(len(panels_of), height)
        for ax, (ylabel, lines), log in zip(axes, panels_of.items(), logs, strict=True):
            for i, (name, values) in enumerate(lines.items()):
                ax.plot(x, list(values), color=COLOURS[i % 6], ls=DASHES[i % 6], label=name)
            ax.set(ylabel=ylabel, xscale="log" if logx else "linear")
            ax.set_yscale("log" if log else "linear")
            ax.grid(axis="y", color="#dddddd", lw=0.8)
        if logx and len(x) < 10:
            axes[-1].set_xticks(list(x), [f"{float(value):g}" for value in x])
            axes[-1].minorticks_off()
        axes[0].legend(ncols=2, fontsize=9, handlelength=2.6)
        axes[-1].set_xlabel(xlabel)
    return fig
