"""The sampler race: equal to the library on shared noise, fair in its calls, usable on a phone."""

import math
from collections.abc import Iterator

import pytest
import torch
from browser import by_node, check_fit, drag, opened, served_bench
from close import close

import edmse_lite as se
from edmse_lite.multistep import DPM
from edmse_lite.widgets import EXPLORABLES

F64 = torch.float64
MODULE = EXPLORABLES / "sampler_race.mjs"


@pytest.fixture(scope="module")
def toy() -> se.MixtureOracle:
    told = by_node(MODULE, "m.TOY")
    return se.MixtureOracle(
        torch.tensor(told["weights"], dtype=F64),
        torch.tensor(told["means"], dtype=F64),
        told["std"],
    )


def schedule(stiffness: float) -> se.SDE:
    return se.OUVE(stiffness, 0.05, 1.75)


# Equal to the library on shared noise


def test_the_denoiser_is_the_library_s(toy: se.MixtureOracle) -> None:
    x = 0.4 * torch.randn(60, 2, dtype=F64)
    sigma = torch.logspace(-2, 0.2, 60, dtype=F64)
    found = by_node(
        MODULE, "x.map((z, i) => m.denoise(z, sigma[i]))", x=x.tolist(), sigma=sigma.tolist()
    )
    close(torch.tensor(found, dtype=F64), toy(x, torch.zeros_like(x), sigma), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("stiffness", [0.0, 1.5])
def test_the_schedule_is_the_library_s(stiffness: float) -> None:
    sde, t = schedule(stiffness), [0.03, 0.4, 1.0]
    found = by_node(
        MODULE,
        "t.map((u) => { const e = m.schedule({ ...m.SDE, stiffness });"
        " return [e.s(u), e.sigma(u), e.f(u), e.g(u)]; })",
        t=t, stiffness=stiffness,
    )  # fmt: skip
    for u, row in zip(t, found, strict=True):
        close(row, [float(part(u)) for part in (sde.s, sde.sigma, sde.f, sde.g)], rtol=1e-9)


@pytest.mark.parametrize(("name", "sampler"), [("edm", se.EDM(7, 0.0)), ("dpm", DPM(9))])
def test_deterministic_walks_are_the_library_s(name: str, sampler, toy: se.MixtureOracle) -> None:
    sde = schedule(1.5)
    low, high = float(sde.sigma(0.03)), sde.sigma_1
    grid = se.grids.rho(low, high)
    kind = se.EDM(7, 0.0, grid=grid) if name == "edm" else DPM(9, grid=grid)
    noise = torch.randn(30, 2, dtype=F64)
    expected = kind(toy, sde, torch.zeros_like(noise), lambda like: noise)
    found = by_node(
        MODULE,
        f"z.map((e) => m.{name}([high * e[0], high * e[1]], m.levels(low, high, steps)))",
        z=noise.tolist(), low=low, high=high, steps=sampler.steps,
    )  # fmt: skip
    close(torch.tensor(found, dtype=F64), expected.x0_hat, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("snr", [0.0, 0.5])
@pytest.mark.parametrize("stiffness", [0.0, 1.5])
def test_the_predictor_corrector_is_the_library_s(
    stiffness: float, snr: float, toy: se.MixtureOracle
) -> None:
    steps, walkers = 8, 20
    noise = torch.randn(2 * steps + 1, walkers, 2, dtype=F64)
    draws = iter(noise)
    sampler = se.PC(steps, 1, snr)
    y = torch.zeros(walkers, 2, dtype=F64)
    expected = sampler(toy, schedule(stiffness), y, lambda like: next(draws))
    found = by_node(
        MODULE,
        "z.map((e) => m.pc(e, steps, snr, m.schedule({ ...m.SDE, stiffness })))",
        z=noise.transpose(0, 1).tolist(), steps=steps, snr=snr, stiffness=stiffness,
    )  # fmt: skip
    close(torch.tensor(found, dtype=F64), expected.x0_hat, rtol=1e-5, atol=1e-8)


# Fair


def test_no_sampler_makes_more_calls_than_were_paid_for() -> None:
    y = torch.zeros(1, dtype=F64)
    gauss, sde = se.GaussianOracle(0.02, 0.03), schedule(1.5)
    plans = by_node(MODULE, "[4, 7, 16, 33].map(m.bought)")
    for budget, plan in zip((4, 7, 16, 33), plans, strict=True):
        kinds = {"EDM": se.EDM, "PC": se.PC, "DPM": DPM}
        for name, kind in kinds.items():
            made = kind(plan[name]["steps"])(gauss, sde, y).nfe
            assert made == plan[name]["calls"] <= budget
        assert kinds["EDM"](plan["EDM"]["steps"] + 1)(gauss, sde, y).nfe > budget


@pytest.fixture(scope="module")
def races() -> list[dict]:
    return by_node(
        MODULE,
        "[1.5, 0].map((stiffness) => {"
        " const found = m.race({ paths: 256, seed: 12, snr: 0.5, stiffness });"
        " found.rounds.forEach((r) => ['EDM', 'DPM', 'PC'].forEach((k) => delete r[k].ends));"
        " return found; })",
    )


def test_both_methods_are_of_order_two(races: list[dict]) -> None:
    rounds = races[0]["rounds"]
    for name in ("EDM", "DPM"):
        a, b = rounds[3][name], rounds[5][name]
        order = math.log(a["path"] / b["path"]) / math.log(b["calls"] / a["calls"])
        assert 1.8 < order < 2.4
    assert rounds[1]["DPM"]["path"] < rounds[1]["EDM"]["path"] / 2  # few calls: DPM leads


def test_the_stiffness_moves_pc_and_nothing_else(races: list[dict]) -> None:
    stiff, slack = (race["rounds"] for race in races)
    for a, b in zip(stiff, slack, strict=True):
        for name in ("EDM", "DPM"):
            close(a[name]["path"], b[name]["path"], rtol=1e-9)
            close(a[name]["cloud"], b[name]["cloud"], rtol=1e-9)
    assert slack[1]["PC"]["cloud"] > 2 * stiff[1]["PC"]["cloud"]


def test_enough_calls_bring_every_cloud_down_to_chance(races: list[dict]) -> None:
    race = races[0]
    for name in ("EDM", "DPM", "PC"):
        assert race["rounds"][-1][name]["cloud"] < 2.5 * race["floor"]
        assert race["rounds"][0]["EDM"]["cloud"] > 10 * race["floor"]
    assert race["rounds"][0]["PC"]["path"] is None


def test_the_distance_of_clouds_is_zero_for_equal_ones_and_a_shift_for_shifted() -> None:
    same, shifted = by_node(
        MODULE,
        "(() => { const p = m.exact(400, 3), q = p.map(([a, b]) => [a + 0.1, b]);"
        " return [m.cloudDistance(p, p), m.cloudDistance(q, p)]; })()",
    )
    close(same, 0.0, atol=1e-12)
    close(shifted, 0.1 / math.sqrt(2), rtol=1e-6)  # cos² averages to one half


# In a browser


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("race")
    options = {"title": "Sampler race", "calls": 8, "tasks": ["Drag."]}
    with served_bench(root, ("sampler_race", options)) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-race", reduced_motion="reduce") as page:
        yield page


def numbers(page) -> dict[str, float]:
    data = page.locator(".ed-race").evaluate("(e) => ({ ...e.dataset })")
    return {key: float(value) for key, value in data.items()}


def test_the_tasks_read_out_what_they_promise(bench) -> None:
    first = numbers(bench)
    assert first["budget"] == 8 and first["dpmPath"] < first["edmPath"]
    text = " ".join(bench.locator(".ed-readout").all_inner_texts())
    assert "EDM: 4 steps, 7 calls" in text and "PC: 4 steps, 8 calls" in text
    drag(bench, "Calls of the denoiser", 5)
    bench.wait_for_function("document.querySelector('.ed-race').dataset.budget === '128'")
    last = numbers(bench)
    assert last["edmPath"] < first["edmPath"] / 300 and 1.8 < last["edmOrder"] < 2.4
    bench.get_by_text("More:").click()
    drag(bench, "Calls of the denoiser", 1)
    drag(bench, "Stiffness", 0)
    bench.wait_for_function(
        "(v) => document.querySelector('.ed-race').dataset.pcCloud > 2 * v", arg=first["pcCloud"]
    )
    slack = numbers(bench)
    close(slack["edmPath"], first["edmPath"], rtol=1e-9)
    close(slack["dpmCloud"], first["dpmCloud"], rtol=1e-9)


def test_it_can_be_used_by_keyboard_and_finger(bench) -> None:
    slider = bench.get_by_label("Calls of the denoiser")
    slider.focus()
    slider.press("ArrowRight")
    bench.wait_for_function("document.querySelector('.ed-race').dataset.budget === '16'")
    bench.get_by_text("More:").click()
    check_fit(bench)
    assert bench.locator(".ed-readout").first.bounding_box()["y"] < slider.bounding_box()["y"]
