"""Quality against calls of the network: EDM and PC with one checkpoint, from 1 to 128 calls.

A resumable study. Its rows come in stages, the cheapest and most needed first, so it may be
stopped at any time; each row depends on its system, pair and seed alone (see ``studies``).

Chapter: 14 EDM against PC, hands on.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import checkpoints
from .confirmation import Confirmation, Disagreement, check_weights, compare
from .corpora import Pair
from .evaluation import RESULTS, SEEDS, Results, carry_out, describe_run, pairs_of
from .grids import rho
from .intervals import Interval, mean_interval
from .recipes import FAST, PREDICTOR_CORRECTOR
from .samplers import EDM, PC
from .studies import Job, Row, jobs, measure, read, write
from .systems import NOISY, System, trained
from .tables import where

SET = "matched"
"""The evaluation set of the study."""

EDM_STEPS, PC_STEPS = (1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8, 15, 32, 64)
"""Steps: EDM makes 1, 3, 7, 15, 31, 63 and 127 calls, PC 2, 4, 8, 16, 30, 64 and 128."""

WHOLE_STEPS = (4, 8, 16), (4, 8, 15)
"""Steps of EDM and PC for the walk over all levels."""

FEW, MANY = 31, 64
"""Calls that bound the first stage, and the second."""

WHOLE_EDM = EDM(8, math.inf, grid=rho(0.025, 2.0))
WHOLE_PC = replace(PREDICTOR_CORRECTOR, t_eps=0.03)
"""All the way down, both from level 2 to 0.025; the default walk ends near level 1."""

WHOLE = "whole walk"


class OutOfTime(Exception):
    """The minutes of a run are over; what is done stays done."""


@dataclass(frozen=True)
class Point:
    """One point of a curve: a system and its rows.

    Args:
        name: of the system.
        kind: ``EDM`` or ``PC``.
        walk: ``default`` or ``whole walk``.
        steps, nfe: of the sampler.
        seeds: seeds for which every clip has a row.
        rows: those rows.

    Chapter: 14.
    """

    name: str
    kind: str
    walk: str
    steps: int
    nfe: int
    seeds: tuple[int, ...]
    rows: list[Row]

    def mean(self, score: str) -> Interval:
        """Mean of a score over clips and seeds, with its interval over noise recordings."""
        kept = [row for row in self.rows if math.isfinite(getattr(row, score))]
        return mean_interval([getattr(r, score) for r in kept], [r.noise_file for r in kept])

    @property
    def seconds(self) -> float:
        """Median time a clip of 4 s took in the study, s."""
        times = sorted(row.seconds for row in self.rows)
        return times[len(times) // 2]


def command_for(checkpoint: str | Path = "compact") -> str:
    """Command that runs the study.

    Chapter: 14.
    """
    model = "" if str(checkpoint) == "compact" else f" --model {checkpoint}"
    return f"edmse evaluate --curve{model} --workers 2"


def systems(checkpoint: str | Path = "compact", device: str = "cpu") -> tuple[System, ...]:
    """EDM and PC over the default levels, cheapest first, then the walks over all levels.

    Chapter: 14.
    """
    short: list[EDM | PC] = [replace(FAST, steps=n) for n in EDM_STEPS]
    short += [replace(PREDICTOR_CORRECTOR, steps=n) for n in PC_STEPS]
    whole: list[EDM | PC] = [replace(WHOLE_EDM, steps=n) for n in WHOLE_STEPS[0]]
    whole += [replace(WHOLE_PC, steps=n) for n in WHOLE_STEPS[1]]
    found = [trained(checkpoint, sampler, device=device) for sampler in short]
    for sampler in whole:
        name = f"{type(sampler).__name__}, {sampler.steps} steps, {WHOLE}"
        found.append(trained(checkpoint, sampler, name=name, device=device))
    return tuple(sorted(found, key=lambda s: (s.name.endswith(WHOLE), s.nfe)))


def plan(
    checkpoint: str | Path = "compact", device: str = "cpu", size: int | None = None
) -> list[Job]:
    """All jobs, the most needed first.

    1. At most 31 calls, default levels: seed by seed. 2. Up to 128 calls, and the walks over all
    levels, first seed. 3. The other seeds of more than 31 calls. 4. Those of the other walks.

    Args:
        checkpoint: name or folder.
        device: where the network runs.
        size: number of pairs; default 48. Fewer are for a quick look.

    Chapter: 14.
    """
    every = systems(checkpoint, device)
    short = [s for s in every if not s.name.endswith(WHOLE)]
    few = [NOISY, *(s for s in short if s.nfe <= FEW)]
    some = [s for s in short if FEW < s.nfe <= MANY]
    many = [s for s in short if s.nfe > MANY]
    whole = [s for s in every if s not in short]
    stages = [*((few, seed) for seed in SEEDS), (some + many + whole, SEEDS[0])]
    stages += [(chosen, seed) for chosen in (some, many, whole) for seed in SEEDS[1:]]
    pairs = {SET: pairs_of(SET, size)}
    return [
        replace(job, dnsmos=True)
        for chosen, seed in stages
        for job in jobs([s for s in chosen if s.is_random or seed == SEEDS[0]], pairs, (seed,))
    ]


def run(
    checkpoint: str | Path = "compact",
    out: str | Path = RESULTS,
    *,
    workers: int = 2,
    device: str = "cpu",
    size: int | None = None,
    minutes: float = math.inf,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Run the study, or go on with it, and write ``curve.csv`` and ``curve.json``.

    Rows that the standard evaluation of the same weights has in the same folder are taken over.

    Args:
        checkpoint: name or folder.
        out: folder of the files; it is made if its parent exists.
        workers: processes.
        device: where the network runs.
        size: number of pairs; default 48.
        minutes: stop after so many; a later run goes on.
        progress: called with the numbers of rows done and of all rows.

    Returns:
        The CSV file.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
        ValueError: the folder has the study of other weights, which would be lost.
        OSError: the folder cannot be written; rows that were written before stay.

    Chapter: 14.
    """
    found, path = checkpoints.load(checkpoint), Path(out) / "curve.csv"
    path.parent.mkdir(exist_ok=True)
    work = plan(checkpoint, device, size)
    stop = time.monotonic() + 60 * minutes

    def tell(done: int, total: int) -> None:
        if progress:
            progress(done, total)
        if done < total and time.monotonic() > stop:
            raise OutOfTime

    def record(spent: float) -> dict:
        made = describe_run(found, spent, workers, device, False)
        more = {"all_rows": len(work), "rows_of_the_standard_evaluation": shared}
        return made | {"command": command_for(made["checkpoint"])} | more

    try:
        for _ in range(2):  # all rows, then those that lack DNSMOS
            shared = _take_over(work, path, path.with_name(f"{found.folder.name}.csv"))
            carry_out(work, path, found.sha256, record, workers=workers, progress=tell)
    except OutOfTime:
        pass
    return path


