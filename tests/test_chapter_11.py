"""Chapter 11: what a corrector keeps, forgets and widens; the last step; the check; the picture."""

import json
import math

import pytest
import torch
from close import close

import edmse_lite as se
from edmse_lite import figures
from edmse_lite.checks import check_corrector
from edmse_lite.intervals import Interval

F64 = torch.float64


# What the page derives


@pytest.mark.parametrize("snr", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("sigma", [0.03, 0.2, 2.0])
def test_a_corrector_settles_at_the_spread_of_the_page(snr: float, sigma: float) -> None:
    """v = (1 − κ)² v + 4 r² σ² is solved by (p + σ²)/(1 − κ/2), κ = 2 r² σ²/(p + σ²)."""
    p = 0.01
    kappa = 2 * snr**2 * sigma**2 / (p + sigma**2)
    v = 1.0
    for _ in range(200_000 if sigma < 0.1 else 2_000):
        v = (1 - kappa) ** 2 * v + 4 * snr**2 * sigma**2
    assert v == pytest.approx((p + sigma**2) / (1 - kappa / 2), rel=1e-6)


def test_at_one_the_corrector_has_no_law_to_settle_at() -> None:
    """r_corr = 1 at σ ≫ √p: κ is 2, old deviations change sign and never fade."""
    sigma, p, v = 10.0, 0.01, 1.0
    kappa = 2 * 1.01**2 * sigma**2 / (p + sigma**2)
    for _ in range(500):
        v = (1 - kappa) ** 2 * v + 4 * sigma**2
    assert v > 1e3 * sigma**2


@pytest.mark.parametrize("sde", [se.RichterOUVE(), se.OUVP(), se.Cosine()], ids=repr)
def test_the_library_corrects_as_the_form_in_x_tilde_says(sde, monkeypatch) -> None:
    """x̃ ← x̃ + 2 r² (D − x̃) + 2 r σ z, whatever s is: the first state that a PC step reports."""
    oracle, snr = se.GaussianOracle(0.02, 0.02), 0.4
    y = torch.randn(6, dtype=torch.complex128)
    g = torch.Generator().manual_seed(3)
    start, z = torch.randn(2, 6, dtype=torch.complex128, generator=g)
    queue = iter([start, z, z])
    step = next(se.PC(4, 1, snr).iterate(oracle, sde, y, lambda x: next(queue)))
    sigma = sde.sigma_1
    x = sigma * start
    x = x + 2 * snr**2 * (oracle(x, y, sigma) - x) + 2 * snr * sigma * z
    close((step.x_t - y) / sde.s(1.0), x, rtol=1e-9)


@pytest.mark.parametrize("sde", [se.RichterOUVE(), se.OUVE(), se.Cosine()], ids=repr)
def test_one_predictor_move_errs_by_the_square_of_its_size(sde) -> None:
    """From the exact law at t the predictor leads to the one at t − Δ, up to Δ²."""
    m, p, t = -0.1, 0.01, 0.5

    def error(delta: float) -> float:
        s, sigma, f, g = (float(q(t)) for q in (sde.s, sde.sigma, sde.f, sde.g))
        spread = s**2 * (p + sigma**2)
        mean = s * m - f * s * m * delta  # the score is 0 on average
        variance = (1 - f * delta - g**2 * delta / spread) ** 2 * spread + g**2 * delta
        then = t - delta
        wanted = float(sde.s(then)) ** 2 * (p + float(sde.sigma(then)) ** 2)
        return abs(variance - wanted) + abs(mean - float(sde.s(then)) * m)

    assert math.log2(error(2e-3) / error(1e-3)) == pytest.approx(2, abs=0.05)


def test_three_last_steps_remove_what_the_page_prints() -> None:
    """For s = 1 and a perfect D, the mean removes 2 σ̇ t/σ of the diffusion noise, half of it ½."""
    sde, t = se.VE(0.05, 1.0), torch.tensor(0.1, dtype=F64)
    fraction = float(t * sde.g(t).square() / sde.sigma(t).square())
    delta = torch.tensor(1e-5, dtype=F64)
    slope = (sde.sigma(t + delta) - sde.sigma(t - delta)) / (2 * delta)
    assert fraction == pytest.approx(float(2 * slope * t / sde.sigma(t)), rel=1e-6)
    assert 1 < fraction < 1.5
    cosine = float(t * se.Cosine().g(t).square() / (se.Cosine().s(t) * se.Cosine().sigma(t)) ** 2)
    assert cosine == pytest.approx(2, rel=0.02)


# The check


def right(denoiser, x, y, s, sigma, r_corr, z):
    x_tilde = (x - y) / s
    score = (denoiser(x_tilde, y, sigma) - x_tilde) / (s * sigma**2)
    epsilon = 2 * (r_corr * s * sigma) ** 2
    return x + epsilon * score + (2 * epsilon) ** 0.5 * z


def of(change):
    """Return the corrector with one thing changed: ε, score, std of the noise or the question."""

    def corrector(denoiser, x, y, s, sigma, r_corr, z):
        epsilon = 2 * (r_corr * s * sigma) ** 2
        parts = {"state": (x - y) / s, "level": sigma, "epsilon": epsilon, "sign": 1, "scale": s}
        parts |= {"std": (2 * epsilon) ** 0.5}
        parts |= change(x, y, s, sigma, r_corr, epsilon)
        x_tilde = parts["state"]
        d = denoiser(x_tilde, y, parts["level"]) - x_tilde
        score = parts["sign"] * d / (parts["scale"] * sigma**2)
        return x + parts["epsilon"] * score + parts["std"] * z

    return corrector


def unscaled(x, y, s, sigma, r, e):
    return {"epsilon": 2 * (r * sigma) ** 2, "std": 2 * r * sigma}


WRONG = {
    "std is √ε, expected √(2ε)": of(lambda x, y, s, sigma, r, e: {"std": e**0.5}),
    "the variance; take the root": of(lambda x, y, s, sigma, r, e: {"std": 2 * e}),
    "x_t is s σ": of(unscaled),
    "the density shrinks": of(lambda x, y, s, sigma, r, e: {"std": 0}),
    "the sign is +": of(lambda x, y, s, sigma, r, e: {"sign": -1}),
    "times ε · score": of(lambda x, y, s, sigma, r, e: {"scale": 1}),
    "asked about x_t": of(lambda x, y, s, sigma, r, e: {"state": x}),
    "asked at the level s σ": of(lambda x, y, s, sigma, r, e: {"level": s * sigma}),
    "although ε = 0": of(lambda x, y, s, sigma, r, e: {"epsilon": e + 0.1}),
}


@pytest.mark.parametrize("seed", range(5))
def test_the_right_corrector_passes(seed: int) -> None:
    report = check_corrector(right, seed)
    assert report.score == len(report.findings) == 6, str(report)
    assert json.loads(report.json())["check"] == "corrector"


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("message", WRONG)
def test_the_check_names_what_is_wrong(message: str, seed: int) -> None:
    report = check_corrector(WRONG[message], seed)
    assert report.score < 6 and message in str(report), str(report)


def test_the_check_counts_calls_and_sees_a_lost_spread() -> None:
    def twice(denoiser, x, y, s, sigma, r_corr, z):
        denoiser((x - y) / s, y, sigma)
        return right(denoiser, x, y, s, sigma, r_corr, z)

    assert "2 calls a move, expected 1" in str(check_corrector(twice))
    report = dict(check_corrector(WRONG["the density shrinks"]).findings)
    assert "times that of the exact move" in report["keeps the density of x_t"]


# The picture


def test_lines_and_dots_are_drawn_as_they_are_given() -> None:
    x = torch.linspace(0, 1, 5)
    dots = {"a": {0.5: Interval(2.0, 1.5, 2.75, 9, 9)}}
    axes = figures.against(x, {"a": x + 1, "b": x}, dots, "r", "spread", truth=1.0).axes[0]
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["a"] == pytest.approx([1, 1.25, 1.5, 1.75, 2]) and "b" in lines
    (low, high) = axes.collections[-2].get_segments()[0][:, 1]
    assert (low, high) == (1.5, 2.75)
    assert lines["exact"] == [1.0, 1.0]
