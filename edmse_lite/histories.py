"""How the shipped model grew: the validations of its long runs, each with its command.

A run writes ``history.csv`` and a checkpoint into its folder; :func:`write` keeps what a page
needs of several such runs in one small file that comes with the package.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import checkpoints, recipes, records
from .corpora import Pair
from .files import write_bytes

RESULTS = Path(__file__).parent / "results"
SHOWN = ("pesq", "si_sdr")


@dataclass(frozen=True)
class Point:
    """One validation.

    Args:
        step: optimiser steps of this run.
        hours: of this run so far, validations left out.
        loss: of the batch of this step.
        pesq, si_sdr: means over the validation pairs; SI-SDR in dB.

    Chapter: 10.
    """

    step: int
    hours: float
    loss: float
    pesq: float
    si_sdr: float


@dataclass(frozen=True)
class Stage:
    """One run, begun with the weights of the one before.

    Args:
        command: the line that made it.
        seed: of everything random.
        hardware: where it ran.
        batch_seconds: sound in one step, s.
        points: its validations, in order, by the sampler of that day.
        final: PESQ and SI-SDR of its last weights by one sampler for all runs, ``recipes.FAST``: a
            change of the sampler between two runs would else look like learning.

    Chapter: 10.
    """

    command: str
    seed: int
    hardware: str
    batch_seconds: float
    points: tuple[Point, ...]
    final: dict[str, float]

    @property
    def speed(self) -> float:
        """Seconds of sound that were learned from in one second."""
        last = self.points[-1]
        return last.step * self.batch_seconds / (3600 * last.hours)


@dataclass(frozen=True)
class History:
    """The runs of a model, first one first.

    Args:
        pairs: number of validation pairs.
        noisy: mean PESQ and SI-SDR of these pairs before enhancement.
        stages: the runs.

    Chapter: 10.
    """

    pairs: int
    noisy: dict[str, float]
    stages: tuple[Stage, ...]

    def path(self, name: str) -> list[tuple[list[int], list[float]]]:
        """Steps in all, and a score, of each stage.

        Args:
            name: ``pesq``, ``si_sdr`` or ``loss``.
        """
        found, before = [], 0
        for stage in self.stages:
            steps = [before + point.step for point in stage.points]
            found.append((steps, [getattr(point, name) for point in stage.points]))
            before = steps[-1]
        return found


def load(name: str = recipes.MODEL) -> History:
    """Read the history that comes with the package.

    Raises:
        FileNotFoundError: there is none of this name.

    Chapter: 10.
    """
    found = json.loads((RESULTS / f"{name}-training.json").read_text(encoding="utf-8"))
    stages = [
        Stage(**{**stage, "points": tuple(Point(**point) for point in stage["points"])})
        for stage in found["stages"]
    ]
    return History(found["pairs"], found["noisy"], tuple(stages))


def collect(
    folders: Sequence[str | Path],
    name: str | Path = recipes.MODEL,
    pairs: int = 24,
    before: History | None = None,
) -> History:
    """Gather the histories of the runs that made a checkpoint, and score the noisy pairs.

    Args:
        folders: of the runs, first one first; of the last ones only if ``before`` has the others.
        name: checkpoint, whose record says how each run was started.
        pairs: number of validation pairs of these runs.
        before: history of the runs whose folders are gone.

    Raises:
        ValueError: the folders are not the runs that the checkpoint's record names, or ``before``
            is of other runs.
        FileNotFoundError: a folder without ``history.csv``.

    Chapter: 10.
    """
    from .evaluation_sets import evaluation_set

    stages = records.stages(checkpoints.load(name).record)
    kept = before.stages if before else ()
    if len(stages) != len(kept) + len(folders):
        raise ValueError(
            f"{name} was made in {len(stages)} runs, got {len(folders)} folders"
            + (f" after {len(kept)} runs" if kept else ": give one for each")
        )
    for stage, record in zip(kept, stages, strict=False):
        if stage.command != record["command"]:
            raise ValueError(f"{name}: its record has {record['command']!r}, not {stage.command!r}")
    valid = evaluation_set("valid", pairs)
    noisy = _means(valid, [pair.noisy for pair in valid])
    new = zip(folders, stages[len(kept) :], strict=True)
    found = [_stage(Path(folder), record, valid) for folder, record in new]
    return History(len(valid), noisy, (*kept, *found))


def _means(valid: tuple[Pair, ...], waves: Sequence[Tensor]) -> dict[str, float]:
    from .metrics import evaluate

    scores = [evaluate(p.clean, w, names=SHOWN) for p, w in zip(valid, waves, strict=True)]
    return {key: round(sum(s[key] for s in scores) / len(scores), 4) for key in SHOWN}


def write(
    folders: Sequence[str | Path], name: str = recipes.MODEL, before: History | None = None
) -> Path:
    """Write the file that :func:`load` reads.

    Args:
        folders, before: as for :func:`collect`; ``before=load()`` adds runs to the file.
        name: of the model.

    Chapter: 10.
    """
    path = RESULTS / f"{name}-training.json"
    text = json.dumps(asdict(collect(folders, name, before=before)), indent=1, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())
    return path


def _stage(folder: Path, record: records.Record, valid: tuple[Pair, ...]) -> Stage:
    from .enhancement import Enhancer

    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    points = tuple(
        Point(int(row["step"]), row["hours"], row["loss"], row["pesq"], row["si_sdr"])
        for row in rows
    )
    if points[-1].step != record["steps"]:
        raise ValueError(
            f"{folder}: ends at step {points[-1].step}, but the checkpoint's record has a run of "
            f"{record['steps']} steps here; give the folders in the order of the runs"
        )
    sound = record["config"]["batch_size"] * record["mixing"]["seconds"]
    seed, hardware = record["config"]["seed"], record["hardware"]
    enhancer = Enhancer.from_pretrained(folder)
    # one plain walk, whatever levels its record names
    enhancer.sampler, enhancer.spins, enhancer.limit = recipes.FAST, 1, math.inf
    final = _means(valid, [torch.as_tensor(enhancer(pair.noisy, 16_000)) for pair in valid])
    return Stage(record["command"], seed, hardware, sound, points, final)
