"""Where a sampler starts and where it should: starts that know r, and what becomes of a wrong one.

Chapter: 13 Prior mismatch.

A sampler draws x̃ ~ N(0, σ(1)²), as if r were zero; the process it reverses has r + σ(1) ε there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from edmse_lite.corpora import Pair
from edmse_lite.denoisers import Denoiser
from edmse_lite.drift import MU, near_mu, rms
from edmse_lite.grids import rho
from edmse_lite.intervals import Interval
from edmse_lite.oracles import GaussianOracle, MixtureOracle
from edmse_lite.processes import SDE, noise_like
from edmse_lite.samplers import EDM, Sampler, Step
from edmse_lite.sdes import VE
from edmse_lite.spectrograms import SAMPLE_RATE, Spectrogram, level


class ToldStart:
    """Diffusion noise whose first draw is ε + r/σ, so that a sampler starts at r + σ ε.

    Hand it to a sampler where a generator is expected: the start is then a draw of the kernel
    p(x_1 | x0, y) instead of the prior, and every later draw is what it would have been.

    Args:
        r: x0 − y, of the shape of y, complex or real; another draw of r | y for each start makes
            the start a draw of the true marginal.
        sigma: level at which the sampler starts: the first of its grid, or ``sde.sigma_1`` for PC.
        generator: carries the randomness.

    Raises:
        ValueError: σ ≤ 0.

    Chapter: 13 Prior mismatch.
    """

    def __init__(
        self,
        r: Tensor,
        sigma: float,
        generator: torch.Generator | Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if not sigma > 0:
            raise ValueError(f"sigma={sigma} must be > 0: it is the level at which a walk starts")
        self.r, self.sigma, self.generator, self.draws = r, float(sigma), generator, 0

    def __call__(self, like: Tensor) -> Tensor:
        """Return diffusion noise of the shape of ``like``; the first time with r/σ added."""
        noise = noise_like(like, self.generator)
        self.draws += 1
        return noise + self.r / self.sigma if self.draws == 1 else noise


def up_to(sigma_1: float, sigma_min: float = 0.01) -> VE:
    """Return the VE schedule whose largest level is ``sigma_1``.

    Args:
        sigma_1: σ(1) > 0.
        sigma_min: its parameter σ_min > 0; σ² = σ_min² (p^(2t) − 1).

    Raises:
        ValueError: a level that is not > 0.

    Chapter: 13 Prior mismatch.
    """
    if not sigma_1 > 0:
        raise ValueError(f"sigma_1={sigma_1} must be > 0")
    return VE(sigma_min, (sigma_1**2 + sigma_min**2) ** 0.5)


def share_near_mu(
    sampler: Sampler,
    denoiser: MixtureOracle,
    sde: SDE,
    draws: int = 20_000,
    told: float | None = None,
    seed: int = 1,
) -> tuple[float, float]:
    """Return :func:`edmse_lite.drift.near_mu` of a sampler's results.

    Args:
        sampler: any sampler.
        denoiser: the oracle ``drift.two_answers()``, the same r for every y; y is 0 here.
        sde: the schedule.
        draws: number of results.
        told: None starts at y; a level starts at r + level · ε with r drawn from the oracle.
        seed: of the diffusion noise, and of r.

    Chapter: 13 Prior mismatch.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.zeros(draws, dtype=torch.complex128)
    source: torch.Generator | ToldStart = generator
    if told is not None:
        source = ToldStart(denoiser.sample(y, generator), told, generator)
    return near_mu(sampler(denoiser, sde, y, source).x0_hat)


