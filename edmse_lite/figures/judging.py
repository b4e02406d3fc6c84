"""Pictures of judging: scores against a delay, and intervals that hold or miss the truth.

Chapter: 3 Judging an enhancement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import COLOURS, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def over_delay(
    samples: Sequence[int],
    scores: Mapping[str, Sequence[float]],
    predicted: Mapping[str, Sequence[float]],
) -> Figure:
    """Scores over a delay, a panel each, with a prediction as a line where there is one.

    Args:
        samples: delays, in samples, shape (N,).
        scores: title of a panel with its unit, and measured values, shape (N,).
        predicted: predictions by the same titles, at delays 0, 1, …

    Chapter: 3 Judging an enhancement.
    """
    with style():
        fig, axes = panels(len(scores), 1.7)
        for i, (ax, (title, values)) in enumerate(zip(axes, scores.items(), strict=True)):
            if title in predicted:
                line = np.asarray(predicted[title])
                ax.plot(np.arange(len(line)), line, color="#555555", label="predicted")
            ax.plot(samples, values, ls="", marker="osD^"[i % 4], color=COLOURS[i], ms=7,
                    label="measured")  # fmt: skip
            ax.set(ylabel=title)
            ax.grid(axis="y", color="#dddddd", lw=0.8)
            if title in predicted:
                ax.legend(ncols=2, loc="upper right")
            elif min(values) >= 0:
                ax.set_ylim(0, 1.15 * max(values))
        axes[-1].set_xlabel("delay, samples of 1/16 ms")
    return fig


def caught(found: Mapping[str, np.ndarray], truth: float, xlabel: str) -> Figure:
    """Intervals of many studies: those that miss the truth are dark and end in crosses.

    Args:
        found: title of a panel, and intervals of shape (studies, 2).
        truth: true mean, a vertical line.
        xlabel: title of the axis, with its unit.

    Chapter: 3 Judging an enhancement.
    """
    with style():
        fig, axes = panels(len(found), 2.5)
        for ax, (title, intervals) in zip(axes, found.items(), strict=True):
            for height, (low, high) in enumerate(intervals):
                hit = low <= truth <= high
                ax.plot([low, high], [height, height], lw=1.2 if hit else 2.2,
                        color=COLOURS[4] if hit else COLOURS[1], marker="" if hit else "x",
                        ms=6)  # fmt: skip
            missed = int(((intervals[:, 0] > truth) | (intervals[:, 1] < truth)).sum())
            ax.axvline(truth, color="#1a1a1a", ls="--", lw=1.5)
            ax.set(title=f"{title}: {missed} of {len(intervals)} miss", yticks=[], ylabel="studies")
        axes[-1].set_xlabel(xlabel)
    return fig


def half_widths(
    counts: Sequence[int], measured: Sequence[float], predicted: Sequence[float], ylabel: str
) -> Figure:
    """Half width of an interval over the number of noise recordings, both axes logarithmic.

    Args:
        counts: numbers of recordings, shape (N,).
        measured: half widths, shape (N,).
        predicted: half widths by the formula, shape (N,).
        ylabel: title of the vertical axis, with its unit.

    Chapter: 3 Judging an enhancement.
    """
    with style():
        fig, (ax,) = panels(1, 2.8)
        ax.plot(counts, predicted, color="#555555", label="formula")
        ax.plot(counts, measured, ls="", marker="o", color=COLOURS[0], label="simulated studies")
        ax.set(xscale="log", yscale="log", ylabel=ylabel)
        ax.set_xlabel("recordings of environmental noise")
        ax.set_xticks(list(counts), [str(count) for count in counts])
        ticks = [v for v in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
                 if 0.7 * min(measured) < v < 1.4 * max(measured)]  # fmt: skip
        ax.set_yticks(ticks, [f"{v:g}" for v in ticks])
        ax.minorticks_off()
        ax.grid(axis="y", color="#dddddd", lw=0.8)
        ax.legend()
    return fig
