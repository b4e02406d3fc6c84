"""Many clean answers to one recording: draw them, average them, see and hear where they differ.

Chapter: 4 Many clean answers to one recording.

A walk over all levels gives one draw of what the recording may have been.  One call of the denoiser
at the highest level gives the mean of all draws, as far as the model knows it.
"""

from __future__ import annotations

import base64
import math

import torch
from torch import Tensor

from .enhancement import Enhancer
from .grids import rho
from .processes import noise_like
from .samplers import EDM, Sampler
from .spectrograms import SAMPLE_RATE, Spectrogram, level

WALK = EDM(steps=8, s_churn=math.inf, grid=rho(sigma_min=0.01, sigma_max=1.5))
"""A walk down to the lowest level, unlike the default sampler's: 15 calls, and a real draw."""

BINS, FRAMES = 8, 2
"""A cell of the map: bins (250 Hz together) and hops (32 ms together) of the spectrogram."""

FLOOR = -50.0
"""dB below the loudest cell at which levels fade out: silence is no disagreement."""

STEP = 0.25
"""dB between two levels that a page holds."""

EDGE, LOW = 4, 2
"""Columns at both ends, and lowest rows, that :func:`extremes` leaves out: half a piece; 500 Hz."""

PIECE, FADE, WIDTH = 0.2, 0.02, 250.0
"""What a tap plays: seconds, seconds of fade, and Hz, the width of its Gaussian band."""


@torch.no_grad()
def draw(
    enhancer: Enhancer,
    noisy: Tensor,
    count: int,
    generator: torch.Generator,
    sampler: Sampler = WALK,
) -> Tensor:
    """Draw several clean answers to each recording, all in one batch.

    Args:
        enhancer: its denoiser, schedule and spectrogram are used.
        noisy: recordings at 16 kHz, shape (B, T), short ones: seconds, not minutes.
        count: K ≥ 1 answers each.
        generator: carries all randomness.
        sampler: walks down the levels.

    Returns:
        Waveforms, shape (B, K, T).

    Raises:
        ValueError: another shape, or a count below 1.

    Chapter: 4 Many clean answers to one recording.
    """
    if noisy.ndim != 2 or count < 1:
        raise ValueError(
            f"draw: found noisy {tuple(noisy.shape)} and count {count}, expected (B, T) and "
            "count >= 1: one recording is noisy[None]"
        )
    scale, transform = level(noisy), enhancer.spectrogram
    y = transform.forward(noisy / scale).repeat_interleave(count, 0)  # (B K, 1, F, L) complex
    last = sampler(enhancer.denoiser, enhancer.sde, y, generator=generator)
    waves = transform.inverse(last.x0_hat, noisy.shape[1])  # (B K, T)
    return waves.reshape(len(noisy), count, -1) * scale[:, None]


@torch.no_grad()
def best_guess(enhancer: Enhancer, noisy: Tensor, generator: torch.Generator) -> Tensor:
    """Return the model's conditional mean: y + D at the highest level, one call.

    There x̃ is nearly all diffusion noise, so that D hardly depends on it.  The mean is one of
    compressed spectrograms, taken back to sound.

    Args:
        enhancer: as for :func:`draw`; its denoiser needs a ``sigma_range``.
        noisy: recordings at 16 kHz, shape (B, T).
        generator: carries all randomness.

    Returns:
        Waveforms, shape (B, T).

    Chapter: 4 Many clean answers to one recording.
    """
    scale, transform = level(noisy), enhancer.spectrogram
    y = transform.forward(noisy / scale)  # (B, 1, F, L) complex
    highest = torch.tensor(enhancer.denoiser.sigma_range[1], dtype=torch.float64)
    d = enhancer.denoiser(float(highest) * noise_like(y, generator), y, highest)
    return transform.inverse(y + d, noisy.shape[1]) * scale


def levels(waves: Tensor, transform: Spectrogram | None = None) -> Tensor:
    """Levels of waveforms in cells of 250 Hz × 32 ms, dB re the loudest cell of all.

    10 log10(p + p_floor) with p the mean power of a cell and p_floor 50 dB below the loudest: a
    level fades out there, and does not run to −∞ in pauses.

    Args:
        waves: waveforms at 16 kHz, shape (K, T).
        transform: STFT to use; its magnitudes are taken before compression.

    Returns:
        Levels, shape (K, F / 8, L / 2), whole multiples of 0.25 dB.

    Chapter: 4 Many clean answers to one recording.
    """
    power = (transform or Spectrogram()).stft(waves.double()).abs().square()  # (K, 1, F, L)
    power = torch.nn.functional.avg_pool2d(power, (BINS, FRAMES))[:, 0]
    power = power / power.max()
    return (10 * (power + 10 ** (FLOOR / 10)).log10() / STEP).round() * STEP


