"""Cycle spinning: what an enhancement is averaged over: frame grids, playing speeds and signs.

Chapter: 14 (EDM against PC, hands on).

A network hears a sound through one frame grid and at one speed. Delayed by a part of a hop, played
more slowly, or with its sign turned, it is the same sound to us and another one to the network,
whose errors differ. The mean has fewer of them (Coifman and Donoho 1995, of delays).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from .streams import delayed, resampled

SPEEDS = (Fraction(1), Fraction(4, 5))
"""Speeds, in turn. Frame grids of segments agree at those whose inverse times 36 is whole."""


@dataclass(frozen=True)
class Spin:
    """One way to play a sound to the network.

    Args:
        delay: samples by which the frame grid moves, after the change of speed.
        speed: 1 is as it was; below 1 is slower, pitch and all.
        sign: 1 or -1; the wave is multiplied by it.

    Chapter: 14.
    """

    delay: int = 0
    speed: Fraction = Fraction(1)
    sign: int = 1

    def apply(self, wave: Tensor) -> Tensor:
        """Play (B, T) at this speed, then delay it; what comes before is its mirror image."""
        return self.sign * delayed(self._played(wave, self.speed), self.delay)

    def undo(self, wave: Tensor, samples: int) -> Tensor:
        """Turn (B, T') back, in sign, delay and speed; returns (B, samples)."""
        return self.sign * self._played(wave[:, self.delay :], 1 / self.speed)[:, :samples]

    def place(self, start: int) -> int:
        """Number of the sample that sample ``start`` of a long sound becomes, before the delay."""
        return int(start / self.speed)

    def _played(self, wave: Tensor, speed: Fraction) -> Tensor:
        return torch.cat([*resampled([wave], speed.numerator, speed.denominator)], dim=1)


def spins(count: int, hop: int) -> tuple[Spin, ...]:
    """So many spins: every second one is slow; the delays of each speed divide the hop evenly.

    At each speed, every second delay has its sign turned.

    Args:
        count: how many; the first of all is the sound as it is.
        hop: of the spectrogram, samples.

    Chapter: 14.
    """
    shares = [len(range(first, count, len(SPEEDS))) for first in range(len(SPEEDS))]
    return tuple(
        Spin(turn * hop // shares[which], SPEEDS[which], (-1) ** turn)
        for turn, which in (divmod(k, len(SPEEDS)) for k in range(count))
    )
