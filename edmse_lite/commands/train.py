"""``edmse train``: a score model, by one process or by those that a launcher starts.

Chapter: 1 (A noisy recording, enhanced); the README lists the commands.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import FAILED, CommandError, device_of

if TYPE_CHECKING:
    from edmse_lite.parallel import Alone, Plan
    from edmse_lite.recipes import Recipe


def train(args: Namespace) -> int:
    """Train a score model; a run that was stopped goes on."""
    from edmse_lite import checkpoints, designs, training
    from edmse_lite.parallel import Plan, join

    given = {
        "steps": args.steps, "batch_size": args.batch, "precision": args.precision,
        "seed": args.seed,
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    device, team = device_of(args.device), None
    try:
        recipe = designs.find(args.name)
        recipe = replace(recipe, training=replace(recipe.training, **given))
        plan = Plan(args.accumulate, args.parts, args.compile)
        out = args.out or Path("runs") / args.name
        if out.exists() and not out.is_dir():  # before the corpus is read, which takes a while
            raise CommandError(f"--out {out}: is a file — give a folder")
        team = join(device)
        (_profile if args.profile else _run)(args, recipe, out, team, plan)
        team.leave()
    except (training.TrainingError, checkpoints.CheckpointError, ValueError, OSError) as error:
        if team is not None and not team.first:  # the first process says it
            return FAILED
        raise CommandError(str(error)) from None
    return 0


def _run(args: Namespace, recipe: Recipe, out: Path, team: Alone, plan: Plan) -> None:
    from tqdm import tqdm

    from edmse_lite import runs

    run = runs.train(
        recipe, out, team.device, args.warm_start, args.command_line, **_how(args, team, plan)
    )
    total = recipe.training.steps
    with tqdm(total=total, unit="step", dynamic_ncols=True, disable=not team.first) as bar:
        for progress in run:
            bar.update(progress.step - bar.n)
            bar.set_postfix(loss=f"{progress.loss:.4f}", refresh=False)
            if progress.validation and team.first:
                scores = (f"{name} {value:.3f}" for name, value in progress.validation.items())
                bar.write(f"step {progress.step}: {', '.join(scores)}")


def _profile(args: Namespace, recipe: Recipe, out: Path, team: Alone, plan: Plan) -> None:
    """Print where the time of a step goes; nothing is kept."""
    from tempfile import TemporaryDirectory

    from edmse_lite import profiling, runs

    with TemporaryDirectory() as folder:
        trainer = runs.start(recipe, folder, team.device, args.warm_start, **_how(args, team, plan))
        found = profiling.profile(trainer, args.steps or profiling.STEPS)
    if team.first:
        print(found.table())


def _how(args: Namespace, team: Alone, plan: Plan) -> dict[str, Any]:
    def tell(line: str) -> None:
        if team.first:
            print(f"edmse: {line}", file=sys.stderr)

    return {
        "team": team, "plan": plan, "corpus": args.corpus, "bad_audio": args.bad_audio,
        "tell": tell,
    }  # fmt: skip
