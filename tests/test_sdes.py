"""The schedules are what the paper says, in every form in which it says it."""

import math

import pytest
import torch
from close import close
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expi

from edmse_lite.processes import noise_like
from edmse_lite.sdes import BBCD, BBED, BBLS, OUVE, OUVP, SDE, VE, VP, Cosine, RichterOUVE

DEFAULTS = [RichterOUVE(), OUVE(), VE(), OUVP(), VP(), Cosine(), BBED(), BBCD(), BBLS()]
OTHERS = [
    RichterOUVE(stiffness=0.3, sigma_min=0.02, sigma_max=1.0),
    OUVE(stiffness=3.0),
    OUVP(stiffness=0.2, beta_min=0.1, beta_max=20.0),
    OUVP(stiffness=0.2, beta_min=2.0, beta_max=2.0),
    Cosine(stiffness=1.5, shift=0.0, lambda_min=-8.0),
    BBED(0.53, 2.6),
    BBED(0.1, 1.0),
]
EVERY = pytest.mark.parametrize("sde", DEFAULTS + OTHERS, ids=repr)
TIMES = torch.cat([torch.logspace(-9, -1, 30), torch.linspace(0.11, 1, 60)]).double()


@pytest.mark.parametrize(
    ("sde", "s_1", "sigma_1", "std_1"),
    [
        (RichterOUVE(), 0.2231, 1.743, 0.389),
        (OUVE(), 0.2231, 0.4975, 0.111),
        (OUVP(), 0.1733, 0.81055, 0.1405),
        (Cosine(), 0.0111, 90.0, 0.99994),
        (BBED(0.1, 10), 0.001, 31.2, 0.0312),
        (BBCD(0.1), 0.001, 3.16, 0.0032),
        (BBLS(0.1), 0.001, 0.0999, 0.0001),
    ],
)
def test_values_at_the_start(sde, s_1, sigma_1, std_1):
    close(float(sde.s(1.0)), s_1, rtol=0, atol=0.00005)
    close(sde.sigma_1, sigma_1, rtol=1e-3)
    close(sde.sigma_1 * float(sde.s(1.0)), std_1, rtol=2e-2)


@EVERY
def test_diffusion_coefficient_belongs_to_the_schedule(sde):
    t = TIMES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(sde.sigma(t).square().sum(), t)
    close(sde.g(TIMES).square(), sde.s(TIMES).square() * slope, rtol=1e-11)


@EVERY
def test_drift_rate_belongs_to_the_scaling(sde):
    t = TIMES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(sde.s(t).log().sum(), t)
    close(sde.f(TIMES), slope, rtol=1e-11, atol=1e-12)
    close(sde.s(0.0), 1.0)
    close(sde.sigma(0.0), 0.0)


@EVERY
def test_level_is_the_integral_of_g_over_s(sde):
    """σ² = ∫ g²/s², the inverse design, by an independent quadrature."""
    for t in (0.01, 0.3, 0.8, 0.97):
        area, _ = quad(lambda u: float(sde.g(u) / sde.s(u)) ** 2, 0, t, epsabs=0, epsrel=1e-11)
        close(sde.sigma(t) ** 2, area, rtol=1e-9)


@EVERY
def test_finite_differences_of_f_and_g(sde):
    h = 1e-5
    for t in (0.05, 0.5, 0.9):
        slope = (sde.sigma(t + h) ** 2 - sde.sigma(t - h) ** 2) / (2 * h)
        close(sde.g(t) ** 2, sde.s(t) ** 2 * slope, rtol=1e-5)
        close(sde.f(t), (sde.s(t + h) - sde.s(t - h)) / (2 * h) / sde.s(t), rtol=1e-5, atol=1e-9)


@EVERY
@settings(max_examples=40, deadline=None)
@given(t=st.floats(1e-12, 1.0))
def test_time_round_trip(sde, t):
    close(sde.sigma_inv(sde.sigma(t)), t, rtol=1e-13 if sde != Cosine() else 1e-12)


