"""Chapter 13: told starts, mismatch in nats, both checks, the explorable against the library."""

import json
import math
import random
from collections.abc import Iterator

import pytest
import torch
from browser import by_node, check_fit, drag, opened, served_bench
from close import close

import edmse_lite as se
from edmse_lite import drift, figures, mismatch
from edmse_lite.checks import check_kl, check_start
from edmse_lite.processes import noise_like
from edmse_lite.widgets import EXPLORABLES

F64, C128 = torch.float64, torch.complex128
MODULE = EXPLORABLES / "prior_mismatch.mjs"
STD = 0.03
TOY = se.MixtureOracle(*torch.tensor([[0.7, 0.3], [0.15, -0.15]], dtype=F64), STD)


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


# Starts


@pytest.mark.parametrize(("dtype", "oracle"), [(C128, drift.two_answers()), (F64, TOY)])
@pytest.mark.parametrize("sde", [se.RichterOUVE(), se.OUVE(0.7), se.BBED()])
def test_a_told_start_is_a_draw_of_the_kernel(sde: se.SDE, dtype, oracle) -> None:
    x0, y = noise_like(torch.empty(2, 6, dtype=dtype), seeded(3))
    mean, std = sde.kernel(x0, y, 1.0)
    expected = mean + std * noise_like(y, seeded(5))
    edm = se.EDM(4, 0.0, grid=se.grids.rho(0.01, sde.sigma_1))
    for walk in (edm, se.PC(4, 0)):
        source = mismatch.ToldStart(x0 - y, sde.sigma_1, seeded(5))
        first = next(iter(walk.iterate(oracle, sde, y, source)))
        close(first.x_t, expected, rtol=1e-9)


def test_only_the_first_draw_is_told() -> None:
    like, r = torch.empty(5, dtype=C128), torch.ones(5, dtype=C128)
    told, plain = mismatch.ToldStart(r, 0.5, seeded()), seeded()
    close(told(like) - noise_like(like, plain), 2 * r, rtol=1e-12)
    for _ in range(3):
        assert torch.equal(told(like), noise_like(like, plain))
    assert told.draws == 4
    with pytest.raises(ValueError, match="sigma=0"):
        mismatch.ToldStart(r, 0.0)


def test_the_schedule_reaches_its_level() -> None:
    for top in (0.03, 0.5, 2.0):
        close(mismatch.up_to(top).sigma_1, top, rtol=1e-12)
    with pytest.raises(ValueError, match="sigma_1"):
        mismatch.up_to(0.0)


# Nats


@pytest.mark.parametrize("dtype", [C128, F64])
def test_nats_by_draws_are_those_of_the_closed_form(dtype: torch.dtype) -> None:
    gauss, y = se.GaussianOracle(0.02, 0.03), torch.tensor(0.3, dtype=dtype)
    for sigma in (0.1, 0.5):
        found, error = mismatch.marginal_kl(gauss, y, sigma, draws=40_000)
        assert abs(found - float(gauss.mismatch(y, sigma))) < 4 * error
        assert error < 0.05 * found


def test_nats_of_the_mixture_by_quadrature() -> None:
    for sigma in (0.06, 0.2, 0.5):
        x = torch.linspace(-12 * sigma - 1, 12 * sigma + 1, 20_001, dtype=F64)
        log_p = TOY.log_prob(x, 0 * x, sigma)
        log_q = -(x.square()) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
        exact = float(torch.trapezoid(log_p.exp() * (log_p - log_q), x))
        found, error = mismatch.marginal_kl(TOY, torch.zeros((), dtype=F64), sigma)
        assert abs(found - exact) < 4 * error
        close(by_node(MODULE, "m.klMarginal(1, sigma)", sigma=sigma), exact, rtol=1e-6)


def test_what_is_told_is_information() -> None:
    """Kernel's KL, on average, minus the marginal's is ln(1 + p/σ²), half of it for real values."""
    gauss, sigma = se.GaussianOracle(0.02, 0.03), 0.4
    sde = mismatch.up_to(sigma)
    for dtype, share in ((C128, 1.0), (F64, 0.5)):
        y = torch.full((100_000,), 0.3, dtype=dtype)
        kernel = sde.mismatch(y + gauss.sample(y, seeded()), y).mean()
        told = float(kernel - gauss.mismatch(y[:1], sigma))
        close(told, share * math.log1p(float(gauss.var) / sigma**2), rtol=0.03)


# What a walk makes of a wrong start


