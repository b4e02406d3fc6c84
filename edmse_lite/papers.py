"""Recipes with the paper's settings at its scale, and where each setting comes from.

Two systems of Gonzalez et al. 2024 (arXiv 2312.04370): SGMSE+ as they ran it, and their best
design. The settings are those of the authors' released configuration (github.com/philgzl/brever,
``config/models/sgmsep.yaml`` and ``sgmsepmheun.yaml``), not of the article's text.

The network is ours: :class:`~edmse_lite.networks.CompactUNet` with the levels and widths of theirs,
and blocks and embedding such that it has about as many parameters. It is not NCSN++: no attention,
no anti-aliasing filters, no progressive inputs, and another number of operations.

Chapter: 10 (The compact score model, trained on a GPU); "How long will it take?" uses them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edmse_lite.grids import uniform_t
from edmse_lite.mixing import MixingConfig
from edmse_lite.networks import UNetConfig
from edmse_lite.preconditioning import Preconditioning
from edmse_lite.processes import SDE
from edmse_lite.recipes import Recipe, TrainingConfig
from edmse_lite.samplers import EDM
from edmse_lite.sdes import Cosine, RichterOUVE
from edmse_lite.spectrograms import Spectrogram

PASSES = 100
"""Epochs of the released configuration."""

VOICEBANK_HOURS = 8.8
"""Hours that VoiceBank-DEMAND trains on: 10,802 of 11,572 utterances (9.4 h), without the voices
p226 and p287. Source: github.com/XiaoyuBIE1994/AudioDataset; the archives themselves are described
at doi 10.7488/ds/2117."""

PARAMETERS = {"sgmse": 65_590_694, "edm": 27_756_186}
"""Of the paper's networks, NCSN++ and NCSN++M, counted on the authors' code."""

SPECTROGRAM = Spectrogram(n_fft=512, hop=128, factor=0.15, exponent=0.5)
"""The transform; ours takes the root of the Hann window on both sides, theirs the window."""

MIXING = MixingConfig(
    seconds=255 * 128 / 16_000, snr_min=-5.0, snr_max=10.0, babble=0.0, coloured=0.0,
    second_noise=2 / 3,
)  # fmt: skip
"""256 frames. The rest counts only where recordings are mixed on the fly: of one to three sources
of environmental noise we take one or two, and there are no rooms."""

_BATCH = round(32 / MIXING.seconds)

TRAINING = TrainingConfig(
    steps=1_000 * round(PASSES * VOICEBANK_HOURS * 3.6 / (_BATCH * MIXING.seconds)),
    batch_size=_BATCH, learning_rate=1e-4, warmup=1, ema=0.999, clip=1e3, precision="fp16",
    save_every=2_000, validate_every=9_700, validation_steps=16, t_min=0.01,
)  # fmt: skip
"""100 epochs of VoiceBank-DEMAND. The clip is too high to matter: theirs has none."""

SIGMA_DATA = 0.1  # theirs, for their level; on your data, measure it as the rms of x0 - y


def _system(sde: SDE, preconditioning: Preconditioning, network: UNetConfig) -> Recipe:
    sampler = EDM(TRAINING.validation_steps, math.inf, grid=uniform_t())
    return Recipe(
        network, sde, preconditioning, sde.sigma_range, MIXING, TRAINING, sampler, SPECTROGRAM
    )


SYSTEMS = {
    "sgmse": _system(
        RichterOUVE(stiffness=1.5, sigma_min=0.05, sigma_max=0.5),
        Preconditioning.richter(SIGMA_DATA),
        UNetConfig((128, 128, 256, 256, 256, 256, 256), 4, stride=1, embedding=712, y_scale=9.0),
    ),
    "edm": _system(
        Cosine(stiffness=0.0, shift=3.0),
        Preconditioning.edm(SIGMA_DATA),
        UNetConfig((128, 256, 256, 256), 3, stride=1, embedding=768, y_scale=9.0),
    ),
}
"""SGMSE+'s design with about 65 million parameters, and the paper's best with about 28 million;
``edmse train paper/NAME`` trains one."""


@dataclass(frozen=True)
class Setting:
    """One setting: what the paper has, what the recipe has, and how sure the first is.

    Args:
        name: what is set.
        theirs: value of the paper.
        ours: value of the recipe; empty for the same.
        source: ``config``: the authors' released configuration; ``code``: their released code.

    Chapter: 10.
    """

    name: str
    theirs: str
    ours: str = ""
    source: str = "config"

    @property
    def same(self) -> bool:
        """Whether the recipe has the paper's value."""
        return not self.ours


SETTINGS = (
    Setting("STFT", "512 samples, hop 128, no Nyquist bin"),
    Setting("window", "Hann", "its square root, on both sides"),
    Setting("compression", "0.15 |X|^0.5"),
    Setting("level", "max |y| = 1", "rms of y = 0.1", "code"),
    Setting("schedule", "SGMSE+: Richter's OUVE, γ = 1.5, 0.05 … 0.5; best: cosine, γ = 0, ν = 3"),
    Setting("preconditioning", "SGMSE+: Richter; best: EDM, c_shift = 0"),
    Setting("σ_d", "0.1"),
    Setting("times", "t ~ U(0.01, 1)"),
    Setting("batch", "whole utterances, 32 s together", "16 crops of 2.04 s, 32.6 s together"),
    Setting("length", "100 epochs", "the steps of 100 epochs of VoiceBank-DEMAND"),
    Setting("optimiser", "Adam, 1e-4", "Adam, 1e-4 falling to 0 as a cosine, β₂ = 0.99"),
    Setting("clipping", "none", "at a norm of 1,000: none in practice", "code"),
    Setting("moving average", "0.999", "0.999, shorter in the first steps"),
    Setting("precision", "fp16, mixed"),
    Setting("network", "SGMSE+: NCSN++; best: NCSN++M", "a U-Net of that size"),
    Setting("sampler", "SGMSE+: PC; best: EDM, 16 steps, uniform t, full churn",
            "both validate with EDM"),
)  # fmt: skip
"""What the recipes take from the paper's configuration, and what not."""