def _take_over(work: Sequence[Job], path: Path, standard: Path) -> int:
    """Keep what `path` has, add what the standard evaluation has of this study, and count that.

    The standard evaluation has DNSMOS for its first seed only. Such rows stand until all others
    are there; then they are computed again, with it.
    """
    wanted = {job.empty_row.identity for job in work}
    before = read(path) if path.is_file() else []
    others = {row.checkpoint for row in before} - {job.empty_row.checkpoint for job in work}
    if others:
        raise ValueError(
            f"{path}: has the study of other weights ({min(others)}…); give another --out, or "
            "remove it"
        )
    theirs, ours = (
        {r.identity: r for r in (read(file) if file.is_file() else ()) if r.identity in wanted}
        for file in (standard, path)
    )
    found = theirs | ours
    lacking = {key for key, r in found.items() if math.isnan(r.dnsmos_ovrl) and not r.reason}
    if set(found) == wanted and len(lacking) < len(found):
        found = {key: row for key, row in found.items() if key not in lacking}
    write(path, [*found.values(), *(row for row in before if row.identity not in wanted)])
    return len(set(theirs) & set(found))


def load(folder: str | Path = RESULTS) -> Results:
    """Read the study that comes with the package, or another.

    Raises:
        FileNotFoundError: it has not been run; the message has the command.
        ValueError: a damaged file.

    Chapter: 14.
    """
    return Results.load("curve", folder, f"{command_for()} --out {folder}")


def points(rows: Sequence[Row]) -> list[Point]:
    """Split rows into points of the curves; seeds that lack a clip are left out.

    Args:
        rows: of the study, whole or not.

    Chapter: 14.
    """
    clips = {row.key for row in where(rows, evaluation_set=SET)}
    found = []
    for name in dict.fromkeys(row.system for row in rows if row.nfe):
        some = where(rows, system=name)
        seeds = sorted({row.seed for row in some})
        whole = tuple(s for s in seeds if {r.key for r in some if r.seed == s} == clips)
        if whole:
            kept = [row for row in some if row.seed in whole]
            walk = WHOLE if name.endswith(WHOLE) else "default"
            kind = name.split(",")[0]
            found.append(Point(name, kind, walk, kept[0].steps, kept[0].nfe, whole, kept))
    return sorted(found, key=lambda point: (point.walk, point.kind, point.nfe))


def confirm(
    results: Results, checkpoint: str | Path = "", count: int = 4, most: int = 8
) -> list[Confirmation]:
    """Compute a few cheap rows of the study again, and compare.

    Which rows depends on the hash of the weights: on no clock, and on nobody's choice.

    Args:
        results: the study.
        checkpoint: weights to confirm it with; default those that its record names.
        count: number of rows.
        most: calls that a row may cost.

    Raises:
        Disagreement: other weights, no such rows, or a score beyond its tolerance.

    Chapter: 14.
    """
    checkpoint = checkpoint or results.record["checkpoint"]
    try:
        check_weights(results, checkpoint)
    except Disagreement as error:
        found = str(error).split("; run")[0]
        raise Disagreement(f"{found}; run `{command_for(checkpoint)}`") from None
    able = {s.name: s for s in systems(checkpoint) if s.nfe <= most}
    rows = [row for row in results.rows if row.system in able]
    if not rows:
        raise Disagreement(f"no row of at most {most} calls; run `{command_for(checkpoint)}`")
    drawn = random.Random(results.record["sha256"]).sample(rows, min(count, len(rows)))
    pairs: dict[str, Pair] = {pair.key: pair for pair in pairs_of(SET)}
    again = [
        measure(Job(able[r.system], SET, pairs[r.key], r.seed, not math.isnan(r.dnsmos_ovrl)))
        for r in drawn
    ]
    return [compare(old, new) for old, new in zip(drawn, again, strict=True)]
