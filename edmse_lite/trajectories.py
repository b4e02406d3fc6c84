"""One walk of the trained model over a short clip, step by step: what the lab of chapter 14 shows.

Chapter: 14 EDM against PC, hands on.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from . import metrics
from .bridges import BBCD
from .curves import WHOLE_EDM, WHOLE_PC
from .enhancement import Enhancer
from .evaluation_sets import evaluation_set
from .mixing import mix
from .processes import SDE
from .recipes import FAST, NEAR_THE_MEAN, PREDICTOR_CORRECTOR
from .samplers import EDM, PC
from .sdes import VE, RichterOUVE
from .spectrograms import SAMPLE_RATE, level

SAMPLES = 2 * SAMPLE_RATE - 256
"""Length of a clip: 2 s less one hop, so that the network's strides fit."""

CLIPS = {"water, English": 40, "rain, French": 13, "wind, Italian": 19}
"""Clips by environmental noise and language; numbers of pairs of the set *matched*."""

SCHEDULES: dict[str, SDE] = {
    "VE": VE(0.05, 2.0),
    "OUVE, Richter's": RichterOUVE(),
    "BBCD, a bridge": BBCD(0.06),
}
"""Schedules whose levels the compact model knows: σ(1) lies between 1.7 and 2."""

WALKS = {"high levels": NEAR_THE_MEAN.sigma_min, "all levels": WHOLE_EDM.grid.sigma_min}
"""Lowest level of each walk: the default of the Enhancer, and nearly all the way down."""


@dataclass(frozen=True)
class Setting:
    """Everything that decides a walk.

    Args:
        clip: a name in `CLIPS`.
        mixture_snr: dB.
        sampler: ``EDM`` or ``PC``.
        steps: N.
        s_churn: of EDM, 0 to infinity.
        r_corr: of PC.
        schedule: a name in `SCHEDULES`; EDM walks in σ and does not read it.
        walk: a name in `WALKS`.
        seed: of the diffusion noise.

    Raises:
        ValueError: a name that is not known.

    Chapter: 14.
    """

    clip: str = "water, English"
    mixture_snr: float = 5.0
    sampler: str = "EDM"
    steps: int = 8
    s_churn: float = math.inf
    r_corr: float = 0.5
    schedule: str = "VE"
    walk: str = "high levels"
    seed: int = 0

    def __post_init__(self) -> None:
        known = {"clip": CLIPS, "schedule": SCHEDULES, "walk": WALKS, "sampler": ("EDM", "PC")}
        for name, values in known.items():
            if getattr(self, name) not in values:
                listed = ", ".join(values)
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {listed}")

    @property
    def built(self) -> EDM | PC:
        """The sampler with these settings, from the schedule's level at t = 1 down for PC."""
        if self.sampler == "EDM":
            grid = NEAR_THE_MEAN if self.walk == "high levels" else WHOLE_EDM.grid
            return replace(FAST, steps=self.steps, s_churn=self.s_churn, grid=grid)
        if self.schedule == "VE":  # the samplers of the study
            found = PREDICTOR_CORRECTOR if self.walk == "high levels" else WHOLE_PC
        else:
            t = float(SCHEDULES[self.schedule].sigma_inv(WALKS[self.walk]))
            found = replace(PREDICTOR_CORRECTOR, t_eps=t)
        return replace(found, steps=self.steps, snr=self.r_corr)


@dataclass(frozen=True)
class Reading:
    """One step of a walk.

    Args:
        index: 0 … N−1.
        nfe: calls so far.
        sigma: level at which the denoiser was asked.
        wave: the estimate of the clean clip at this step, shape (T,).
        si_sdr: of the estimate, dB.
        seconds: since the walk began, with its scores.

    Chapter: 14.
    """

    index: int
    nfe: int
    sigma: float
    wave: Tensor
    si_sdr: float
    seconds: float


@dataclass(frozen=True)
class Material:
    """A clip: clean and noisy waveform, (T,), and what is said in the whole recording.

    Chapter: 14.
    """

    clean: Tensor
    noisy: Tensor
    text: str


@cache
def material(clip: str, mixture_snr: float) -> Material:
    """Mix a clip of two seconds at a mixture SNR in dB.

    Chapter: 14.
    """
    pair = evaluation_set("matched", 48)[CLIPS[clip]]
    clean, noise = (w[:SAMPLES] for w in (pair.clean, pair.noisy - pair.clean))
    return Material(clean, mix(clean, noise, mixture_snr), pair.text)


@cache
def compact() -> Enhancer:
    """The compact model on the CPU, loaded once.

    Chapter: 14.
    """
    return Enhancer.from_pretrained("compact", device="cpu")


def walk(setting: Setting, enhancer: Enhancer | None = None) -> Iterator[Reading]:
    """Enhance a clip, and yield a reading a step.

    Args:
        setting: what to do.
        enhancer: model and transform; default the compact model. Its sampler is not read.

    Chapter: 14.
    """
    model, clip = enhancer or compact(), material(setting.clip, setting.mixture_snr)
    scale, transform = level(clip.noisy), model.spectrogram
    started = time.perf_counter()
    y = transform.forward((clip.noisy / scale)[None])  # (1, 1, F, L)
    generator = torch.Generator().manual_seed(setting.seed)
    steps = setting.built.iterate(model.denoiser, SCHEDULES[setting.schedule], y, generator)
    for step in steps:
        wave = scale * transform.inverse(step.x0_hat, SAMPLES)[0]
        score = metrics.si_sdr(clip.clean, wave)
        spent = time.perf_counter() - started
        yield Reading(step.index, step.nfe, step.sigma, wave, score, spent)


def scores(setting: Setting, wave: Tensor) -> dict[str, float]:
    """PESQ, ESTOI and SI-SDR of a result; NaN where one is not defined.

    Args:
        setting: says which clip.
        wave: the result, shape (T,).

    Chapter: 14.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        clean = material(setting.clip, setting.mixture_snr).clean
        return dict(metrics.evaluate(clean, wave, ["pesq", "estoi", "si_sdr"]))
