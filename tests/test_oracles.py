"""The oracles are exact: against quadrature, autograd, simulation and each other."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from close import close as exactly
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import edmse_lite as se

REAL_GRID = torch.linspace(-4, 4, 8001, dtype=torch.float64)
AXIS = torch.linspace(-1.5, 1.5, 401, dtype=torch.float64)
PLANE = torch.complex(*torch.meshgrid(AXIS, AXIS, indexing="xy")).reshape(-1)
close = partial(exactly, rtol=1e-8, atol=1e-12)


def normal(x, mean, variance):
    """Density written out once more, real or complex."""
    power = (x - mean).abs() ** 2 / variance
    if x.is_complex():
        return torch.exp(-power) / (math.pi * variance)
    return torch.exp(-power / 2) / math.sqrt(2 * math.pi * variance)


REAL_MIXTURE = se.MixtureOracle(
    [0.2, 0.5, 0.3], torch.tensor([-0.9, 0.1, 0.8], dtype=torch.float64), [0.2, 0.3, 0.1]
)
COMPLEX_MIXTURE = se.MixtureOracle(
    [0.7, 0.3], torch.tensor([0.3 + 0.15j, -0.3 - 0.15j]), [0.1, 0.15]
)
NOISY_MIXTURE = se.MixtureOracle(
    [0.4, 0.6], torch.tensor([-0.7, 0.6], dtype=torch.float64), [0.2, 0.3], noise_var=0.3
)


# -------------------------------------------------------------------- Tweedie against quadrature


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("oracle", [se.GaussianOracle(0.4, 0.2), REAL_MIXTURE, NOISY_MIXTURE])
def test_tweedie_by_quadrature_real(oracle, sigma):
    """D = ∫ r p(r | y) N(x̃; r, σ²) dr / ∫ p(r | y) N(x̃; r, σ²) dr."""
    y = torch.tensor(0.37, dtype=torch.float64)
    prior = oracle.log_prob(REAL_GRID, y.expand_as(REAL_GRID)).exp()
    for x in (-0.8, 0.0, 0.55):
        x = torch.tensor(x, dtype=torch.float64)
        joint = prior * normal(REAL_GRID, x, sigma**2)
        close(oracle(x, y, sigma), (REAL_GRID * joint).sum() / joint.sum(), rtol=1e-7)
        step = REAL_GRID[1] - REAL_GRID[0]
        close(oracle.log_prob(x, y, sigma), torch.log(joint.sum() * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sigma", [0.1, 0.4])
@pytest.mark.parametrize("oracle", [se.GaussianOracle(0.1, 0.05), COMPLEX_MIXTURE])
def test_tweedie_by_quadrature_complex(oracle, sigma):
    y = torch.tensor(0.2 - 0.1j, dtype=torch.complex128)
    prior = oracle.log_prob(PLANE, y.expand_as(PLANE)).exp()
    cell = (AXIS[1] - AXIS[0]) ** 2
    close(prior.sum() * cell, 1.0, rtol=1e-5)
    for x in (0.3 + 0.1j, -0.05 - 0.2j):
        x = torch.tensor(x, dtype=torch.complex128)
        joint = prior * normal(PLANE, x, sigma**2)
        close(oracle(x, y, sigma), (PLANE * joint).sum() / joint.sum(), rtol=1e-5, atol=1e-6)
        close(oracle.log_prob(x, y, sigma), torch.log(joint.sum() * cell), rtol=1e-5, atol=1e-5)


def test_posterior_of_clean_mixture_by_bayes():
    """noise_var: p(r | y) ∝ p_x0(y + r) N(−r; 0, v)."""
    y = torch.tensor(0.37, dtype=torch.float64)
    x0 = y + REAL_GRID
    joint = 0.4 * normal(x0, -0.7, 0.04) + 0.6 * normal(x0, 0.6, 0.09)
    joint = joint * normal(REAL_GRID, 0.0, 0.3)
    density = joint / (joint.sum() * (REAL_GRID[1] - REAL_GRID[0]))
    found = NOISY_MIXTURE.log_prob(REAL_GRID, y.expand_as(REAL_GRID)).exp()
    close(found, density, rtol=1e-6, atol=1e-9)
    close(NOISY_MIXTURE.mean(y), (REAL_GRID * density).sum() / density.sum(), rtol=1e-7)


# ------------------------------------------------------------------- scores, real and complex


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(0.05, 3.0), seed=st.integers(0, 1000))
def test_score_is_autograds_or_half_of_it(dtype, sigma, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 6, 2, dtype=dtype, generator=generator) * 0.5
    plane = se.MixtureOracle([0.6, 0.4], torch.tensor([[0.5, -0.2], [-0.4, 0.1]]), 0.2)
    half = 0.5 if dtype.is_complex else 1.0
    for oracle in (se.GaussianOracle(0.5, 0.2), plane):
        state = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(oracle.log_prob(state, y, sigma).sum(), state)
        close(oracle.score(x, y, sigma), half * gradient, rtol=1e-8, atol=1e-10)
        d = oracle(x, y, sigma)
        close(d, x + sigma**2 * half * gradient, rtol=1e-8, atol=1e-10)  # Tweedie's formula


# ------------------------------------------------------------------------------ Gaussian facts


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gaussian_posterior_by_simulation(dtype):
    """Draw x0 and n, regress r on y: slope −v/(c+v), residual variance c v/(c+v)."""
    c, v, count = 0.8, 0.3, 400_000
    x0 = math.sqrt(c) * torch.randn(count, dtype=dtype)
    y = x0 + math.sqrt(v) * torch.randn(count, dtype=dtype)
    r = x0 - y
    oracle = se.GaussianOracle(c, v)
    residual = r - oracle.mean(y)
    close((residual.conj() * y).mean().abs(), 0.0, atol=0.004)
    close(residual.abs().square().mean(), float(oracle.var), rtol=0.01)


def test_wiener_estimate_at_infinite_level():
    oracle = se.GaussianOracle(torch.tensor([0.8, 0.1]), torch.tensor([0.3, 0.5]))
    y = torch.randn(3, 2, dtype=torch.complex128)
    wiener = torch.tensor([0.8 / 1.1, 0.1 / 0.6], dtype=torch.float64) * y
    close(y + oracle(torch.randn_like(y), y, math.inf), wiener, rtol=1e-7)
    close(y + oracle(torch.zeros_like(y), y, 1e9), wiener, rtol=1e-6)


def test_flow_solves_the_ordinary_differential_equation():
    oracle = se.GaussianOracle(0.4, 0.2)
    y = torch.tensor([0.3, -0.5], dtype=torch.float64)
    x = torch.tensor([1.0, -2.0], dtype=torch.float64)

    def slope(sigma, state):
        state = torch.from_numpy(np.asarray(state))
        return ((state - oracle(state, y, sigma)) / sigma).numpy()

    solved = solve_ivp(slope, (2.0, 0.05), x.numpy(), rtol=1e-10, atol=1e-12)
    close(oracle.flow(x, y, 2.0, 0.05), torch.from_numpy(solved.y[:, -1]), rtol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_marginal_mismatch(dtype):
    """KL of the true marginal: by simulation, and below the averaged KL of the kernels."""
    oracle, sigma = se.GaussianOracle(0.4, 0.2), 0.5
    y = torch.full((200_000,), 0.6, dtype=dtype)
    x = oracle.sample(y) + sigma * torch.randn_like(y)
    prior = torch.log(normal(x, torch.zeros_like(x), sigma**2))
    estimate = (oracle.log_prob(x, y, sigma) - prior).mean()
    found = oracle.mismatch(y[:1], sigma)[0]
    close(found, estimate, rtol=0.03)
    kernel = (oracle.sample(y).abs().square().mean() / sigma**2) / (1 if dtype.is_complex else 2)
    assert found < kernel


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gaussian_draws(dtype):
    oracle = se.GaussianOracle(0.4, 0.2)
    y = torch.full((200_000,), 0.6, dtype=dtype)
    draws = oracle.sample(y, generator=torch.Generator().manual_seed(2))
    close(draws.mean().abs(), 0.2, rtol=0.02)
    close((draws + 0.2).abs().square().mean(), 0.4 * 0.2 / 0.6, rtol=0.02)
    assert torch.equal(draws, oracle.sample(y, generator=torch.Generator().manual_seed(2)))


# ------------------------------------------------------------------------------- mixture facts


def test_one_component_is_the_gaussian_oracle():
    x, y = torch.randn(2, 5, 3, dtype=torch.complex128)
    one = se.MixtureOracle([2.0], torch.tensor([0.0]), math.sqrt(0.8), noise_var=0.3)
    both = se.GaussianOracle(0.8, 0.3)
    sigma = torch.rand(5, dtype=torch.float64) + 0.1
    close(one(x, y, sigma), both(x, y, sigma), rtol=1e-10)
    close(one.score(x, y, sigma), both.score(x, y, sigma), rtol=1e-10)
    close(one.log_prob(x, y, sigma), both.log_prob(x, y, sigma), rtol=1e-10)
    close(one.mean(y), both.mean(y), rtol=1e-10)


def test_event_is_one_draw():
    """In the plane a point has one component, so its coordinates are not independent."""
    means = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    oracle = se.MixtureOracle([0.5, 0.5], means, 0.1)
    y = torch.zeros(2_000, 2, dtype=torch.float64)
    draws = oracle.sample(y, generator=torch.Generator().manual_seed(0))
    assert draws.shape == y.shape and (draws.prod(-1) > 0).all()
    assert oracle.log_prob(draws, y).shape == (2_000,)
    d = oracle(torch.tensor([[3.0, -2.9]]).double(), y[:1], 1.0)
    assert (d > 0).all()  # the sum decides for both coordinates
    entries = se.MixtureOracle([0.5, 0.5], torch.tensor([1.0, -1.0]), 0.1)
    d = entries(torch.tensor([[3.0, -2.9]]).double(), y[:1], 1.0)
    assert d[0, 0] > 0 > d[0, 1]  # entries on their own decide on their own


@pytest.mark.parametrize("oracle", [REAL_MIXTURE, COMPLEX_MIXTURE, NOISY_MIXTURE])
def test_mixture_draws_follow_the_density(oracle):
    complex_means = oracle.means.is_complex()
    y = torch.full((100_000,), 0.37, dtype=torch.complex128 if complex_means else torch.float64)
    r = oracle.sample(y, generator=torch.Generator().manual_seed(5))
    close((r.mean() - oracle.mean(y)[0]).abs(), 0.0, atol=0.01)
    _, means, variance = oracle.posterior(y[:1])
    share = oracle.posterior(y[:1])[0].exp()
    power = (share * (means.abs().square() + variance)).sum()
    close(r.abs().square().mean(), power, rtol=0.02)
    if not complex_means:  # the whole distribution, by its density
        density = oracle.log_prob(REAL_GRID, y[:1].expand_as(REAL_GRID)).exp()
        below = density.cumsum(0) * (REAL_GRID[1] - REAL_GRID[0])
        for i in range(2500, 6000, 250):
            close((r < REAL_GRID[i]).double().mean(), below[i].item(), atol=0.008, rtol=0)


def test_toy_has_the_documented_size():
    mu = 0.15 + 0.075j
    toy = se.MixtureOracle([0.7, 0.3], torch.tensor([mu, -mu]), 0.03)
    y = torch.zeros(100_000, dtype=torch.complex128)
    r = toy.sample(y, generator=torch.Generator().manual_seed(1))
    close(((r - mu).abs() < (r + mu).abs()).double().mean(), 0.70, atol=0.006, rtol=0)
    close(r.abs().square().mean().sqrt(), math.sqrt(abs(mu) ** 2 + 0.03**2), rtol=0.005)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.complex128])
def test_types_and_shapes_follow_the_input(dtype):
    x, y = torch.randn(2, 3, 1, 4, 5, dtype=dtype)
    sigma = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    for oracle in (
        se.GaussianOracle(0.4, torch.rand(4, 1) + 0.1),
        se.MixtureOracle([0.5, 0.5], torch.tensor([0.1, -0.1]), 0.1),
        se.MixtureOracle([0.5, 0.5], torch.randn(2, 1, 4, 5), 0.1, noise_var=0.1),
    ):
        for made in (oracle(x, y, sigma), oracle.score(x, y, sigma), oracle.sample(y)):
            assert made.dtype == dtype and made.shape == x.shape
        rows = [oracle(x[i : i + 1], y[i : i + 1], sigma[i]) for i in range(3)]
        close(oracle(x, y, sigma), torch.cat(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: se.GaussianOracle(0.0, 1.0), "clean_var"),
        (lambda: se.GaussianOracle(1.0, torch.tensor([1.0, -1.0])), "noise_var"),
        (lambda: se.MixtureOracle([0.5, 0.5], torch.zeros(3), 0.1), "weights"),
        (lambda: se.MixtureOracle([0.5, 0.5], torch.zeros(2), torch.ones(3)), "stds"),
        (lambda: se.MixtureOracle([0.5, -0.5], torch.zeros(2), 0.1), "must be > 0"),
        (lambda: se.MixtureOracle([1.0], torch.zeros(1), 0.1, noise_var=0), "noise_var=0"),
        (
            lambda: se.MixtureOracle([1.0], torch.zeros(1, 2), 0.1).mean(torch.zeros(5, 3)),
            "to end in",
        ),
        (lambda: se.MixtureOracle([1.0], torch.ones(1) * 1j, 0.1).mean(torch.zeros(5)), "complex"),
    ],
)
def test_wrong_oracles_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
