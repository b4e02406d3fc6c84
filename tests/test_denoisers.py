"""Preconditioning has the published numbers, and every score and denoiser says the same thing."""

import itertools
import math

import pytest
import torch
from close import close
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import edmse_lite as se
from edmse_lite.preconditioning import CHOICES

LEVELS = torch.logspace(-3, 2, 21, dtype=torch.float64)
SDE = se.RichterOUVE()


class Recorder(nn.Module):
    """A network that keeps what it was given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.3))
        self.channels = channels

    def forward(self, inputs, noise_label):
        self.inputs, self.noise_label = inputs, noise_label
        label = noise_label.reshape(-1, *[1] * (inputs.ndim - 1))
        return self.gain * torch.tanh(inputs[:, : self.channels] + label)


def pair(*shape, dtype=torch.complex64):
    return torch.randn(*shape, dtype=dtype), torch.randn(*shape, dtype=dtype)


# ------------------------------------------------------------------- the table of coefficients


def test_edm_coefficients_are_the_published_ones():
    c = se.Preconditioning.edm(0.5).coefficients(LEVELS, SDE)
    power = LEVELS.square() + 0.25
    close(c.c_skip, 0.25 / power)
    close(c.c_out, LEVELS * 0.5 / power.sqrt())
    close(c.c_in, 1 / power.sqrt())
    close(c.c_shift, torch.zeros_like(LEVELS))
    close(c.c_noise, LEVELS.log() / 4)
    close(se.Preconditioning.edm(0.5).loss_weight(LEVELS), power / (LEVELS * 0.5).square())


def test_richter_coefficients_are_those_of_sgmse():
    t = torch.linspace(0.01, 1, 12, dtype=torch.float64)
    sigma, s = SDE.sigma(t), SDE.s(t)
    p = se.Preconditioning.richter()
    c = p.coefficients(sigma, SDE)
    close(c.c_skip, torch.ones_like(t))
    close(c.c_out, -s * sigma.square() / t, rtol=1e-11)
    close(c.c_in, s, rtol=1e-11)
    close(c.c_shift, torch.ones_like(t))
    close(c.c_noise, t.log(), rtol=1e-11, atol=1e-13)
    close(p.loss_weight(sigma), sigma**-2)


def test_edm_makes_unit_variance_at_every_level():
    """Input, target and effective weight are 1 from σ = 0.001 to 100, whatever the level."""
    sigma_data = 0.125
    p = se.Preconditioning.edm(sigma_data)
    r = sigma_data * torch.randn(4_000, 1, dtype=torch.complex128)
    noise = torch.randn(4_000, len(LEVELS), dtype=torch.complex128)
    r, noise = (
        r / r.abs().square().mean().sqrt() * sigma_data,
        noise - r * ((r.conj() * noise).mean(0) / r.abs().square().mean()),
    )  # exactly uncorrelated, so that the check is exact
    noise = noise / noise.abs().square().mean(0).sqrt()
    x_tilde = r + LEVELS * noise
    c = p.coefficients(LEVELS, SDE)
    target = (r - c.c_skip * x_tilde) / c.c_out
    one = torch.ones_like(LEVELS)
    close((c.c_in * x_tilde).abs().square().mean(0), one, rtol=1e-10)
    close(target.abs().square().mean(0), one, rtol=1e-6)
    close(p.loss_weight(LEVELS) * c.c_out.square(), one)


def test_richter_is_never_of_unit_variance():
    """rms of the target t/(sσ), and the effective weight λ c_out², at seven times."""
    t = torch.tensor([0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
    p = se.Preconditioning.richter()
    sigma = SDE.sigma(t)
    c = p.coefficients(sigma, SDE)
    target_rms = sigma / c.c_out.abs()  # F* = (r − x̃) / c_out = −σ ε / c_out
    close(target_rms, torch.tensor([0.93, 1.59, 2.80, 3.92, 4.11, 3.43, 2.57]), rtol=0, atol=0.006)
    weight = p.loss_weight(sigma) * c.c_out.square()
    close(weight, torch.tensor([1.16, 0.39, 0.13, 0.065, 0.059, 0.085, 0.151]), rtol=0.02)
    assert 19 < weight.max() / weight.min() < 21
    power = (0.1**2 + sigma.square()).sqrt() * c.c_in  # rms of x_t − y, σ_d = 0.1
    assert 0.09 < power.min() and power.max() < 0.41


def test_richter_equals_sgmse_score():
    """∇ log p_t = −F(x_t, y; ln t) / t: the network of SGMSE, divided by t."""
    x, y = pair(3, 1, 4, 5, dtype=torch.complex128)
    network = Recorder(2).double()
    model = se.ScoreModel(network, SDE, se.Preconditioning.richter())
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    score = se.score(model, SDE, x, y, t)
    raw = network(torch.cat([x.real, x.imag, y.real, y.imag], 1), t.log())
    expected = -torch.complex(raw[:, :1], raw[:, 1:]) / t.reshape(3, 1, 1, 1)
    close(score, expected, rtol=1e-9, atol=1e-11)
    close(network.inputs[:, :1], x.real, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("choice", "shift"),
    [
        ("edm", lambda sigma: torch.zeros_like(sigma)),
        ("richter", lambda sigma: torch.ones_like(sigma)),
        ("edm-scaled-shift", lambda sigma: 1 / (sigma.square() + 0.01).sqrt() / s_of(sigma)),
    ],
)
def test_shifts(choice, shift):
    c = se.Preconditioning.edm(c_shift=choice).coefficients(LEVELS, se.OUVE())
    close(c.c_shift, shift(LEVELS), rtol=1e-11)
    close(c.c_in, (LEVELS.square() + 0.01).rsqrt())


def s_of(sigma):
    return se.OUVE().s(se.OUVE().sigma_inv(sigma))


def test_shift_over_s_at_the_start():
    """c_in / s is about 1 for the cosine schedule and about 8.8 for OUVE at t = 1."""
    p = se.Preconditioning.edm(c_shift="edm-scaled-shift")
    cosine, ouve = (
        float(p.coefficients(sde.sigma_1, sde).c_shift) for sde in (se.Cosine(), se.OUVE())
    )
    assert cosine == pytest.approx(1.0, abs=1e-3) and ouve == pytest.approx(8.8, abs=0.05)


def test_every_coefficient_is_chosen_on_its_own():
    sigma = torch.tensor([0.05, 0.4], dtype=torch.float64)
    pure = {
        "edm": se.Preconditioning.edm().coefficients(sigma, SDE),
        "richter": se.Preconditioning.richter().coefficients(sigma, SDE),
    }
    for names in itertools.product(("edm", "richter"), repeat=5):
        choice = dict(zip(("c_skip", "c_out", "c_in", "c_shift", "c_noise"), names, strict=True))
        mixed = se.Preconditioning(**choice).coefficients(sigma, SDE)
        for coefficient, name in choice.items():
            close(getattr(mixed, coefficient), getattr(pure[name], coefficient), rtol=1e-12)
    for weight in ("edm", "richter"):
        expected = getattr(se.Preconditioning, weight)().loss_weight(sigma)
        close(se.Preconditioning.edm(weight=weight).loss_weight(sigma), expected)


def test_needs_t_only_where_t_or_s_enters():
    needed = {
        (name, choice)
        for name, known in CHOICES.items()
        for choice in known
        if se.Preconditioning.edm(**{name: choice}).needs_t
    }
    assert needed == {
        ("c_out", "richter"),
        ("c_in", "richter"),
        ("c_noise", "richter"),
        ("c_shift", "edm-scaled-shift"),
    }


def test_wrong_choices_are_named():
    with pytest.raises(ValueError, match="c_shift='y' is not known; choose one of edm, richter"):
        se.Preconditioning.edm(c_shift="y")
    with pytest.raises(ValueError, match="sigma_data=0"):
        se.Preconditioning.edm(0)


# --------------------------------------------------------------------------------- score models


def test_network_sees_the_shifted_input_then_y():
    x, y = pair(2, 1, 4, 5)
    network = Recorder(2)
    p = se.Preconditioning.edm(0.1, c_shift="richter")
    d = se.ScoreModel(network, SDE, p)(x, y, 0.3)
    c_in = 1 / math.sqrt(0.3**2 + 0.01)
    shifted = c_in * x + y
    close(
        network.inputs,
        torch.cat([shifted.real, shifted.imag, y.real, y.imag], 1),
        rtol=1e-5,
        atol=1e-6,
    )
    close(network.noise_label, torch.full((2,), math.log(0.3) / 4), rtol=1e-5)
    output = network(network.inputs, network.noise_label)
    f = torch.complex(output[:, :1], output[:, 1:])
    expected = 0.01 / (0.09 + 0.01) * x + 0.3 * 0.1 * c_in * f
    close(d, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["edm", "richter"])
def test_levels_may_be_one_or_one_an_item(kind, dtype):
    x, y = pair(3, 1, 4, 5, dtype=dtype)
    network = Recorder(2 if dtype.is_complex else 1).to(x.real.dtype)
    model = se.ScoreModel(network, SDE, getattr(se.Preconditioning, kind)())
    sigma = torch.tensor([0.05, 0.3, 1.2], dtype=torch.float64)
    d = model(x, y, sigma)
    assert d.shape == x.shape and d.dtype == dtype
    assert network.inputs.shape == (3, 4 if dtype.is_complex else 2, 4, 5)
    assert network.inputs.dtype == network.noise_label.dtype == x.real.dtype
    torch.testing.assert_close(d, model(x, y, sigma.reshape(3, 1, 1, 1).to(x.real.dtype)))
    for i, level in enumerate(sigma.tolist()):
        torch.testing.assert_close(d[i : i + 1], model(x[i : i + 1], y[i : i + 1], level))


def test_points_in_the_plane():
    x, y = pair(7, 2, dtype=torch.float64)
    network = Recorder(2).double()
    d = se.ScoreModel(network, se.VE())(x, y, torch.rand(7).double() + 0.1)
    assert d.shape == (7, 2) and network.inputs.shape == (7, 4)


def test_gradients_reach_the_network_and_the_state():
    x, y = pair(2, 1, 4, 5)
    x.requires_grad_()
    model = se.ScoreModel(Recorder(2), SDE, se.Preconditioning.edm())
    sigma = torch.tensor([0.1, 0.5])
    weight = model.preconditioning.loss_weight(sigma).reshape(2, 1, 1, 1)
    (weight * (model(x, y, sigma) - y).abs().square()).mean().backward()
    assert model.network.gain.grad.abs() > 0 and x.grad.abs().sum() > 0
    assert list(model.state_dict()) == ["network.gain"]


def test_stiffness_does_not_enter_edm():
    """Same noise, same levels: the loss of a network is bitwise the same for every γ and SDE."""
    x, y = pair(2, 1, 4, 5)
    network = Recorder(2)
    sigma = torch.tensor([0.1, 0.5])
    made = [
        se.ScoreModel(network, sde, se.Preconditioning.edm())(x, y, sigma)
        for sde in (se.OUVE(0.0), se.OUVE(1.5), se.RichterOUVE(), se.BBED(), se.Cosine())
    ]
    assert all(torch.equal(made[0], other) for other in made[1:])
    richter = [
        se.ScoreModel(network, se.OUVE(g), se.Preconditioning.richter())(x, y, sigma)
        for g in (0.0, 1.5)
    ]
    assert not torch.allclose(*richter)


def test_sigma_range_is_declared_where_t_is_needed():
    network = Recorder(2)
    assert se.ScoreModel(network, SDE, se.Preconditioning.edm()).sigma_range is None
    model = se.ScoreModel(network, SDE, se.Preconditioning.richter())
    assert model.sigma_range == (float(SDE.sigma(0.01)), SDE.sigma_1)
    assert se.ScoreModel(network, SDE, sigma_range=(0.01, 2)).sigma_range == (0.01, 2.0)
    with pytest.raises(ValueError, match=r"sigma_range=\(2, 1\)"):
        se.ScoreModel(network, SDE, sigma_range=(2, 1))


@pytest.mark.parametrize("sigma", [0.0, -0.1, math.nan])
def test_no_network_is_called_at_zero(sigma):
    x, y = pair(1, 1, 2, 2)
    with pytest.raises(ValueError, match="sigma must be > 0"):
        se.ScoreModel(Recorder(2), SDE)(x, y, sigma)


def test_a_level_for_each_item_or_one_for_all():
    x, y = pair(3, 1, 2, 2)
    with pytest.raises(ValueError, match="found 2 levels"):
        se.ScoreModel(Recorder(2), SDE)(x, y, torch.tensor([0.1, 0.2]))


# ------------------------------------------------------------------------- scores of x_t, and D


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(
    "sde", [se.RichterOUVE(), se.OUVE(), se.OUVP(), se.Cosine(), se.BBED(), se.BBLS()], ids=repr
)
def test_score_is_the_gradient_of_log_density(sde, dtype):
    """Autograd of ln p_t(x_t | x0, y): all of it for real x_t, half of it for complex."""
    x0, y = pair(5, 1, 2, 3, dtype=dtype)
    t = 0.6
    mean, std = sde.kernel(x0, y, t)
    x_t = (mean + std * torch.randn_like(mean)).requires_grad_()
    power = (x_t - mean).abs().square() / std**2
    log_p = -power.sum() if dtype.is_complex else -power.sum() / 2
    (gradient,) = torch.autograd.grad(log_p, x_t)
    half = 0.5 if dtype.is_complex else 1.0
    found = se.score(lambda x_tilde, y, sigma: x0 - y, sde, x_t.detach(), y, t)
    close(found, half * gradient, rtol=1e-8, atol=1e-9 / float(std))


@settings(max_examples=25, deadline=None)
@given(t=st.floats(0.02, 1.0), gamma=st.floats(0.0, 3.0))
def test_foreign_score_undoes_the_score(t, gamma):
    """D → score of x_t → D: the two directions of one identity."""
    sde = se.OUVE(stiffness=gamma)
    oracle = se.GaussianOracle(1.0, 0.3)
    x_tilde, y = torch.randn(2, 4, 3, dtype=torch.complex128, generator=torch.manual_seed(0))
    foreign = se.ForeignScore(lambda x, y, t: se.score(oracle, sde, x, y, t), sde)
    sigma = sde.sigma(torch.full((4,), t, dtype=torch.float64))
    close(foreign(x_tilde, y, sigma), oracle(x_tilde, y, sigma), rtol=1e-9, atol=1e-10)


def test_foreign_score_is_asked_at_x_t_and_t():
    sde = se.RichterOUVE()
    seen = {}

    def score_fn(x_t, y, t):
        seen.update(x_t=x_t, t=t)
        return -x_t

    x, y = pair(3, 1, 2, 2)
    d = se.ForeignScore(score_fn, sde)(x, y, float(sde.sigma(0.4)))
    s, sigma = float(sde.s(0.4)), float(sde.sigma(0.4))
    close(seen["t"], torch.full((3,), 0.4), rtol=1e-6)
    close(seen["x_t"], y + s * x, rtol=1e-5, atol=1e-6)
    close(d, x - s * sigma**2 * seen["x_t"], rtol=1e-5, atol=1e-6)
    assert d.dtype == torch.complex64
    assert se.ForeignScore(score_fn, sde).sigma_range == sde.sigma_range
