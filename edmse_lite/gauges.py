"""What this machine does: a training step, and reading pairs from shards, measured in seconds.

Chapter: 10 (The compact score model, trained on a GPU); "How long will it take?" uses it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from .corpora import Corpus, Pair
from .denoisers import ScoreModel
from .feeds import ShardBatches
from .mixing import Mixer
from .networks import CompactUNet
from .profiling import Profile, profile
from .recipes import Recipe
from .shards import pack
from .sources import Shards
from .training import Trainer


def step_here(
    recipe: Recipe, batch: int, steps: int = 3, device: torch.device | str = "cpu"
) -> Profile:
    """Profile of a few training steps in fp32, on mixtures of some bundled recordings.

    Args:
        recipe: what to train; nothing is kept.
        batch: mixtures a step.
        steps: to measure, see :func:`edmse_lite.profiling.profile`.
        device: where.

    Chapter: 10.
    """
    clips = Corpus.bundled().where(split="valid")
    speech, noises = (list(clips.where(kind=kind))[:8] for kind in ("speech", "noise"))
    audio = [[clip.audio() for clip in some] for some in (speech, noises)]
    network = CompactUNet(recipe.network).to(device, memory_format=torch.channels_last)
    model = ScoreModel(network, recipe.sde, recipe.preconditioning, recipe.sigma_range)
    config = replace(recipe.training, batch_size=batch, precision="fp32")
    mixer = Mixer(*audio, recipe.mixing, device)
    with TemporaryDirectory() as folder:
        trainer = Trainer(model.to(device), recipe.spectrogram, mixer, config, folder)
        return profile(trainer, steps)


def shard_speed(pairs: Sequence[Pair], seconds: float = 2.0, batches: int = 6) -> float:
    """Audio-seconds a second that one process reads from shards on this disk, decoding included.

    The shards were just written, so they come from the system's cache and not from the disk.

    Args:
        pairs: written to shards in a temporary folder, and read again.
        seconds: length of a crop, s; the whole pair is decoded for it.
        batches: of eight crops, after one that is not timed.

    Raises:
        ShardError: no pair, or a disk that is full.

    Chapter: 10.
    """
    with TemporaryDirectory() as folder:
        pack(pairs, Path(folder) / "shards")
        source = ShardBatches(Shards.at(Path(folder) / "shards"), seconds, workers=0)
        draw = torch.Generator().manual_seed(0)
        source.batch(8, draw)
        started = time.perf_counter()
        for _ in range(batches):
            source.batch(8, draw)
        return 8 * batches * seconds / (time.perf_counter() - started)
