"""``edmse train``: a score model from the bundled corpus.

Chapter: 1 (A noisy recording, enhanced); the README lists the commands.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from .common import CommandError, device_of


def train(args: Namespace) -> int:
    """Train a score model; a run that was stopped goes on."""
    from tqdm import tqdm

    from edmse_lite import checkpoints, recipes, runs, training

    given = {
        "steps": args.steps, "batch_size": args.batch, "precision": args.precision,
        "seed": args.seed,
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    device = device_of(args.device)
    try:
        recipe = recipes.RECIPES[args.name]
        recipe = replace(recipe, training=replace(recipe.training, **given))
        out = args.out or Path("runs") / args.name
        if out.exists() and not out.is_dir():  # before the corpus is read, which takes a while
            raise CommandError(f"--out {out}: is a file — give a folder")
        run = runs.train(recipe, out, device, args.warm_start, args.command_line)
        with tqdm(total=recipe.training.steps, unit="step", dynamic_ncols=True) as bar:
            for progress in run:
                bar.update(progress.step - bar.n)
                bar.set_postfix(loss=f"{progress.loss:.4f}", refresh=False)
                if progress.validation:
                    scores = (f"{name} {value:.3f}" for name, value in progress.validation.items())
                    bar.write(f"step {progress.step}: {', '.join(scores)}")
    except (training.TrainingError, checkpoints.CheckpointError, ValueError, OSError) as error:
        raise CommandError(str(error)) from None
    return 0
