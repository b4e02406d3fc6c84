"""Chapter 7: explorable against library, experiments, the check against wrong answers."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from browser import by_node, check_fit, drag, opened, served_bench
from close import close
from conftest import ROOT

import edmse_lite as se
from edmse_lite import drift, figures, remains
from edmse_lite.checks import check_design, check_kernel
from edmse_lite.processes import noise_like
from edmse_lite.widgets import EXPLORABLES

F64 = torch.float64
MODULE = EXPLORABLES / "unshift.mjs"


def library(settings: dict) -> se.SDE:
    kind = getattr(se, settings["kind"])
    return kind(settings["stiffness"], settings["sigmaMin"], settings["sigmaMax"])


def asked(count: int) -> list[dict]:
    draw = random.Random(7)
    return [
        {
            "kind": draw.choice(["OUVE", "RichterOUVE"]),
            "stiffness": draw.uniform(0, 3),
            "sigmaMin": draw.uniform(0.01, 0.1),
            "sigmaMax": draw.uniform(0.2, 2),
            "y": draw.uniform(-1, 1),
            "r": draw.uniform(-1, 1),
            "t": draw.uniform(0, 1),
            "z": [draw.gauss(0, 1) for _ in range(12)],
        }
        for _ in range(count)
    ]


# The explorable's numbers


def test_the_schedules_are_the_library_s() -> None:
    cases = asked(100)
    found = by_node(
        MODULE, "q.map((a) => [m.schedule(a).s(a.t), m.schedule(a).sigma(a.t)])", q=cases
    )
    for case, (s, sigma) in zip(cases, found, strict=True):
        close(s, float(library(case).s(case["t"])), rtol=1e-6)
        close(sigma, float(library(case).sigma(case["t"])), rtol=1e-6)


def test_the_paths_follow_f_and_g_of_the_library() -> None:
    """x_t solves dx = f (x − y) dt + g dw, by quadrature of f and g²/s², step by step."""
    cases = asked(40)
    found = by_node(MODULE, "q.map((a) => m.walk(a, a.z))", q=cases)
    fine = torch.linspace(0, 1, 2001, dtype=F64)
    for case, paths in zip(cases, found, strict=True):
        sde, x, count = library(case), case["y"] + case["r"], len(case["z"])
        for i, z in enumerate(case["z"]):
            u = (i + fine) / count
            decay = torch.trapezoid(sde.f(u), u).exp()
            shrink = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(sde.f(u), u)]).exp()
            variance = torch.trapezoid((sde.g(u) * decay / shrink).square(), u)
            x = case["y"] + decay * (x - case["y"]) + variance.sqrt() * z
            close(paths["x"][i + 1], float(x), rtol=1e-6, atol=1e-6)
            unshifted = (float(x) - case["y"]) / float(sde.s((i + 1) / count))
            close(paths["unshifted"][i + 1], unshifted, rtol=1e-6, atol=1e-6)


def test_the_drift_moves_only_the_shifted_state() -> None:
    """The controls: stiffness and y leave x̃ alone; on Richter's schedule stiffness does not."""
    moved = by_node(
        MODULE,
        "changes.map((c) => m.moved([m.walk({ ...m.START, ...c }, z)],"
        " [m.walk({ ...m.START, kind: c.kind ?? 'OUVE' }, z)]))",
        changes=[{"stiffness": 0}, {"y": 1.5}, {"kind": "RichterOUVE", "stiffness": 0}, {"r": 0.1}],
        z=asked(1)[0]["z"],
    )
    assert moved[0]["unshifted"] < 1e-12 < 0.05 < moved[0]["x"]
    assert moved[1]["unshifted"] < 1e-12
    close(moved[1]["x"], 1.0, rtol=1e-9)
    assert moved[2]["unshifted"] > 0.1
    close(moved[3]["unshifted"], 0.5, rtol=1e-9)


def test_the_noise_is_standard_normal() -> None:
    z = torch.tensor(by_node(MODULE, "m.normals(3, 20000)"), dtype=F64)
    close(z.mean(), 0.0, atol=0.03)
    close(z.square().mean(), 1.0, rtol=0.04)
    close(z.pow(4).mean(), 3.0, rtol=0.1)


# The experiments


