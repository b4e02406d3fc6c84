"""The shifted SDE: x_t = y + s(t) (r + σ(t) ε), with r = x0 − y.

Chapter: 7 The shifted SDE and its perturbation kernel.

σ is *unscaled*: the marginal standard deviation of x_t is s σ.  Its value at t = 1 is
``sigma_1``, which is not OUVE's parameter ``sigma_max``.  Complex noise has E|ε|² = 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

T_EPS = 0.01  # smallest t in training; below it log t and 1/t grow without bound


def as_level(value: float | Tensor) -> Tensor:
    """Return ``value`` as a floating tensor; a number becomes float64."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return value
    return torch.as_tensor(value, dtype=torch.float64)


def over_batch(value: float | Tensor, x: Tensor) -> Tensor:
    """Return a number, (B,) or (B, 1, ...) as a tensor that broadcasts against ``x`` (B, ...).

    Raises:
        ValueError: a (B,) whose length is neither 1 nor the batch size of ``x``.
    """
    value = as_level(value)
    if value.ndim == 1:
        if x.ndim == 0 or value.shape[0] not in (1, x.shape[0]):
            raise ValueError(
                f"found {value.shape[0]} levels or times for a state of shape {tuple(x.shape)}; "
                "give one number, or one a batch item"
            )
        value = value.reshape(-1, *[1] * (x.ndim - 1))  # (B,) → (B, 1, 1, 1)
    return value


def noise_like(
    x: Tensor, generator: torch.Generator | Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Return unit diffusion noise by one ``torch.randn`` call: E|ε|² = 1, real or complex as ``x``.

    It is drawn on the generator's device and then moved, so one CPU seed serves every device.
    A generator that is a function is called with ``x`` and returns the noise itself.
    """
    if generator is not None and not isinstance(generator, torch.Generator):
        return generator(x)
    device = x.device if generator is None else generator.device
    return torch.randn(x.shape, dtype=x.dtype, device=device, generator=generator).to(x.device)


class SDE(ABC):
    """dx = f(t) (x − y) dt + g(t) dw, with f = s'/s and g² = s² dσ²/dt (Gonzalez et al. 2024).

    Every method takes t or σ as a number or a tensor of any shape, and returns a tensor of that
    shape; numbers become float64.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """

    @abstractmethod
    def s(self, t: float | Tensor) -> Tensor:
        """Return the scaling s(t), s(0) = 1."""

    @abstractmethod
    def sigma(self, t: float | Tensor) -> Tensor:
        """Return the unscaled noise level σ(t), σ(0) = 0, increasing."""

    @abstractmethod
    def sigma_inv(self, sigma: float | Tensor) -> Tensor:
        """Return the diffusion time t at which σ(t) = ``sigma``; above ``sigma_1`` it exceeds 1."""

    @abstractmethod
    def f(self, t: float | Tensor) -> Tensor:
        """Return the drift rate f(t) = s'(t) / s(t), in 1/t."""

    @abstractmethod
    def g(self, t: float | Tensor) -> Tensor:
        """Return the diffusion coefficient g(t) = s √(dσ²/dt)."""

    @property
    def sigma_1(self) -> float:
        """The largest level, σ at t = 1."""
        return float(self.sigma(1.0))

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The levels of t in [0.01, 1], the usual range of training."""
        return float(self.sigma(T_EPS)), self.sigma_1

    def kernel(self, x0: Tensor, y: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and std of p(x_t | x0, y): s x0 + (1 − s) y and s σ.

        Args:
            x0: clean spectrogram, (B, 1, F, L), complex or real.
            y: noisy spectrogram, same shape.
            t: diffusion time in [0, 1]: a number, (B,) or (B, 1, 1, 1).

        Raises:
            ValueError: a (B,) that does not fit the batch.

        Chapter: 7 The shifted SDE and its perturbation kernel.
        """
        t = over_batch(t, x0)
        s = self.s(t).to(x0.device, x0.real.dtype)
        return y + s * (x0 - y), s * self.sigma(t).to(x0.device, x0.real.dtype)

    def prior(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a start x_1 = y + s(1) σ(1) ε, of the shape, dtype and device of ``y``.

        Args:
            y: noisy spectrogram, (B, 1, F, L), complex or real.
            generator: carries the randomness; one ``torch.randn`` call is made.

        Chapter: 13 Prior mismatch.
        """
        return y + float(self.s(1.0)) * self.sigma_1 * noise_like(y, generator)

    def mismatch(self, x0: Tensor, y: Tensor) -> Tensor:
        """Return KL(p(x_1 | x0, y) ‖ prior) of each bin, in nats; s(1) cancels.

        |r|² / σ(1)² for complex bins, r² / (2 σ(1)²) for real ones, with r = x0 − y.

        Args:
            x0: clean spectrogram, any shape, complex or real.
            y: noisy spectrogram, same shape.

        Chapter: 13 Prior mismatch.
        """
        kl = (x0 - y).abs().square() / self.sigma_1**2
        return kl if torch.is_complex(x0 - y) else kl / 2


def check_positive(schedule: object, *names: str) -> None:
    """Raise a ValueError for the first named parameter that is not a finite number above 0."""
    for name in names:
        value = getattr(schedule, name)
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{type(schedule).__name__}: {name}={value} must be a number > 0")


def check_stiffness(stiffness: float) -> None:
    """Raise a ValueError unless γ is a finite number ≥ 0."""
    if not (stiffness >= 0 and math.isfinite(stiffness)):
        raise ValueError(f"stiffness={stiffness} must be a number >= 0; 0 means no drift towards y")