@pytest.mark.parametrize("top", [0.1, 0.6])
def test_the_flow_keeps_rho_and_the_reverse_sde_its_square(top: float) -> None:
    gauss, y = se.GaussianOracle(0.02, 0.03), torch.tensor([0.3 + 0.1j], dtype=C128)
    p, sde = float(gauss.var), mismatch.up_to(top)
    rho = math.sqrt(p / (p + top**2))
    flow = se.EDM(128, 0.0, grid=se.grids.rho(0.002, top))
    close(mismatch.bias_left(flow, sde, gauss, y, top), rho, rtol=2e-3)
    random_walk = se.PC(512, 0, t_eps=0.001)
    close(mismatch.bias_left(random_walk, sde, gauss, y, top), rho**2, rtol=0.04)
    churned = mismatch.bias_left(se.EDM(32, grid=se.grids.rho(0.002, top)), sde, gauss, y, top)
    assert 0 <= churned < rho**2 / 2


def test_the_start_alone_costs_the_flow_its_shares() -> None:
    D, sde = drift.two_answers(), mismatch.up_to(0.1)
    flow = se.EDM(24, 0.0, grid=se.grids.rho(0.005, 0.1))
    at_y, half = mismatch.share_near_mu(flow, D, sde, draws=3_000)
    told, _ = mismatch.share_near_mu(flow, D, sde, draws=3_000, told=0.1)
    churned, _ = mismatch.share_near_mu(se.EDM(24, grid=flow.grid), D, sde, draws=3_000)
    assert abs(told - 0.7) < 2 * half and told - at_y > 4 * half and churned > at_y + half
    close(half, 1.96 * math.sqrt(at_y * (1 - at_y) / 3_000))


def test_bridges_do_what_their_level_does() -> None:
    D = drift.two_answers()
    for bridge in (se.BBED(), se.BBLS()):
        walk = se.EDM(8, 0.0, grid=se.grids.rho(0.01, bridge.sigma_1))
        plain = mismatch.up_to(bridge.sigma_1)
        assert float(bridge.s(1.0)) < 0.002 < 0.999 < float(plain.s(1.0))
        found = [mismatch.share_near_mu(walk, D, sde, draws=1_000) for sde in (bridge, plain)]
        assert found[0] == found[1]


def test_a_late_start_trades_width_for_shares() -> None:
    D = drift.two_answers()
    (far, wide), (near, narrow) = (mismatch.late_start(D, top, 6, 3_000) for top in (31.2, 0.3))
    assert wide > 2 and abs(narrow - 1) < 0.2 and abs(far - 70) < 5 and near < 66


def test_the_gap_of_a_start_has_an_interval_over_seeds() -> None:
    D, sde = drift.two_answers(), mismatch.up_to(0.06)
    flow = se.EDM(12, 0.0, grid=se.grids.rho(0.005, 0.06))
    gap = mismatch.start_gap(flow, D, sde, seeds=range(3), draws=1_000)
    assert gap.high < -5 and gap.low < gap.mean < gap.high and gap.n == 3
    with pytest.raises(ValueError, match="at least 2"):
        mismatch.start_gap(flow, D, sde, seeds=[1])


# Recordings


@pytest.fixture(scope="module")
def pairs() -> tuple:
    return se.evaluation_set("matched", size=2, seconds=1.0)


def test_energy_by_band_adds_up(pairs) -> None:
    transform = se.Spectrogram()
    found = mismatch.energy_by_band(pairs, transform, (0, 1000, 8001))
    for row, pair in zip(found, pairs, strict=True):
        x0, y, scale = mismatch.spectra(pair, transform)
        close(row @ torch.tensor([32.0, 224.0]) / 256, (x0 - y).abs().square().mean(), rtol=1e-5)
        back = transform.inverse(y, len(pair.noisy))[0] * scale  # without the Nyquist bin
        close(back, pair.noisy, atol=2e-3)
    assert (found[:, 0] > found[:, 1]).all()


def test_a_start_at_y_and_a_told_one_share_their_noise(pairs) -> None:
    x0, y, _ = mismatch.spectra(pairs[0], se.Spectrogram(), seconds=0.5)
    gauss, sde = se.GaussianOracle(0.05, 0.02), mismatch.up_to(0.5)
    walk = se.EDM(3, grid=se.grids.rho(0.01, 0.5))
    at_y = mismatch.started(walk, gauss, sde, x0, y, None)
    assert torch.equal(at_y.x0_hat, walk(gauss, sde, y, seeded()).x0_hat)
    close(mismatch.started(walk, gauss, sde, y, y, 0.5).x0_hat, at_y.x0_hat, atol=1e-6)
    assert not torch.equal(mismatch.started(walk, gauss, sde, x0, y, 0.5).x0_hat, at_y.x0_hat)