def test_the_flow_in_x_t_leads_where_the_closed_form_does() -> None:
    gauss, y = se.GaussianOracle(0.09, 0.04), torch.tensor([0.6, -0.2], dtype=F64)
    for sde in (se.RichterOUVE(), se.OUVP(), se.BBED()):
        start = sde.sigma_1 * torch.tensor([1.0, -0.5], dtype=F64)
        end = (drift.solve_in_t(gauss, sde, y + sde.s(1.0) * start, y, 0.1) - y) / sde.s(0.1)
        close(end, gauss.flow(start, y, sde.sigma_1, sde.sigma(0.1)), rtol=1e-6)


def test_velocity_has_the_form_with_the_denoiser() -> None:
    """dx/dt = (s'/s + σ'/σ)(x − y) − (s σ'/σ) D, the other way to write it."""
    D, sde, t = drift.two_answers(), se.OUVE(), torch.tensor(0.4, dtype=F64, requires_grad=True)
    y = noise_like(torch.empty(5, dtype=torch.complex128))
    x = y + noise_like(y)
    (rate,) = torch.autograd.grad(sde.sigma(t).log(), t)
    s, sigma = sde.s(0.4), sde.sigma(0.4)
    expected = (sde.f(0.4) + rate) * (x - y) - s * rate * D((x - y) / s, y, sigma)
    close(drift.velocity(D, sde, x, y, 0.4), expected, rtol=1e-10)


def test_a_drift_leaves_a_trace_of_second_order_in_t_and_none_in_sigma() -> None:
    gauss, y = se.GaussianOracle(0.02, 0.03), noise_like(torch.empty(200, dtype=torch.complex128))

    def gap(steps: int) -> float:
        ends = [
            drift.heun_in_t(gauss, se.OUVE(g), y, steps, torch.Generator().manual_seed(0))
            for g in (0.0, 1.5)
        ]
        return drift.rms(ends[0] - ends[1])

    gaps = [gap(n) for n in (32, 64, 128)]
    assert 1.7 < torch.tensor(gaps[0] / gaps[1]).log2() < 2.6
    assert 1.7 < torch.tensor(gaps[1] / gaps[2]).log2() < 2.6
    in_sigma = drift.nodes_errors(gauss, {"0": se.OUVE(0.0), "1.5": se.OUVE(1.5)}, y, 0.4, (8,))
    close(in_sigma["0"][0], in_sigma["1.5"][0], rtol=1e-9)


def test_the_largest_level_decides_and_the_drift_does_not() -> None:
    D, y = drift.two_answers(), torch.zeros(4000, dtype=torch.complex128)
    top = se.RichterOUVE(1.5).sigma_1
    with_drift, half = drift.share_near_mu(D, se.RichterOUVE(1.5), y)
    without, _ = drift.share_near_mu(D, se.VE(0.05, (top**2 + 0.05**2) ** 0.5), y)
    low, _ = drift.share_near_mu(D, se.VE(0.01, 0.1), y)
    close(with_drift, without, atol=0.002)
    assert abs(with_drift - 0.68) < 2 * half and low < with_drift - 4 * half
    close(half, 1.96 * (with_drift * (1 - with_drift) / 4000) ** 0.5)


def test_nodes_converge_and_the_cosine_s_converge_fastest() -> None:
    D, y = drift.two_answers(), torch.zeros(500, dtype=torch.complex128)
    found = drift.nodes_errors(D, {"ouve": se.OUVE(), "cosine": se.Cosine()}, y, 0.4, (8, 32))
    assert all(row[0] > 1.5 * row[1] > 0 for row in found.values())
    assert found["cosine"][1] < found["ouve"][1]


def test_training_levels_change_a_limited_model_and_stiffness_alone_does_not() -> None:
    levels = torch.tensor([0.02, 0.2, 1.5], dtype=F64)
    none, some, wide = (
        drift.limited_model_errors(sde, levels)
        for sde in (se.OUVE(0.0), se.OUVE(1.5), se.RichterOUVE(1.5))
    )
    torch.testing.assert_close(none, some)
    assert wide[2] < 0.5 * none[2] and wide[0] > none[0]


def test_a_drift_reaches_a_small_model_only_through_its_input() -> None:
    edm, levels = se.Preconditioning.edm, torch.tensor([0.05, 0.2], dtype=F64)

    def errors(chosen: se.Preconditioning, stiffness: float) -> torch.Tensor:
        return torch.tensor(drift.limited_model_errors(se.OUVE(stiffness), levels, chosen))

    for chosen in (edm(), edm(c_shift="richter")):  # y is an input too, and undoes a constant shift
        close(errors(chosen, 0.0), errors(chosen, 1.5), rtol=1e-6)
    for chosen in (edm(c_shift="edm-scaled-shift"), se.Preconditioning.richter()):
        assert not torch.allclose(errors(chosen, 0.0), errors(chosen, 1.5), rtol=1e-2)


