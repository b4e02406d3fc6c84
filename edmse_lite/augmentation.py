"""Augmentation: other voices, other rooms and other noises, from the recordings that there are.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .spectrograms import SAMPLE_RATE

SPEEDS = (17, 18, 19, 20, 21, 22, 23, 24)
"""Speeds in twentieths, 0.85 ... 1.2: a voice played at another speed is another voice."""


def source_samples(samples: int) -> int:
    """Samples to read, so that the fastest speed still fills ``samples``."""
    return -(-samples * max(SPEEDS) // 20) + 64


def at_random_speed(crops: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Play each crop at one of :data:`SPEEDS`, pitch and all.

    Args:
        crops: waveforms, shape (B, T'), with T' = ``source_samples(samples)``.
        samples: length T of the result, samples.
        generator: source of the choice, on the CPU.

    Returns:
        Waveforms, shape (B, T).

    Chapter: 10.
    """
    from .resampling import torchaudio

    resample = torchaudio().functional.resample
    out = crops.new_empty(len(crops), samples)
    which = torch.randint(len(SPEEDS), (len(crops),), generator=generator)
    for index, speed in enumerate(SPEEDS):
        rows = (which == index).nonzero()[:, 0].to(crops.device)
        if len(rows):
            out[rows] = resample(crops[rows], speed, 20)[:, :samples]
    return out


def smooth_gain(knots: Tensor, bins: int) -> Tensor:
    """Gain over frequency, linear, from a few values in dB with straight lines between them.

    Args:
        knots: values at equal distances from 0 Hz to the Nyquist frequency, dB, shape (B, K).
        bins: number of frequencies.

    Returns:
        Shape (B, bins).

    Chapter: 10.
    """
    lines = torch.nn.functional.interpolate(
        knots[:, None], bins, mode="linear", align_corners=True
    )[:, 0]
    return 10 ** (lines / 20)


def equalise(waves: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Send each waveform through a random smooth filter, as another microphone or room would.

    Args:
        waves: waveforms, shape (B, T).
        spread: standard deviation of the gain at each of eight frequencies, dB.
        generator: source of the gains, on the CPU.

    Returns:
        Shape (B, T); each waveform keeps its root mean square.

    Chapter: 10.
    """
    knots = spread * torch.randn(len(waves), 8, generator=generator)
    gain = smooth_gain(knots, waves.shape[-1] // 2 + 1).to(waves.device)
    out = torch.fft.irfft(torch.fft.rfft(waves) * gain, waves.shape[-1])
    before, after = (w.square().mean(dim=-1, keepdim=True).sqrt() for w in (waves, out))
    return out * before / after.clamp_min(1e-8)


def coloured_noise(samples: int, generator: torch.Generator) -> Tensor:
    """Gaussian noise of a random smooth spectrum, shape (samples,), on the CPU."""
    white = torch.randn(samples, generator=generator)
    knots = 12 * torch.randn(1, 6, generator=generator)  # dB, over a linear axis
    drop = 40 * torch.rand(1, generator=generator)
    bins = samples // 2 + 1
    tilt = 10 ** (-drop * torch.linspace(0, 1, bins) / 20)
    shaped = torch.fft.rfft(white) * smooth_gain(knots, bins)[0] * tilt
    return torch.fft.irfft(shaped, samples)


def looped(wave: Tensor, samples: int) -> Tensor:
    """Repeat a recording, cross-faded over 50 ms, until it has so many samples.

    Args:
        wave: waveform at 16 kHz, shape (T,).
        samples: how many are wanted.

    Returns:
        Waveform, shape (T',), T' >= `samples`; a recording that is long enough as it is.

    Chapter: 2.
    """
    fade = min(SAMPLE_RATE // 20, len(wave) // 2)
    ramp = torch.linspace(0, torch.pi / 2, fade)
    out = wave
    while len(out) < samples:
        joint = out[len(out) - fade :] * ramp.cos() + wave[:fade] * ramp.sin()
        out = torch.cat([out[: len(out) - fade], joint, wave[fade:]])
    return out