@EVERY
@settings(max_examples=40, deadline=None)
@given(log_sigma=st.floats(-12.0, 3.0))
def test_level_round_trip(sde, log_sigma):
    sigma = math.exp(log_sigma)
    if isinstance(sde, BBCD) and not isinstance(sde, BBLS):
        sigma = min(sigma, sde.sigma_1)  # above σ(1) a level is a time within 0.001 of infinity
    close(sde.sigma(sde.sigma_inv(sigma)), sigma, rtol=1e-10)


@EVERY
def test_level_rises(sde):
    sigma = sde.sigma(TIMES)
    assert (sigma.diff() > 0).all()
    assert (sde.s(TIMES).diff() <= 0).all()


@EVERY
def test_small_times_keep_their_digits(sde):
    """σ²(t) ≈ t g²(0) (or t²) near 0; a difference of large numbers would lose every digit."""
    t = torch.tensor([1e-14, 2e-14], dtype=torch.float64)
    power = 1.0 if isinstance(sde, BBLS | Cosine) else 0.5
    close(sde.sigma(t[1]) / sde.sigma(t[0]), 2**power, rtol=1e-12)
    if power == 0.5:
        close(sde.sigma(t).square(), t * sde.g(0.0) ** 2, rtol=1e-11)
    low = torch.tensor(1e-6)  # float32
    close(sde.sigma(low), sde.sigma(1e-6), rtol=2e-5)


def test_bbed_is_the_published_closed_form():
    sde = BBED(0.1, 10.0)
    k2, log = 100.0, math.log(100.0)
    for t in (0.2, 0.5, 0.9, 1.0):
        u = 0.999 * t
        form = k2 * log * (expi((u - 1) * log) - expi(-log)) - 10 ** (2 * u) / (u - 1) - 1
        close(sde.sigma(t) ** 2, 0.01 * form, rtol=1e-11)


def test_bbed_without_growth_is_bbcd():
    close(BBED(0.2, 1.0).sigma(TIMES), BBCD(0.2).sigma(TIMES), rtol=1e-12)
    close(BBED(0.2, 1.0).g(TIMES), BBCD(0.2).g(TIMES), rtol=1e-12)


def test_cosine_levels_of_sixteen_steps():
    t = 1 - torch.arange(16, dtype=torch.float64) / 16
    expected = [90.0, 2.21, 1.11, 0.730, 0.536, 0.416, 0.333, 0.271]
    expected += [0.223, 0.183, 0.149, 0.119, 0.092, 0.068, 0.044, 0.022]
    close(Cosine().sigma(t), expected, rtol=3e-3, atol=5e-4)


def test_cosine_is_not_clamped():
    """β = g² e^(2γt) of the released code stops at 10; the schedule's own goes on to 1e5."""
    beta = Cosine().g(torch.tensor([0.9, 0.95, 1.0], dtype=torch.float64)).square()
    assert (beta > 10).all()
    assert beta[-1] > 1e3


def test_stiffness_moves_the_level_only_for_richter():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    for kind in (OUVE, OUVP, Cosine):
        assert torch.equal(kind(stiffness=0.0).sigma(t), kind(stiffness=1.5).sigma(t))
    assert RichterOUVE(stiffness=1.5).sigma_1 > 3 * RichterOUVE(stiffness=0.0).sigma_1
    close(RichterOUVE(stiffness=0.0).sigma(t), VE().sigma(t))


def test_ve_and_vp_are_without_drift_of_their_own():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert torch.equal(VE(0.01, 2.0).sigma(t), OUVE(0.0, 0.01, 2.0).sigma(t))
    assert torch.equal(VE().s(t), torch.ones_like(t))
    close(VP().s(t).square() * (1 + VP().sigma(t).square()), torch.ones_like(t))
    assert repr(VE(0.01, 2.0)) == "VE(sigma_min=0.01, sigma_max=2.0)"


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("sde", DEFAULTS, ids=repr)
def test_kernel_against_simulation(sde, dtype):
    """Euler-Maruyama of dx = f (x − y) dt + g dw ends with the kernel's mean and std."""
    generator = torch.Generator().manual_seed(1)
    count, steps, end = 6_000, 300, 0.8
    value = torch.ones(count, dtype=dtype)
    x0, y = value * 0.3, value * (-0.4 if dtype == torch.float64 else 0.2 - 0.5j)
    x, dt = x0, end / steps
    times = torch.arange(steps, dtype=torch.float64) * dt
    for f, g in zip(sde.f(times + dt / 2).tolist(), sde.g(times + dt / 2).tolist(), strict=True):
        x = x + f * (x - y) * dt + g * math.sqrt(dt) * noise_like(x, generator)
    mean, std = sde.kernel(x0, y, end)
    error = 5 * float(std) / math.sqrt(count)
    close((x.mean() - mean[0]).abs(), 0.0, atol=error + 0.003)
    close((x - mean).abs().square().mean().sqrt() / std, 1.0, rtol=0.06)


