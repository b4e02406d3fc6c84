"""Mixtures of speech and environmental noise, made on the fly for training.

Chapter: 2 (The complex spectrogram as data).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import augmentation
from .augmentation import at_random_speed, equalise, looped, move_formants
from .corpora import Corpus
from .spectrograms import SAMPLE_RATE


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
        slowest_voice: the same of a voice.
        flipped: share of the mixtures whose sign is turned, as a microphone wired the other way
            round would.

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
    slowest_voice: int = 17
    flipped: float = 0.0


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
        whole = torch.cat([_with_pause(wave) for wave in speech])
        self._speech = looped(whole, self._source).to(self.device)
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
        noisy = mix(clean, noise, snr)
        if config.flipped:
            turned = torch.rand(size, generator=generator) < config.flipped
            sign = torch.where(turned, -1.0, 1.0).to(self.device)[:, None]
            clean, noisy = sign * clean, sign * noisy
        return clean, noisy

    def _voices(self, size: int, generator: torch.Generator) -> Tensor:
        room = max(len(self._speech) - self._source, 1)
        starts = torch.randint(room, (size,), generator=generator)
        crops = self._cut(self._speech, starts)
        voices = at_random_speed(crops, self.samples, generator, self.config.slowest_voice)
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


def _with_pause(wave: Tensor) -> Tensor:
    return torch.nn.functional.pad(wave, (0, SAMPLE_RATE // 4))


def _unit(wave: Tensor) -> Tensor:
    return wave / wave.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-5)


def _uniform(size: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(size, generator=generator)
