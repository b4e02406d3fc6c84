"""The study of the design space: its rows, one an utterance, and what they say.

Each model of :mod:`edmse_lite.designs` walks its own schedule with EDM's sampler, 15 calls; it is
also asked once. SGMSE's own design is sampled by its own predictor-corrector sampler too, 60 calls.

Chapter: 14 EDM against PC, hands on; "The study models" shows it.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import checkpoints
from .confirmation import Confirmation, Disagreement, compare
from .designs import BUDGET, DESIGNS, HIGHEST, commands
from .evaluation import RESULTS, SETS, Results, carry_out, describe_run, pairs_of
from .files import write_bytes
from .grids import rho
from .intervals import Interval
from .pages import Claim
from .samplers import EDM, PC
from .states import HISTORY
from .studies import Job, Row, jobs, measure, read, write
from .systems import HASH_DIGITS, System, trained
from .tables import difference, where

NAME = "designs"
PAPERS_PC = PC(steps=30, corrector_steps=1, snr=0.5, t_eps=0.03)
"""The sampler of Richter et al. 2023: 60 calls."""

SGMSE, ONCE, PC_60 = "richter-sgmse", ", 1 call", ", PC"
"""The design of Richter et al., and what follows the name of a design that is sampled otherwise."""

RANKED = 3
"""Trainings of each of two designs that a ranking takes; fewer are an observation."""

Folders = Mapping[tuple[str, int], str | Path]
"""Checkpoint of a design, by its name and its seed."""


def systems(name: str, folder: str | Path, seed: int = 0) -> tuple[System, ...]:
    """What a model of the study is evaluated as.

    Args:
        name: of the design.
        folder: its checkpoint.
        seed: of the training; those after the first are not asked for their single call.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.

    Chapter: 14.
    """
    recipe = DESIGNS[name]
    samplers: dict[str, EDM | PC] = {name: recipe.sampler}
    if recipe.sampler.steps > 1 and seed == 0:
        samplers[name + ONCE] = EDM(1, grid=rho(sigma_max=min(recipe.sigma_range[1], HIGHEST)))
    if name == SGMSE:
        samplers[name + PC_60] = PAPERS_PC
    words = f"{type(recipe.sde).__name__} stiffness={getattr(recipe.sde, 'stiffness', 0):g}"
    return tuple(
        replace(trained(folder, sampler, name=title), schedule=words)
        for title, sampler in samplers.items()
    )


def plan(folders: Folders, sets: Sequence[str] = SETS) -> list[Job]:
    """All jobs, set by set. The seed of a row is that of the training and of the diffusion noise.

    Args:
        folders: checkpoint of a design and a seed.
        sets: names of evaluation sets.

    Chapter: 14.
    """
    return [
        job
        for chosen in sets
        for (name, seed), folder in folders.items()
        for job in jobs(systems(name, folder, seed), {chosen: pairs_of(chosen)}, (seed,))
    ]


def run(
    folders: Folders,
    sets: Sequence[str] = SETS,
    out: str | Path = RESULTS,
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Evaluate models of the study, or go on with it; writes ``designs.csv`` and ``designs.json``.

    Rows of other models of the study stay: their weights need not be at hand.

    Args:
        folders: checkpoint of a design and a seed.
        sets: names of evaluation sets.
        out: folder of the files.
        workers: processes.
        progress: called with the numbers of rows done and of all rows.

    Returns:
        The CSV file.

    Raises:
        CheckpointError: a checkpoint is missing or damaged.
        OSError: the folder cannot be written; rows that were written before stay.

    Chapter: 14.
    """
    found = {key: checkpoints.load(folder) for key, folder in folders.items()}
    path = Path(out) / f"{NAME}.csv"
    rows, models = _others(found, path)

    def record(minutes: float) -> dict[str, Any]:
        made = describe_run(next(iter(found.values())), minutes, workers, "cpu", False)
        made |= {"checkpoint": "study", "sha256": "study", "training_steps": BUDGET.steps}
        ours = (_describe(*key, each) for key, each in found.items())
        made["models"] = [*models, *(one | {"evaluated_on": made["hardware"]} for one in ours)]
        return made | {"command": commands(made["models"])}

    carry_out(plan(folders, sets), path, "study", record, workers=workers, progress=progress)
    if rows:
        write(path, {row.identity: row for row in [*rows, *read(path)]}.values())
        made = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        made["rows"] = len(read(path))
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        write_bytes(path.with_suffix(".json"), text.encode())
    return path


def _others(
    found: Mapping[tuple[str, int], checkpoints.Checkpoint], path: Path
) -> tuple[list[Row], list[dict[str, Any]]]:
    """What the files hold of models that are not evaluated now: rows and descriptions."""
    if not path.is_file():
        return [], []
    before = load(path.parent)
    here = {"evaluated_on": before.record["hardware"]}  # unless a model says otherwise
    models = [here | m for m in before.record["models"] if (m["design"], m["seed"]) not in found]
    kept = {model["sha256"][:HASH_DIGITS] for model in models}
    return [row for row in before.rows if row.checkpoint in kept], models


