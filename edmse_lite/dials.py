"""Dials: ipywidgets that drive the library and draw one picture of a page anew.

An explorable computes in the browser and needs no Python.  Dials call what the page itself calls,
with the values that a reader chooses; a page without a kernel shows the picture they begin with.

Chapter: 7 The shifted SDE and its perturbation kernel.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from . import figures
from .processes import SDE
from .sdes import OUVE, OUVP, RichterOUVE
from .widgets import shown_as


@dataclass(frozen=True)
class Dials:
    """A picture with a control for each argument of the function that draws it.

    Args:
        draw: returns the figure; called with one keyword argument for each dial.
        choices: values of each argument, text or numbers; the first is where the dial begins.
        alt: what the first picture shows, for those who do not see it.

    Raises:
        ValueError: a dial without a choice.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """

    draw: Callable[..., Figure]
    choices: Mapping[str, Sequence[Any]]
    alt: str

    def __post_init__(self) -> None:
        empty = [name for name, values in self.choices.items() if len(values) < 2]
        if empty:
            raise ValueError(f"a dial needs two values or more to choose from: {empty}")

    def picture(self, **values: Any) -> bytes:
        """PNG of the picture; values that are not given are those where the dials begin."""
        begin = {name: choices[0] for name, choices in self.choices.items()}
        return figures.png(self.draw(**{**begin, **values}))

    @cached_property
    def widget(self) -> Any:
        """The live form, an ``ipywidgets.VBox``: dials, and the picture below them."""
        import ipywidgets as w

        look = {"style": {"description_width": "9em"}, "layout": {"width": "min(26em, 100%)"}}
        shown = w.Image(format="png", value=self.picture(), layout={"max_width": "100%"})
        dials = {}
        for name, values in self.choices.items():
            kind = w.Dropdown if isinstance(values[0], str) else w.SelectionSlider
            options = list(values) if isinstance(values[0], str) else sorted(values)
            dials[name] = kind(options=options, value=values[0], description=name, **look)

        def redraw(change: object) -> None:
            shown.value = self.picture(**{name: dial.value for name, dial in dials.items()})

        for dial in dials.values():
            dial.observe(redraw, "value")
        return w.VBox([*dials.values(), shown])

    @property
    def html(self) -> str:
        """What the built page shows, where there is no kernel: the picture at the first values."""
        source = base64.b64encode(self.picture()).decode()
        names = html.escape(", ".join(self.choices))
        return (
            f'<div class="ed-live"><p><img alt="{html.escape(self.alt)}" style="max-width:100%" '
            f'src="data:image/png;base64,{source}"></p>'
            f"<p>In Jupyter or Colab this picture has dials: {names}.</p></div>"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        return shown_as(self.widget, self.html, "Dials()"), {}


SHIFTED: dict[str, Callable[[float], SDE]] = {
    "OUVE": OUVE, "Richter's OUVE": RichterOUVE, "OUVP": OUVP,
}  # fmt: skip
"""Schedules with a stiffness, by the names on the dial."""

_BANDS = (
    "Two panels over diffusion time. With stiffness 1.5 twelve rough paths start together at minus "
    "0.6, bend upwards towards the dotted line y at 0.6 and stay in a narrow band. Without drift "
    "they stay around minus 0.6 and spread widely. In both panels they fill the computed 95 % band."
)


def kernel_bands(simulate: Callable[[SDE, Tensor, Tensor], Tensor], paths: int = 12) -> Dials:
    """Simulated paths from −0.6 to y = 0.6 on the band of the kernel, with and without drift.

    Args:
        simulate: takes schedule, x0 and y, shapes (P,), and returns the paths at equal steps of t
            from 0 to 1, shape (N + 1, P); it knows f and g, the band s and σ.
        paths: P.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    x0, y = (torch.full((paths,), value, dtype=torch.float64) for value in (-0.6, 0.6))

    def panel(sde: SDE) -> tuple[Tensor, Tensor, Tensor]:
        found = simulate(sde, x0, y)  # (N + 1, P)
        mean, std = sde.kernel(x0[:1], y[:1], torch.linspace(0, 1, len(found))[:, None, None])
        return found, mean.flatten(), std.flatten()

    def draw(schedule: str, stiffness: float) -> Figure:
        sdes = {f"{schedule}, stiffness {g:g}": SHIFTED[schedule](g) for g in (stiffness, 0.0)}
        panels = {title: panel(sde) for title, sde in sdes.items()}
        times = torch.linspace(0, 1, len(next(iter(panels.values()))[0]))
        return figures.bands(times, panels, y=0.6, x0=-0.6)

    choices = {"schedule": [*SHIFTED], "stiffness": [1.5, 0.5, 1.0, 2.0, 3.0]}
    return Dials(draw, choices, _BANDS)
