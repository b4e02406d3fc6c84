"""Exact denoisers in closed form: one answer (Gaussian) or many (mixture), with the same call.

Chapter: 5 Denoising at one noise level (the mixture: chapter 4; prior mismatch: chapter 13).

Complex y: complex Gaussians, E|ε|² = 1, variances are E|·|².  Real y: real Gaussians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edmse_lite.processes import as_level, noise_like, over_batch


def _log_normal(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return ln N(x; mean, variance) of each entry, in nats, real or complex."""
    square = (x - mean).abs().square() / variance
    if x.is_complex():
        return -square - torch.log(math.pi * variance)
    return -0.5 * (square + torch.log(2 * math.pi * variance))


def _real(value: float | Tensor, x: Tensor) -> Tensor:
    """Return a real parameter on the device of ``x``, in its precision."""
    return as_level(value).to(x.device, x.real.dtype)


def _variance(sigma: float | Tensor, x: Tensor) -> Tensor:
    """Return σ², ready to broadcast against ``x``."""
    return _real(over_batch(sigma, x), x).square()


@dataclass(frozen=True, eq=False)
class GaussianOracle:
    """The exact denoiser for x0 ~ N(0, c), n ~ N(0, v), y = x0 + n, in each bin on its own.

    r | y ~ N(m, p) with m = −v/(c+v) y and p = c v/(c+v); D = m + p/(p+σ²) (x̃ − m).  It is exact
    on the *linear* STFT only: after compression r is not minus the environmental noise.  As
    σ → ∞, y + D is the Wiener estimate.

    Args:
        clean_var: c > 0, variance of the clean bins, a number or a tensor that broadcasts to y.
        noise_var: v > 0, variance of the environmental noise, likewise.

    Raises:
        ValueError: a variance that is not > 0.

    Chapter: 5 Denoising at one noise level.
    """

    clean_var: float | Tensor
    noise_var: float | Tensor

    def __post_init__(self) -> None:
        for name in ("clean_var", "noise_var"):
            if not bool((as_level(getattr(self, name)) > 0).all()):
                raise ValueError(f"GaussianOracle: {name} must be > 0 in every bin")

    @property
    def var(self) -> Tensor:
        """The posterior variance p = c v / (c + v)."""
        c, v = as_level(self.clean_var), as_level(self.noise_var)
        return c * v / (c + v)

    def mean(self, y: Tensor) -> Tensor:
        """Return the posterior mean m = −v/(c+v) y of r, of the shape of ``y``."""
        c, v = _real(self.clean_var, y), _real(self.noise_var, y)
        return -v / (c + v) * y

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return D(x̃; y, σ) = E[r | x̃, y], of the shape of ``x_tilde``.

        Args:
            x_tilde: unshifted, unscaled state, any shape, complex or real.
            y: noisy bins, same shape.
            sigma: unscaled noise level(s): a number, (B,) or (B, 1, ...).

        Chapter: 5 Denoising at one noise level.
        """
        m, p = self.mean(y), _real(self.var, y)
        return m + p / (p + _variance(sigma, x_tilde)) * (x_tilde - m)

    def score(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return (m − x̃) / (p + σ²), the score of x̃ at level σ ≥ 0 (∂/∂x̄ where complex)."""
        p = _real(self.var, y)
        return (self.mean(y) - x_tilde) / (p + _variance(sigma, x_tilde))

    def log_prob(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return ln p(x̃ | y) of each bin at level σ, in nats; σ = 0 is the density of r."""
        return _log_normal(x_tilde, self.mean(y), _real(self.var, y) + _variance(sigma, x_tilde))

    def sample(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one posterior draw of r for each bin of ``y``, by one ``torch.randn`` call."""
        return self.mean(y) + _real(self.var, y).sqrt() * noise_like(y, generator)

    def flow(
        self, x_tilde: Tensor, y: Tensor, start: float | Tensor, end: float | Tensor
    ) -> Tensor:
        """Return the exact probability flow of x̃ from level ``start`` to level ``end``.

        m + (x̃ − m) √((p + end²) / (p + start²)), the solution of dx̃/dσ = (x̃ − D) / σ.

        Chapter: 6 Walking down the noise.
        """
        m, p = self.mean(y), _real(self.var, y)
        ratio = (p + _variance(end, x_tilde)) / (p + _variance(start, x_tilde))
        return m + ratio.sqrt() * (x_tilde - m)

    def mismatch(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return KL(x̃ at level σ given y ‖ N(0, σ²)) of each bin, in nats.

        (p + |m|²)/σ² − ln(1 + p/σ²) for complex bins, half of that for real ones.

        Chapter: 13 Prior mismatch.
        """
        p, variance = _real(self.var, y), _variance(sigma, y)
        kl = (p + self.mean(y).abs().square()) / variance - torch.log1p(p / variance)
        return kl if y.is_complex() else kl / 2


@dataclass(frozen=True, eq=False)
class MixtureOracle:
    """The exact denoiser for a mixture of K isotropic Gaussians: many clean answers to one y.

    r | y ~ Σ_k w_k N(μ_k, τ_k² I), the same for every y.  With ``noise_var`` the mixture is that of
    x0 instead, and y = x0 + n with n ~ N(0, noise_var): weights and means then depend on y.

    Args:
        weights: w_k > 0, shape (K,); normalised to sum 1.
        means: μ_k, shape (K, *event), complex or real.  Event () treats each entry of x̃ as a draw
            of its own, event (2,) takes points in the plane, x̃ of shape (..., 2).
        stds: τ_k > 0, a number or shape (K,).
        noise_var: variance of the environmental noise > 0, or None.

    Raises:
        ValueError: shapes that do not agree, or a weight, std or variance that is not > 0.

    Chapter: 4 Many clean answers to one recording.
    """

    weights: Tensor
    means: Tensor
    stds: float | Tensor
    noise_var: float | None = None

    def __post_init__(self) -> None:
        weights = torch.as_tensor(self.weights, dtype=torch.float64)
        means = torch.as_tensor(self.means)
        means = means.to(torch.complex128 if means.is_complex() else torch.float64)
        stds = torch.as_tensor(self.stds, dtype=torch.float64)
        if weights.ndim != 1 or means.ndim < 1 or means.shape[0] != weights.shape[0]:
            raise ValueError(
                f"MixtureOracle: weights {tuple(weights.shape)}, means {tuple(means.shape)} must "
                "be (K,) and (K, *event)"
            )
        if stds.ndim > 1 or (stds.ndim == 1 and stds.shape != weights.shape):
            raise ValueError(f"MixtureOracle: stds {tuple(stds.shape)} must be a number or (K,)")
        if not (bool((weights > 0).all()) and bool((stds > 0).all())):
            raise ValueError("MixtureOracle: every weight and every std must be > 0")
        if self.noise_var is not None and not self.noise_var > 0:
            raise ValueError(f"MixtureOracle: noise_var={self.noise_var} must be > 0, or None")
        object.__setattr__(self, "weights", weights / weights.sum())
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "stds", stds.expand(weights.shape))

    def posterior(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ln w_k, μ_k and τ_k² of r | y, each broadcasting to (K, *y.shape).

        Args:
            y: noisy points, shape (..., *event), complex or real.

        Raises:
            ValueError: a y that does not end in the event shape, or real y for complex means.

        Chapter: 4 Many clean answers to one recording.
        """
        ones = [1] * self._batch_ndim(y)
        count = self.weights.shape[0]
        per_event = [count, *[1] * y.ndim]  # (K, 1, ..., 1)
        log_w = _real(self.weights, y).log().reshape(per_event)
        means = self.means.to(y.device, y.dtype).reshape(count, *ones, *self.means.shape[1:])
        variance = _real(self.stds, y).square().reshape(per_event)
        if self.noise_var is None:
            return log_w, means, variance
        total = variance + self.noise_var
        evidence = self._over_event(_log_normal(y.unsqueeze(0), means, total))
        log_w = torch.log_softmax(log_w + evidence, dim=0)
        return log_w, self.noise_var / total * (means - y), variance * self.noise_var / total

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return D(x̃; y, σ) = E[r | x̃, y], of the shape of ``x_tilde``.

        Args:
            x_tilde: unshifted, unscaled state, (..., *event), complex or real.
            y: noisy points, same shape.
            sigma: unscaled noise level(s): a number, (B,) or (B, 1, ...).

        Chapter: 4 Many clean answers to one recording.
        """
        log_w, means, variance = self.posterior(y)
        total = variance + _variance(sigma, x_tilde)
        log_p = self._over_event(_log_normal(x_tilde.unsqueeze(0), means, total))
        share = torch.softmax(log_w + log_p, dim=0)  # p(k | x̃, y), (K, ..., 1 for the event)
        return (share * (means + variance / total * (x_tilde - means))).sum(0)

    def score(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
        """Return (D − x̃) / σ², the score of x̃ at level σ > 0 (∂/∂x̄ where complex)."""
        return (self(x_tilde, y, sigma) - x_tilde) / _variance(sigma, x_tilde)

    def log_prob(self, x_tilde: Tensor, y: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return ln p(x̃ | y) at level σ, in nats, shape without the event; σ = 0 is for r."""
        log_w, means, variance = self.posterior(y)
        total = variance + _variance(sigma, x_tilde)
        log_p = self._over_event(_log_normal(x_tilde.unsqueeze(0), means, total))
        return torch.logsumexp(log_w + log_p, dim=0).reshape(self._batch_shape(x_tilde))

    def mean(self, y: Tensor) -> Tensor:
        """Return the posterior mean of r, of the shape of ``y``."""
        log_w, means, _ = self.posterior(y)
        return (log_w.exp() * means).sum(0).expand_as(y)

    def sample(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one posterior draw of r for each event of ``y``: a ``rand``, then a ``randn``."""
        log_w, means, variance = self.posterior(y)
        device = y.device if generator is None else generator.device
        shape = (*self._batch_shape(y), *[1] * (self.means.ndim - 1))
        u = torch.rand(shape, dtype=y.real.dtype, device=device, generator=generator).to(y.device)
        below = log_w.exp().cumsum(0)[:-1] < u  # (K−1, ..., 1): how many components lie below u
        k = below.sum(0, keepdim=True)
        pick = torch.arange(self.weights.shape[0], device=y.device).reshape(-1, *[1] * y.ndim) == k
        return (pick * (means + variance.sqrt() * noise_like(y, generator))).sum(0)

    def _batch_ndim(self, x: Tensor) -> int:
        event = self.means.shape[1:]
        batch = x.ndim - len(event)
        if batch < 0 or x.shape[batch:] != event:
            raise ValueError(
                f"MixtureOracle: found shape {tuple(x.shape)}, expected it to end in {tuple(event)}"
            )
        if self.means.is_complex() and not x.is_complex():
            raise ValueError("MixtureOracle: the means are complex, so y and x_tilde must be too")
        return batch

    def _batch_shape(self, x: Tensor) -> torch.Size:
        return x.shape[: self._batch_ndim(x)]

    def _over_event(self, values: Tensor) -> Tensor:
        """Sum (K, ..., *event) over the event, which stays as axes of length 1."""
        event = tuple(range(values.ndim - self.means.ndim + 1, values.ndim))
        return values.sum(event, keepdim=True) if event else values