def _describe(name: str, seed: int, found: checkpoints.Checkpoint) -> dict[str, Any]:
    """What a reader needs to train a model again, and how it did in its validation."""
    kept = ("command", "steps", "hours", "audio_hours", "hardware")
    with (found.folder / HISTORY).open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    return {
        "design": name, "seed": seed, "sha256": found.sha256,
        "valid_pesq": float(last["pesq"]), "valid_si_sdr": float(last["si_sdr"]),
        **{key: found.record[key] for key in kept},
    }  # fmt: skip


def load(folder: str | Path = RESULTS) -> Results:
    """Read the study that comes with the package, or another.

    Raises:
        FileNotFoundError: it has not been run; the message has the command.
        ValueError: a damaged file.

    Chapter: 14.
    """
    return Results.load(NAME, folder, commands())


def confirm(results: Results, count: int = 4, most: int = 15) -> list[Confirmation]:
    """Compute a few rows of the shipped models again, and compare.

    Which rows depends on the hashes of the weights: on no clock, and on nobody's choice.

    Args:
        results: the study.
        count: number of rows, each of another model.
        most: calls that a row may cost.

    Raises:
        Disagreement: other weights than those of the package, or a score beyond its tolerance.
        CheckpointError: a model is missing or damaged.

    Chapter: 14.
    """
    models = {m["design"]: m["sha256"] for m in results.record["models"] if m["seed"] == 0}
    for name, sha256 in models.items():
        found = checkpoints.load(f"study/{name}").sha256
        if found != sha256:
            raise Disagreement(
                f"study/{name} has the weights {found[:12]}, the results {sha256[:12]}; "
                f"run `{commands()}`"
            )
    draw = random.Random("".join(models.values()))
    again = []
    for name in draw.sample(sorted(models), min(count, len(models))):
        able = {s.name: s for s in systems(name, f"study/{name}") if s.nfe <= most}
        row = draw.choice([r for r in results.rows if r.system in able and r.seed == 0])
        pairs = {pair.key: pair for pair in pairs_of(row.evaluation_set)}
        job = Job(able[row.system], row.evaluation_set, pairs[row.key])
        again.append(compare(row, measure(job)))
    return again


def best(results: Results, prefix: str = "edm-") -> str:
    """Name of the design with the highest PESQ in the validation of its first training.

    Validation recordings are in none of the evaluation sets, so this choice costs no claim.

    Args:
        results: the study.
        prefix: of the names to choose from.

    Chapter: 14.
    """
    first = [m for m in results.record["models"] if m["seed"] == 0]
    return max((m for m in first if m["design"].startswith(prefix)), key=lambda m: m["valid_pesq"])[
        "design"
    ]


def ranking(
    results: Results, first: str, second: str, chosen: str = "matched", score: str = "pesq"
) -> Interval:
    """Interval of ``first − second`` over noise recordings, of designs with three trainings each.

    Args:
        results: the study.
        first, second: names of systems.
        chosen: evaluation set.
        score: name of a score.

    Raises:
        ValueError: fewer than :data:`RANKED` trainings that both have, or no clip.

    Chapter: 14.
    """
    rows = where(results.rows, evaluation_set=chosen)
    effect = difference(rows, first, second, score)
    ours, theirs = ({row.seed for row in where(rows, system=name)} for name in (first, second))
    if len(ours & theirs) < RANKED:
        raise ValueError(f"{first} and {second}: a ranking takes {RANKED} trainings of each")
    return effect


def systems_claim(results: Results, chosen: str = "matched", margin: float = 0.05) -> Claim:
    """Card: SGMSE's design with PC at 60 calls, against the best EDM design at 15.

    Args:
        results: the study.
        chosen: evaluation set.
        margin: smallest difference in PESQ that matters, set before the run.

    Raises:
        ValueError: the study has no rows of one of them.

    Chapter: 14 EDM against PC, hands on.
    """
    name = best(results)
    text = f"the best EDM design of the validation ({name}) reaches with 15 calls what Richter's "
    return _claim(
        results, name, SGMSE + PC_60, text + "design with PC reaches with 60", chosen, margin
    )


def design_claim(results: Results, chosen: str = "matched", margin: float = 0.05) -> Claim:
    """Card: the best EDM design against SGMSE's, both walked by EDM with 15 calls.

    Args:
        results, chosen, margin: as for :func:`systems_claim`.

    Raises:
        ValueError: the study has no rows of one of them.

    Chapter: 14.
    """
    name = best(results)
    text = (
        f"and walked by the same sampler, the best EDM design of the validation ({name}) is better"
    )
    return _claim(results, name, SGMSE, f"{text} than Richter's design", chosen, margin)


def _claim(results: Results, name: str, rival: str, text: str, chosen: str, margin: float) -> Claim:
    effect = ranking(results, name, rival, chosen)
    rows = where(results.rows, evaluation_set=chosen)
    ours, theirs = ({row.seed for row in where(rows, system=each)} for each in (name, rival))
    seeds = len(ours & theirs)
    training = 60 * sum(model["hours"] for model in results.record["models"]) / 2  # two at a time
    return Claim(
        f"On {chosen}, trained alike {text}", "PESQ", margin, effect, seeds,
        commands(results.record["models"]), results.record["minutes"] + training,
        sample=f"{effect.n // seeds} clips × {seeds} trainings, {effect.clusters} noise recordings",
    )  # fmt: skip
