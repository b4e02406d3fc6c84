"""Long sound in constant memory: every stage takes blocks and yields blocks, without a seam.

Chapter: 1 (A noisy recording, enhanced).

A block is a float32 tensor of shape (channels, samples); blocks may have any length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional

from edmse_lite.spectrograms import SAMPLE_RATE, SILENCE_RMS, level

ZERO_CROSSINGS, ROLLOFF = 64, 0.985  # flat within 0.1 dB up to 7.6 kHz, -34 dB at 8 kHz
LOWEST_RATE = 1_000  # Hz
NOISE_FRAMES = 64  # frames that share one key of the noise generator


def rate_ratio(sample_rate: int) -> Fraction:
    """Rate over 16 kHz; odd rates by a fraction near it, on the way there and back alike.

    Filters of a ratio such as 44101 / 16000 would need gigabytes, so the nearest fraction with a
    denominator up to 500 is taken. It is exact for 8, 16, 22.05, 24, 32, 44.1, 48 and 96 kHz, and
    off by 0.1 % at worst (16,016 Hz passes for 16 kHz): the model then hears the sound 1/50 of a
    semitone too high or too low at most; what comes out has its own pitch and length.

    Raises:
        ValueError: a rate below 1 kHz, or what is no number.

    Chapter: 1.
    """
    number = isinstance(sample_rate, Real) and LOWEST_RATE <= sample_rate < math.inf
    if not number:
        raise ValueError(f"sample_rate={sample_rate!r} must be a number, at least {LOWEST_RATE} Hz")
    return Fraction(int(sample_rate), SAMPLE_RATE).limit_denominator(500)


def resampled(blocks: Iterable[Tensor], source: int, target: int) -> Iterator[Tensor]:
    """Resample a stream, sample for sample as if it came in one piece; no delay.

    Args:
        blocks: the sound, each (channels, samples).
        source, target: rates, or any two numbers of their ratio; n samples become
            ceil(n target / source).

    Chapter: 1.
    """
    if source == target:
        yield from blocks
        return
    from .resampling import torchaudio

    common = math.gcd(source, target)
    source, target = source // common, target // common
    resample = torchaudio().transforms.Resample(
        source, target, lowpass_filter_width=ZERO_CROSSINGS, rolloff=ROLLOFF
    )
    reach = ZERO_CROSSINGS * source / (min(source, target) * ROLLOFF)  # of the filter, samples
    context = source * math.ceil((reach + 1) / source)
    skip = context // source * target  # the same, in samples of the output
    held = None
    for block in blocks:
        held = functional.pad(block, (context, 0)) if held is None else torch.cat([held, block], 1)
        whole = (held.shape[1] - 2 * context) // source * source
        if whole > 0:
            out = resample(held[:, : whole + 2 * context])
            yield out[:, skip : skip + whole // source * target]
            held = held[:, whole:]
    if held is not None:
        yield resample(held)[:, skip:]


@dataclass(frozen=True)
class Segment:
    """A piece of a stream, with the level that it is divided by.

    Args:
        start: number of its first sample.
        wave: its samples, (channels, n).
        level: (channels, n) where it meets other segments, or (channels, 1).

    Chapter: 1.
    """

    start: int
    wave: Tensor
    level: Tensor


def segments(
    blocks: Iterable[Tensor], length: int, overlap: int, spare: int
) -> Iterator[Segment]:
    """Cut a stream into overlapping segments.

    Each has ``length`` samples and begins ``overlap`` before the end of the one before it. The
    last is between ``overlap + spare`` and ``length + spare`` long, so that no segment of a long
    sound is short of context. A segment has one level; in an overlap it goes from the level of
    the one to the level of the other, so that both segments hold the same samples there.

    Chapter: 1.
    """
    before = waiting = None
    for start, wave in _cut(blocks, length, overlap, spare):
        after = level(wave)
        if waiting is not None:
            yield _levelled(*waiting, before, after, overlap)
            before = waiting[2]
        waiting = (start, wave, after)
    if waiting is not None:
        yield _levelled(*waiting, before, None, overlap)


def _cut(
    blocks: Iterable[Tensor], length: int, overlap: int, spare: int
) -> Iterator[tuple[int, Tensor]]:
    start, held = 0, None
    for block in blocks:
        held = block if held is None else torch.cat([held, block], dim=1)
        while held.shape[1] >= length + spare:
            yield start, held[:, :length].clone()
            held = held[:, length - overlap :].clone()
            start += length - overlap
    if held is not None and held.shape[1]:
        yield start, held


def _levelled(
    start: int, wave: Tensor, own: Tensor, before: Tensor | None, after: Tensor | None,
    overlap: int,
) -> Segment:  # fmt: skip
    """Make a segment out of its own level and those of its neighbours, each (channels, 1)."""
    if before is None and after is None:
        return Segment(start, wave, own)
    levels = own.expand(wave.shape).clone()
    ramp = torch.linspace(0, 1, overlap)
    if before is not None:
        levels[:, :overlap] = before ** (1 - ramp) * own**ramp
    if after is not None:
        levels[:, -overlap:] = own ** (1 - ramp) * after**ramp
    return Segment(start, wave, levels)


def extended(wave: Tensor, samples: int) -> Tensor:
    """Append so many samples to (channels, n): the end, mirrored, then zeros.

    A network pads what does not fit its grid with frames that hold neither speech nor diffusion
    noise; what comes before them suffers. Mirrored sound is harmless.

    Chapter: 1.
    """
    mirrored = wave.flip(1)[:, 1 : samples + 1]
    return functional.pad(torch.cat([wave, mirrored], dim=1), (0, samples - mirrored.shape[1]))


def delayed(wave: Tensor, samples: int) -> Tensor:
    """Put so many samples before (channels, n): the beginning, mirrored.

    Chapter: 1.
    """
    return extended(wave.flip(1), samples).flip(1)


def awake(wave: Tensor, block: int = 256) -> Tensor:
    """Gain that is 0 where all is silent (below -100 dB) for 40 ms or more, elsewhere 1.

    Args:
        wave: (channels, samples).
        block: grid of the gain, samples; it moves from 0 to 1 within one.

    Chapter: 1.
    """
    samples = wave.shape[1]
    whole = functional.pad(wave.abs(), (0, -samples % block))
    loud = (whole.unflatten(1, (-1, block)).amax(dim=2) > SILENCE_RMS).to(wave.dtype)
    near = functional.max_pool1d(loud[:, None], 5, stride=1, padding=2)  # (channels, 1, blocks)
    return functional.interpolate(near, scale_factor=float(block), mode="linear")[:, 0, :samples]


def joined(pieces: Iterable[Tensor], overlap: int) -> Iterator[Tensor]:
    """Join segments that overlap: the inverse of :func:`segments`.

    The first and last quarter of an overlap come from one segment alone, because a segment is
    worst at its ends; in between the two are faded with weights that add up to one.

    Chapter: 1.
    """
    place = (torch.arange(overlap) + 0.5) / overlap
    rising = (0.5 - 0.5 * torch.cos(math.pi * (2 * place - 0.5).clamp(0, 1))).float()
    tail = None
    for piece in pieces:
        if tail is not None:
            head = tail + rising * (piece[:, :overlap] - tail)
            piece = torch.cat([head, piece[:, overlap:]], dim=1)
        yield piece[:, :-overlap]
        tail = piece[:, -overlap:]
    if tail is not None:
        yield tail


def limited(blocks: Iterable[Tensor], peak: float, reach: int) -> Iterator[Tensor]:
    """Turn the volume down where a sample exceeds ``peak``, smoothly, and nowhere else.

    All channels get the same gain. It is the least gain that is needed within ``reach`` samples,
    smoothed over as many; so no sample of the result exceeds ``peak``.

    Args:
        blocks: the sound, each (channels, samples).
        peak: largest magnitude allowed, full scale is 1.
        reach: samples over which the gain changes.

    Chapter: 1.
    """
    held = None
    context = 2 * reach
    for block in blocks:
        held = functional.pad(block, (context, 0)) if held is None else torch.cat([held, block], 1)
        if held.shape[1] > 2 * context:
            yield _limit(held, peak, reach)
            held = held[:, -2 * context :]
    if held is not None:
        yield _limit(functional.pad(held, (0, context)), peak, reach)


def _limit(wave: Tensor, peak: float, reach: int) -> Tensor:
    """Limit (channels, n + 4 reach) samples; (channels, n) come out, those in the middle."""
    inside = wave[:, 2 * reach : wave.shape[1] - 2 * reach]
    largest = wave.abs().amax(dim=0)  # (n + 4 reach,)
    if not bool((largest > peak).any()):
        return inside
    need = (peak / largest.clamp_min(peak))[None]
    least = -functional.max_pool1d(-need, 2 * reach + 1, stride=1)  # (1, n + 2 reach)
    smooth = torch.hann_window(2 * reach + 3, periodic=False)[1:-1]
    gain = functional.conv1d(least[None], (smooth / smooth.sum())[None, None])[0]
    return inside * gain


@dataclass
class FrameNoise:
    """Diffusion noise that belongs to frames of the whole sound, not to a segment of it.

    Two segments get the same noise where they overlap, so that their samples agree there and can
    be faded into one another; all channels get the same noise, so that what was in the middle
    stays there. Call it where a sampler wants a generator.

    Args:
        seed: 0 ... 2^64 - 1.
        first: number of the segment's first frame.

    Chapter: 1.
    """

    seed: int
    first: int = 0
    draws: int = field(default=0, init=False)

    def __call__(self, like: Tensor) -> Tensor:
        """Return unit complex noise of the shape (B, 1, F, L), dtype and device of ``like``."""
        bins, frames = like.shape[-2:]
        blocks = range(self.first // NOISE_FRAMES, (self.first + frames - 1) // NOISE_FRAMES + 1)
        noise = torch.cat([self._block(block, bins, like.dtype) for block in blocks], dim=1)
        self.draws += 1
        skip = self.first % NOISE_FRAMES
        return noise[:, skip : skip + frames].to(like.device).expand(like.shape)  # (F, L) first

    def _block(self, block: int, bins: int, dtype: torch.dtype) -> Tensor:
        """Noise of 64 frames, (F, 64); each block of each draw has a seed of its own."""
        import numpy as np

        key = np.random.SeedSequence([self.seed, self.draws, block]).generate_state(1)
        generator = torch.Generator().manual_seed(int(key[0]))
        return torch.randn(bins, NOISE_FRAMES, dtype=dtype, generator=generator)
