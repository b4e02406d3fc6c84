"""The Enhancer: a score model, a sampler and a spectrogram turn noisy speech into clean speech.

Chapter: 1 (A noisy recording, enhanced).

Sound of any length is enhanced in segments of ten seconds that overlap by one.  Both samples of
an overlap come from the same diffusion noise, so that they agree and can be faded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from numbers import Integral, Real
from pathlib import Path

import torch
from torch import Tensor

from edmse_lite import checkpoints, recipes
from edmse_lite.arrays import Audio, as_channels
from edmse_lite.audio import check_target, reading, sample_kind, writing
from edmse_lite.denoisers import Denoiser
from edmse_lite.processes import SDE
from edmse_lite.samplers import Sampler
from edmse_lite.spectrograms import SAMPLE_RATE, Spectrogram
from edmse_lite.spins import spins as spins_of
from edmse_lite.streams import (
    FrameNoise,
    Segment,
    awake,
    extended,
    joined,
    limited,
    rate_ratio,
    resampled,
    segments,
)

SEGMENT, OVERLAP, SPARE = 40, 4, 20  # grains: 10.2 s, 1.0 s, 5.1 s
CHANNELS_AT_ONCE = 8
PEAK = 0.99  # of what is written as whole numbers, or encoded
Progress = Callable[[float], None]
"""Called with the seconds of sound that were done since the last call."""


def grain(hop: int) -> int:
    """Samples that segments are made of: whole groups of 16 frames, 4096 or a little more.

    A network that halves time four times then sees the same grid of frames in each segment.

    Args:
        hop: of the spectrogram, samples.

    Chapter: 1.
    """
    return -(-4096 // (16 * hop)) * 16 * hop


class Enhancer:
    """Enhances noisy speech: any length, any rate, one or many channels.

    The model works at 16 kHz: what lies above 8 kHz is lost. Each channel is enhanced on its own,
    with the same diffusion noise. Silence (all samples below -100 dB) comes out as zeros.

    Args:
        denoiser: a score model, or any other denoiser.
        spectrogram: the transform that the denoiser was made for.
        sampler: walks down the noise; default ``recipes.SAMPLER``. A denoiser that was trained on
            lower levels only gets that walk over its own (``recipes.fitted``).
        device: where the work is done; default where the denoiser is.
        sde: the schedule; default ``denoiser.sde``.
        spins: walks to average. Each sees the sound on another frame grid, every second one
            slower, half of both with the sign turned, and other diffusion noise
            (:mod:`edmse_lite.spins`). Default ``recipes.SPINS`` for the default sampler, and 1, no
            averaging, for a sampler of your own and for a denoiser of lower levels only.
        limit: dB by which a bin of nothing but environmental noise is turned down at most;
            ``math.inf`` for no limit. Default ``recipes.LIMIT`` for the default sampler, else none.

    Raises:
        ValueError: a denoiser without ``sde``, and none given; spins that are no whole number,
            fewer than one, or more than a hop has samples; a limit that is not above 0.

    Chapter: 1; 14 measures what the spins and the limit are worth.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        spectrogram: Spectrogram | None = None,
        sampler: Sampler | None = None,
        device: torch.device | str | None = None,
        sde: SDE | None = None,
        spins: int | None = None,
        limit: float | None = None,
    ) -> None:
        found = sde or getattr(denoiser, "sde", None)
        if found is None:
            raise ValueError(f"{type(denoiser).__name__} has no sde; give one as sde=…")
        self.sde: SDE = found
        self.spectrogram = spectrogram or Spectrogram()
        levels = getattr(denoiser, "sigma_range", None)
        self.sampler = recipes.fitted(sampler, levels)
        self.spins, self.limit = recipes.averaging(sampler, self.sampler, spins, limit)
        most = self.spectrogram.hop
        whole = isinstance(self.spins, Integral) and not isinstance(self.spins, bool)
        if not (whole and 1 <= self.spins <= most):
            raise ValueError(
                f"spins={spins!r} must be 1 ... {most}, a hop's samples, and a whole number"
            )
        if not (isinstance(self.limit, Real) and self.limit > 0):
            raise ValueError(f"limit={limit!r} must be above 0 dB; math.inf is none")
        self.device = torch.device(device) if device is not None else _device_of(denoiser)
        is_module = isinstance(denoiser, torch.nn.Module)
        self.denoiser = denoiser.to(self.device) if is_module else denoiser

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = recipes.MODEL,
        sampler: Sampler | None = None,
        device: torch.device | str | None = None,
        spins: int | None = None,
        limit: float | None = None,
    ) -> Enhancer:
        """Load a checkpoint, by the name of one that comes with the package, or by its folder.

        Args:
            name: ``"compact"``, or a folder that ``edmse train`` wrote.
            sampler: default ``recipes.SAMPLER``.
            device: default a GPU of Nvidia's if there is one, else the CPU.
            spins, limit: as for :class:`Enhancer`.

        Raises:
            CheckpointError: no such checkpoint, or a damaged one.
            ValueError: a wrong number of spins, or a wrong limit.

        Chapter: 1.
        """
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        checkpoint = checkpoints.load(name, device)
        return cls(checkpoint.model, checkpoint.spectrogram, sampler, device, None, spins, limit)

    def __call__(
        self, noisy: Audio, sample_rate: int, seed: int = 0, progress: Progress | None = None
    ) -> Audio:
        """Return the enhanced sound, of the shape, type, rate and length of ``noisy``.

        Args:
            noisy: floats, torch or numpy, shape (T,) or (channels, T), full scale is 1.
            sample_rate: Hz.
            seed: of the diffusion noise; the same seed gives the same result.
            progress: called with the seconds done since its last call.

        Raises:
            ValueError: no samples, NaN, integers, another shape, a rate below 1 kHz.

        Chapter: 1.
        """
        wave = as_channels(noisy)
        out = torch.empty_like(wave)
        blocks = wave.split(math.ceil(10 * SAMPLE_RATE * rate_ratio(sample_rate)), dim=1)
        done = 0
        for block in self.stream(blocks, sample_rate, seed, progress):
            out[:, done : done + block.shape[1]] = block
            done += block.shape[1]
        out = out.reshape(tuple(noisy.shape))
        if isinstance(noisy, Tensor):
            return out.to(noisy.device, noisy.dtype)
        return out.numpy().astype(noisy.dtype, copy=False)

    def stream(
        self,
        blocks: Iterable[Tensor],
        sample_rate: int,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[Tensor]:
        """Enhance a sound that comes in blocks, in constant memory; yield as many samples.

        Args:
            blocks: each (channels, samples), float32, on the CPU; samples may vary.
            sample_rate: Hz.
            seed: of the diffusion noise.
            progress: called with the seconds done since its last call.

        Raises:
            ValueError: a rate below 1 kHz, a seed below 0.

        Chapter: 1.
        """
        rate = rate_ratio(sample_rate)
        if not (isinstance(seed, Integral) and 0 <= seed < 2**64):
            raise ValueError(f"seed={seed!r} must be a whole number from 0 to 2^64 - 1")
        taken = 0

        def counted() -> Iterator[Tensor]:
            nonlocal taken
            for block in blocks:
                taken += block.shape[1]
                yield block

        at_16k = resampled(counted(), rate.numerator, rate.denominator)
        enhanced = self._enhanced(at_16k, seed, progress or (lambda seconds: None))
        given = 0
        for block in resampled(enhanced, rate.denominator, rate.numerator):
            block = block[:, : taken - given]  # up to one sample too many at the very end
            given += block.shape[1]
            yield block

    def _enhanced(
        self, blocks: Iterable[Tensor], seed: int, progress: Progress
    ) -> Iterator[Tensor]:
        """Enhance a stream at 16 kHz."""
        hop = self.spectrogram.hop  # one hop less: the frames are then a multiple of 16
        unit, overlap = grain(hop), OVERLAP * grain(hop) - hop
        cut = segments(blocks, SEGMENT * unit - hop, overlap, SPARE * unit)
        return joined((self._segment(segment, seed, progress) for segment in cut), overlap)

    def _segment(self, segment: Segment, seed: int, progress: Progress) -> Tensor:
        """Enhance (channels, samples) at 16 kHz."""
        (channels, samples), hop = segment.wave.shape, self.spectrogram.hop
        new = samples - (OVERLAP * grain(hop) - hop if segment.start else 0)
        out = []
        parts = [part.split(CHANNELS_AT_ONCE) for part in (segment.wave, segment.level)]
        for wave, scale in zip(*parts, strict=True):
            seconds = new / SAMPLE_RATE * len(wave) / channels
            gate = awake(wave)
            if not bool(gate.any()):
                progress(seconds)
                out.append(torch.zeros_like(wave))
                continue
            step_done = partial(progress, seconds / self.sampler.steps / self.spins)
            enhanced = self._averaged(wave / scale, segment.start, seed, step_done)
            out.append(enhanced * scale * gate)
        return torch.cat(out)

    def _averaged(
        self, wave: Tensor, start: int, seed: int, step_done: Callable[[], None]
    ) -> Tensor:
        """Enhance levelled (B, samples) by the mean of walks on other grids and at other speeds."""
        noise, hop, total = FrameNoise(seed), self.spectrogram.hop, torch.zeros_like(wave)
        for spin in spins_of(self.spins, hop):
            turned = spin.apply(wave)
            whole = extended(turned, -(turned.shape[1] + hop) % grain(hop))
            noise.first = spin.place(start) // hop
            out = self._sample(whole, noise, step_done)[:, : turned.shape[1]]
            total += spin.undo(out, wave.shape[1])
        return total / self.spins

    @torch.no_grad()
    def _sample(self, wave: Tensor, noise: FrameNoise, step_done: Callable[[], None]) -> Tensor:
        """Enhance levelled (B, samples) by one run of the sampler."""
        y = self.spectrogram.forward(wave.to(self.device))  # (B, 1, F, L) complex
        for step in self.sampler.iterate(self.denoiser, self.sde, y, generator=noise):
            x0_hat = step.x0_hat
            step_done()
        left = 10 ** (-self.limit * self.spectrogram.exponent / 20)  # of r
        return self.spectrogram.inverse(x0_hat.lerp(y, left), wave.shape[1]).cpu()


def enhance_file(
    enhancer: Enhancer,
    source: str | Path,
    target: str | Path,
    seed: int = 0,
    progress: Progress | None = None,
) -> None:
    """Enhance an audio file into another, in constant memory.

    Rate, channels and length stay; the kind of samples stays where the format allows. Peaks that
    whole numbers cannot hold are turned down smoothly. The output appears whole or not at all.

    Args:
        enhancer: does the work.
        source: any file that libsndfile reads.
        target: a wav, flac, ogg, opus or mp3 file in an existing folder.
        seed: of the diffusion noise.
        progress: called with the seconds done since its last call.

    Raises:
        AudioError: the source cannot be read or the target cannot be written.

    Chapter: 1.
    """
    check_target(target, source)
    with reading(source) as reader:
        kind = sample_kind(target, reader.file.subtype)
        with writing(target, reader.rate, reader.file.channels, kind) as write:
            blocks = enhancer.stream(reader.blocks(), reader.rate, seed, progress)
            if kind not in ("FLOAT", "DOUBLE"):
                blocks = limited(blocks, PEAK, reach=max(1, reader.rate // 200))  # 5 ms
            for block in blocks:
                write(block)


def _device_of(denoiser: Denoiser) -> torch.device:
    parameters = denoiser.parameters() if isinstance(denoiser, torch.nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device