def test_kernel_shapes_and_types():
    x0, y = (torch.randn(3, 1, 4, 5, dtype=torch.complex64) for _ in range(2))
    t = torch.tensor([0.1, 0.5, 1.0])
    sde = OUVE()
    mean, std = sde.kernel(x0, y, t)
    assert mean.dtype == torch.complex64 and std.dtype == torch.float32
    assert mean.shape == x0.shape and std.shape == (3, 1, 1, 1)
    again, _ = sde.kernel(x0, y, t.reshape(3, 1, 1, 1).double())
    close(mean, again, rtol=1e-6)
    for i, one in enumerate(t.tolist()):
        close(mean[i], sde.kernel(x0[i], y[i], one)[0], rtol=1e-5, atol=1e-6)
    close(sde.kernel(x0, y, 0.0)[0], x0, rtol=1e-5, atol=1e-6)
    assert sde.sigma(0.5).dtype == torch.float64
    with pytest.raises(ValueError, match="found 2 levels"):
        sde.kernel(x0, y, t[:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.complex128])
def test_prior_has_the_marginal_std(dtype):
    y = torch.full((200_000,), 0.7, dtype=dtype)
    sde = RichterOUVE()
    x_1 = sde.prior(y, generator=torch.Generator().manual_seed(3))
    assert x_1.dtype == dtype
    close((x_1 - y).abs().square().mean().sqrt(), 0.38898, rtol=0.01)
    close((x_1 - y).mean().abs(), 0.0, atol=0.004)
    assert torch.equal(x_1, sde.prior(y, generator=torch.Generator().manual_seed(3)))
    unit = torch.randn(y.shape, dtype=dtype, generator=torch.Generator().manual_seed(3))
    close(x_1, y + 0.388978 * unit, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sde", DEFAULTS, ids=repr)
def test_mismatch_is_the_divergence_of_two_gaussians(sde):
    """In nats a bin; a complex bin is two real ones of half the variance."""
    x0, y = torch.tensor([0.1, -0.3]).double(), torch.tensor([0.4, 0.2]).double()
    normal = torch.distributions.Normal
    mean, std = sde.kernel(x0, y, 1.0)
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(y, std))
    close(sde.mismatch(x0, y), expected, rtol=1e-6)
    z0, z = torch.complex(x0, y), torch.complex(y, -x0)
    mean, std = sde.kernel(z0, z, 1.0)
    half = std / math.sqrt(2)
    parts = [
        torch.distributions.kl_divergence(normal(a, half), normal(b, half))
        for a, b in ((mean.real, z.real), (mean.imag, z.imag))
    ]
    close(sde.mismatch(z0, z), sum(parts), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OUVE(stiffness=-1), "stiffness=-1"),
        (lambda: OUVE(sigma_min=0.5, sigma_max=0.5), "must exceed sigma_min"),
        (lambda: VE(sigma_min=0.0), "sigma_min=0.0"),
        (lambda: OUVP(beta_min=2.0, beta_max=1.0), "beta_max=1.0"),
        (lambda: OUVP(beta_min=math.nan), "beta_min=nan"),
        (lambda: BBED(k=0.5), "k=0.5"),
        (lambda: BBCD(c=-0.1), "c=-0.1"),
        (lambda: Cosine(stiffness=math.inf), "stiffness=inf"),
    ],
)
def test_wrong_parameters_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError):
        SDE()