def marginal_kl(
    oracle: GaussianOracle | MixtureOracle,
    y: Tensor,
    sigma: float,
    draws: int = 20_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return KL(x̃ at level σ given y ‖ N(0, σ²)) of one bin, in nats, and its standard error.

    The mean of ln p_σ(x̃) − ln N(x̃; 0, σ²) over draws of x̃ = r + σ ε; exact oracles know p_σ.

    Args:
        oracle: knows r | y and its blurred density.
        y: one noisy bin, a scalar tensor, complex or real.
        sigma: level σ > 0.
        draws: number of draws.
        seed: of the draws.

    Chapter: 13 Prior mismatch.
    """
    generator = torch.Generator().manual_seed(seed)
    many = y.expand(draws)
    x = oracle.sample(many, generator) + sigma * noise_like(many, generator)
    prior = GaussianOracle(1.0, 1e-300)  # r = 0: only its blurred density is used
    gap = oracle.log_prob(x, many, sigma) - prior.log_prob(x, 0 * many, sigma)
    return float(gap.mean()), float(gap.std()) / draws**0.5


def bias_left(
    sampler: Sampler, sde: SDE, oracle: GaussianOracle, y: Tensor, told: float, seed: int = 0
) -> float:
    """Return the share of a wrong start that is still in the result: 0 is forgotten, 1 is kept.

    Two runs on the same diffusion noise, one started at m + σ ε, one at σ ε.  On a Gaussian oracle
    a sampler is affine, so their difference over m is the same for every draw and every m.

    Args:
        sampler: any sampler.
        sde: the schedule.
        oracle: gives the posterior mean m.
        y: noisy bins, any shape, complex or real, not 0.
        told: level σ at which the sampler starts.
        seed: of the diffusion noise.

    Chapter: 13 Prior mismatch.
    """
    m = oracle.mean(y)
    at_y = sampler(oracle, sde, y, torch.Generator().manual_seed(seed)).x0_hat
    start = ToldStart(m, told, torch.Generator().manual_seed(seed))
    at_m = sampler(oracle, sde, y, start).x0_hat
    return float(((at_m - at_y) / m).real.mean())


def spectra(
    pair: Pair, transform: Spectrogram, seconds: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x0 and y of a pair, (1, 1, F, L) complex, and the level that both were divided by.

    Args:
        pair: a clean and a noisy waveform.
        transform: the spectrogram of the model.
        seconds: use only the beginning.

    Chapter: 13 Prior mismatch.
    """
    samples = None if seconds is None else int(seconds * SAMPLE_RATE)
    scale = level(pair.noisy[:samples])
    x0, y = (transform.forward((w[:samples] / scale)[None]) for w in (pair.clean, pair.noisy))
    return x0, y, scale


def energy_by_band(pairs: Sequence[Pair], transform: Spectrogram, edges: Sequence[float]) -> Tensor:
    """Return the mean of |r|² in each band of each pair, shape (pairs, bands).

    Args:
        pairs: clean and noisy waveforms.
        transform: the spectrogram of the model.
        edges: of the bands, Hz, one more than there are bands.

    Chapter: 13 Prior mismatch.
    """
    rows = []
    for pair in pairs:
        x0, y, _ = spectra(pair, transform)
        power = (x0 - y).abs().square().mean(dim=(0, 1, 3))  # (F,)
        hz = torch.arange(len(power)) * SAMPLE_RATE / transform.n_fft
        inside = [(hz >= a) & (hz < b) for a, b in zip(edges, edges[1:], strict=False)]
        rows.append(torch.stack([power[band].mean() for band in inside]))
    return torch.stack(rows)


def started(
    sampler: Sampler,
    denoiser: Denoiser,
    sde: SDE,
    x0: Tensor,
    y: Tensor,
    told: float | None,
    seed: int = 0,
) -> Step:
    """Return the last step of a sampler that starts at y, or at the truth's own kernel.

    Args:
        sampler: any sampler.
        denoiser: any denoiser.
        sde: the schedule.
        x0: clean spectrogram, used by a told start only.
        y: noisy spectrogram, same shape.
        told: None starts at y; otherwise the level σ of the start r + σ ε.
        seed: of the diffusion noise, the same for both starts.

    Chapter: 13 Prior mismatch.
    """
    generator = torch.Generator().manual_seed(seed)
    source = generator if told is None else ToldStart(x0 - y, told, generator)
    return sampler(denoiser, sde, y, source)


def start_gap(
    sampler: Sampler, denoiser: MixtureOracle, sde: SDE, seeds: Sequence[int], draws: int = 4_000
) -> Interval:
    """Return share near μ started at y minus started where it should, in percentage points.

    Each seed is one paired run of both starts; the interval is Student's over seeds, 95 %.

    Args:
        sampler: starts at the schedule's largest level.
        denoiser: the oracle ``drift.two_answers()``.
        sde: the schedule.
        seeds: at least two.
        draws: results a seed.

    Raises:
        ValueError: fewer than two seeds.

    Chapter: 13 Prior mismatch.
    """
    if len(seeds) < 2:
        raise ValueError(f"found {len(seeds)} seeds, an interval over seeds needs at least 2")
    from scipy.special import stdtrit

    gaps = []
    for seed in seeds:
        at_y, told = (
            share_near_mu(sampler, denoiser, sde, draws, start, seed)[0]
            for start in (None, sde.sigma_1)
        )
        gaps.append(100 * (at_y - told))
    found = torch.tensor(gaps, dtype=torch.float64)
    mean, error = float(found.mean()), float(found.std()) / len(gaps) ** 0.5
    half = float(stdtrit(len(gaps) - 1, 0.975)) * error
    return Interval(mean, mean - half, mean + half, len(gaps), len(gaps))


def late_start(denoiser: MixtureOracle, top: float, steps: int, draws: int = 8_000) -> list[float]:
    """Return, for a flow that starts at y and level ``top``, share near μ and relative spread.

    Share in per cent; the spread is the rms distance to the nearer answer over that of the oracle.

    Args:
        denoiser: the oracle ``drift.two_answers()``.
        top: level of the start.
        steps: N, on the ρ grid from 0.005 to ``top``.
        draws: number of results.

    Chapter: 13 Prior mismatch.
    """
    y = torch.zeros(draws, dtype=torch.complex128)
    sampler = EDM(steps, 0.0, grid=rho(0.005, top))
    r = sampler(denoiser, up_to(top), y, torch.Generator().manual_seed(1)).x0_hat
    near = torch.minimum((r - MU).abs(), (r + MU).abs())
    return [100 * near_mu(r)[0], rms(near) / float(denoiser.stds[0])]
