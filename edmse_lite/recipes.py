"""Named settings: what the Enhancer and the command line use unless told otherwise.

Chapter: 1 (A noisy recording, enhanced); 14 (EDM against PC, hands on) compares them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edmse_lite.grids import rho
from edmse_lite.mixing import MixingConfig
from edmse_lite.networks import UNetConfig
from edmse_lite.preconditioning import Preconditioning
from edmse_lite.processes import SDE
from edmse_lite.samplers import EDM, PC, Sampler
from edmse_lite.spectrograms import Spectrogram

MODEL = "compact"
"""The checkpoint that comes with the package."""

NEAR_THE_MEAN = rho(sigma_min=1.0, sigma_max=2.0)
"""The levels that a small model walks by default.

Chosen on the validation set. Levels this high leave little of the decision to chance: the result
is close to the conditional mean, which PESQ and SI-SDR reward. Chapter 1 walks all the way down.
"""

SAMPLER = EDM(steps=1, s_churn=math.inf, grid=NEAR_THE_MEAN)
"""The default asks the network once, at the highest level: an estimate of the mean of r given y."""

SPINS = 8
"""The Enhancer averages that over so many walks by default: eight calls in all.

Each walk hears the sound on another frame grid, every second one more slowly, half of both with
the sign turned. All of this was chosen on the validation set. The average is worth more than a walk
of twice the calls (chapter 14).
"""

LIMIT = 60.0
"""The default turns environmental noise down by at most so many dB: an attenuation limit.

Chosen on the validation set: PESQ rises, and DNSMOS falls by little (chapter 14 has both).
"""

FAST = EDM(steps=8, s_churn=math.inf, grid=NEAR_THE_MEAN)
"""One walk of 15 calls; models are validated with it."""

PREDICTOR_CORRECTOR = PC(steps=15, corrector_steps=1, snr=0.5, t_eps=0.8)
"""SGMSE's sampler over the same levels, one walk of 30 calls."""


def fitted(sampler: Sampler | None, sigma_range: tuple[float, float] | None) -> Sampler:
    """Return the sampler, or one over a model's own levels where the default ones are above.

    Args:
        sampler: None is :data:`SAMPLER`; only a walk of :data:`NEAR_THE_MEAN` is changed. Over all
            levels one call is too few: the default becomes a walk of 16 steps.
        sigma_range: lowest and highest level that the model was trained on; None is any.

    Chapter: 12 The EDM sampler.
    """
    asked = sampler or SAMPLER
    high = isinstance(asked, EDM) and asked.grid == NEAR_THE_MEAN
    if high and sigma_range and sigma_range[1] < NEAR_THE_MEAN.sigma_max * 0.99:
        return replace(asked, grid=rho(), steps=16 if sampler is None else asked.steps)
    return asked


def averaging(
    sampler: Sampler | None, walk: Sampler, spins: int | None = None, limit: float | None = None
) -> tuple[int, float]:
    """Walks to average and attenuation limit, dB; where None, those that belong to the walk.

    Args:
        sampler: what was asked for; None is the default, which has :data:`SPINS` and :data:`LIMIT`.
        walk: what :func:`fitted` made of it; a default that had to be changed has neither.
        spins, limit: what was asked for.

    Chapter: 14.
    """
    usual = sampler is None and walk == SAMPLER
    if spins is None:
        spins = SPINS if usual else 1
    if limit is None:
        limit = LIMIT if usual else math.inf
    return spins, limit


@dataclass(frozen=True)
class TrainingConfig:
    """How a score model is trained.

    Args:
        steps: optimiser steps of the whole run; the learning rate falls to zero over them.
        batch_size: mixtures a step.
        learning_rate: Adam's, at its highest.
        warmup: steps over which the learning rate rises from zero.
        ema: decay of the moving average of the weights, a step.
        clip: largest norm of the gradient.
        p_mean, p_std: ln sigma ~ N(p_mean, p_std^2) (Karras et al. 2022, table 1).
        t_min: if given, sigma = sigma(t) of the schedule with t ~ U(t_min, 1) in place of that
            (Richter et al. 2023; Gonzalez et al. 2024 use 0.01).
        seed: of everything random.
        precision: ``fp32``, ``bf16`` or ``fp16`` (the latter two by autocast).
        save_every, validate_every: steps between training states, between validations.
        validation_steps: EDM steps of a validation.

    Raises:
        ValueError: if a number is not positive or the precision is not known.

    Chapter: 10.
    """

    steps: int = 20_000
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup: int = 200
    ema: float = 0.999
    clip: float = 1.0
    p_mean: float = -1.5
    p_std: float = 1.2
    seed: int = 0
    precision: str = "fp32"
    save_every: int = 500
    validate_every: int = 2_000
    validation_steps: int = 8
    t_min: float | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16", "fp16"):
            raise ValueError(f"precision must be fp32, bf16 or fp16, got {self.precision!r}")
        whole = ("steps", "batch_size", "warmup", "save_every", "validate_every")
        for name in (*whole, "learning_rate", "clip", "p_std", "validation_steps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie in [0, 1), got {self.ema}")
        if self.t_min is not None and not 0 < self.t_min < 1:
            raise ValueError(f"t_min must lie in (0, 1), got {self.t_min}")

    def rate(self, step: int) -> float:
        """Learning rate of a step: a linear rise, then a cosine to zero."""
        rise = min(1.0, (step + 1) / self.warmup)
        fall = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / self.steps)).item())
        return self.learning_rate * rise * fall

    def decay(self, step: int) -> float:
        """Decay of the moving average at a step; short at first, then ``ema``."""
        return min(self.ema, (1 + step) / (10 + step))

    def draw_sigma(self, size: int, generator: torch.Generator, sde: SDE | None = None) -> Tensor:
        """Noise levels, shape (size,), on the CPU: log-normal, or those of uniform times.

        Args:
            size: how many.
            generator: source of randomness.
            sde: schedule of the times; only ``t_min`` needs one.

        Raises:
            ValueError: ``t_min`` without a schedule.
        """
        if self.t_min is None:
            return (self.p_mean + self.p_std * torch.randn(size, generator=generator)).exp()
        if sde is None:
            raise ValueError("t_min draws times: give the schedule that turns them into sigma")
        t = self.t_min + (1 - self.t_min) * torch.rand(size, generator=generator)
        return sde.sigma(t.double()).float()


@dataclass(frozen=True)
class Recipe:
    """All that makes a trained score model: run it with ``edmse train NAME``.

    Args:
        network: size of the network.
        sde: schedule, for samplers that walk in t and preconditionings that need it.
        preconditioning: with sigma_data, the root mean square of r, measured on the mixtures.
        sigma_range: lowest and highest noise level that a sampler asks for.
        mixing: what the training mixtures are like.
        training: how long and how.
        sampler: what it is validated with; it keeps to ``sigma_range``.
        spectrogram: what the network sees of a waveform.

    Chapter: 10.
    """

    network: UNetConfig
    sde: SDE
    preconditioning: Preconditioning
    sigma_range: tuple[float, float]
    mixing: MixingConfig
    training: TrainingConfig
    sampler: EDM = FAST
    spectrogram: Spectrogram = Spectrogram()
