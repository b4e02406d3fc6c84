"""Chapter 12: DPM-Solver++(2M) against others, what churn forgets, and the checks of the page."""

import json
import math

import pytest
import torch
from close import close

import edmse_lite as se
from edmse_lite import drift, figures
from edmse_lite.checks import check_edm, check_grid

F64 = torch.float64
REAL = se.MixtureOracle([0.7, 0.3], torch.tensor([0.3, -0.2], dtype=F64), 0.05)


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


# DPM-Solver++(2M)

START = torch.tensor([-1.5, -0.4, 0.1, 0.7, 2.0], dtype=F64)
# diffusers 0.42.1, EDMDPMSolverMultistepScheduler(sigma_min, sigma_max, rho, solver_order=2,
# algorithm_type="dpmsolver++", solver_type="midpoint", final_sigmas_type="zero"), run on the
# denoiser REAL from σ_max · START, with levels in float64:
DIFFUSERS = {
    (6, 0.02, 1.5, 7.0): [
        -0.2575610249543037, 0.200488600204483, 0.288364988606864, 0.3205966512778061,
        0.379334525916056,
    ],
    (20, 0.01, 1.0, 3.0): [
        -0.24600238291830545, -0.0877481517137199, 0.26840966386103615, 0.30996300352708833,
        0.38157050121845437,
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFUSERS, ids=repr)
def test_dpm_is_that_of_diffusers(case) -> None:
    steps, low, high, rho = case
    sampler = se.DPM(steps, se.grids.rho(low, high, rho))
    out = sampler(REAL, se.VE(), torch.zeros(5, dtype=F64), lambda y: START)
    close(out.x0_hat, torch.tensor(DIFFUSERS[case], dtype=F64), rtol=1e-12, atol=1e-14)
    assert out.nfe == steps


def published_2m(data_prediction, x, alphas, sigmas):
    """Lu et al. 2022, algorithm 2, with their α, σ, λ = ln(α/σ), h, r, for a scaled process."""
    lam = [math.log(a / s) for a, s in zip(alphas, sigmas, strict=True)]
    buffer = []
    for i in range(1, len(lam)):
        buffer.append(data_prediction(x, alphas[i - 1], sigmas[i - 1]))
        h = lam[i] - lam[i - 1]
        if i == 1:
            d = buffer[-1]
        else:
            r = (lam[i - 1] - lam[i - 2]) / h
            d = (1 + 1 / (2 * r)) * buffer[-1] - 1 / (2 * r) * buffer[-2]
        x = sigmas[i] / sigmas[i - 1] * x - alphas[i] * math.expm1(-h) * d
    return data_prediction(x, alphas[-1], sigmas[-1])


@pytest.mark.parametrize("sde", [se.VE(0.01, 2.0), se.RichterOUVE(), se.Cosine()], ids=repr)
def test_dpm_is_the_published_algorithm_whatever_the_scaling(sde) -> None:
    """Theirs walks in s·x̃ with α = s and the std s σ; unshifted and unscaled it is ours."""
    y = 0.1 * torch.randn(7, dtype=torch.complex128, generator=seed(2))
    oracle, grid = se.GaussianOracle(0.02, 0.03), se.grids.rho(0.01, 1.2)
    levels = grid(sde, 9)
    s = sde.s(sde.sigma_inv(levels)).tolist()
    scaled = [a * b for a, b in zip(s, levels.tolist(), strict=True)]
    start = torch.randn(7, dtype=torch.complex128, generator=seed(3))
    ask = lambda x, alpha, std: oracle(x / alpha, y, std / alpha)  # noqa: E731
    expected = published_2m(ask, scaled[0] * start, s, scaled)
    out = se.DPM(9, grid)(oracle, sde, y, seed(3))
    close(out.x0_hat, y + expected, rtol=1e-9, atol=1e-12)


def two_levels(sampler, oracle, y, high=1.0, low=0.05) -> float:
    made = list(sampler.iterate(oracle, se.VE(0.01, 2.0), y, seed()))
    return drift.rms(made[-1].x_t - y - oracle.flow(made[0].x_t - y, y, high, low))


@pytest.mark.parametrize("rho", [2.0, 7.0])
@pytest.mark.parametrize("order", [1, 2])
def test_dpm_has_its_order_between_two_levels(order: int, rho: float) -> None:
    oracle, y = se.GaussianOracle(0.1, 0.05), torch.tensor([0.4, -0.3], dtype=F64)
    grid = se.grids.rho(0.05, 1.0, rho)
    errors = [two_levels(se.DPM(n, grid, order), oracle, y) for n in (129, 257, 513)]
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.1)


