"""Figures show the numbers they were given, and fit a phone."""

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from edmse_lite import figures
from edmse_lite.spectrograms import SAMPLE_RATE, Spectrogram


def tone(hertz: float, amplitude: float = 0.5) -> torch.Tensor:
    return amplitude * torch.sin(2 * torch.pi * hertz * torch.arange(SAMPLE_RATE) / SAMPLE_RATE)


def test_a_tone_is_brightest_at_its_frequency_and_scales_are_shared() -> None:
    figure = figures.spectrograms({"loud": tone(2000), "quiet": tone(4000, 0.05)})
    loud, quiet = (ax.images[0] for ax in figure.axes[:2])
    left, right, low, high = loud.get_extent()
    assert (low, high) == (0, 8) and right == pytest.approx(1.0, abs=0.04)
    level = np.asarray(loud.get_array())
    row = level[:, 30].argmax()
    assert (row * SAMPLE_RATE / 512 / 1000) == pytest.approx(2.0)
    assert level.max() == pytest.approx(0)
    assert np.asarray(quiet.get_array()).max() == pytest.approx(-20, abs=0.1)
    assert loud.get_clim() == quiet.get_clim() == (-60, 0)


def test_decibels_are_of_power_and_have_a_floor() -> None:
    found = figures.decibels(torch.tensor([10 + 0j, 0.1j, 0j]), floor=-60)
    np.testing.assert_allclose(found, [20, -20, -60])


def test_signed_images_are_centred_at_zero() -> None:
    image = Spectrogram().forward(tone(500)[None])[0, 0].real
    figure = figures.channels({"real part": image})
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high < 0


def test_a_histogram_meets_the_density_it_was_drawn_from() -> None:
    z = torch.randn(400_000, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    figure = figures.distributions(
        {"drawn": z.abs()}, "|z|", ("closed form", lambda m: 2 * m * np.exp(-(m**2)))
    )
    drawn, form = figure.axes[0].lines
    x, density = drawn.get_data()
    inside = (x > 0.1) & (x < 2)
    np.testing.assert_allclose(density[inside], form.get_ydata()[inside], rtol=0.05, atol=0.005)
    assert figures.COLOURS[0] == drawn.get_color()


def test_curves_differ_in_more_than_colour() -> None:
    figure = figures.curves([1, 2, 4], {"a": [1, 2, 3], "b": [3, 2, 1]}, "N", "dB", logx=True)
    first, second = figure.axes[0].lines
    assert list(second.get_ydata()) == [3, 2, 1]
    for mark in ("get_color", "get_linestyle", "get_marker"):
        assert getattr(first, mark)() != getattr(second, mark)()
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["1", "2", "4"]


def test_a_cloud_counts_pairs_where_they_are() -> None:
    figure = figures.cloud(torch.full((50,), 0.3), torch.full((50,), -0.2), "x", "y", limit=0.4)
    counts = figure.axes[0].collections[0].get_array().reshape(100, 100)
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    centres = (np.linspace(-0.4, 0.4, 101)[1:] + np.linspace(-0.4, 0.4, 101)[:-1]) / 2
    assert centres[column] == pytest.approx(0.3, abs=0.01)
    assert centres[row] == pytest.approx(-0.2, abs=0.01)


def test_a_picture_is_light_narrow_and_readable_on_a_phone() -> None:
    figure = figures.curves([1, 2], {"": [1, 2]}, "N", "dB")
    data = figure._repr_png_()
    image = imread(io.BytesIO(data))
    assert len(data) < 60_000 and image.shape[1] == round(figures.WIDTH * 150)
    assert image[..., :3].mean() > 0.8  # a light panel, on a dark page too
    assert image.shape[2] == 3 or (image[..., 3] == 1).all()
    label = figure.axes[0].xaxis.label
    assert label.get_fontsize() / 72 / figures.WIDTH * 360 > 9  # pixels on a screen of 360


def test_text_and_lines_stand_out_from_the_panel() -> None:
    def luminance(colour: str) -> float:
        rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    panel = luminance("#fafafa") + 0.05
    for colour in figures.COLOURS[:3]:
        assert panel / (luminance(colour) + 0.05) > 3, colour
