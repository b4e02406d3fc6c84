"""Explorables: both forms of one module."""

import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
