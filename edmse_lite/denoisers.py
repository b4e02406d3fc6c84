"""One denoiser interface: D(x̃; y, σ) estimates r = x0 − y; networks and scores fit into it.

Chapter: 9 Preconditioning, c_shift and the choice of σ (the score identity: chapter 5).

A denoiser is any callable ``denoiser(x_tilde, y, sigma) -> r_hat``.  It may carry an attribute
``sigma_range = (lowest, highest)``; the EDM sampler never asks it above the highest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from edmse_lite.preconditioning import Coefficients, Preconditioning
from edmse_lite.processes import SDE, over_batch


class Denoiser(Protocol):
    """Anything that maps (x̃, y, σ) to an estimate of r = x0 − y.

    Chapter: 5 Denoising at one noise level.
    """

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return r_hat, of the shape of ``x_tilde``."""
        ...


class ScoreModel(nn.Module):
    """A network inside its preconditioning: D = c_skip x̃ + c_out F(c_in x̃ + c_shift y, y; c_noise).

    The network is called as ``network(inputs, noise_label)``.  For complex x̃ of shape (B, 1, F, L)
    the inputs are real, (B, 4, F, L): Re, Im of the shifted input, Re, Im of y; the output is
    (B, 2, F, L).  Real x̃ of shape (B, C, ...) gives (B, 2C, ...) and takes (B, C, ...).

    Args:
        network: the bare network, kept as ``.network``.
        sde: schedule for the coefficients that need t or s(t).
        preconditioning: see :class:`Preconditioning`.
        sigma_range: lowest and highest σ that the network was trained on.  The default is None
            (any σ), or the levels of t in [0.01, 1] where the preconditioning needs t.

    Raises:
        ValueError: a ``sigma_range`` that is not 0 ≤ lowest < highest.

    Chapter: 9 Preconditioning, c_shift and the choice of σ.
    """

    def __init__(
        self,
        network: Callable[[Tensor, Tensor], Tensor],
        sde: SDE,
        preconditioning: Preconditioning | None = None,
        sigma_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.sde = sde
        self.preconditioning = preconditioning or Preconditioning.edm()
        if sigma_range is None and self.preconditioning.needs_t:
            sigma_range = sde.sigma_range
        self.sigma_range = check_sigma_range(sigma_range)

    def forward(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return r_hat, the estimate of x0 − y, of the shape and dtype of ``x_tilde``.

        Never call it at σ = 0: c_noise has no value there.

        Args:
            x_tilde: unshifted, unscaled state, (B, 1, F, L) complex, or (B, C, ...) real.
            y: noisy spectrogram, same shape and dtype.
            sigma: unscaled noise level(s) > 0: a number, (B,) or (B, 1, 1, 1).

        Raises:
            ValueError: σ ≤ 0 (looked at where σ lies on the CPU).

        Chapter: 9 Preconditioning, c_shift and the choice of σ.
        """
        c = self._coefficients(sigma, x_tilde)
        y = y.expand_as(x_tilde)
        u = c.c_in * x_tilde + c.c_shift * y
        noise_label = c.c_noise.reshape(-1).expand(x_tilde.shape[0])  # (B,)
        output = self.network(_as_channels(u, y), noise_label).to(x_tilde.real.dtype)
        if x_tilde.is_complex():
            output = torch.complex(*output.chunk(2, dim=1))  # (B, 2, F, L) → (B, 1, F, L) complex
        return c.c_skip * x_tilde + c.c_out * output

    def _coefficients(self, sigma: float | Tensor, x: Tensor) -> Coefficients:
        sigma = over_batch(sigma, x)
        if sigma.device.type == "cpu" and not bool((sigma > 0).all()):
            raise ValueError("sigma must be > 0; a sampler ends with y + D at its last level")
        c = self.preconditioning.coefficients(sigma, self.sde)
        return Coefficients(
            **{name: value.to(x.device, x.real.dtype) for name, value in vars(c).items()}
        )


def _as_channels(u: Tensor, y: Tensor) -> Tensor:
    """Stack the shifted input and y as real channels on axis 1."""
    if u.is_complex():
        return torch.cat([u.real, u.imag, y.real, y.imag], dim=1)  # (B, 4, F, L)
    return torch.cat([u, y], dim=1)  # (B, 2C, ...)


class ForeignScore:
    """Any score of x_t as a denoiser: D = x̃ + s σ² ∇ log p_t(x_t | y), with x_t = y + s x̃.

    Args:
        score_fn: ``score_fn(x_t, y, t)`` with t of shape (B,); SGMSE+ checkpoints have this form.
            For complex x_t it must be ∂ log p / ∂x̄, half of what autograd returns.
        sde: the schedule that the score was trained with.
        sigma_range: levels that the score was trained on; default t in [0.01, 1].

    Raises:
        ValueError: a ``sigma_range`` that is not 0 ≤ lowest < highest.

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """

    def __init__(
        self,
        score_fn: Callable[[Tensor, Tensor, Tensor], Tensor],
        sde: SDE,
        sigma_range: tuple[float, float] | None = None,
    ) -> None:
        self.score_fn = score_fn
        self.sde = sde
        self.sigma_range = check_sigma_range(sigma_range or sde.sigma_range)

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return r_hat, of the shape of ``x_tilde``; arguments as in :class:`ScoreModel`."""
        sigma = over_batch(sigma, x_tilde)
        t = self.sde.sigma_inv(sigma)
        s = self.sde.s(t).to(x_tilde.device, x_tilde.real.dtype)
        variance = sigma.square().to(x_tilde.device, x_tilde.real.dtype)
        t = t.to(x_tilde.device, x_tilde.real.dtype).reshape(-1).expand(x_tilde.shape[0])  # (B,)
        return x_tilde + s * variance * self.score_fn(y + s * x_tilde, y, t)


def score(denoiser: Denoiser, sde: SDE, x_t: Tensor, y: Tensor, t: float | Tensor) -> Tensor:
    """Return the score of x_t, ∇ log p_t(x_t | y) = (D − x̃) / (s σ²), with x̃ = (x_t − y) / s.

    For complex x_t this is ∂ log p / ∂x̄, half of autograd's gradient; for real x_t it is all of it.

    Args:
        denoiser: any denoiser.
        sde: the schedule.
        x_t: shifted state, (B, 1, F, L) complex or real.
        y: noisy spectrogram, same shape.
        t: diffusion time in (0, 1]: a number, (B,) or (B, 1, 1, 1).

    Chapter: 7 The shifted SDE and its perturbation kernel.
    """
    t = over_batch(t, x_t)
    s, sigma = sde.s(t), sde.sigma(t)
    scale = s.to(x_t.device, x_t.real.dtype)
    x_tilde = (x_t - y) / scale
    d = denoiser(x_tilde, y, sigma) - x_tilde
    return d / (scale * sigma.square().to(x_t.device, x_t.real.dtype))


def check_sigma_range(found: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the range as two floats, or None.

    Raises:
        ValueError: not 0 ≤ lowest < highest.
    """
    if found is None:
        return None
    lowest, highest = (float(level) for level in found)
    if not 0 <= lowest < highest:
        raise ValueError(f"sigma_range={found} must be (lowest, highest), 0 <= lowest < highest")
    return lowest, highest
