"""Pictures of starts: what a sampler draws and what it should, and what becomes of the difference.

Chapter: 13 Prior mismatch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .base import COLOURS, DASHES, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS = "osD^vP"


def starts(panels_of: Mapping[str, tuple[Tensor, Mapping[str, Tensor]]], xlabel: str) -> Figure:
    """Densities of a start, one panel a process, each with an axis of its own.

    Args:
        panels_of: title of a panel; its positions (N,) and its densities (N,) by name.
        xlabel: horizontal title.

    Chapter: 13 Prior mismatch.
    """
    with style():
        fig, axes = panels(len(panels_of), 1.75, share=False)
        for ax, (title, (x, lines)) in zip(axes, panels_of.items(), strict=True):
            for i, (name, density) in enumerate(lines.items()):
                ax.plot(x.numpy(), density.numpy(), color=COLOURS[i], ls=DASHES[i], label=name)
            ax.set(title=title, ylabel="density", ylim=(0, None), xlim=(float(x[0]), float(x[-1])))
            ax.locator_params(axis="y", nbins=3)
        names = axes[0].get_legend_handles_labels()
        fig.legend(*names, loc="outside upper left", ncols=3, columnspacing=1, handlelength=2.2)
        axes[-1].set_xlabel(xlabel)
    return fig


def shares(
    sigmas: Sequence[float], found: Mapping[str, Sequence[tuple[float, float]]], truth: float
) -> Figure:
    """Shares with their intervals over the largest level, and the share that is right.

    Args:
        sigmas: largest levels σ(1).
        found: name, and share with the half-width of its interval at each level.
        truth: the exact share.

    Chapter: 13 Prior mismatch.
    """
    with style():
        fig, (ax,) = panels(1, 3.4)
        ax.axhline(100 * truth, color="#555555", lw=5, alpha=0.4, label="exact")
        for i, (name, values) in enumerate(found.items()):
            at = [sigma * 1.035 ** (i - (len(found) - 1) / 2) for sigma in sigmas]
            mean, half = ([100 * pair[k] for pair in values] for k in (0, 1))
            ax.errorbar(at, mean, yerr=half, color=COLOURS[i], ls=DASHES[i], marker=_MARKS[i],
                        ms=5, capsize=2, lw=1.6, label=name)  # fmt: skip
        ax.set_xscale("log")
        ax.set_xticks(list(sigmas), [f"{sigma:g}" for sigma in sigmas])
        ax.minorticks_off()
        ax.set(xlabel="largest level σ(1)", ylabel="near μ, %")
        ax.grid(axis="y", color="#dddddd", lw=0.8)
        ax.legend(fontsize=9, loc="lower right", handlelength=2.6)
    return fig
