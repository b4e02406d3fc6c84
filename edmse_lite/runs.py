"""A named recipe becomes a run in a folder: `edmse train compact`.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from . import checkpoints, recipes
from .denoisers import ScoreModel
from .mixing import Mixer, evaluation_set
from .networks import CompactUNet
from .records import Record
from .spectrograms import Spectrogram
from .training import Batches, Progress, Trainer


def start(
    recipe: recipes.Recipe,
    folder: str | Path,
    device: torch.device | str = "cpu",
    warm_start: str | Path | None = None,
    batches: Batches | None = None,
    command: str = "",
) -> Trainer:
    """Make the trainer of a recipe, with its data, at its first step.

    Args:
        recipe: what to train, and how.
        folder: receives the training state, the history and the checkpoint.
        device: where to train.
        warm_start: name or folder of a checkpoint whose weights to begin with.
        batches: source of mixtures; default: the bundled corpus, mixed as the recipe says.
        command: the command line, for the record.

    Raises:
        CheckpointError: a ``warm_start`` that is missing, damaged, or of another size.

    Chapter: 10.
    """
    torch.manual_seed(recipe.training.seed)  # the weights at the start
    network = CompactUNet(recipe.network)
    notes: Record = {"command": command}
    if batches is None:
        notes["mixing"] = asdict(recipe.mixing)
    if warm_start is not None:
        notes["before"] = _warm(network, warm_start)
    network = network.to(device, memory_format=torch.channels_last)
    model = ScoreModel(network, recipe.sde, recipe.preconditioning, recipe.sigma_range)
    return Trainer(
        model.to(device),
        Spectrogram(),
        batches or Mixer.bundled(recipe.mixing, device),
        recipe.training,
        folder,
        evaluation_set("valid", 24),
        notes,
    )


def train(
    recipe: recipes.Recipe,
    folder: str | Path,
    device: torch.device | str = "cpu",
    warm_start: str | Path | None = None,
    command: str = "",
) -> Iterator[Progress]:
    """Train a recipe on the bundled corpus, or go on where the folder's run stopped.

    Args:
        recipe, folder, device, warm_start, command: as for :func:`start`.

    Returns:
        One :class:`~edmse_lite.training.Progress` a step.

    Raises:
        TrainingError: a loss that is not finite, a full disk, or a folder whose run was made
            with other settings; CheckpointError: a bad ``warm_start``.

    Chapter: 10.
    """
    trainer = start(recipe, folder, device, warm_start, command=command)
    trainer.resume()
    return trainer.run()


def _warm(network: CompactUNet, warm_start: str | Path) -> Record:
    """Give a network the weights of a checkpoint; the record of these weights."""
    found = checkpoints.load(warm_start)
    if found.model.network.config != network.config:
        raise checkpoints.CheckpointError(
            f"{warm_start}: has a network {found.model.network.config}, but the recipe has "
            f"{network.config}; give a checkpoint of the same size"
        )
    network.load_state_dict(found.model.network.state_dict())
    return {**found.record, "sha256": found.sha256}
