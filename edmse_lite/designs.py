"""The design space as recipes: one small network, one budget, and one choice changed at a time.

With EDM preconditioning and c_shift = 0 the stiffness does not reach the network (chapter 8), so
one model stands for every stiffness; RichterOUVE, OUVE and VE are one schedule at stiffness 0.
What provably shares a network is trained once.

Chapter: 14 EDM against PC, hands on; "The study models" compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edmse_lite import compact, papers
from edmse_lite.grids import rho
from edmse_lite.mixing import MixingConfig
from edmse_lite.networks import UNetConfig
from edmse_lite.preconditioning import Preconditioning
from edmse_lite.processes import SDE
from edmse_lite.recipes import Recipe, TrainingConfig
from edmse_lite.samplers import EDM
from edmse_lite.sdes import BBED, OUVE, OUVP, VE, Cosine, RichterOUVE

NETWORK = UNetConfig(channels=(16, 24, 32, 32, 32), stride=4, y_scale=9.0)
"""A fifth of the compact network's parameters, a quarter of its arithmetic."""

BUDGET = TrainingConfig(
    steps=2_000, batch_size=6, learning_rate=2e-3, warmup=100, ema=0.995, validate_every=2_000,
    t_min=0.01,
)  # fmt: skip
"""What each model gets: 6.7 hours of mixtures, noise levels sigma(t) with t ~ U(0.01, 1)."""

LOG_NORMAL = replace(BUDGET, t_min=None, p_mean=-1.2, p_std=1.2)
"""The control: the same, with the levels of Karras et al. 2022."""

SIGMA_DATA = 0.0875  # rms of r on the training mixtures, as in the recipe of the compact model
HIGHEST, LOWEST = 2.0, 0.03
STEPS = 8

SCHEDULES: dict[str, SDE] = {
    "sgmse": RichterOUVE(stiffness=1.5),
    "ouve": OUVE(stiffness=1.5),
    "ouvp": OUVP(stiffness=1.5),
    "cosine": Cosine(stiffness=1.5),
    "bbed": BBED(),
}
"""The schedules by the names of the study; with the paper's constants."""

NO_DRIFT: dict[str, SDE] = {
    "ouve-0": OUVE(stiffness=0.0),
    "ouvp-0": OUVP(stiffness=0.0),
    "cosine-0": Cosine(stiffness=0.0),
}
"""The same without the drift towards y."""


def walk(highest: float) -> EDM:
    """The sampler of the study: 8 steps, 15 calls, from the schedule's own highest level.

    Args:
        highest: sigma(1) of the schedule; above 2 nothing is left to decide, so it starts there.

    Chapter: 14.
    """
    return EDM(STEPS, grid=rho(LOWEST, min(highest, HIGHEST)))


def _recipe(
    sde: SDE, preconditioning: Preconditioning, training: TrainingConfig = BUDGET
) -> Recipe:
    levels = sde.sigma_range
    return Recipe(
        NETWORK, sde, preconditioning, levels, MixingConfig(seconds=2.0), training, walk(levels[1])
    )


def _designs() -> dict[str, Recipe]:
    edm, richter = Preconditioning.edm(SIGMA_DATA), Preconditioning.richter(SIGMA_DATA)
    control = VE(sigma_min=0.05, sigma_max=2.0)
    found = {f"richter-{name}": _recipe(sde, richter) for name, sde in SCHEDULES.items()}
    found |= {f"edm-{name}": _recipe(sde, edm) for name, sde in SCHEDULES.items()}
    found |= {f"richter-{name}": _recipe(sde, richter) for name, sde in NO_DRIFT.items()}
    found["edm-log-normal"] = replace(
        _recipe(control, edm, LOG_NORMAL), sigma_range=(0.01, HIGHEST)
    )
    for name, shift in (("y", "richter"), ("scaled", "edm-scaled-shift")):
        shifted = Preconditioning.edm(SIGMA_DATA, c_shift=shift)
        found[f"edm-ouve-shift-{name}"] = _recipe(SCHEDULES["ouve"], shifted)
    once = replace(LOG_NORMAL, validation_steps=1)
    found["predictive"] = replace(
        _recipe(control, Preconditioning.predictive(SIGMA_DATA), once),
        sigma_range=(0.01, HIGHEST), sampler=EDM(1, grid=rho(1.0, HIGHEST)),
    )  # fmt: skip
    return found


DESIGNS = _designs()
"""The models of the study by name; ``edmse train study/NAME`` trains one."""


def find(name: str) -> Recipe:
    """Recipe of a name: a stage of the compact model, ``study/`` a design, or ``paper/`` a system.

    Raises:
        ValueError: no such recipe; the message names all.

    Chapter: 10.
    """
    known = compact.RECIPES | {f"study/{key}": recipe for key, recipe in DESIGNS.items()}
    known |= {f"paper/{key}": recipe for key, recipe in papers.SYSTEMS.items()}
    if name not in known:
        raise ValueError(f"no recipe {name!r}; known are {', '.join(known)}")
    return known[name]


def commands(models: Sequence[Mapping[str, Any]] = ()) -> str:
    """Commands that train, evaluate and ship all models of the study, as one line for a shell.

    Args:
        models: ``design`` and ``seed`` of each training; all designs have the seed 0.

    Chapter: 14.
    """
    later = {
        name: tuple(sorted(m["seed"] for m in models if m["design"] == name and m["seed"]))
        for name in DESIGNS
    }
    parts = ["train"]
    for seeds in sorted(set(later.values()) - {()}):
        names = [name for name, found in later.items() if found == seeds]
        parts.append(f"train --names {' '.join(names)} --seeds {' '.join(map(str, seeds))}")
    return " && ".join(f"python scripts/study.py {part}" for part in (*parts, "evaluate", "ship"))
