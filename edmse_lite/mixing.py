"""Mixtures: made on the fly for training, and fixed for evaluation.

Chapter: 2 (The complex spectrogram as data); the data card lists the evaluation sets.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from . import augmentation
from .augmentation import at_random_speed, equalise, looped, move_formants
from .corpora import Clip, Corpus, Pair
from .spectrograms import SAMPLE_RATE

EVALUATION_SETS = {
    "matched": ("test", "test"),
    "unseen-noise": ("test", "test-unseen"),
    "unseen-voice": ("test-unseen", "test"),
    "unseen": ("test-unseen", "test-unseen"),
    "valid": ("valid", "valid"),
}
"""Name of a set: split of its speech, split of its noise. ``valid`` is for training decisions."""


def mix(clean: Tensor, noise: Tensor, snr: Tensor | float) -> Tensor:
    """Add noise to clean speech at a mixture SNR, ``10 log10(sum clean^2 / sum noise^2)``.

    Args:
        clean: waveform, shape (..., T).
        noise: waveform, the same shape.
        snr: mixture SNR, dB, shape (...) or a number.

    Returns:
        Noisy waveform, shape (..., T). Silent noise is added as it is.

    Chapter: 2.
    """
    snr = torch.as_tensor(snr, dtype=clean.dtype, device=clean.device)
    powers = [wave.square().mean(dim=-1).clamp_min(1e-10) for wave in (clean, noise)]
    gain = (powers[0] / powers[1] / 10 ** (snr / 10)).sqrt()
    return clean + gain[..., None] * noise


@dataclass(frozen=True)
class MixingConfig:
    """What training mixtures are like.

    Args:
        seconds: length of a mixture, s.
        snr_min, snr_max: mixture SNR is uniform between them, dB.
        babble: share of mixtures whose noise is several training voices at once.
        coloured: share of mixtures whose noise is Gaussian with a random smooth spectrum.
        second_noise: share of mixtures with a second recording under the first.
        equaliser: spread of the random filters on voices and noises, dB; 0 for none.
        formants: those of a voice move by e^u, u uniform within this of 0; 0 for none.
        slowest: lowest speed that a noise is played at, twentieths.

    Chapter: 2.
    """

    seconds: float = 2.0
    snr_min: float = -5.0
    snr_max: float = 15.0
    babble: float = 0.1
    coloured: float = 0.1
    second_noise: float = 0.3
    equaliser: float = 0.0
    formants: float = 0.0
    slowest: int = 17


class Mixer:
    """Endless training mixtures from waveforms that stay in memory, on a CPU or a GPU.

    Args:
        speech: waveforms of shape (T_i,), in an order that keeps a voice together.
        noises: waveforms of shape (T_i,).
        config: what the mixtures are like.
        device: where the waveforms live and the mixtures are made.

    Raises:
        ValueError: if there is no speech or no noise.

    Chapter: 2.
    """

    def __init__(
        self,
        speech: Sequence[Tensor],
        noises: Sequence[Tensor],
        config: MixingConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if not speech or not noises:
            raise ValueError(f"got {len(speech)} speech and {len(noises)} noise recordings")
        self.config = config or MixingConfig()
        self.device = torch.device(device)
        self._speech = torch.cat([_with_pause(wave) for wave in speech]).to(self.device)
        self._noise = torch.cat([looped(wave, self._source) for wave in noises]).to(self.device)
        sizes = torch.tensor([max(len(wave), self._source) for wave in noises])
        self._starts = sizes.cumsum(0) - sizes
        self._sizes = sizes
        self._weights = torch.tensor([len(wave) for wave in noises]).double().sqrt()

    @classmethod
    def bundled(
        cls,
        config: MixingConfig | None = None,
        device: torch.device | str = "cpu",
        split: str = "train",
    ) -> Mixer:
        """Mixer over a split of the bundled corpus."""
        corpus = Corpus.bundled().where(split=split)
        speech = sorted(corpus.where(kind="speech"), key=lambda c: (c.label, c.language))
        noises = corpus.where(kind="noise")
        return cls(Corpus(tuple(speech)).audio(), noises.audio(), config, device)

    @property
    def samples(self) -> int:
        """Length T of a mixture, samples."""
        return round(self.config.seconds * SAMPLE_RATE)

    @property
    def _source(self) -> int:
        return augmentation.source_samples(self.samples)

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw mixtures.

        Args:
            size: how many, B.
            generator: source of all randomness, on the CPU whatever the device is.

        Returns:
            Clean and noisy waveforms, each of shape (B, T).
        """
        config = self.config
        clean = self._voices(size, generator)
        noise, second = self._noises(size, generator), self._noises(size, generator)
        under = 10 ** (-_uniform(size, 0, 10, generator) / 20)
        under = under * (torch.rand(size, generator=generator) < config.second_noise)
        noise = _unit(noise) + under.to(self.device)[:, None] * _unit(second)
        kind = torch.rand(size, generator=generator)
        for b in (kind < config.babble).nonzero()[:, 0].tolist():
            noise[b] = self._babble(generator)
        coloured = (kind >= config.babble) & (kind < config.babble + config.coloured)
        for b in coloured.nonzero()[:, 0].tolist():
            noise[b] = self._coloured(generator)
        snr = _uniform(size, config.snr_min, config.snr_max, generator).to(self.device)
        return clean, mix(clean, noise, snr)

    def _voices(self, size: int, generator: torch.Generator) -> Tensor:
        room = max(len(self._speech) - self._source, 1)
        starts = torch.randint(room, (size,), generator=generator)
        voices = at_random_speed(self._cut(self._speech, starts), self.samples, generator)
        if spread := self.config.formants:
            voices = move_formants(voices, _uniform(size, -spread, spread, generator).exp())
        return self._filtered(voices, generator)

    def _noises(self, size: int, generator: torch.Generator) -> Tensor:
        which = torch.multinomial(self._weights, size, replacement=True, generator=generator)
        room = self._sizes[which] - self._source
        offsets = (torch.rand(size, generator=generator, dtype=torch.float64) * room).long()
        crops = self._cut(self._noise, self._starts[which] + offsets)
        noises = at_random_speed(crops, self.samples, generator, self.config.slowest)
        return self._filtered(noises, generator)

    def _cut(self, wave: Tensor, starts: Tensor) -> Tensor:
        within = torch.arange(self._source, device=self.device)
        return wave[starts.to(self.device)[:, None] + within]  # (B, source)

    def _filtered(self, waves: Tensor, generator: torch.Generator) -> Tensor:
        return equalise(waves, self.config.equaliser, generator) if self.config.equaliser else waves

    def _babble(self, generator: torch.Generator) -> Tensor:
        voices = int(torch.randint(4, 9, (1,), generator=generator))
        return _unit(_unit(self._voices(voices, generator)).mean(dim=0))

    def _coloured(self, generator: torch.Generator) -> Tensor:
        return _unit(augmentation.coloured_noise(self.samples, generator)).to(self.device)