def test_figures_show_every_curve() -> None:
    x = torch.linspace(0, 1, 5)
    figure = figures.starts({"a": (x, {"is": x, "should": x}), "b": (2 * x, {"is": x})}, "x₁")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]
    assert figure.axes[1].get_xlim() == (0, 2)
    figure = figures.shares([0.1, 1.0], {"flow": [(0.6, 0.01), (0.7, 0.01)]}, truth=0.7)
    names = figure.axes[0].get_legend_handles_labels()[1]
    assert sorted(names) == ["exact", "flow"]


# The checks


def kl(x0, y, s, sigma):
    square = (x0 - y).abs() ** 2 / sigma**2
    return square if x0.is_complex() else square / 2


def halved(x0, y, s, sigma):
    return (x0 - y).abs() ** 2 / (2 * sigma**2)


def whole(x0, y, s, sigma):
    return (x0 - y).abs() ** 2 / sigma**2


def unscaled_distance(x0, y, s, sigma):
    return kl(x0, y, s, sigma) / s**2


def scaled_distance(x0, y, s, sigma):
    return kl(x0, y, s, sigma) * s**2


def no_square(x0, y, s, sigma):
    return (x0 - y).abs() / sigma


def summed(x0, y, s, sigma):
    return kl(x0, y, s, sigma).sum()


def complex_square(x0, y, s, sigma):
    return (x0 - y) ** 2 / sigma**2


def not_the_distance(x0, y, s, sigma):
    return kl(x0, 0 * y, s, sigma)


@pytest.mark.parametrize("seed", range(4))
def test_the_right_kl_passes(seed: int) -> None:
    report = check_kl(kl, seed=seed)
    assert report.score == 6 and json.loads(report.json())["of"] == 6, str(report)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (halved, "½ belongs to real values"),
        (whole, "ln of a real Gaussian has the factor ½"),
        (unscaled_distance, "s stands in both"),
        (scaled_distance, "s stands in both"),
        (no_square, "it is a square"),
        (summed, "do not sum over bins"),
        (complex_square, "take |r|², not r²"),
        (not_the_distance, "the kernel is the prior there"),
    ],
)
@pytest.mark.parametrize("seed", [0, 3])
def test_the_check_of_a_kl_names_what_is_wrong(wrong, message: str, seed: int) -> None:
    report = check_kl(wrong, seed=seed)
    assert report.score < 6 and message in str(report), str(report)


def start(x0, y, sde, z):
    s = float(sde.s(1.0))
    return y + s * (x0 - y) + s * sde.sigma_1 * z


def prior(x0, y, sde, z):
    return y + float(sde.s(1.0)) * sde.sigma_1 * z


def from_clean(x0, y, sde, z):
    return x0 + float(sde.s(1.0)) * sde.sigma_1 * z


def unscaled_spread(x0, y, sde, z):
    return y + float(sde.s(1.0)) * (x0 - y) + sde.sigma_1 * z


def away(x0, y, sde, z):
    s = float(sde.s(1.0))
    return y - s * (x0 - y) + s * sde.sigma_1 * z


def test_the_right_start_passes() -> None:
    for seed in range(4):
        assert check_start(start, seed=seed).score == 4


def test_a_start_in_single_precision_passes() -> None:
    def single(x0, y, sde, z):
        mean, std = sde.kernel(x0, y, torch.tensor(1.0))
        return mean + std * z

    assert check_start(single).score == 4, str(check_start(single))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (prior, "it was not told"),
        (from_clean, "only the share s(1) of r is left"),
        (unscaled_spread, "x_1 has the spread s(1) σ(1)"),
        (away, "expected the mean of the kernel"),
        (lambda x0, y, sde, z: start(x0, y, sde, z)[:3], "found (3,)"),
    ],
)
@pytest.mark.parametrize("seed", [0, 3])
def test_the_check_of_a_start_names_what_is_wrong(wrong, message: str, seed: int) -> None:
    report = check_start(wrong, seed=seed)
    assert report.score < 4 and message in str(report), str(report)


# The explorable's numbers


def test_the_denoiser_and_the_densities_are_the_library_s() -> None:
    draw = random.Random(13)
    cases = [[draw.uniform(-1, 1), 10 ** draw.uniform(-2, 0.3)] for _ in range(100)]
    found = by_node(
        MODULE, "q.map(([x, s]) => [m.denoise(x, s), m.marginal(m.TOY.y + x, 1, s)])", q=cases
    )
    for (x, sigma), (d, density) in zip(cases, found, strict=True):
        at = torch.tensor(x, dtype=F64)
        close(d, float(TOY(at, at, sigma)), rtol=1e-6, atol=1e-9)
        close(density, float(TOY.log_prob(at, at, sigma).exp()), rtol=1e-6)