def test_a_model_that_can_be_exact_is() -> None:
    """Trained and asked at one level, F is a linear map of x̃ and y, and so is the exact D."""

    class OneLevel(se.VE):
        def sigma(self, t):
            return torch.full_like(torch.as_tensor(t, dtype=F64), 0.1)

    (error,) = drift.limited_model_errors(OneLevel(), torch.tensor([0.1], dtype=F64))
    assert error < 0.03


def test_seeds_are_paired() -> None:
    effect = drift.over_seeds(lambda k: 10.0**k + 1, lambda k: 10.0**k, 4)
    assert (effect.mean, effect.low, effect.high) == (1.0, 1.0, 1.0)
    assert effect.n == effect.clusters == 4


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (remains.steps, "equivalent"),
        (remains.largest_level, "better"),
        (remains.nodes, "better"),
        (remains.training, "better"),
        (lambda: remains.training(0.05), "worse"),
        (remains.fed, "equivalent"),
    ],
    ids=["steps", "largest level", "nodes", "training high", "training low", "fed"],
)
def test_claims_have_a_margin_seeds_and_the_verdict_of_the_text(claim, verdict: str) -> None:
    card = claim()
    assert card.margin > 0 and card.seeds >= 3 and card.effect.clusters == card.seeds
    assert card.verdict == verdict, str(card.effect)
    assert "seeds of" in card._repr_markdown_() and "remains" in card.command


def test_the_command_of_a_claim_prints_its_card() -> None:
    name, *rest = remains.training(0.05).command.split("remains ")[1].split()
    command = [sys.executable, "-m", "edmse_lite.remains", name, *rest]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert found.strip() == remains.training(0.05)._repr_markdown_()


def test_figures_have_a_panel_for_each_title() -> None:
    t = torch.linspace(0, 1, 5)
    paths = (t[:, None] * torch.ones(3), t, 0.1 + t)
    figure = figures.bands(t, {"a": paths, "b": paths}, y=1.0, x0=0.0)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]
    figure = figures.smooth(t, {"u": {"x": t}, "v": {"x": t + 1}}, "t", logy=[False, True])
    assert [ax.get_ylabel() for ax in figure.axes] == ["u", "v"]
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "log"]


# The check


def kernel(x0, y, t, stiffness, g):
    s = torch.exp(torch.tensor(-stiffness * t, dtype=F64))
    return y + s * (x0 - y), g * ((1 - s**2) / (2 * stiffness)).sqrt()


def unscaled(x0, y, t, stiffness, g):
    mean, std = kernel(x0, y, t, stiffness, g)
    return mean, std * torch.exp(torch.tensor(stiffness * t, dtype=F64))


def variance(x0, y, t, stiffness, g):
    mean, std = kernel(x0, y, t, stiffness, g)
    return mean, std**2


def to_zero(x0, y, t, stiffness, g):
    mean, std = kernel(x0, 0 * y, t, stiffness, g)
    return mean, std


def wrong_sign(x0, y, t, stiffness, g):
    mean, _ = kernel(x0, y, t, -stiffness, g)
    return mean, kernel(x0, y, t, stiffness, g)[1]


def linear_growth(x0, y, t, stiffness, g):
    return kernel(x0, y, t, stiffness, g)[0], torch.tensor(g * min(t, 1.0), dtype=F64)


def no_scaling(x0, y, t, stiffness, g):
    return kernel(x0, y, t, stiffness, g)[0], torch.tensor(g * t**0.5, dtype=F64)


def no_mean_drift(x0, y, t, stiffness, g):
    return x0, kernel(x0, y, t, stiffness, g)[1]


@pytest.mark.parametrize("seed", range(5))
def test_the_right_kernel_passes(seed: int) -> None:
    report = check_kernel(kernel, seed=seed)
    assert report.score == 6, str(report)
    assert json.loads(report.json())["of"] == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (unscaled, "this is σ, the unscaled level"),
        (variance, "this is the variance; return its root"),
        (to_zero, "the mean goes to 0: this process settles at y"),
        (wrong_sign, "look at the sign in the exponent"),
        (linear_growth, "it grows as g √t"),
        (no_scaling, "times the exact one at t = 0.5"),
        (no_mean_drift, "must shrink by the factor s = exp ∫ f"),
    ],
)
@pytest.mark.parametrize("seed", [0, 3])
def test_the_check_names_what_is_wrong(wrong, message: str, seed: int) -> None:
    report = check_kernel(wrong, seed=seed)
    assert report.score < 6 and message in str(report), str(report)