def evaluation_set(name: str, size: int = 48, seconds: float = 4.0) -> tuple[Pair, ...]:
    """One of the fixed evaluation sets: the same mixtures on every machine.

    Mixture SNR cycles through 0, 5 and 10 dB; voices and noise types take turns. Short prompts of
    one voice are joined with pauses of 0.25 ... 0.5 s.

    Args:
        name: ``matched``, ``unseen-noise``, ``unseen-voice``, ``unseen``, or ``valid``.
        size: number of pairs.
        seconds: length of each, s.

    Returns:
        Pairs.

    Raises:
        ValueError: if there is no set of that name.

    Chapter: 2; the data card.
    """
    return _make_set(name, size, seconds, whole=False)


def whole_prompts(name: str, size: int = 48, seconds: float = 4.0) -> tuple[Pair, ...]:
    """The pairs of an evaluation set with the last prompt whole, for word error rates.

    The same prompts, noise recording, start and mixture SNR as in :func:`evaluation_set`, but a
    clip ends where its transcript ends, so it has at least `seconds`; the SNR is that of the
    whole clip. Cut words would count as errors of the system.

    Args:
        name, size, seconds: as for :func:`evaluation_set`; it raises the same.

    Chapter: 3 Judging an enhancement.
    """
    return _make_set(name, size, seconds, whole=True)


@lru_cache(maxsize=8)
def _make_set(name: str, size: int, seconds: float, whole: bool) -> tuple[Pair, ...]:
    if name not in EVALUATION_SETS:
        raise ValueError(f"no evaluation set {name!r}; there are {', '.join(EVALUATION_SETS)}")
    speech_split, noise_split = EVALUATION_SETS[name]
    corpus = Corpus.bundled()
    speech = _by_label(corpus.where(kind="speech", split=speech_split))
    noises = _by_label(corpus.where(kind="noise", split=noise_split))
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    samples = round(seconds * SAMPLE_RATE)
    read = cache(Clip.audio)  # a recording that many pairs share is decoded once
    return tuple(
        _evaluation_pair(name, i, speech, noises, samples, rng, read, whole) for i in range(size)
    )


def _evaluation_pair(
    name: str,
    index: int,
    speech: list[list[Clip]],
    noises: list[list[Clip]],
    samples: int,
    rng: np.random.Generator,
    read: Callable[[Clip], Tensor],
    whole: bool,
) -> Pair:
    turn, rank = divmod(index, 3)
    snr = (0.0, 5.0, 10.0)[rank]
    cycle, noise_type = divmod(turn, len(noises))  # every SNR meets every noise type
    clean, texts, voice = _join_prompts(speech[(turn + cycle + rank) % len(speech)], samples, rng)
    recordings = noises[noise_type]
    clip = recordings[(3 * cycle + rank) % len(recordings)]
    noise = looped(read(clip), samples)
    start = int(rng.integers(0, len(noise) - samples + 1))
    length = len(clean) if whole else samples
    clean, noise = clean[:length], looped(noise, start + length)
    noisy = mix(clean, noise[start : start + length], snr)
    peak = float(noisy.abs().max())
    gain = min(1.0, 0.99 / peak)  # the pair as a 16-bit file would hold it: never clipped
    return Pair(
        f"{name}-{index:02d}", gain * clean, gain * noisy, snr, voice.label, clip.label,
        clip.path.stem, " ".join(texts), voice.language, whole,
    )


def _join_prompts(
    clips: list[Clip], samples: int, rng: np.random.Generator
) -> tuple[Tensor, list[str], Clip]:
    first = clips[int(rng.integers(len(clips)))]
    same = [clip for clip in clips if clip.language == first.language]
    wave, texts, clip = torch.zeros(0), [], first
    while len(wave) < samples:
        pause = torch.zeros(round(float(rng.uniform(0.25, 0.5)) * SAMPLE_RATE))
        wave = torch.cat([wave, clip.audio(), pause])
        texts.append(clip.text)
        clip = same[int(rng.integers(len(same)))]
    return wave, texts, first


def _by_label(corpus: Corpus) -> list[list[Clip]]:
    labels = sorted({clip.label for clip in corpus})
    return [list(corpus.where(label=label)) for label in labels]


def _with_pause(wave: Tensor) -> Tensor:
    return torch.nn.functional.pad(wave, (0, SAMPLE_RATE // 4))


def _unit(wave: Tensor) -> Tensor:
    return wave / wave.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-5)


def _uniform(size: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(size, generator=generator)