@pytest.mark.parametrize("s_churn", [0.0, math.inf])
def test_a_walk_is_the_library_s(s_churn: float) -> None:
    steps, sigma = 9, 0.7
    noise = torch.randn(steps + 1, 20, dtype=F64, generator=seeded(2))
    draws = iter(noise)
    sampler = se.EDM(steps, s_churn, grid=se.grids.rho(0.005, sigma))
    y = torch.zeros(20, dtype=F64)
    expected = sampler(TOY, mismatch.up_to(sigma), y, lambda like: next(draws)).x0_hat
    found = by_node(
        MODULE,
        "q.map((z) => m.walk(sigma * z[0], m.levels(m.SIGMA_MIN, sigma, z.length - 1), churn,"
        " z.slice(1)))",
        q=noise.T.tolist(), sigma=sigma, churn=0 if s_churn == 0 else math.sqrt(2) - 1,
    )  # fmt: skip
    close(torch.tensor(found, dtype=F64), expected, rtol=1e-6, atol=1e-9)


def test_the_scaling_changes_nothing_and_the_level_does() -> None:
    kls, kernels, shares = by_node(
        MODULE,
        "[s.map((a) => m.klMarginal(...a)), s.map((a) => m.klKernel(...a)), s.map(([s, sigma]) => "
        "m.run({ s, sigma, told: false, churn: 0, steps: 16, paths: 1500, seed: 1 }).share)]",
        s=[[1, 0.1], [0.05, 0.1], [0.05, 1.5]],
    )
    close(kls[1], kls[0], rtol=1e-9)
    close(kernels[1], kernels[0], rtol=1e-12)
    power = 0.15**2 + STD**2
    close(kernels[0], power / (2 * 0.1**2), rtol=1e-9)
    assert kls[2] < 0.01 * kls[0] < 0.01 * kernels[0]
    assert shares[0] == shares[1] < shares[2] - 0.05


def test_a_told_start_and_churn_mend_the_shares() -> None:
    base = {"s": 1, "sigma": 0.1, "told": False, "churn": 0, "steps": 24, "paths": 3000, "seed": 3}
    at_y, told, churned = (
        by_node(MODULE, "m.run(q)", q={**base, **extra})["share"]
        for extra in ({}, {"told": True}, {"churn": math.sqrt(2) - 1})
    )
    assert at_y < 0.63 and abs(told - 0.7) < 0.025 and at_y + 0.02 < churned < 0.69


# The explorable in a browser


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("mismatch")
    options = {"title": "Prior mismatch", "sigma": 2.0, "paths": 1500, "tasks": ["Drag."]}
    with served_bench(root, ("prior_mismatch", options)) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-mismatch", reduced_motion="reduce") as page:
        yield page


def dragged(page, label: str, value: float) -> dict[str, float]:
    """Move a slider, wait for the new numbers, and return them."""
    drag(page, label, value)
    key = "s" if "Scaling" in label else "sigma"
    page.wait_for_function(
        "([k, v]) => Math.abs(document.querySelector('.ed-mismatch').dataset[k] / v - 1) < 1e-6",
        arg=[key, 10**value],
    )
    return numbers(page)


def numbers(page) -> dict[str, float]:
    data = page.locator(".ed-mismatch").evaluate("(e) => ({ ...e.dataset })")
    return {key: float(value) for key, value in data.items()}


def test_the_tasks_read_out_what_they_promise(bench) -> None:
    first = numbers(bench)
    assert first["kl"] < 0.001 and abs(first["share"] - 0.7) < 0.05
    low = dragged(bench, "Largest level", -1.0)
    assert 0.6 < low["kl"] < 0.75 and low["share"] < first["share"] - 0.06
    assert "Mismatch: 0.68 nats" in bench.locator(".ed-readout").first.inner_text()
    bench.get_by_text("More:").click()
    scaled = dragged(bench, "Scaling", -1.0)
    close(scaled["kl"], low["kl"], rtol=1e-9)
    assert scaled["share"] == low["share"]
    bench.get_by_label("Start:").select_option("told")
    bench.wait_for_function("document.querySelector('.ed-mismatch').dataset.share > 0.66")
    bench.get_by_label("Start:").select_option("y")
    bench.wait_for_function("document.querySelector('.ed-mismatch').dataset.share < 0.63")
    bench.get_by_label("Churn:").select_option(index=1)
    bench.wait_for_function("document.querySelector('.ed-mismatch').dataset.share > 0.62")


def test_it_can_be_used_by_keyboard_and_finger(bench) -> None:
    slider = bench.get_by_label("Largest level")
    slider.focus()
    slider.press("ArrowLeft")
    bench.wait_for_function("document.querySelector('.ed-mismatch').dataset.sigma < 1.98")
    bench.get_by_text("More:").click()
    check_fit(bench)
    assert bench.locator(".ed-readout").first.bounding_box()["y"] < slider.bounding_box()["y"]