def slope_of(function, t):
    t = t.clone().requires_grad_()
    return torch.autograd.grad(function(t).sum(), t)[0]


def design(s, sigma, t):
    return slope_of(lambda u: s(u).log(), t), s(t) * slope_of(lambda u: sigma(u) ** 2, t).sqrt()


WRONG_DESIGNS = {
    "this is ṡ": lambda s, sigma, t: (slope_of(s, t), design(s, sigma, t)[1]),
    "f is negative": lambda s, sigma, t: (-design(s, sigma, t)[0], design(s, sigma, t)[1]),
    "this is g/s": lambda s, sigma, t: (design(s, sigma, t)[0], design(s, sigma, t)[1] / s(t)),
    "this is g²": lambda s, sigma, t: (design(s, sigma, t)[0], design(s, sigma, t)[1] ** 2),
    "the slope of σ²": lambda s, sigma, t: (design(s, sigma, t)[0], s(t) * slope_of(sigma, t)),
    "f ≠ 0": lambda s, sigma, t: (design(s, sigma, t)[0] - 1, design(s, sigma, t)[1]),
}


@pytest.mark.parametrize("seed", range(4))
def test_the_right_design_passes(seed: int) -> None:
    report = check_design(design, seed)
    assert report.score == len(report.findings) == 3, str(report)


@pytest.mark.parametrize("message", WRONG_DESIGNS)
def test_the_check_names_what_is_wrong_with_a_design(message: str) -> None:
    report = check_design(WRONG_DESIGNS[message], seed=2)
    assert report.score < 3 and message in str(report), str(report)


# The explorable in a browser


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("unshift")
    options = {"title": "Unshift it", "stiffness": 1.5, "tasks": ["Drag."]}
    with served_bench(root, ("unshift", options)) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-unshift", reduced_motion="reduce") as page:
        yield page


def numbers(page) -> tuple[float, float, float, bool]:
    data = page.locator(".ed-unshift").evaluate("(e) => ({ ...e.dataset })")
    return float(data["x"]), float(data["unshifted"]), float(data["sigma1"]), data["lit"] == "true"


def test_the_tasks_read_out_what_they_promise(bench) -> None:
    assert numbers(bench)[:2] == (0, 0)
    drag(bench, "Stiffness", 0)
    bench.wait_for_function("document.querySelector('.ed-unshift').dataset.x > 0.2")
    x, unshifted, sigma_1, lit = numbers(bench)
    assert unshifted < 1e-12 and not lit
    close(sigma_1, se.OUVE().sigma_1, rtol=1e-6)
    text = bench.locator(".ed-readout").first.inner_text()
    assert f"xₜ has moved by up to {x:.2f}" in text and "x̃ by up to 0.00" in text
    bench.get_by_text("More:").click()
    bench.get_by_label("Schedule").select_option("RichterOUVE")
    bench.wait_for_function("document.querySelector('.ed-unshift').dataset.lit === 'true'")
    x, unshifted, sigma_1, lit = numbers(bench)
    assert unshifted > 0.5
    close(sigma_1, se.RichterOUVE(0.0).sigma_1, rtol=1e-6)
    assert "it was 1.743" in bench.locator(".ed-readout").nth(1).inner_text()


def test_moving_y_with_r_kept_moves_only_the_upper_panel(bench) -> None:
    bench.get_by_text("More:").click()
    drag(bench, "Noisy value", 1.0)
    bench.wait_for_function("document.querySelector('.ed-unshift').dataset.x > 0.4")
    x, unshifted, _, lit = numbers(bench)
    close(x, 0.5, rtol=1e-9)
    assert unshifted < 1e-12 and not lit


def test_it_can_be_used_by_keyboard_and_finger(bench) -> None:
    slider = bench.get_by_label("Stiffness")
    slider.focus()
    slider.press("ArrowLeft")
    bench.wait_for_function("document.querySelector('.ed-unshift').dataset.x > 0")
    assert "1.4" in bench.locator("output").first.inner_text()
    bench.get_by_text("More:").click()
    check_fit(bench)
    assert bench.locator(".ed-readout").first.bounding_box()["y"] < slider.bounding_box()["y"]
