"""The lab: ipywidgets that drive the real library, one walk of the trained model at a time.

A walk runs in a thread of its own, so that the controls stay alive: it shows its progress after
each step and can be interrupted.  Where there is no kernel, the lab shows a prepared walk.

Chapter: 14 EDM against PC, hands on.
"""

from __future__ import annotations

import base64
import html
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from . import figures, metrics, pages
from .enhancement import Enhancer
from .trajectories import CLIPS, SCHEDULES, WALKS, Reading, Setting, material, scores, walk
from .widgets import shown_as

CHURN = {"none": 0.0, "1": 1.0, "2": 2.0, "full": math.inf}
"""Values of S_churn by their names on the control."""


@dataclass(frozen=True)
class Task:
    """A guided task: what to do, what to expect, and the settings of its walks.

    Args:
        do: what to set.
        expect: what the read-outs then say.
        settings: one walk each.

    Chapter: 14.
    """

    do: str
    expect: str
    settings: tuple[Setting, ...]


_START = Setting()
_PC = replace(_START, sampler="PC")
TASKS = (
    Task(
        "Press Run. Then, under More, choose another schedule and run again, for EDM and for PC.",
        "EDM does not move, to the last digit: it walks in σ and reads no schedule. PC moves.",
        tuple(
            replace(_START, sampler=sampler, schedule=name)
            for sampler in ("EDM", "PC") for name in ("VE", "BBCD, a bridge")
        ),
    ),
    Task(
        "Back to EDM and VE. Set the steps from 8 to 1.",
        "15 calls become 1, and the time falls as much. Does the ear miss the other 14?",
        (_START, replace(_START, steps=1)),
    ),
    Task(
        "Choose PC with 8 steps, and raise r_corr, under More, from 0.5 to 1.",
        "The calls stay 16. The corrector adds more diffusion noise than it takes: SI-SDR falls.",
        (_PC, replace(_PC, r_corr=1.0)),
    ),
)  # fmt: skip
"""What the lab opens with."""


def read_out(setting: Setting, last: Reading, found: dict[str, float]) -> list[str]:
    """Calls, seconds and scores of a walk, as the lab prints them.

    Chapter: 14.
    """
    numbers = [found["pesq"], found["estoi"], found["si_sdr"]]
    shown = [f"{v:.{d}f}".replace("-", "−") for v, d in zip(numbers, (2, 3, 2), strict=True)]
    return [str(last.nfe), f"{last.seconds:.2f}", *shown]


HEADER = ["calls", "seconds", "PESQ", "ESTOI", "SI-SDR in dB"]
"""Names of the read-outs."""


class SamplerLab:
    """Controls for a walk of the compact model, with its path, its sounds and its scores.

    The thread of a walk writes the read-outs; ``run``, ``stop`` and ``wait`` are what the buttons
    do, so a program can drive the lab as a reader does.

    Args:
        enhancer: model and transform; default the compact model.

    Chapter: 14.
    """

    def __init__(self, enhancer: Enhancer | None = None) -> None:
        import ipywidgets as w

        self.enhancer, self.readings, self.setting = enhancer, [], _START
        self._stop, self._thread = threading.Event(), threading.Thread()
        self.controls = _controls(w)
        self.run_button = w.Button(description="Run", button_style="primary")
        self.stop_button = w.Button(description="Stop", disabled=True)
        self.progress = w.IntProgress(min=0, max=_START.steps, description="steps")
        self.status = w.HTML()
        self.picture = w.Image(format="png", layout={"max_width": "100%", "width": "560px"})
        self.step = w.IntSlider(min=1, max=1, description="sound at step", style=_WIDE)
        self.audio, self.reference = (w.Audio(autoplay=False, loop=False) for _ in range(2))
        self.run_button.on_click(lambda _: self.run())
        self.stop_button.on_click(lambda _: self.stop())
        self.controls["sampler"].observe(self._enable, "value")
        self.step.observe(self._play, "value")
        self._enable()

    @cached_property
    def widget(self) -> Any:
        """All of it, below one another, with the tasks on top."""
        import ipywidgets as w

        buttons = w.HBox([self.run_button, self.stop_button, self.progress],
                         layout={"flex_flow": "row wrap"})  # fmt: skip
        more = w.Accordion([w.VBox([self.controls[name] for name in _MORE])])
        more.set_title(0, "More")
        few = [self.controls[name] for name in self.controls if name not in _MORE]
        sounds = [w.HTML("The estimate:"), self.audio, w.HTML("Noisy:"), self.reference]
        return w.VBox([w.HTML(tasks_html()), *few, more, buttons, self.status, self.picture,
                       self.step, *sounds])  # fmt: skip

    def chosen(self) -> Setting:
        """The setting that the controls show."""
        values = {name: control.value for name, control in self.controls.items()}
        return Setting(**{**values, "s_churn": CHURN[values["s_churn"]]})

    def run(self) -> None:
        """Start a walk with the controls' values; one that is under way goes on."""
        if self._thread.is_alive():
            return
        self.setting, self.readings = self.chosen(), []
        self._stop.clear()
        self.run_button.disabled, self.stop_button.disabled = True, False
        self.progress.value, self.progress.max = 0, self.setting.steps
        self.status.value = "Running …"
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Interrupt the walk after the step that is under way."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the walk has ended; False if it has not after `timeout` seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            for reading in walk(self.setting, self.enhancer):
                self.readings.append(reading)
                self.progress.value = len(self.readings)
                if self._stop.is_set():
                    break
            self._show()
        except Exception as error:  # a thread has nobody else to tell
            self.status.value = f"<b>It failed:</b> {html.escape(str(error))}"
        finally:
            self.run_button.disabled, self.stop_button.disabled = False, True

    def _show(self) -> None:
        """Show path, sounds and scores of the steps that were done."""
        done, last = len(self.readings), self.readings[-1]
        whole = done == self.setting.steps
        cells = read_out(self.setting, last, scores(self.setting, last.wave))
        pairs = zip(HEADER, cells, strict=True)
        listed = ", ".join(f"{name} <b>{cell}</b>" for name, cell in pairs)
        head = "" if whole else f"<b>Interrupted after step {done} of {self.setting.steps}.</b> "
        self.picture.value = figures.png(picture(self.setting, self.readings))
        noisy = material(self.setting.clip, self.setting.mixture_snr).noisy
        self.reference.value = _mp3(noisy)
        self.step.max = done
        self.step.value = done
        self._play()
        self.status.value = f"{head}{listed}"

    def _play(self, change: object = None) -> None:
        if self.readings:
            index = min(self.step.value, len(self.readings)) - 1
            self.audio.value = _mp3(self.readings[index].wave)

    def _enable(self, change: object = None) -> None:
        is_pc = self.controls["sampler"].value == "PC"
        self.controls["s_churn"].disabled, self.controls["r_corr"].disabled = is_pc, not is_pc

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        self.run()
        self.wait()
        return shown_as(self.widget, self.html, "SamplerLab()"), {}

    @property
    def html(self) -> str:
        """What the built page shows, where there is no kernel: the tasks and the last walk."""
        src = base64.b64encode(self.picture.value).decode()
        image = (f'<p><img alt="{ALT}" style="max-width:100%" '
                 f'src="data:image/png;base64,{src}"></p>')  # fmt: skip
        found = f"<p>Its read-outs: {self.status.value}</p>"
        inner = f"{tasks_html()}<p>{NO_KERNEL}</p>{image}{found}"
        return f'<div class="ed-box ed-live">{inner}</div>'