def test_order_one_is_euler_in_sigma() -> None:
    y, sde, grid = torch.zeros(4, dtype=F64), se.OUVE(), se.grids.rho(0.02, 0.4)
    levels = grid(sde, 7).tolist()
    x = levels[0] * torch.randn(4, dtype=F64, generator=seed(1))
    for sigma, after in zip(levels, levels[1:], strict=False):
        x = x + (after - sigma) * (x - REAL(x, y, sigma)) / sigma
    out = se.DPM(7, grid, order=1)(REAL, sde, y, seed(1))
    close(out.x0_hat, REAL(x, y, levels[-1]), rtol=1e-11)


def test_a_ratio_upside_down_keeps_the_order_and_not_the_result() -> None:
    """Exercise 12.2: only a uniform grid in ln σ cannot tell; an order test never can."""
    y, levels = torch.zeros(4, dtype=F64), se.grids.rho(0.02, 1.0)(se.VE(), 9).tolist()

    def faulty(levels: list[float]) -> torch.Tensor:
        x, before = levels[0] * torch.randn(4, dtype=F64, generator=seed(1)), None
        for i, sigma in enumerate(levels[:-1]):
            ahead = d = REAL(x, y, sigma)
            if before is not None:
                q = math.log(levels[i - 1] / sigma) / math.log(sigma / levels[i + 1])
                ahead = d + (d - before) / 2 * q
            before, ratio = d, levels[i + 1] / sigma
            x = ratio * x + (1 - ratio) * ahead
        return REAL(x, y, levels[-1])

    right = se.DPM(9, se.grids.rho(0.02, 1.0))(REAL, se.VE(), y, seed(1)).x0_hat
    assert drift.rms(faulty(levels) - right) > 1e-3
    even = torch.logspace(0, math.log10(0.02), 9, dtype=F64)
    out = se.DPM(9, lambda sde, steps, sigma_range=None: even)(REAL, se.VE(), y, seed(1))
    close(faulty(even.tolist()), out.x0_hat, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.complex128])
def test_dpm_keeps_the_interface_of_all_samplers(dtype) -> None:
    y, oracle = torch.randn(2, 1, 3, 4, dtype=dtype), se.GaussianOracle(0.3, 0.1)
    sampler, sde = se.DPM(5), se.RichterOUVE()
    made = list(sampler.iterate(oracle, sde, y, seed(1)))
    assert [step.nfe for step in made] == [1, 2, 3, 4, 5] and made[-1].x0_hat.dtype == dtype
    assert torch.equal(made[-1].x0_hat, sampler(oracle, sde, y, seed(1)).x0_hat)
    for step in made:
        close(sde.sigma(step.t), step.sigma, rtol=1e-9)
        x_tilde = (step.x_t - y) / float(sde.s(step.t))
        close(step.x0_hat, y + oracle(x_tilde, y, step.sigma), rtol=1e-3, atol=1e-5)
    assert repr(sampler).startswith("DPM(steps=5, grid=RhoGrid(")
    for wrong, words in ((lambda: se.DPM(0), "steps=0"), (lambda: se.DPM(4, order=3), "order=3")):
        with pytest.raises(ValueError, match=words):
            wrong()


def test_one_step_and_the_trained_range() -> None:
    y, oracle = torch.randn(3, dtype=F64), se.GaussianOracle(0.3, 0.1)
    start = torch.randn(3, dtype=F64, generator=seed())
    out = se.DPM(1)(oracle, se.OUVE(), y, seed())
    close(out.x0_hat, y + oracle(se.OUVE().sigma_1 * start, y, se.OUVE().sigma_1))
    asked = []

    class Ranged:
        sigma_range = (0.02, 0.3)

        def __call__(self, x, y, sigma):
            asked.append(float(sigma))
            return oracle(x, y, sigma)

    se.DPM(4)(Ranged(), se.OUVE(), y)
    assert max(asked) == pytest.approx(0.3) and min(asked) == pytest.approx(0.02)


