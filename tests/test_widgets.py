"""Explorables: both forms of one module.  Dials: what they draw, and what stays without them."""

import html
import json
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import edmse_lite as se
from edmse_lite.dials import Dials, kernel_bands
from edmse_lite.widgets import Explorable, explorables


def options_of(page: str) -> dict:
    return json.loads(html.unescape(re.search(r'data-edmse-options="([^"]*)"', page)[1]))


def test_an_explorable_has_both_forms() -> None:
    shown = Explorable("player", {"title": "T", "clips": []}, "<p>plain</p>", answers=("chosen",))
    data, _ = shown._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert options_of(data["text/html"]) == {"title": "T", "clips": []}
    assert "<p>plain</p></div>" in data["text/html"]
    assert shown.widget.title == "T" and shown.widget.chosen is None
    assert {"title", "clips", "chosen"} <= set(shown.widget.keys)
    assert "export default" in shown.widget._esm


def test_an_unknown_explorable_is_named() -> None:
    with pytest.raises(ValueError, match="no explorable is called 'nothing'; there are .*player"):
        Explorable("nothing")


@given(st.text(max_size=40), st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3))
def test_options_survive_the_page(title: str, values: list[float]) -> None:
    options = {"title": title, "values": values}
    assert options_of(Explorable("player", options).html) == options


@pytest.mark.parametrize("name", explorables())
def test_every_module_exports_what_anywidget_loads(name: str) -> None:
    from edmse_lite.widgets import EXPLORABLES

    source = (EXPLORABLES / f"{name}.mjs").read_text(encoding="utf-8")
    assert re.search(r"^export default \{ render \};$", source, re.M)
    assert not re.search(r"\bimport\b[^;]*https?://|\bfetch\(['\"]https?:", source)
    assert source.startswith("//"), "the first lines say what the module does"


# Dials


def drawn(asked: list[dict]) -> Dials:
    """Return dials that note what they draw."""

    def draw(**values: object) -> Figure:
        asked.append(values)
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, values["stiffness"]])
        return figure

    return Dials(draw, {"schedule": ["OUVE", "OUVP"], "stiffness": [1.5, 0.5]}, alt="A <line>.")


def test_dials_draw_what_they_show() -> None:
    asked: list[dict] = []
    schedule, stiffness, picture = drawn(asked).widget.children
    assert asked == [{"schedule": "OUVE", "stiffness": 1.5}]
    assert (schedule.value, stiffness.value, stiffness.options) == ("OUVE", 1.5, (0.5, 1.5))
    before = bytes(picture.value)
    stiffness.value = 0.5
    schedule.value = "OUVP"
    assert asked[1:] == [{"schedule": s, "stiffness": 0.5} for s in ("OUVE", "OUVP")]
    after = bytes(picture.value)
    assert after.startswith(b"\x89PNG") and after != before


def test_the_dials_of_chapter_7_drive_the_library() -> None:
    asked = []

    def simulate(sde, x0, y):
        asked.append(sde)
        return torch.stack([sde.kernel(x0, y, t)[0] for t in torch.linspace(0, 1, 5)])

    figure = kernel_bands(simulate, paths=2).draw("Richter's OUVE", 0.5)
    assert asked == [se.RichterOUVE(stiffness=0.5), se.RichterOUVE(stiffness=0.0)]
    for axes, sde in zip(figure.axes, asked, strict=True):
        mean = next(line for line in axes.get_lines() if line.get_label() == "mean")
        expected = 0.6 - 1.2 * float(sde.s(1.0))
        assert mean.get_ydata()[-1] == pytest.approx(expected)


def test_dials_without_a_kernel_show_the_first_picture() -> None:
    data, _ = drawn([])._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert 'alt="A &lt;line&gt;."' in data["text/html"]
    assert "has dials: schedule, stiffness." in data["text/html"]
    with pytest.raises(ValueError, match=r"two values or more to choose from: \['stiffness'\]"):
        Dials(Figure, {"stiffness": [1.5]}, alt="")
