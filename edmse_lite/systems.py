"""Whatever enhances is a system: the noisy recording, two baselines, a checkpoint with a sampler.

Chapter: 1 A noisy recording, enhanced; 14 EDM against PC, hands on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from . import baselines, checkpoints
from .enhancement import Enhancer
from .grids import RhoGrid
from .preconditioning import CHOICES, Preconditioning
from .samplers import EDM, PC
from .sdes import VE
from .spectrograms import SAMPLE_RATE
from .spins import SPEEDS

HASH_DIGITS = 12
"""Digits of a SHA-256 that a table shows."""


@dataclass(frozen=True)
class System:
    """Something that enhances, and the settings that tell it from others.

    Args:
        name: in tables; unique in a study.
        enhance: maps a noisy waveform (T,) and a seed to an enhanced one (T,). It must be
            picklable, so that processes can share the work: a function of a module, or a
            dataclass with ``__call__``.
        checkpoint: first digits of the SHA-256 of the weights, empty if there are none.
        schedule, preconditioning, sampler: settings in words, empty if there are none.
        steps: N of the sampler, 0 if there is none.
        nfe: calls of the network for one clip.

    Chapter: 3.
    """

    name: str
    enhance: Callable[[Tensor, int], Tensor]
    checkpoint: str = ""
    schedule: str = ""
    preconditioning: str = ""
    sampler: str = ""
    steps: int = 0
    nfe: int = 0

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another result: only samplers draw noise."""
        return bool(self.sampler)


@dataclass(frozen=True)
class Trained:
    """A checkpoint with a sampler, as a function that :class:`System` can hold.

    Args:
        checkpoint: name or folder.
        sampler: walks down the noise.
        device: where it runs.
        spins: walks to average.
        limit: attenuation limit, dB.

    Chapter: 3.
    """

    checkpoint: str
    sampler: EDM | PC
    device: str = "cpu"
    spins: int = 1
    limit: float = math.inf

    def __call__(self, noisy: Tensor, seed: int) -> Tensor:
        """Enhance (T,) to (T,) by the library's own :class:`edmse_lite.enhancement.Enhancer`."""
        enhancer = _enhancer(self.checkpoint, self.sampler, self.device, self.spins, self.limit)
        return enhancer(noisy, SAMPLE_RATE, seed)


@cache
def _enhancer(
    checkpoint: str, sampler: EDM | PC, device: str, spins: int, limit: float
) -> Enhancer:
    return Enhancer.from_pretrained(checkpoint, sampler, device, spins, limit)


def noisy(wave: Tensor, seed: int) -> Tensor:
    """Do nothing: the scores of the noisy recording itself; (T,) to (T,)."""
    return wave


def spectral_gating(wave: Tensor, seed: int) -> Tensor:
    """Spectral gating, see ``baselines``; (T,) to (T,)."""
    return baselines.spectral_gating(wave)


def rnnoise(wave: Tensor, seed: int) -> Tensor:
    """RNNoise with its delay taken off, see ``baselines``; (T,) to (T,)."""
    return baselines.rnnoise(wave)


def count_calls(sampler: EDM | PC) -> int:
    """NFE of a sampler, counted in a run: 2N - 1 for EDM, N (1 + corrector steps) for PC.

    Chapter: 12.
    """
    y = torch.zeros(1, 1, 1, 1, dtype=torch.complex64)
    return sampler(lambda x_tilde, y, sigma: 0 * x_tilde, VE(), y).nfe


def describe(sampler: EDM | PC) -> str:
    """Sampler in words, without its steps; for a column of a table.

    Chapter: 12.
    """
    if isinstance(sampler, EDM):
        grid = "" if sampler.grid == RhoGrid() else f" {sampler.grid}"
        usual = EDM()
        other = [name for name in ("s_min", "s_max", "s_noise")
                 if getattr(sampler, name) != getattr(usual, name)]  # fmt: skip
        more = "".join(f" {name.capitalize()}={getattr(sampler, name):g}" for name in other)
        return f"EDM S_churn={sampler.s_churn:g}{more}{grid}"
    moves = f"corrector={sampler.corrector_steps} snr={sampler.snr:g}"
    return f"PC {moves} t_eps={sampler.t_eps:g} last={sampler.last}"


def name_of(sampler: EDM | PC, spins: int = 1, limit: float = math.inf) -> str:
    """Name in tables: ``EDM, 8 steps``, or ``EDM, 8 × 2 steps, 60 dB`` for eight walks to a limit.

    Chapter: 14.
    """
    walks = f"{spins} × " if spins > 1 else ""
    steps = f"{sampler.steps} step{'s' * (sampler.steps > 1)}"
    end = f", {limit:g} dB" if limit < math.inf else ""
    return f"{type(sampler).__name__}, {walks}{steps}{end}"


def name_preconditioning(chosen: Preconditioning) -> str:
    """One word if all coefficients come from one column of the table, else each with its column.

    Chapter: 9.
    """
    columns = {name: getattr(chosen, name) for name in CHOICES}
    if len(set(columns.values())) == 1:
        return columns["c_skip"]
    return " ".join(f"{name}={column}" for name, column in columns.items())


def _of_spins(spins: int) -> str:
    speeds = ",".join(f"{float(speed):g}" for speed in SPEEDS)
    return f" spins={spins} speeds={speeds} signs=1,-1" if spins > 1 else ""


def trained(
    checkpoint: str | Path,
    sampler: EDM | PC,
    spins: int = 1,
    limit: float = math.inf,
    name: str = "",
    device: str = "cpu",
) -> System:
    """System of a checkpoint with a sampler.

    Args:
        checkpoint: name or folder.
        sampler: walks down the noise.
        spins: walks to average.
        limit: attenuation limit, dB.
        name: in tables; default for example ``EDM, 8 steps``, or ``EDM, 8 × 2 steps``.
        device: where it runs.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.

    Chapter: 14.
    """
    found = checkpoints.load(checkpoint)
    after = _of_spins(spins) + f" limit={limit:g}" * (limit < math.inf)
    return System(
        name or name_of(sampler, spins, limit),
        Trained(str(checkpoint), sampler, device, spins, limit),
        found.sha256[:HASH_DIGITS],
        type(found.model.sde).__name__,
        name_preconditioning(found.model.preconditioning),
        describe(sampler) + after,
        sampler.steps,
        spins * count_calls(sampler),
    )


NOISY = System("Noisy", noisy)
GATING = System("Spectral gating", spectral_gating)
RNNOISE = System("RNNoise", rnnoise)
BASELINES = (NOISY, GATING, RNNOISE)
"""What a score model has to beat: nothing at all, and two programs that many people use."""
