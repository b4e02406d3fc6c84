"""Every plot of the book: narrow enough for a phone, readable on light and dark pages.

Each function returns a matplotlib figure on a light panel with dark text, which a notebook shows as
the last value of a cell. Colours keep apart for colour-blind readers, and lines differ in dash as
well as in colour.

Chapter: 2 The complex spectrogram as data.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..spectrograms import SAMPLE_RATE, Spectrogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.6
"""Width of every figure, inches; 11-point text stays readable at 360 pixels."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by most colour-blind readers."""

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
"""Line styles that go with `COLOURS`, so that colour is never the only mark."""

_PANEL, _INK = "#fafafa", "#1a1a1a"


@lru_cache(maxsize=1)
def _picture_class() -> type[Figure]:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that a notebook shows as a small PNG, with or without a plotting backend."""

        def _repr_png_(self) -> bytes:
            return png(self)

    return Picture


def png(figure: Figure) -> bytes:
    """Bytes of a PNG with 256 colours: half of the usual size, and no eye can tell.

    Args:
        figure: any matplotlib figure.

    Chapter: 2 The complex spectrogram as data.
    """
    from PIL import Image

    file, small = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", facecolor=_PANEL)
    picture = Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(small, format="png", optimize=True)
    return small.getvalue()


def style() -> AbstractContextManager[Any]:
    """Context in which every figure of the book is drawn: a light panel, dark 11-point text.

    Chapter: 2 The complex spectrogram as data.
    """
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # no word on first use
    import matplotlib

    return matplotlib.rc_context(
        {
            "figure.facecolor": _PANEL, "axes.facecolor": _PANEL, "savefig.facecolor": _PANEL,
            "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": "#555555",
            "xtick.color": _INK, "ytick.color": _INK, "font.size": 11, "axes.titlesize": 11,
            "figure.dpi": 150, "savefig.dpi": 150, "figure.constrained_layout.use": True,
            "axes.spines.top": False, "axes.spines.right": False, "axes.grid": False,
            "lines.linewidth": 2, "legend.frameon": False, "axes.titlelocation": "left",
        }
    )  # fmt: skip


def panels(count: int, height: float = 2.0, share: bool = True) -> tuple[Figure, list[Axes]]:
    """Figure with panels below one another, to be filled inside :func:`style`.

    Args:
        count: number of panels.
        height: of each, inches.
        share: whether they share the horizontal axis.

    Chapter: 2 The complex spectrogram as data.
    """
    fig = _picture_class()(figsize=(WIDTH, 0.4 + height * count))
    axes = fig.subplots(count, 1, sharex=share, squeeze=False)
    return fig, list(axes[:, 0])


def decibels(spectrum: Tensor, floor: float = -60.0) -> np.ndarray:
    """Magnitudes of a linear STFT in dB, not below `floor`; any shape.

    Chapter: 2 The complex spectrogram as data.
    """
    power = spectrum.detach().abs().double().cpu().square()
    return (10 * power.clamp_min(1e-30).log10()).clamp_min(floor).numpy()


def _extent(shape: tuple[int, ...], hop: int) -> tuple[float, float, float, float]:
    return 0, shape[1] * hop / SAMPLE_RATE, 0, SAMPLE_RATE / 2000  # s, s, kHz, kHz


def spectrograms(
    waves: Mapping[str, Tensor], transform: Spectrogram | None = None, span: float = 60.0
) -> Figure:
    """Magnitude spectrograms of waveforms, one below the other, on one scale.

    Args:
        waves: title and waveform at 16 kHz, shape (T,).
        transform: STFT to use.
        span: dB from the loudest bin of all to the darkest colour.

    Chapter: 2 The complex spectrogram as data.
    """
    transform = transform or Spectrogram()
    levels = {name: decibels(transform.stft(w.float())[0, 0], -200) for name, w in waves.items()}
    top = max(float(level.max()) for level in levels.values())
    with style():
        fig, axes = panels(len(levels), 1.75)
        for ax, (name, level) in zip(axes, levels.items(), strict=True):
            picture = ax.imshow(
                level - top, origin="lower", aspect="auto", cmap="magma", vmin=-span, vmax=0,
                extent=_extent(level.shape, transform.hop), interpolation="nearest",
            )  # fmt: skip
            ax.set(title=name, ylabel="kHz")
        axes[-1].set_xlabel("time, s")
        fig.colorbar(picture, ax=axes, label="dB re loudest bin", shrink=0.9, pad=0.02)
    return fig


def channels(images: Mapping[str, Tensor], hop: int = 256, limit: float | None = None) -> Figure:
    """Real-valued images over time and frequency, blue below zero and red above.

    Args:
        images: title and image, shape (F, L).
        hop: samples between frames.
        limit: ends of the colour scale; the default is the 99th percentile of all.

    Chapter: 2 The complex spectrogram as data.
    """
    arrays = {name: image.detach().cpu().numpy() for name, image in images.items()}
    if limit is None:
        limit = float(np.quantile(np.abs(np.stack(list(arrays.values()))), 0.99))
    with style():
        fig, axes = panels(len(arrays), 1.45)
        for ax, (name, array) in zip(axes, arrays.items(), strict=True):
            picture = ax.imshow(
                array, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit,
                extent=_extent(array.shape, hop), interpolation="nearest",
            )  # fmt: skip
            ax.set(title=name, ylabel="kHz")
        axes[-1].set_xlabel("time, s")
        fig.colorbar(picture, ax=axes, label="value", shrink=0.9, pad=0.02)
    return fig


def distributions(
    samples: Mapping[str, Tensor],
    xlabel: str,
    density: tuple[str, Callable[[np.ndarray], np.ndarray]] | None = None,
    limits: tuple[float, float] = (0.0, 4.0),
) -> Figure:
    """Histograms as densities, with a closed form drawn over them.

    Args:
        samples: name and real values, any shape.
        xlabel: what the values are, with their unit.
        density: name and function of the closed form.
        limits: ends of the horizontal axis.

    Chapter: 2 The complex spectrogram as data.
    """
    edges = np.linspace(*limits, 81)
    centres = (edges[1:] + edges[:-1]) / 2
    with style():
        fig, (ax,) = panels(1, 3.0)
        for i, (name, values) in enumerate(samples.items()):
            flat = values.detach().double().cpu().numpy().ravel()
            counts = np.histogram(flat, edges)[0] / (len(flat) * np.diff(edges))
            ax.plot(centres, counts, color=COLOURS[i], ls=DASHES[i], label=name)
        if density is not None:
            ax.plot(centres, density[1](centres), color="#555555", lw=5, alpha=0.45,
                    label=density[0], zorder=0)  # fmt: skip
        ax.set(xlabel=xlabel, ylabel="density", xlim=limits, yscale="log", ylim=(1e-3, 20))
        ax.legend()
    return fig


def curves(
    x: Sequence[float],
    lines: Mapping[str, Iterable[float]],
    xlabel: str,
    ylabel: str,
    logx: bool = False,
) -> Figure:
    """Lines with marks over one axis.

    Args:
        x: positions.
        lines: name and values at the positions.
        xlabel, ylabel: titles of the axes, with units.
        logx: whether the axis is logarithmic to base 2, with a tick at each position.

    Chapter: 1 A noisy recording, enhanced.
    """
    marks = "osD^vP"
    with style():
        fig, (ax,) = panels(1, 2.8)
        for i, (name, values) in enumerate(lines.items()):
            ax.plot(x, list(values), color=COLOURS[i], ls=DASHES[i], marker=marks[i], label=name)
        if logx:
            ax.set_xscale("log", base=2)
            ax.set_xticks(list(x), [f"{value:g}" for value in x])
            ax.minorticks_off()
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(axis="y", color="#dddddd", lw=0.8)
        if len(lines) > 1:
            ax.legend()
    return fig


def cloud(x: Tensor, y: Tensor, xlabel: str, ylabel: str, limit: float) -> Figure:
    """Two-dimensional histogram of pairs, with the diagonal on which the two agree.

    Args:
        x, y: values, same shape.
        xlabel, ylabel: titles of the axes, with units.
        limit: both axes reach from -limit to limit.

    Chapter: 2 The complex spectrogram as data.
    """
    with style():
        fig, (ax,) = panels(1, 4.0)
        edges = np.linspace(-limit, limit, 101)
        flat = [value.detach().cpu().numpy().ravel() for value in (x, y)]
        counts = np.histogram2d(*flat, [edges, edges])[0].T
        ax.pcolormesh(edges, edges, np.log1p(counts), cmap="cividis")
        ax.plot([-limit, limit], [-limit, limit], color="white", ls="--", lw=1.5)
        ax.set(xlabel=xlabel, ylabel=ylabel, aspect="equal")
    return fig
