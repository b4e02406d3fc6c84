"""``edmse train``: a score model, by one process or by those that a launcher starts.

Chapter: 1 (A noisy recording, enhanced); the README lists the commands.
"""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import FAILED, CommandError, check_place, device_of, reason

if TYPE_CHECKING:
    from tqdm import tqdm

    from edmse_lite.parallel import Alone, Plan
    from edmse_lite.recipes import Recipe
    from edmse_lite.training import Progress


SOON = b"\nedmse: stops after this step, and saves it; once more stops at once\n"


def train(args: Namespace) -> int:
    """Train a score model; a run that was stopped goes on."""
    import torch

    from edmse_lite import checkpoints, designs, training
    from edmse_lite.parallel import Plan, join

    device, team = device_of(args.device), None
    try:
        work = [(_asked(designs.find(name), args), *folders) for name, *folders in _runs(args)]
        plan = Plan(args.accumulate, args.parts, args.compile)
        for _, out, _ in work:
            if out.exists() and not out.is_dir():  # before the corpus is read, which takes a while
                raise CommandError(f"--out {out}: is a file — give a folder")
        check_place(args.corpus)
        team = join(device)
        how = _how(args, team, plan)
        for recipe, out, before in work:
            (_profile if args.profile else _run)(args, recipe, out, how | {"warm_start": before})
        team.leave()
    except (training.TrainingError, checkpoints.CheckpointError, ValueError, OSError) as error:
        if team is not None and error is team.heard:  # another process says it
            return FAILED
        raise CommandError(_who(team) + reason(error)) from None
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise CommandError(_who(team) + _no_room(error)) from None
    return 0


def _asked(recipe: Recipe, args: Namespace) -> Recipe:
    """The recipe with what the options change."""
    given = {
        "steps": args.steps, "batch_size": args.batch, "precision": args.precision,
        "seed": args.seed,
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    recipe = replace(recipe, training=replace(recipe.training, **given))
    if args.sigma_data is None:
        return recipe
    design = replace(recipe.preconditioning, sigma_data=args.sigma_data)
    return replace(recipe, preconditioning=design)


def _runs(args: Namespace) -> list[tuple[str, Path, Path | None]]:
    """The runs to do, in order: what each trains, its folder, and whose weights it begins with."""
    from edmse_lite.compact import RECIPES

    if not args.chain:
        return [(args.name, args.out or Path("runs") / args.name, args.warm_start)]
    names = list(RECIPES)
    if args.name not in names:
        raise CommandError(
            f"--chain: {args.name} is no link of it — name one of {', '.join(names)}"
        )
    for option in ("profile", "seed"):
        if getattr(args, option) not in (None, False):
            raise CommandError(f"--chain --{option}: each run has its own — leave one of them out")
    names = names[: names.index(args.name) + 1]
    folders = [(args.out or Path("runs")) / name for name in names]
    return list(zip(names, folders, [args.warm_start, *folders[:-1]], strict=True))


def _who(team: Alone | None) -> str:
    """The number of this process, unless it is the first."""
    return "" if team is None or team.first else f"process {team.rank}: "


def _no_room(error: BaseException) -> str:
    said = str(error).strip().partition(". ")[0] or "out of memory"
    return (
        f"not enough memory ({said}); take a smaller --batch, or the same one in pieces: "
        "--accumulate 2, 4 …; a corpus that does not fit is read from shards: edmse corpus pack"
    )


def _run(args: Namespace, recipe: Recipe, out: Path, how: dict[str, Any]) -> None:
    from tqdm import tqdm

    from edmse_lite import runs

    team: Alone = how["team"]
    trainer = runs.start(recipe, out, team.device, command=args.command_line, **how)
    trainer.resume()
    total, said = recipe.training.steps, how["tell"] if team.first else lambda line: None
    if trainer.step == total:
        more = "" if args.chain else "; train another folder: --out FOLDER"
        said(f"{out}: has all of its {total} steps{more}")
        return
    bar = tqdm(
        total=total, initial=trainer.step, unit="step", dynamic_ncols=True, disable=not team.first
    )
    last: dict[str, str] = {}
    with bar, _stopping(alone=team.size == 1) as asked:
        for progress in trainer.run():
            _show(bar, progress, last)
            if asked:
                break
    if trainer.step < total:
        trainer.save()
        said(f"{out}: saved at step {trainer.step}; the same command goes on from there")
        raise KeyboardInterrupt
    said(f"{out}: holds the model; hear it: edmse enhance noisy.wav clean.wav --model {out}")


def _show(bar: tqdm, progress: Progress, last: dict[str, str]) -> None:
    """Move the bar; it says the loss of the step, and the scores of the last validation."""
    bar.update(progress.step - bar.n)
    last |= {name: f"{value:.3f}" for name, value in progress.validation.items()}
    bar.set_postfix(loss=f"{progress.loss:.4f}", **last, refresh=False)
    if progress.validation and not bar.disable:
        scores = (f"{name} {value:.3f}" for name, value in progress.validation.items())
        bar.write(f"step {progress.step}: {', '.join(scores)}")


@contextmanager
def _stopping(alone: bool) -> Iterator[list[int]]:
    """List the signals that ask to stop, once; a second one stops at once.

    One process of several stops at once: the others would wait for it.
    """
    asked: list[int] = []

    def hear(number: int, frame: object) -> None:
        if asked or not alone:
            raise KeyboardInterrupt
        asked.append(number)
        os.write(2, SOON)  # print could meet a print that the signal interrupted

    before = {each: signal.signal(each, hear) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _profile(args: Namespace, recipe: Recipe, out: Path, how: dict[str, Any]) -> None:
    """Print where the time of a step goes; nothing is kept."""
    from tempfile import TemporaryDirectory

    from edmse_lite import profiling, runs

    with TemporaryDirectory() as folder:
        trainer = runs.start(recipe, folder, how["team"].device, **how)
        found = profiling.profile(trainer, args.steps or profiling.STEPS)
    if how["team"].first:
        print(found.table())


def _how(args: Namespace, team: Alone, plan: Plan) -> dict[str, Any]:
    """What all runs of this command have in common, as :func:`edmse_lite.runs.start` takes it."""
    told: set[str] = set()

    def tell(line: str) -> None:
        if line not in told:
            print(f"edmse: {line}", file=sys.stderr)
        told.add(line)

    return {
        "team": team, "plan": plan, "corpus": args.corpus, "bad_audio": args.bad_audio,
        "tell": tell,
    }  # fmt: skip
