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


def at_random_speed(
    crops: Tensor, samples: int, generator: torch.Generator, slowest: int = min(SPEEDS)
) -> Tensor:
    """Play each crop at one of :data:`SPEEDS`, pitch and all.

    Args:
        crops: waveforms, shape (B, T'), with T' = ``source_samples(samples)``.
        samples: length T of the result, samples.
        generator: source of the choice, on the CPU.
        slowest: lowest speed, twentieths; the speeds from there to the fastest are as likely.

    Returns:
        Waveforms, shape (B, T).

    Chapter: 10.
    """
    from .resampling import torchaudio

    resample = torchaudio().functional.resample
    out = crops.new_empty(len(crops), samples)
    speeds = range(slowest, max(SPEEDS) + 1)
    which = torch.randint(len(speeds), (len(crops),), generator=generator)
    for index, speed in enumerate(speeds):
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
    return _with_level_of(out, waves)


def move_formants(voices: Tensor, factors: Tensor) -> Tensor:
    """Stretch the spectral envelope of each voice and leave its pitch: another length of throat.

    The envelope of a frame is its log magnitude, less what repeats within 500 Hz of frequency
    (quefrency above 2 ms): the harmonics stay where they are and take the gain of the stretched
    envelope. Jaitly and Hinton (2013) so stretch the frequencies of a recogniser's features.

    Args:
        voices: waveforms at 16 kHz, shape (B, T), T above 256.
        factors: what the formants of each are multiplied by, near 1, shape (B,).

    Returns:
        Shape (B, T); each waveform keeps its root mean square.

    Chapter: 10.
    """
    window = torch.hann_window(512, device=voices.device)
    bins = torch.stft(voices, 512, 128, window=window, return_complex=True)  # (B, 257, N)
    cepstrum = torch.fft.irfft(bins.abs().clamp_min(1e-5).log(), dim=1)  # (B, 512, N)
    cepstrum[:, 32:-31] = 0
    envelope = torch.fft.rfft(cepstrum, dim=1).real
    source = (torch.arange(257) / factors.cpu()[:, None]).to(voices.device)[:, :, None]
    low = source.floor().clamp(max=255)
    part = (source - low).clamp(max=1)
    low = low.long().expand_as(envelope)
    moved = envelope.gather(1, low) * (1 - part) + envelope.gather(1, low + 1) * part
    gain = (moved - envelope).clamp(-3.5, 3.5).exp()  # 30 dB at most
    out = torch.istft(gain * bins, 512, 128, window=window, length=voices.shape[-1])
    return _with_level_of(out, voices)


def _with_level_of(waves: Tensor, others: Tensor) -> Tensor:
    after, before = (w.square().mean(dim=-1, keepdim=True).sqrt() for w in (waves, others))
    return waves * before / after.clamp_min(1e-8)


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
