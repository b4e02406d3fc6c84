"""Chapter 9: its scales by two routes, its checks against wrong answers, its explorable."""

import json
import random
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import torch
from browser import served, write_bench
from close import close
from torch import Tensor

import edmse_lite as se
from edmse_lite import scales, trials
from edmse_lite.checks import check_preconditioning, check_sigma_data
from edmse_lite.widgets import EXPLORABLES

MODULE = EXPLORABLES / "preconditioning.mjs"
PHONE = {"width": 360, "height": 740}
SDE = se.RichterOUVE()


def toy_pairs(count: int = 6, seed: int = 0) -> scales.Pairs:
    draw = torch.Generator().manual_seed(100 + seed)
    x0, n = 0.1 * torch.randn(2, count, 1, 32, 16, dtype=torch.complex64, generator=draw)
    return scales.Pairs(x0, x0 + n)


# Scales


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5, 1.7])
@pytest.mark.parametrize("design", [se.Preconditioning.edm(0.1), se.Preconditioning.richter(0.1)])
def test_measured_scales_are_the_predicted_ones(design: se.Preconditioning, sigma: float) -> None:
    draw = torch.Generator().manual_seed(7)
    r = 0.1 * torch.randn(200_000, dtype=torch.complex128, generator=draw)
    found = scales.measure_scales(design, SDE, sigma, r)
    expected = scales.predict_scales(design, SDE, sigma, rms=0.1)
    assert found.seen == pytest.approx(expected.seen, rel=0.01)
    assert found.made == pytest.approx(expected.made, rel=0.01)
    assert found.weight == expected.weight


def test_richters_targets_are_the_published_multiples() -> None:
    """t / (s sigma) at t = .01, .1, .5, 1, for the schedule that SGMSE+ was released with."""
    for t, target in ((0.01, 0.93), (0.1, 2.80), (0.5, 4.11), (1.0, 2.57)):
        found = scales.predict_scales(se.Preconditioning.richter(), SDE, float(SDE.sigma(t)), 0.1)
        assert found.made == pytest.approx(target, abs=0.006)
        assert found.weight == pytest.approx(target**-2, rel=0.01)


def test_edms_column_is_balanced_at_every_level_and_only_with_the_right_sigma_data() -> None:
    for sigma in (0.003, 0.1, 2.0):
        right = scales.predict_scales(se.Preconditioning.edm(0.2), SDE, sigma, rms=0.2)
        assert (right.seen, right.made, right.weight) == pytest.approx((1, 1, 1))
    wrong = scales.predict_scales(se.Preconditioning.edm(0.8), SDE, 0.2, rms=0.2)
    assert wrong.seen < 0.4


def test_mixtures_are_repeatable_and_at_the_models_level() -> None:
    pairs = scales.mixtures(4, 0.5, seed=3, clips=3)
    again = scales.mixtures(4, 0.5, seed=3, clips=3)
    assert torch.equal(pairs.y, again.y) and pairs.y.shape == (4, 1, 256, 33)
    close(pairs.rms, (pairs.x0 - pairs.y).abs().square().mean((1, 2, 3)).sqrt())
    wave = se.Spectrogram().inverse(pairs.y, 8_000)
    assert se.level(wave).sub(1).abs().max() < 0.05


# Trials


def test_a_constant_shift_is_absorbed_by_the_first_layer() -> None:
    plain = trials.TinyNetwork()
    shifted = trials.TinyNetwork()
    shifted.load_state_dict(plain.state_dict())
    shifted.stem = trials.absorb_shift(plain.stem, 1.0)
    pairs = toy_pairs()
    kinds = (se.Preconditioning.edm(0.1), se.Preconditioning.edm(0.1, c_shift="richter"))
    a, b = (
        se.ScoreModel(network, SDE, kind)(pairs.r, pairs.y, 0.3)
        for network, kind in zip((plain, shifted), kinds, strict=True)
    )
    close(a, b, rtol=1e-4, atol=1e-6)
    unaware = se.ScoreModel(plain, SDE, kinds[1])(pairs.r, pairs.y, 0.3)
    assert (unaware - a).abs().max() > 1e-3