# What churn forgets


@pytest.mark.parametrize("churn", [0.0, 0.05, 0.2])
def test_churn_forgets_a_wrong_mean_as_the_page_says(churn: float) -> None:
    """Per step √((p + σ²)/(p + σ̂²)); the library's mean, from noise that is 0 all the time."""
    oracle, steps, sde = se.GaussianOracle(0.02, 0.02), 400, se.VE(0.01, 2.0)
    p, y = float(oracle.var), torch.tensor([-2.0], dtype=F64)
    grid = se.grids.rho(0.01, 1.0)
    levels = grid(sde, steps).tolist()
    kept = p / (p + ((1 + churn) * levels[-1]) ** 2)
    for sigma, after in zip(levels, levels[1:], strict=False):
        kept *= math.sqrt((p + after**2) / (p + ((1 + churn) * sigma) ** 2))
    out = se.EDM(steps, steps * churn, grid=grid)(oracle, sde, y, torch.zeros_like)
    off = 1 - float(out.x0_hat - y)
    assert off == pytest.approx(kept, rel=0.01, abs=1e-12)


def test_churn_acts_only_between_its_levels() -> None:
    """Below the spread of r churn leaves the share as it is; above, it mends it."""
    toy, sde, grid = drift.two_answers(), se.VE(), se.grids.rho(0.005, 0.2)
    y = torch.zeros(10_000, dtype=torch.complex128)

    def share(*settings: float) -> float:
        r = se.EDM(32, *settings, grid=grid)(toy, sde, y, seed(1)).x0_hat
        return float(((r - drift.MU).abs() < (r + drift.MU).abs()).double().mean())

    none, low, high = share(0.0), share(math.inf, 0.0, 0.05), share(math.inf, 0.05)
    assert abs(none - 0.60) < 0.015 and abs(low - none) < 0.01 and high > none + 0.04


# The checks


def grid(steps, sigma_min, sigma_max, rho):
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return [(top + i / max(steps - 1, 1) * (bottom - top)) ** rho for i in range(steps)]


def geometric(steps, low, high, rho):
    return [high * (low / high) ** (i / max(steps - 1, 1)) for i in range(steps)]


def unfinished(steps, low, high, rho):
    return [(high ** (1 / rho) + i / steps * (low ** (1 / rho) - high ** (1 / rho))) ** rho
            for i in range(steps)]  # fmt: skip


WRONG_GRIDS = {
    "the end, σ = 0, is not a node": lambda *a: [*grid(*a), 0.0],
    "cannot be asked at σ = 0": lambda n, low, *a: grid(n, 0.0, *a),
    "levels must fall": lambda *a: grid(*a)[::-1],
    "uniform in ln σ": geometric,
    "uniform in σ\n": lambda n, low, high, rho: grid(n, low, high, 1.0),
    "the last level is": unfinished,
    "N = 1 must give": lambda n, low, high, rho: [low] if n == 1 else grid(n, low, high, rho),
}


@pytest.mark.parametrize("number", range(4))
def test_the_right_grid_passes_and_it_is_the_library_s(number: int) -> None:
    report = check_grid(grid, number)
    assert report.score == len(report.findings) == 7, str(report)
    library = lambda n, low, high, rho: se.grids.rho(low, high, rho)(se.VE(), n)  # noqa: E731
    assert check_grid(library, number).score == 7


def test_a_grid_in_single_precision_passes() -> None:
    def single(steps, low, high, rho):
        return torch.linspace(high ** (1 / rho), low ** (1 / rho), steps) ** rho

    assert check_grid(single).score == 7, str(check_grid(single))


@pytest.mark.parametrize("message", WRONG_GRIDS)
def test_the_check_of_the_grid_names_what_is_wrong(message: str) -> None:
    report = check_grid(WRONG_GRIDS[message], seed=1)
    assert report.score < len(report.findings) and message in str(report), str(report)