NO_KERNEL = (
    "<strong>This page has no Python behind it.</strong> To move the controls, open the page in "
    "Colab or Jupyter (the rocket at the top), or use "
    '<a href="../book/lab.html" style="color:inherit">the browser lab</a>, which '
    "runs the same model. Here is a walk with the first settings."
)
ALT = ("Two panels over the calls so far. The level of each step falls; the SI-SDR of the "
       "estimates lies far above that of the noisy clip.")  # fmt: skip
_WIDE = {"description_width": "9em"}
_MORE = ("mixture_snr", "clip", "schedule", "seed", "s_churn", "r_corr")


def _controls(w: Any) -> dict[str, Any]:
    """One control for each field of a setting; its value is the field's, churn by its name."""
    look: dict[str, Any] = {"style": _WIDE, "layout": {"width": "min(26em, 100%)"}}
    slider = {**look, "continuous_update": False}
    return {
        "sampler": w.Dropdown(options=["EDM", "PC"], description="sampler", **look),
        "steps": w.IntSlider(8, 1, 32, description="steps N", **slider),
        "walk": w.Dropdown(options=list(WALKS), description="walk over", **look),
        "clip": w.Dropdown(options=list(CLIPS), description="clip", **look),
        "mixture_snr": w.FloatSlider(5, min=-5, max=15, step=1, description="mixture SNR, dB",
                                     **slider),
        "schedule": w.Dropdown(options=list(SCHEDULES), description="schedule (SDE)", **look),
        "s_churn": w.Dropdown(options=list(CHURN), value="full", description="S_churn", **look),
        "r_corr": w.FloatSlider(0.5, min=0, max=1, step=0.05, description="r_corr", **slider),
        "seed": w.BoundedIntText(0, min=0, max=999, description="seed", **look),
    }  # fmt: skip


def tasks_html(tasks: Sequence[Task] = TASKS) -> str:
    """The guided tasks as a list.

    Chapter: 14.
    """
    items = "".join(f"<li>{html.escape(t.do)} <em>Expected:</em> {html.escape(t.expect)}</li>"
                    for t in tasks)  # fmt: skip
    return f"<p><strong>The lab. Three tasks first:</strong></p><ol>{items}</ol>"


def picture(setting: Setting, readings: Sequence[Reading]) -> Any:
    """Path of a walk as a figure.

    Chapter: 14.
    """
    clip = material(setting.clip, setting.mixture_snr)
    rows = [(r.nfe, r.sigma, r.si_sdr) for r in readings]
    return figures.path(*map(list, zip(*rows, strict=True)), metrics.si_sdr(clip.clean, clip.noisy))


def prepared(tasks: Sequence[Task] = TASKS) -> pages.Text:
    """Table of what the tasks read out on this machine, for a page without a kernel.

    Chapter: 14.
    """
    rows, found = [], {}
    for number, task in enumerate(tasks, 1):
        for setting in task.settings:
            if setting not in found:
                last = list(walk(setting))[-1]
                found[setting] = read_out(setting, last, scores(setting, last.wave))
            what = f"{setting.sampler}, N = {setting.steps}, {setting.schedule.split(',')[0]}"
            if setting.sampler == "PC":
                what += f", r_corr {setting.r_corr:g}"
            rows.append([f"{number}: {what}", *found[setting]])
    return pages.table(["task", *HEADER], rows)


def _mp3(wave: Any) -> bytes:
    """Sound at the pages' loudness, for an audio widget."""
    return base64.b64decode(pages.data_uri(pages.match_loudness([wave])[0]).split(",")[1])