def test_the_yardstick_is_one_for_the_best_blind_estimate() -> None:
    pairs = toy_pairs(40)
    shrink = se.ScoreModel(lambda u, label: 0 * u[:, :2], SDE, se.Preconditioning.edm(0.1))
    for sigma in (0.02, 0.1, 1.0):
        assert float(trials.yardstick(shrink, pairs, sigma).mean()) == pytest.approx(1, abs=0.05)


def test_a_fit_learns_and_repeats() -> None:
    pairs, design = toy_pairs(16), se.Preconditioning.edm(0.1)
    (found,) = trials.compare_fits([design], SDE, pairs, toy_pairs(8, 1), [0.5], [0], steps=60)
    again = trials.yardstick(trials.fit(design, SDE, pairs, 0, steps=60), toy_pairs(8, 1), 0.5)
    assert torch.equal(found[0, 0], again.double()) and float(again.mean()) < 1.0


def test_pulls_grow_with_an_input_that_does() -> None:
    kinds = ("edm", "edm-scaled-shift")
    designs = [se.Preconditioning.edm(0.1, c_shift=kind) for kind in kinds]
    (seen, slope), (shifted, steeper) = (trials.pulls(d, SDE, toy_pairs(), 0.02) for d in designs)
    assert seen == pytest.approx(1, abs=0.1) and slope > 0
    assert shifted > 1.02 * seen and steeper != slope


# Checks


def edm(sigma: float, data: float) -> tuple[float, float, float, float]:
    total = sigma**2 + data**2
    return data**2 / total, sigma * data / total**0.5, total**-0.5, total / (sigma * data) ** 2


@pytest.mark.parametrize("seed", range(4))
def test_the_right_coefficients_pass(seed: int) -> None:
    assert check_preconditioning(edm, seed).score == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s, d: (1.0, s, (s * s + d * d) ** -0.5, s**-2), "look at c_skip"),
        (lambda s, d: (*edm(s, d)[:2], 1.0, edm(s, d)[3]), "c_in x̃ has rms"),
        (lambda s, d: (*edm(s, d)[:3], s**-2), "λ c_out² is"),
        (lambda s, d: (edm(s, d)[0], d, *edm(s, d)[2:]), "(r − c_skip x̃)/c_out has rms"),
        (lambda s, d: (edm(s, d)[0], 0.0, *edm(s, d)[2:]), "c_out is 0"),
        (lambda s, d: (*edm(s, d)[:2], (s + d) ** -1, edm(s, d)[3]), "c_in x̃ has rms"),
    ],
)
def test_wrong_coefficients_are_named(wrong, message: str) -> None:
    report = check_preconditioning(wrong, seed=1)
    assert report.score < 5 and message in str(report)


def power(x: Tensor) -> Tensor:
    return x.abs().square().mean()


def test_the_right_sigma_data_passes() -> None:
    assert check_sigma_data(lambda x0, y: float(power(x0 - y).sqrt())).score == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x0, y: power(x0).sqrt(), "measure x0 − y, not x0 or y"),
        (lambda x0, y: power(y).sqrt(), "measure x0 − y, not x0 or y"),
        (lambda x0, y: (x0 - y).real.square().mean().sqrt(), "1/√2"),
        (lambda x0, y: power(x0 - y), "take the root"),
        (lambda x0, y: scales.Pairs(x0, y).rms.mean(), "average the squares"),
        (lambda x0, y: (x0 - y).std(correction=0), "constant offset"),
    ],
)
def test_a_wrong_sigma_data_is_named(wrong, message: str) -> None:
    report = check_sigma_data(wrong, seed=2)
    assert report.score < 4 and message in str(report)


# The explorable


