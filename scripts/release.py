"""Make the checkpoint of a run the one that comes with the package, with a record of every stage.

Schedule and noise levels are those of the recipe as it is now: they were chosen on the validation
set after training, and do not touch the weights. Then `edmse evaluate --standard` measures it and
writes the model card.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from edmse_lite import checkpoints, compact, recipes, records
from edmse_lite.denoisers import ScoreModel
from edmse_lite.recipes import Recipe


def release(
    run: str | Path,
    recipe: Recipe,
    target: Path,
    before: str | Path | None = None,
    command: str = "",
    unfinished: bool = False,
) -> records.Record:
    """Write the weights of `run` into `target`, and return the record that goes with them.

    Args:
        run: folder of a run, as `edmse train` wrote it.
        recipe: what the run was made with.
        target: folder of the released checkpoint.
        before: checkpoint that the run began from; its record replaces the one that the run kept.
        command: replaces the recorded command of the run.
        unfinished: take a run that has not reached its last step.

    Raises:
        ValueError: the run is of another recipe, not finished, or not after `before`.
    """
    found = checkpoints.load(run)
    record = _checked(found, recipe, unfinished)
    if command:
        record["command"] = command
    if before is not None:
        record = records.follow(record, _previous(before, record))
    model = ScoreModel(found.model.network, recipe.sde, recipe.preconditioning, recipe.sigma_range)
    checkpoints.save(target, model, found.spectrogram, record)
    return record


def _checked(found: checkpoints.Checkpoint, recipe: Recipe, unfinished: bool) -> records.Record:
    """Record of a run, which must be the recipe's, with the recipe's mixtures in it."""
    record, wanted = dict(found.record), asdict(recipe.training)
    wrong = sorted(k for k, value in wanted.items() if record.get("config", {}).get(k) != value)
    if found.model.network.config != recipe.network:
        wrong.append("network")
    if wrong:
        raise ValueError(f"{found.folder}: differs from the recipe in {', '.join(wrong)}")
    steps = record.get("steps", 0)
    if steps < recipe.training.steps and not unfinished:
        raise ValueError(
            f"{found.folder}: at step {steps:,} of {recipe.training.steps:,}; let it finish, or "
            "give --unfinished"
        )
    record.setdefault("mixing", asdict(recipe.mixing))
    return record


def _previous(before: str | Path, record: records.Record) -> records.Record:
    """Record of the checkpoint that a run began from, with the hash of its weights."""
    found = checkpoints.load(before)
    if record["config"] in [stage.get("config") for stage in records.stages(found.record)]:
        raise ValueError(f"{before}: is this very run, not what it began from")
    named = [r for r in compact.RECIPES.values() if asdict(r.training) == found.record["config"]]
    mixing = {"mixing": asdict(named[0].mixing)} if named else {}  # early records do not say it
    return {**mixing, **found.record, "sha256": found.sha256}


def main() -> int:
    """Release a run, and print its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="folder of the run, such as runs/compact-refined")
    parser.add_argument("recipe", choices=sorted(compact.RECIPES), help="what it was made with")
    parser.add_argument("--before", help="checkpoint that it began from (name or folder)")
    parser.add_argument("--command", default="", help="in place of the recorded command")
    parser.add_argument("--name", default=recipes.MODEL, help="name of the released checkpoint")
    parser.add_argument("--unfinished", action="store_true", help="before the last step")
    args = parser.parse_args()
    try:
        record = release(
            args.run, compact.RECIPES[args.recipe], checkpoints.PRETRAINED / args.name,
            args.before, args.command, args.unfinished,
        )  # fmt: skip
    except (ValueError, OSError) as error:
        print(f"not released: {error}", file=sys.stderr)
        return 1
    for number, stage in enumerate(records.stages(record), 1):
        print(f"stage {number}: {stage['steps']:,} steps, {stage['command']}")
    print(f"in all: {records.total(record)}")
    print("Now measure it: edmse evaluate --standard --out edmse_lite/results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