def disagreement(levels: Tensor) -> Tensor:
    """Return the standard deviation of levels over the first axis, dB, divided by K, not K − 1.

    Args:
        levels: from :func:`levels`, shape (K, rows, columns).

    Chapter: 4 Many clean answers to one recording.
    """
    return levels.std(0, correction=0)


def extremes(levels: Tensor, loud: float = -20.0) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the cell (row, column) of the largest disagreement, and the loud one of the smallest.

    The first and last four columns, 128 ms, do not take part, nor the lowest two rows, which a
    phone hardly plays.

    Args:
        levels: from :func:`levels`, shape (K, rows, columns).
        loud: mean level from which a cell counts as loud, dB.

    Chapter: 4 Many clean answers to one recording.
    """
    spread, columns = disagreement(levels), levels.shape[2]
    inside = torch.zeros_like(spread, dtype=torch.bool)
    inside[LOW:, EDGE : columns - EDGE] = True
    audible = inside & (levels.mean(0) >= loud)
    most = int(spread.masked_fill(~inside, -1.0).argmax())
    least = int(spread.masked_fill(~audible, math.inf).argmin())
    return divmod(most, columns), divmod(least, columns)


def insight(samples: Tensor, clean: Tensor) -> float:
    """Does a model know where it is wrong?  Rank correlation of disagreement and error, −1 … 1.

    Over the cells of the map: the disagreement of K samples, and how far the level of their mean
    lies from that of the clean recording, dB.

    Args:
        samples: waveforms at 16 kHz, shape (K, T).
        clean: the true one, shape (T,).

    Chapter: 4 Many clean answers to one recording.
    """
    error = levels(torch.stack([samples.mean(0), clean])).diff(dim=0).abs()
    doubt = disagreement(levels(samples))
    ranks = [each.flatten().argsort().argsort().double() for each in (doubt, error)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def place(cell: tuple[int, int]) -> tuple[float, float]:
    """Return the middle of a cell of the map: seconds and Hz.

    Args:
        cell: row and column.

    Chapter: 4 Many clean answers to one recording.
    """
    row, column = cell
    hop, bin_width = 256 / SAMPLE_RATE, SAMPLE_RATE / 512  # s, Hz; frames are centred
    seconds = (FRAMES * column + (FRAMES - 1) / 2) * hop
    return seconds, (BINS * row + (BINS - 1) / 2) * bin_width


def packed(levels: Tensor) -> dict[str, object]:
    """Return levels as a page holds them: one byte a cell, base64, and what unpacks it.

    Args:
        levels: from :func:`levels`, shape (K, rows, columns).

    Chapter: 4 Many clean answers to one recording.
    """
    count, rows, columns = levels.shape
    lowest = float(levels.min())
    data = ((levels - lowest) / STEP).round().to(torch.uint8).numpy().tobytes()
    shape = {"count": count, "rows": rows, "columns": columns}
    return {**shape, "lowest": lowest, "step": STEP, "data": base64.b64encode(data).decode()}


def piece(wave: Tensor, seconds: float, hertz: float) -> Tensor:
    """Return a short piece of a waveform around a time, band-passed around a frequency.

    The filter is a Gaussian band of 250 Hz, h[n] ∝ exp(−(2π·250·n/16000)²/2) cos(2π·hertz·n/16000),
    with gain 1 at its middle; the piece lasts 0.2 s, with fades of 20 ms.

    Args:
        wave: waveform at 16 kHz, shape (T,); beyond its ends there is silence.
        seconds: middle of the piece, s.
        hertz: middle of the band, Hz.

    Returns:
        Piece, shape (3200,), float64.

    Chapter: 4 Many clean answers to one recording.
    """
    reach = math.ceil(4 * SAMPLE_RATE / (2 * math.pi * WIDTH))
    n = torch.arange(-reach, reach + 1, dtype=torch.float64)
    bell = (-((2 * math.pi * WIDTH * n / SAMPLE_RATE) ** 2) / 2).exp()
    carrier = (2 * math.pi * hertz * n / SAMPLE_RATE).cos()
    kernel = bell * carrier / (bell * carrier.square()).sum()
    size = round(PIECE * SAMPLE_RATE)
    start = round(seconds * SAMPLE_RATE) - size // 2
    padded = torch.nn.functional.pad(wave.double(), (size + reach, size + reach))
    cut = padded[start + size : start + 2 * size + 2 * reach]  # reach more on both sides
    filtered = torch.nn.functional.conv1d(cut[None, None], kernel[None, None])[0, 0]
    ramp = torch.arange(size, dtype=torch.float64) / (FADE * SAMPLE_RATE)
    fade = torch.minimum(ramp, ramp.flip(0)).clamp_max(1)
    return filtered * (math.pi / 2 * fade).sin().square()
