"""Crops of pairs that stay in memory, each pair once an epoch.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import torch
from torch import Tensor

from .corpora import Pair, as_16_bit
from .spectrograms import SAMPLE_RATE


class PairBatches:
    """Crops of pairs that stay in memory, with 16 bits, on a CPU or a GPU; each once an epoch.

    Args:
        pairs: read one after the other, and let go.
        seconds: length of a crop, s; shorter pairs end in silence.
        device: where they stay.
        seed: of the order, which is another one in each epoch.

    Raises:
        ValueError: if there is no pair.

    Chapter: 10.
    """

    def __init__(
        self, pairs: Iterable[Pair], seconds: float = 2.0, device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.samples, self.device = round(seconds * SAMPLE_RATE), torch.device(device)
        self.held: list[tuple[str, int]] = []  # key and samples of each pair
        whole = []
        for pair in pairs:
            self.held.append((pair.key, len(pair.clean)))
            whole.append(at_least(joined(pair), self.samples))
        if not whole:
            raise ValueError("got no pair to train on")
        sizes = torch.tensor([wave.shape[-1] for wave in whole])
        self._starts, self._room = sizes.cumsum(0) - sizes, sizes - self.samples + 1
        self._waves = _end_to_end(whole).to(self.device)  # (2, all samples) int16
        self.position, self._seed, self._epoch = 0, seed, -1

    def seek(self, position: int) -> None:
        """Go to where so many pairs were drawn, over all processes."""
        self.position = position

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Take the next pairs of the epoch's order and draw a place in each.

        Args:
            size: how many, B.
            generator: source of the places, on the CPU whatever the device is.

        Returns:
            Clean and noisy waveforms, each of shape (B, T).
        """
        which = torch.tensor([self._number(self.position + i) for i in range(size)])
        self.position += size
        offsets = places(self._room[which], generator)
        index = (self._starts[which] + offsets)[:, None] + torch.arange(self.samples)
        clean, noisy = self._waves[:, index.to(self.device)].float() / 32_768  # (B, T) each
        return clean, noisy

    def _number(self, position: int) -> int:
        epoch, place = divmod(position, len(self.held))
        if epoch != self._epoch:
            everything = range(len(self.held))
            self._order = random.Random(f"{self._seed} {epoch}").sample(everything, len(everything))
            self._epoch = epoch
        return self._order[place]


def joined(pair: Pair) -> Tensor:
    """Clean and noisy waveform of a pair, shape (2, T), int16.

    Chapter: 10.
    """
    return torch.stack(as_16_bit(pair.clean, pair.noisy))


def _end_to_end(waves: list[Tensor]) -> Tensor:
    """All of a list, which is emptied on the way: memory holds them once, not twice."""
    whole = torch.empty(2, sum(wave.shape[-1] for wave in waves), dtype=torch.int16)
    place = whole.shape[-1]
    while waves:
        wave = waves.pop()
        place -= wave.shape[-1]
        whole[:, place : place + wave.shape[-1]] = wave
    return whole


def at_least(wave: Tensor, samples: int) -> Tensor:
    """A waveform of shape (…, T), with silence behind it up to so many samples.

    Chapter: 10.
    """
    return torch.nn.functional.pad(wave, (0, max(0, samples - wave.shape[-1])))


def places(room: Tensor, generator: torch.Generator) -> Tensor:
    """Draw where crops begin: one whole number below each bound, shape (B,).

    Chapter: 10.
    """
    drawn = torch.rand(len(room), generator=generator, dtype=torch.float64)
    return (drawn * room).long()