def sampler(denoiser, y, levels, churn, noise, *, wrong=""):
    x = levels[0] * noise()
    for i, sigma in enumerate(levels):
        hat = sigma if wrong == "once" and i else (1 + churn) * sigma
        added = hat - sigma if wrong == "std" else (hat**2 - sigma**2) ** 0.5
        if wrong != "dry" or i < len(levels) - 1:
            x = x + added * noise()
        if wrong == "level":
            hat = sigma
        d, last = denoiser(x, y, hat), i == len(levels) - 1
        if last and wrong == "2N":
            denoiser(x, y, hat)
        if last and wrong != "zero":
            return x if wrong == "no D" else d
        after = 0.0 if last else levels[i + 1]
        slope = (x - d) / hat
        guess = x + (after - hat) * slope
        if wrong == "euler" or (last and wrong == "zero"):
            if last:
                return guess + 0 * denoiser(guess, y, 1e-9)
            x = guess
            continue
        if wrong == "midpoint":
            middle = (hat + after) / 2
            guess = x + (middle - hat) * slope
            x = x + (after - hat) * (guess - denoiser(guess, y, middle)) / middle
            continue
        at = hat if wrong == "slope" else after
        x = x + (after - hat) * (slope + (guess - denoiser(guess, y, after)) / at) / 2


WRONG_SAMPLERS = [
    ("euler", "NFE N, expected 2N − 1"),
    ("euler", "order 1.1, expected 2.0"),
    ("slope", "order 1.1, expected 2.0"),
    ("midpoint", "Heun's method asks at each level and at the next one"),
    ("once", "churn raises every level before its step"),
    ("2N", "NFE 2N, expected 2N − 1"),
    ("zero", "asked near σ = 0"),
    ("level", "after churn ask at σ̂"),
    ("std", "variances add"),
    ("dry", "noise() is called 65 times for N = 65, expected N + 1"),
    ("no D", "leads to D at the end of the flow: off by"),
]


@pytest.mark.parametrize("number", range(3))
def test_the_right_sampler_passes(number: int) -> None:
    report = check_edm(sampler, number)
    assert report.score == len(report.findings) == 6, str(report)
    assert json.loads(report.json())["of"] == 6


@pytest.mark.parametrize(("wrong", "message"), WRONG_SAMPLERS)
def test_the_check_of_the_sampler_names_what_is_wrong(wrong: str, message: str) -> None:
    report = check_edm(lambda *a: sampler(*a, wrong=wrong), seed=1)
    assert report.score < 6 and message in str(report), str(report)


# The pictures


def test_a_slope_triangle_has_the_slope_of_its_order() -> None:
    found = {"a": ((8, 16), (1.0, 0.25)), "b": ((16, 32), (1.0, 0.5))}
    axes = figures.slopes(found, {2: (8, 0.1)}, "calls", "error").axes[0]
    corners = axes.patches[0].get_xy()
    (left, top), (right, bottom) = corners[0], corners[1]
    assert math.log(top / bottom, right / left) == pytest.approx(2)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["8", "16", "32"]
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_stops_fall_to_the_right_in_one_row_each() -> None:
    levels = {"a": torch.tensor([1.0, 0.1]), "b": torch.tensor([1.0, 0.5, 0.02])}
    axes = figures.stops(levels, {"r": 0.2}, "σ").axes[0]
    assert [list(line.get_ydata()) for line in axes.lines[:2]] == [[0, 0], [-1, -1, -1]]
    assert axes.get_xlim()[0] > axes.get_xlim()[1]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.03", "0.1", "0.3", "1"]


def test_histograms_beside_a_density_have_area_one() -> None:
    values = torch.randn(5_000, generator=seed())
    figure = figures.beside({"a": values, "b": values}, lambda u: 0 * u, "x", (-6, 6))
    for axes in figure.axes:
        steps = axes.patches[0].get_data()
        assert (steps.values * (steps.edges[1:] - steps.edges[:-1])).sum() == pytest.approx(1)
