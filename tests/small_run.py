"""`edmse train compact` on a network that takes seconds: `python tests/small_run.py FOLDER ...`.

Each argument is a folder, with options of `edmse train` behind it. A launcher may start several of
these processes. DIE_AT=n kills the one that writes files, while it writes its n-th state;
DIE_IN=n kills each process within the n-th step, after its gradient and before its update.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from edmse_lite import (
    Corpus,
    Mixer,
    MixingConfig,
    UNetConfig,
    compact,
    parallel,
    recipes,
    runs,
    training,
)
from edmse_lite.cli import main
from edmse_lite.corpora import Pair
from edmse_lite.shards import pack

RECIPE = replace(
    compact.COMPACT,
    network=UNetConfig(channels=(8, 16), embedding=16),
    mixing=MixingConfig(seconds=0.5),
    training=recipes.TrainingConfig(
        steps=6, batch_size=6, warmup=2, save_every=1, validate_every=100
    ),
)


def small_mixer(config: MixingConfig = RECIPE.mixing, device: str = "cpu") -> Mixer:
    """Mixtures of a few recordings of the validation split."""
    clips = Corpus.bundled().where(split="valid")
    speech = clips.where(kind="speech", language="fr").audio()[:20]
    return Mixer(speech, clips.where(kind="noise").audio()[:4], config, device)


def small_shards(folder: Path, bad: tuple[str, ...] = ("p03", "p07")) -> list[Path]:
    """Pack fourteen pairs, and damage the sound of some of them."""
    generator = torch.Generator().manual_seed(0)
    waves = torch.randint(-9_000, 9_000, (15, 9_000), generator=generator) / 32_768
    pairs = [Pair(f"p{i:02}", waves[i], waves[i] + waves[i + 1] / 2) for i in range(14)]
    paths = [folder / shard.name for shard in pack(pairs, folder, 0.2)]
    for path in paths:
        data = bytearray(path.read_bytes())
        for key in bad:
            place = data.find(f"{key}.clean.flac".encode())
            if place >= 0:
                data[place + 512 + 400] ^= 1  # one bit, behind the header of the tar file
        path.write_bytes(data)
    return paths


written = []


def save_or_die(state, target, save=torch.save, **how) -> None:
    save(state, target, **how)
    if isinstance(target, Path):  # not what goes to the other processes
        written.append(target)
        if len(written) == int(os.environ.get("DIE_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)  # before the state has its name


def update_or_die(self, update=training.Trainer.update) -> None:
    if self.step + 1 == int(os.environ.get("DIE_IN", 0)):
        os.kill(os.getpid(), signal.SIGKILL)
    update(self)


def small(team: parallel.Alone, losses: list[float]) -> None:
    """Let the command train the small recipe, with this team, and note the losses."""

    def take_step(self, take=training.Trainer.take_step):
        loss, norm = take(self)
        losses.append(loss)
        return loss, norm

    torch.save = save_or_die
    training.Trainer.take_step = take_step
    training.Trainer.update = update_or_die
    runs.evaluation_set = lambda *_: ()
    Mixer.bundled = classmethod(lambda cls, config, device: small_mixer(config, device))
    compact.RECIPES["compact"] = RECIPE
    parallel.join = lambda device: team
    team.leave = lambda: None  # one team for all of the runs


if __name__ == "__main__":
    team, losses = parallel.join("cpu"), []
    leave = team.leave
    small(team, losses)
    for argument in sys.argv[1:]:
        folder, *options = argument.removeprefix("!").split()
        losses.clear()
        words = ["train", "compact", "--device", "cpu", "--out", folder, *options]
        assert main(words) == (2 if argument.startswith("!") else 0)
        if team.first:
            print(json.dumps({"out": os.path.basename(folder), "losses": losses}), flush=True)
    assert team.size > 1 or "accelerate" not in sys.modules  # alone, a process does not need it
    leave()
