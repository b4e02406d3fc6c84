"""At which levels a reader's sampler asks the denoiser.

Chapter: 6 Walking down the noise, and 12 The EDM sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

HEUN = "Heun's method asks at each level and at the next one, and nowhere between"


class Asked:
    """A denoiser that remembers the levels it was asked at.

    Args:
        denoiser: answers, as ``denoiser(x_tilde, y, sigma)``.

    Chapter: 6.
    """

    def __init__(self, denoiser: Callable[..., Tensor]) -> None:
        self.denoiser = denoiser
        self.levels: list[float] = []

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        self.levels.append(float(sigma))
        return self.denoiser(x_tilde, y, sigma)

    def exactly(self, levels: Sequence[float]) -> bool:
        """Was it asked at each of these levels, in any order, and at no others?"""
        pairs = zip(sorted(self.levels), sorted(levels), strict=False)
        return len(self.levels) == len(levels) and all(abs(a / b - 1) < 1e-5 for a, b in pairs)

    def only_at(self, levels: Sequence[float]) -> bool:
        """Was it asked at none but these levels?"""
        return all(min(abs(a / b - 1) for b in levels) < 1e-5 for a in self.levels)
