"""Plots of "How long will it take?": machines as roofs, networks as points under them.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import COLOURS, DASHES, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..hours import Machine
    from ..workloads import Work

_MARKS = "os^D"


def roofline(
    machines: Sequence[Machine],
    works: Mapping[str, Work],
    measured: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Highest rate of each machine over intensity, with networks on the roofs.

    Args:
        machines: one roof each.
        works: name and a step of a network: hollow where each operation moves its own bytes,
            filled where all but matrix products is free.
        measured: name and a measured point: intensity, FLOP/byte, and rate, FLOP/s.

    Chapter: 10.
    """
    with style():
        fig, (ax,) = panels(1, 3.9)
        span = np.geomspace(4, 3000, 200)
        for i, machine in enumerate(machines):
            look = {"color": COLOURS[i], "ls": DASHES[i], "label": machine.name}
            ax.plot(span, [machine.roof(x) for x in span], **look)
            for mark, done in zip(_MARKS, works.values(), strict=False):
                for fused in (False, True):
                    at = done.intensity(machine.width, fused)
                    face = COLOURS[i] if fused else "white"
                    ax.plot(at, machine.roof(at), mark, ms=8, mec=COLOURS[i], mfc=face)
        for mark, name in zip(_MARKS, works, strict=False):
            ax.plot([], [], mark, ms=8, color="#555555", label=name)
        for name, point in (measured or {}).items():
            ax.plot(*point, "P", ms=11, color="#000000", label=name)
        ax.set(xscale="log", yscale="log", xlabel="intensity, FLOP per byte", ylabel="FLOP/s")
        ax.grid(color="#dddddd", lw=0.8)
        fig.legend(loc="outside lower center", ncols=2, fontsize=9)
    return fig