def node(script: str) -> object:
    found = shutil.which("node")
    assert found, "node is missing: it runs the explorables' numbers"
    command = [found, "--input-type=module", "-e", script]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_explorable_computes_what_the_library_does() -> None:
    draw = random.Random(9)
    names = ("c_skip", "c_out", "c_in", "weight")
    asked = [
        {
            "sigma": 10 ** draw.uniform(-2, 0.2),
            "choice": {name: draw.choice(["edm", "richter"]) for name in names},
            "data": draw.uniform(0.02, 0.5), "stiffness": draw.uniform(0, 3),
            "rms": draw.uniform(0.02, 0.5),
        }
        for _ in range(200)
    ]  # fmt: skip
    js = node(
        f"import {{ scales, spread }} from {json.dumps(MODULE.as_uri())};"
        f"const asked = {json.dumps(asked)};"
        "const grid = Array.from({length: 801}, (_, i) => -8 + i / 50);"
        "const flat = { low: -1, step: 0.02, values: Array(100).fill(1) };"
        "const mass = spread(grid, 1, 0.5, flat).reduce((a, b) => a + b, 0) / 50;"
        "const found = asked.map((a) => scales(a.sigma, a.choice, a.data, a.stiffness, a.rms));"
        "console.log(JSON.stringify({ found, mass }));"
    )
    for a, found in zip(asked, js["found"], strict=True):
        design = se.Preconditioning(**a["choice"], sigma_data=a["data"])
        sde = se.RichterOUVE(stiffness=a["stiffness"])
        expected = scales.predict_scales(design, sde, a["sigma"], a["rms"])
        for name in ("seen", "made", "weight"):
            assert found[name] == pytest.approx(getattr(expected, name), rel=1e-6), (name, a)
    assert js["mass"] == pytest.approx(1, abs=1e-6)


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve one page with the explorable, from the sources."""
    root = tmp_path_factory.mktemp("bench9")
    values = [1, 2, 6, 2, 1]
    density = {"low": -0.25, "step": 0.1, "values": values}
    write_bench(root, ("preconditioning", {"density": density, "rms": 0.1, "tasks": ["One"]}))
    with served(root) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.messages = []
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.on("console", lambda m: page.messages.append(m.text) if m.type == "error" else None)
    page.goto(bench_address)
    page.wait_for_selector("[data-edmse-mounted]")
    yield page
    assert not page.messages, page.messages
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()


def numbers(page) -> dict[str, float]:
    found = page.evaluate("({...document.querySelector('.ed-scales').dataset})")
    return {name: float(value) for name, value in found.items()}


def slide(page, label: str, value: float) -> None:
    page.get_by_label(label).evaluate(
        "(node, value) => { node.value = value; node.dispatchEvent(new Event('input')); }", value
    )


def test_edms_column_stays_at_one_and_the_original_does_not(bench) -> None:
    for level in (-2, -1, 0, 0.24):
        slide(bench, "Level σ =", level)
        found = numbers(bench)
        assert [found[k] for k in ("seen", "made", "weight")] == pytest.approx([1, 1, 1])
    bench.get_by_text("More: other coefficients").click()
    bench.get_by_role("button", name="The original's column").click()
    slide(bench, "Level σ =", -0.6)
    found = numbers(bench)
    assert found["made"] == pytest.approx(4.11, abs=0.02) and found["weight"] < 0.07
    assert "target 4.1" in bench.locator(".ed-readout").inner_text()


def test_stiffness_changes_nothing_under_edms_column(bench) -> None:
    bench.get_by_text("More: other coefficients").click()
    before = numbers(bench)
    slide(bench, "Stiffness γ =", 3)
    assert numbers(bench) == before
    bench.get_by_role("button", name="c_in: EDM").click()
    seen = numbers(bench)["seen"]
    slide(bench, "Stiffness γ =", 0)
    assert numbers(bench)["seen"] != pytest.approx(seen, rel=0.01)
    before = numbers(bench)["made"]
    slide(bench, "σ_d =", 1)
    assert abs(numbers(bench)["made"] - before) > 0.01
