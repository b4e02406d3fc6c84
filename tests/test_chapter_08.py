"""Chapter 8: the clamp's floor, the levels of uniform t, the closed form of BBED, the check."""

import math

import pytest
import torch
from close import close
from scipy.special import expi

import edmse_lite as se
from edmse_lite import drift, figures
from edmse_lite.checks import check_bridge, check_levels
from edmse_lite.grids import rho, uniform_t

F64 = torch.float64


class Clamped(se.Cosine):
    """The page's fault: g is limited, s and σ are not."""

    def g(self, t):
        return super().g(t).clamp(max=math.sqrt(10))

    def f(self, t):
        return -self.g(t) ** 2 / 2


def test_a_clamped_g_has_a_floor_and_sigma_needs_none() -> None:
    D, y = drift.two_answers(), torch.zeros(500, dtype=torch.complex128)

    def in_sigma(steps: int, grid) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        return se.EDM(steps, s_churn=0.0, grid=grid)(D, se.Cosine(), y, generator).x0_hat

    def in_t(sde: se.SDE, steps: int) -> torch.Tensor:
        return drift.heun_in_t(D, sde, y, steps, torch.Generator().manual_seed(1))

    exact = in_sigma(300, rho(1e-3, se.Cosine().sigma_1))
    clamped = [drift.rms(in_t(Clamped(), n) - exact) for n in (64, 128)]
    assert 0.03 < clamped[0] < 0.06
    close(clamped[0], clamped[1], rtol=0.05)
    assert drift.rms(in_t(se.Cosine(), 128) - exact) < 2e-3
    assert drift.rms(in_sigma(128, uniform_t()) - exact) < 2e-3


def test_away_is_zero_for_the_flow_and_in_percent_of_r() -> None:
    """A walk that forgets r is 100 % away where the flow reaches it."""
    D, y = drift.two_answers(), torch.zeros(400, dtype=torch.complex128)
    flow = se.EDM(200, s_churn=0.0, grid=rho(1e-3, se.VE().sigma_1))
    near = drift.away(D, se.VE(), y, lambda g: flow(D, se.VE(), y, g).x0_hat)
    assert near(0) == near(3) == 0.0
    forgets = drift.away(D, se.VE(), y, lambda g: 0 * y)
    close(forgets(0), 100.0, rtol=0.03)


def test_the_clamp_removes_what_the_page_prints() -> None:
    share = (Clamped().g(0.9) / se.Cosine().g(0.9)).square()
    close(share, 0.758, atol=5e-4)


@pytest.mark.parametrize("sde", [se.OUVE(), se.RichterOUVE(), se.VP(), se.Cosine()], ids=repr)
def test_uniform_t_meets_levels_with_density_one_over_the_slope(sde) -> None:
    """∫ p(σ) dσ over a range is the share of t in it, by the trapezoidal rule in ln σ."""
    low, high = sde.sigma(0.2), sde.sigma(0.7)
    log = torch.linspace(float(low.log()), float(high.log()), 4001, dtype=F64)
    t = sde.sigma_inv(log.exp()).requires_grad_()
    (slope,) = torch.autograd.grad(sde.sigma(t).log().sum(), t)
    close(torch.trapezoid(1 / slope, log), 0.5, rtol=1e-6)


def test_bbed_has_the_closed_form_of_the_page() -> None:
    t = torch.linspace(0.1, 1, 50, dtype=F64)
    u, k2 = 0.999 * t.numpy(), 100.0
    log = math.log(k2)
    closed = k2**u / (1 - u) - 1 + log * k2 * (expi(log * (u - 1)) - expi(-log))
    close(se.BBED(0.1, 10.0).sigma(t), 0.1 * torch.tensor(closed).sqrt(), rtol=1e-10)


def test_few_positions_get_a_tick_each() -> None:
    counts = [4, 8, 16]
    figure = figures.smooth(counts, {"error": {"x": [3.0, 2.0, 1.0]}}, "N", logx=True)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["4", "8", "16"]


# The check


def right(t, a, b):
    return torch.exp(a + b * torch.special.ndtri(t))


WRONG = {
    "look at shape and sign": lambda t, a, b: a + b * torch.special.ndtri(t),
    "this is a power of 10": lambda t, a, b: 10 ** (a + b * torch.special.ndtri(t)),
    "this is b²": lambda t, a, b: torch.exp(a + b**2 * torch.special.ndtri(t)),
    "a flat one": lambda t, a, b: torch.exp(a + b * 12**0.5 * (t - 0.5)),
    "σ must grow with t": lambda t, a, b: torch.exp(a - b * torch.special.ndtri(t)),
    "not its mean": lambda t, a, b: torch.exp(a - b**2 / 2 + b * torch.special.ndtri(t) + b**2),
}


@pytest.mark.parametrize("seed", range(4))
def test_the_right_levels_pass(seed: int) -> None:
    assert check_levels(right, seed).score == 5, str(check_levels(right, seed))


@pytest.mark.parametrize("message", WRONG)
def test_the_check_names_what_is_wrong(message: str) -> None:
    report = check_levels(WRONG[message], seed=1)
    assert report.score < len(report.findings) and message in str(report), str(report)


def bridge(t, c):
    return c * (t / (1 - t)).sqrt()


WRONG_BRIDGES = {
    "σ is unscaled": lambda t, c: (1 - t) * bridge(t, c),
    "not g²": lambda t, c: c * t.sqrt(),
    "s enters squared": lambda t, c: c * (-torch.log1p(-t)).sqrt(),
    "this is the variance": lambda t, c: bridge(t, c) ** 2,
    "x_t starts at x0": lambda t, c: bridge(t, c) + c,
    "it stays small": lambda t, c: bridge(t, c).clamp(max=2 * c),
    "shape ()": lambda t, c: bridge(t, c).sum(),
}


@pytest.mark.parametrize("seed", range(4))
def test_the_right_bridge_passes_and_is_the_library_s(seed: int) -> None:
    assert check_bridge(bridge, seed).score == 5, str(check_bridge(bridge, seed))
    t = torch.linspace(0.1, 0.9, 9, dtype=F64)
    close(se.BBCD(0.3).sigma(t), bridge(0.999 * t, 0.3), rtol=1e-9)


@pytest.mark.parametrize("message", WRONG_BRIDGES)
def test_the_check_names_what_is_wrong_with_a_bridge(message: str) -> None:
    report = check_bridge(WRONG_BRIDGES[message], seed=1)
    assert report.score < 5 and message in str(report), str(report)
