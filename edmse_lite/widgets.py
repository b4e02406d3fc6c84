"""Live controls: one ES module a widget, used in Jupyter and on the static page.

A module in ``edmse_lite/explorables`` exports anywidget's ``default {render({model, el})}``.  In
Jupyter and Colab anywidget runs it; in the built book ``mount.mjs`` mounts it on a plain element,
so that it works without Python.  An :class:`Explorable` gives a notebook's output both forms.

Chapter: 1 A noisy recording, enhanced.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

EXPLORABLES = Path(__file__).parent / "explorables"


def explorables() -> list[str]:
    """Return the names of the modules that an :class:`Explorable` can show.

    Chapter: 1 A noisy recording, enhanced.
    """
    return sorted(path.stem for path in EXPLORABLES.glob("*.mjs"))


@dataclass(frozen=True)
class Explorable:
    """An interactive picture, player or question: live in Jupyter, static on the built page.

    Args:
        name: a module in ``edmse_lite/explorables``, without its suffix.
        options: what the module reads with ``model.get``; JSON values.
        plain: HTML for readers without JavaScript, which the module replaces.
        answers: names that the module sets, beside the options; None at first.

    Raises:
        ValueError: no such module.

    Chapter: 1 A noisy recording, enhanced.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    plain: str = ""
    answers: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.name not in explorables():
            known = ", ".join(explorables())
            raise ValueError(f"no explorable is called {self.name!r}; there are {known}")

    @property
    def html(self) -> str:
        """The element that the book's ``mount.mjs`` turns into the explorable."""
        options = html.escape(json.dumps(dict(self.options), ensure_ascii=False), quote=True)
        attributes = f'data-edmse-widget="{self.name}" data-edmse-options="{options}"'
        return f"<div {attributes}>{self.plain}</div>"

    @cached_property
    def widget(self) -> Any:
        """The live form, an ``anywidget.AnyWidget`` with a synchronised trait for each option."""
        import anywidget
        import traitlets

        values = {**dict.fromkeys(self.answers), **self.options}
        traits = {key: traitlets.Any(value).tag(sync=True) for key, value in values.items()}
        module = {"_esm": EXPLORABLES / f"{self.name}.mjs", "_css": EXPLORABLES / "explorables.css"}
        return type(f"Explorable_{self.name}", (anywidget.AnyWidget,), {**module, **traits})()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        bundle = self.widget._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        forms = {"text/html": self.html, "text/plain": f"Explorable({self.name!r})"}
        return {**data, **forms}, metadata


def shown_as(widget: Any, html: str, plain: str) -> dict[str, Any]:
    """The forms of an ipywidget: live in Jupyter and Colab, HTML where there is no kernel.

    The widget has no say in it: ipywidgets 7, which Colab has, and 8 would show themselves in
    different ways.

    Args:
        widget: an ipywidget.
        html, plain: what it is elsewhere.

    Chapter: 1.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    live = {"application/vnd.jupyter.widget-view+json": view}
    return {**live, "text/html": html, "text/plain": plain}
