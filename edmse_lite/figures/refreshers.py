"""Pictures of the refreshers: complex noise, a random walk, resampled means.

Chapter: Before you start.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from .base import COLOURS, WIDTH, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..intervals import Interval


def complex_noise(eps: Tensor) -> Figure:
    """Complex draws in the plane with the circle |ε| = 1, and their real parts on N(0, 1/2).

    Args:
        eps: draws, complex, shape (N,).

    Chapter: Before you start.
    """
    a, b = eps.real.numpy(), eps.imag.numpy()
    turn, line = np.linspace(0, 2 * math.pi, 200), np.linspace(-2.6, 2.6, 200)
    with style():
        fig, (whole,) = panels(1, WIDTH / 2)
        whole.remove()
        plane, parts = fig.subplots(1, 2)
        plane.plot(a[:1500], b[:1500], ".", color=COLOURS[4], ms=2, alpha=0.6)
        plane.plot(np.cos(turn), np.sin(turn), color=COLOURS[1], label="|ε| = 1")
        plane.set(aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xlabel="Re ε", ylabel="Im ε")
        plane.legend(fontsize=9, loc="upper right")
        parts.hist(a, 60, range=(-2.6, 2.6), density=True, color=COLOURS[4], alpha=0.6)
        parts.plot(line, np.exp(-(line**2)) / math.sqrt(math.pi), color=COLOURS[0])
        parts.set(xlabel="Re ε", ylabel="density", xlim=(-2.6, 2.6))
    return fig


def random_walk(t: Tensor, paths: Tensor, std: Tensor) -> Figure:
    """Random walks from zero, on the band in which 95 of 100 are expected at each time.

    Args:
        t: times, shape (N,).
        paths: states, shape (N, P).
        std: exact standard deviation, shape (N,).

    Chapter: Before you start.
    """
    with style():
        fig, (ax,) = panels(1, 2.4)
        ax.fill_between(
            t, -1.96 * std, 1.96 * std, color=COLOURS[4], alpha=0.35, lw=0, label="± 1.96 √t"
        )
        ax.plot(t, paths, color="#555555", lw=0.7)
        ax.set(xlabel="time t", ylabel="w")
        ax.legend(fontsize=9, loc="upper left")
    return fig


def resampled_means(means: np.ndarray, interval: Interval, xlabel: str) -> Figure:
    """Histogram of the means of resampled clips, with the interval that they give.

    Args:
        means: one for each resample.
        interval: the bootstrap interval.
        xlabel: what was averaged, with its unit.

    Chapter: Before you start.
    """
    with style():
        fig, (ax,) = panels(1, 2.2)
        ax.hist(means, 50, color=COLOURS[4], alpha=0.6)
        ax.axvspan(interval.low, interval.high, color=COLOURS[1], alpha=0.15, label="95 % interval")
        ax.axvline(interval.mean, color=COLOURS[0], label="mean of the clips")
        ax.axvline(0, color="#555555", ls=":", label="no gain")
        ax.set(xlabel=xlabel, ylabel="resamples")
        ax.legend(fontsize=9, loc="upper left")
    return fig
