"""Measure what each stage of the shipped model's training was worth, by the default sampler.

python scripts/stages.py runs/compact runs/compact-refined runs/compact-settled

Writes edmse_lite/results/stages.csv, a system a run, and goes on where it stopped. Rows of runs
that are not named stay if the model that ships was made by them. The model card subtracts all from
those of the model that ships. As in scripts/release.py, schedule and noise levels are those of the
recipe as it is now.

Beside it stages.json says what made the rows: the command, and of each run its training steps and
the hardware that its rows were computed on.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edmse_lite import checkpoints, compact, evaluation, recipes, records, studies, systems
from edmse_lite.denoisers import ScoreModel
from edmse_lite.files import write_bytes

MACHINE = ("hardware", "workers", "python", "packages")
"""What a record says of the machine; None of rows from before there was a record."""


def as_now(run: Path, place: Path) -> Path:
    """Copy a run into `place`, with today's schedule and noise levels; return the copy."""
    found, now = checkpoints.load(run), compact.COMPACT
    model = ScoreModel(found.model.network, now.sde, now.preconditioning, now.sigma_range)
    target = place / run.resolve().name
    checkpoints.save(target, model, found.spectrogram, found.record)
    return target


def order(rows: list[studies.Row]) -> list[studies.Row]:
    """Rows of the stages of the model that ships, first stage first; others go."""
    stages = records.stages(checkpoints.load(recipes.MODEL).record)[:-1]
    place = {stage["sha256"][: systems.HASH_DIGITS]: k for k, stage in enumerate(stages)}
    return sorted((r for r in rows if r.checkpoint in place), key=lambda r: place[r.checkpoint])


def describe(
    rows: Sequence[studies.Row],
    stages: Sequence[records.Record],
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    minutes: float,
    fresh: set[str],
) -> dict[str, Any]:
    """Record of the rows.

    Args:
        rows: of all stages that were evaluated.
        stages: of the model that ships, but the last one.
        before: the record as it was; empty if there was none.
        now: this machine, see :data:`MACHINE`.
        minutes: that this run took.
        fresh: first digits of the SHA-256 of the weights whose rows this run computed.
    """
    known = {each["sha256"]: each for each in before.get("models", ())}
    named = {row.checkpoint: row.system for row in rows}
    models = []
    for stage, steps in zip(stages, accumulate(s["steps"] for s in stages), strict=True):
        digits = stage["sha256"][: systems.HASH_DIGITS]
        if digits in named:
            old = known.get(stage["sha256"], {}).get("evaluated_on")
            models.append({
                "run": named[digits], "sha256": stage["sha256"], "training_steps": steps,
                "evaluated_on": now["hardware"] if digits in fresh else old,
            })  # fmt: skip
    latest = now if fresh else before
    return {
        "command": " ".join(["python scripts/stages.py", *(f"runs/{m['run']}" for m in models)]),
        "checkpoint": "stages", "sha256": "stages",
        "minutes": round(before.get("minutes", 0) + (minutes if fresh else 0), 1),
        **{key: latest.get(key) for key in MACHINE},
        "models": models, "rows": len(rows),
    }  # fmt: skip


def write(out: Path, now: Mapping[str, Any], minutes: float, fresh: set[str]) -> None:
    """Put the rows in order, and write the record beside them."""
    stages = records.stages(checkpoints.load(recipes.MODEL).record)[:-1]
    rows, path = order(studies.read(out)), out.with_suffix(".json")
    studies.write(out, rows)
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    text = json.dumps(
        describe(rows, stages, before, now, minutes, fresh), indent=1, ensure_ascii=False
    )
    write_bytes(path, f"{text}\n".encode())


def main() -> int:
    """Evaluate runs on the four sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a stage")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=evaluation.RESULTS / "stages.csv")
    args = parser.parse_args()
    sets = {name: evaluation.pairs_of(name) for name in evaluation.SETS}
    started, fresh = time.monotonic(), set()
    try:
        with TemporaryDirectory() as place:
            folders = [as_now(run, Path(place)) for run in args.runs]
            found = [
                systems.trained(folder, recipes.SAMPLER, recipes.SPINS, recipes.LIMIT, folder.name)
                for folder in folders
            ]
            now = evaluation.describe_run(
                checkpoints.load(folders[0]), 0, args.workers, "cpu", thorough=False
            )
            try:
                studies.evaluate(
                    studies.jobs(found, sets), args.out, workers=args.workers, keep=True,
                    progress=lambda row: fresh.add(row.checkpoint),
                )  # fmt: skip
            finally:  # also after Ctrl-C, so that a run in parts says where its rows were made
                if args.out.exists():
                    write(args.out, now, (time.monotonic() - started) / 60, fresh)
    except (checkpoints.CheckpointError, ValueError) as error:
        print(f"stages: {error}", file=sys.stderr)
        return 2
    print(args.out, args.out.with_suffix(".json"), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
