"""A named recipe becomes a run in a folder: `edmse train compact`.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from . import checkpoints, recipes
from .batches import Batches
from .corpora import Pair
from .denoisers import ScoreModel
from .evaluation_sets import evaluation_set
from .feeds import is_pairs, open_feed
from .intake import take
from .mixing import Mixer
from .networks import CompactUNet
from .parallel import Alone, Plan
from .records import Record
from .shards import ShardError
from .states import TrainingError
from .training import Progress, Trainer


def start(
    recipe: recipes.Recipe,
    folder: str | Path,
    device: torch.device | str = "cpu",
    warm_start: str | Path | None = None,
    batches: Batches | None = None,
    command: str = "",
    team: Alone | None = None,
    plan: Plan | None = None,
    corpus: str | Path | None = None,
    bad_audio: str = "refuse",
    tell: Callable[[str], None] | None = None,
) -> Trainer:
    """Make the trainer of a recipe, with its data, at its first step.

    Args:
        recipe: what to train, and how.
        folder: receives the training state, the history and the checkpoint.
        device: where to train.
        warm_start: name or folder of a checkpoint whose weights to begin with.
        batches: source of mixtures; default: a corpus, mixed as the recipe says.
        command: the command line, for the record.
        team: the processes that train together; ``device`` is then the team's.
        plan: how the work of a step is divided.
        corpus: manifest of the recordings, a folder of pairs, or a place of shards (see
            :func:`edmse_lite.feeds.open_feed`); default: the bundled corpus.
        bad_audio: ``refuse`` or ``skip`` bad recordings of ``corpus``.
        tell: is given a line for each recording that is skipped, and on a ``warm_start`` that was
            trained otherwise. What all processes find, it is given in the first one only.

    Raises:
        CheckpointError: a ``warm_start`` that is missing, damaged, of another size, or made to
            predict where the recipe denoises, or the reverse.
        TrainingError: a batch that cannot be divided so, bad recordings, or a folder that holds
            another model.

    Chapter: 10.
    """
    team = team or Alone(device)
    common = tell if tell and team.first else _silent
    torch.manual_seed(recipe.training.seed)  # the weights at the start
    network = CompactUNet(recipe.network)
    notes: Record = {"command": command}
    valid: tuple[Pair, ...] = ()
    if batches is None:
        batches, found, valid = team.together(
            lambda: _source(recipe, team, corpus, bad_audio, tell)
        )
        notes |= found
        for fault in found.get("skipped", []):
            common(f"skipped: {fault}")
    if warm_start is not None:
        notes["before"] = team.together(lambda: _warm(network, recipe, warm_start, common))
    network = network.to(team.device, memory_format=torch.channels_last)
    model = ScoreModel(network, recipe.sde, recipe.preconditioning, recipe.sigma_range)
    return Trainer(
        model.to(team.device),
        recipe.spectrogram,
        batches,
        recipe.training,
        folder,
        valid or evaluation_set("valid", 24),
        notes,
        team,
        plan,
        recipe.sampler,
    )


def train(
    recipe: recipes.Recipe,
    folder: str | Path,
    device: torch.device | str = "cpu",
    warm_start: str | Path | None = None,
    command: str = "",
    **how: Any,
) -> Iterator[Progress]:
    """Train a recipe, or go on where the folder's run stopped.

    Args:
        recipe, folder, device, warm_start, command: as for :func:`start`.
        how: its other arguments: team, plan, corpus, bad_audio, tell.

    Returns:
        One :class:`~edmse_lite.training.Progress` a step.

    Raises:
        TrainingError: a loss that is not finite, a full disk, or a folder whose run was made
            with other settings; CheckpointError: a bad ``warm_start``.

    Chapter: 10.
    """
    trainer = start(recipe, folder, device, warm_start, command=command, **how)
    trainer.resume()
    return trainer.run()


def _source(
    recipe: recipes.Recipe,
    team: Alone,
    corpus: str | Path | None,
    bad_audio: str,
    tell: Callable[[str], None] | None,
) -> tuple[Batches, Record, tuple[Pair, ...]]:
    """Mixtures of a corpus, what the record says of it, and its own pairs for validation."""
    mixing: Record = {"mixing": asdict(recipe.mixing)}
    if corpus is None:
        return Mixer.bundled(recipe.mixing, team.device), mixing, ()
    if not is_pairs(corpus):
        taken = take(corpus, recipe.mixing, team.device, bad_audio)
        return taken.mixer, mixing | {"corpus": taken.name, "skipped": list(taken.skipped)}, ()
    seconds = recipe.mixing.seconds
    who = f"process {team.rank}: " if team.size > 1 else ""
    try:
        found = open_feed(
            corpus, seconds, team.device, team.rank, team.size, seed=recipe.training.seed,
            bad=bad_audio, report=tell and (lambda fault: tell(f"{who}skipped: {fault}")),
        )  # fmt: skip
    except (ShardError, ValueError, OSError) as error:
        raise TrainingError(str(error)) from None
    facts = {"corpus": found.name, "skipped": list(found.skipped)}
    return found.batches, facts | {"mixing": {"seconds": seconds}}, found.valid


def _silent(line: str) -> None:
    """Tell nobody."""


def _warm(
    network: CompactUNet,
    recipe: recipes.Recipe,
    warm_start: str | Path,
    tell: Callable[[str], None],
) -> Record:
    """Give a network the weights of a checkpoint; the record of these weights."""
    found = checkpoints.load(warm_start)
    if found.model.network.config != network.config:
        raise checkpoints.CheckpointError(
            f"{warm_start}: has a network {found.model.network.config}, but the recipe has "
            f"{network.config}; give a checkpoint of the same size"
        )
    _compare(found, recipe, str(warm_start), tell)
    network.load_state_dict(found.model.network.state_dict())
    return {**found.record, "sha256": found.sha256}


def _compare(
    found: checkpoints.Checkpoint, recipe: recipes.Recipe, name: str, tell: Callable[[str], None]
) -> None:
    """Tell in one line where weights were trained otherwise; refuse those of another task."""
    theirs, mine = found.model.preconditioning, recipe.preconditioning
    predicts = [each.c_in == "predictive" for each in (theirs, mine)]  # the state is not seen
    if predicts[0] != predicts[1]:
        kinds = ["predicts, without a look at sigma" if each else "denoises" for each in predicts]
        raise checkpoints.CheckpointError(
            f"{name}: has a network that {kinds[0]}, but the recipe's {kinds[1]}; give a "
            "checkpoint of the same kind"
        )
    parts = {
        "schedule": (found.model.sde, recipe.sde), "preconditioning": (theirs, mine),
        "spectrogram": (found.spectrogram, recipe.spectrogram),
    }  # fmt: skip
    others = [f"{key} {old} (here {new})" for key, (old, new) in parts.items() if old != new]
    harmless = theirs == mine and not mine.needs_t and found.spectrogram == recipe.spectrogram
    if others:
        tell(
            f"--warm-start {name}: was trained with another {', another '.join(others)}"
            + "; the network does not see it" * harmless
        )
