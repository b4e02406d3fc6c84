"""The compact model that comes with the package: its nine runs of training, one after the other.

Each run begins with the weights of the one before. What differs between two runs stands here, and
nothing else; chapter 10 shows what each of them was worth.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edmse_lite.mixing import MixingConfig
from edmse_lite.networks import UNetConfig
from edmse_lite.preconditioning import Preconditioning
from edmse_lite.recipes import Recipe, TrainingConfig
from edmse_lite.sdes import VE


def _after(before: Recipe, mixing: dict[str, Any] | None = None, **training: Any) -> Recipe:
    """The next run: `before` with other mixtures, and another training."""
    return replace(
        before,
        mixing=replace(before.mixing, **(mixing or {})),
        training=replace(before.training, **training),
    )


COMPACT = Recipe(
    network=UNetConfig(channels=(48, 64, 80, 80, 80), stride=4, y_scale=9.0),
    sde=VE(sigma_min=0.05, sigma_max=2.0),
    preconditioning=Preconditioning.edm(sigma_data=0.0875),
    sigma_range=(0.01, 2.0),
    mixing=MixingConfig(seconds=2.0),
    training=TrainingConfig(steps=9_000, batch_size=6, p_mean=-1.7, validate_every=1_500),
)
"""The first run."""

REFINED = _after(
    COMPACT, {"equaliser": 4.0}, steps=11_000, learning_rate=8e-4, p_mean=-1.2, p_std=1.4, seed=1,
    validate_every=1_000,
)  # fmt: skip
"""More of the loss lies at high sigma, and random filters stand for other microphones and rooms."""

SETTLED = _after(
    REFINED, steps=10_000, learning_rate=5e-4, p_mean=-0.6, seed=2, validate_every=1_250
)
"""A lower rate, and still more of the loss at the levels that the default sampler walks."""

FOCUSED = _after(SETTLED, p_mean=0.3, seed=3)
"""Nine in ten draws of sigma lie above 0.2, where y says more than the state."""

VARIED = _after(
    FOCUSED, {"formants": 0.15, "slowest": 10}, steps=8_400, seed=4, validate_every=1_050
)
"""More voices and noises than were recorded: formants move apart from the pitch, and noises are
played at down to half their speed."""

SPREAD = _after(VARIED, {"formants": 0.3}, steps=6_000, seed=5, validate_every=1_000)
"""Formants move twice as far."""

TURNED = _after(
    SPREAD, {"slowest_voice": 15, "flipped": 0.5}, steps=8_000, learning_rate=4e-4, ema=0.9995,
    seed=6,
)  # fmt: skip
"""Voices are played at down to three quarters of their speed, half of them with the other sign."""

LONG = _after(TURNED, {"formants": 0.15}, steps=20_000, seed=7)
"""Formants move as before, and the run is the longest."""

AGAIN = _after(LONG, seed=8, precision="bf16", validate_every=2_500)
"""The same with other draws, and in half precision, which is faster."""

RECIPES = {
    "compact": COMPACT,
    "compact-refined": REFINED,
    "compact-settled": SETTLED,
    "compact-focused": FOCUSED,
    "compact-varied": VARIED,
    "compact-spread": SPREAD,
    "compact-turned": TURNED,
    "compact-long": LONG,
    "compact-again": AGAIN,
}
"""What ``edmse train NAME`` knows of them, first run first."""
