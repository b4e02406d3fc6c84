"""Chapter 5: its explorable against the library, its check against wrong answers, its pictures."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from browser import by_node, check_fit, opened, served_bench
from close import close
from conftest import ROOT

import edmse_lite as se
from edmse_lite import figures
from edmse_lite.checks import check_denoiser, check_score
from edmse_lite.widgets import EXPLORABLES

F64 = torch.float64
MODULE = EXPLORABLES / "denoise_1d.mjs"
TOY = {"weights": [0.7, 0.3], "means": [1.0, -1.0], "std": 0.15}


def toy() -> se.MixtureOracle:
    return se.MixtureOracle(torch.tensor([0.7, 0.3], dtype=F64), torch.tensor([1.0, -1.0]), 0.15)


def at(x_tilde: float) -> torch.Tensor:
    return torch.tensor(x_tilde, dtype=F64)


# The explorable's numbers


def test_the_explorable_computes_what_the_library_does() -> None:
    draw = random.Random(5)
    asked = [
        {
            "weights": [draw.uniform(0.1, 3), draw.uniform(0.1, 3)],
            "means": [draw.uniform(-2, 2), draw.uniform(-2, 2)],
            "std": draw.uniform(0.05, 1),
            "sigma": draw.uniform(0.05, 4),
            "x": draw.uniform(-3, 3),
            "r": draw.uniform(-3, 3),
        }
        for _ in range(200)
    ]
    found = by_node(
        MODULE,
        "asked.map((a) => ({ ...m.denoise(a.x, a), posterior: m.posterior(a.r, a.x, a) }))",
        asked=asked,
    )
    for a, js in zip(asked, found, strict=True):
        oracle = se.MixtureOracle(torch.tensor(a["weights"], dtype=F64), at(a["means"]), a["std"])
        x, r, sigma = at(a["x"]), at(a["r"]), a["sigma"]
        close(at(js["d"]), oracle(x, x, sigma), rtol=1e-6, atol=1e-6)
        close(at(js["score"]), oracle.score(x, x, sigma), rtol=1e-6, atol=1e-6)
        close(at(js["logDensity"]), oracle.log_prob(x, x, sigma), rtol=1e-6, atol=1e-6)
        noise = torch.distributions.Normal(r, sigma).log_prob(x)
        bayes = (oracle.log_prob(r, r) + noise - oracle.log_prob(x, x, sigma)).exp()
        close(at(js["posterior"]), bayes, rtol=1e-6, atol=1e-6)


# The explorable's tasks, in a browser


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve one page with the explorable, from the sources."""
    root = tmp_path_factory.mktemp("bench5")
    options = {**TOY, "sigma": 1, "x": 0, "tasks": ["One", "Two"]}
    with served_bench(root, ("denoise_1d", options)) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-denoise") as page:
        assert page.locator(".ed-range:visible").count() == 1, "it opens with one control"
        page.get_by_text("More:").click()
        yield page


def read(page) -> dict[str, float]:
    data = page.evaluate("({ ...document.querySelector('.ed-denoise').dataset })")
    return {key: float(value) for key, value in data.items()}


def slide(page, label: str, value: float) -> None:
    page.get_by_label(label).fill(str(value))


def test_a_high_level_says_little_and_a_low_one_decides(bench) -> None:
    slide(bench, "Level σ", 0.48)  # log10 of about 3
    found = []
    for x in (-2, 2):
        slide(bench, "Noisy value", x)
        found.append(read(bench)["d"])
    expected = toy()(at([-2.0, 2.0]), at([0.0, 0.0]), 10**0.48)
    close(at(found), expected, rtol=1e-9)
    assert found[1] - found[0] < 0.4
    slide(bench, "Level σ", -0.7)  # about 0.2
    slide(bench, "Noisy value", -0.2)
    below = read(bench)["d"]
    slide(bench, "Noisy value", 0.2)
    assert below < -0.7 and read(bench)["d"] > 0.7
    assert "D = 0.71" in bench.locator(".ed-readout").inner_text()


def test_the_scale_of_the_density_changes_nothing_else(bench) -> None:
    before, words = read(bench), bench.locator(".ed-readout").inner_text()
    log_density = bench.locator(".ed-density").inner_text()
    slide(bench, "Multiply the density", 4)
    assert bench.locator(".ed-density").inner_text() != log_density
    assert read(bench) == before and bench.locator(".ed-readout").inner_text() == words


def test_the_explorable_answers_keyboard_and_pointer(bench) -> None:
    place = bench.get_by_label("Noisy value")
    place.focus()
    place.press("End")
    assert read(bench)["d"] > 0.9
    box = bench.locator(".ed-denoise svg").bounding_box()
    bench.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.7)
    assert float(place.input_value()) == pytest.approx(-64 / 150 * 2.5, abs=0.02)
    check_fit(bench, ".ed-range:visible, summary")


# The exercise's check


def right(x_tilde, y, sigma, clean_var, noise_var):
    m = -noise_var / (clean_var + noise_var) * y
    p = clean_var * noise_var / (clean_var + noise_var)
    return m + p / (p + sigma**2) * (x_tilde - m)


@pytest.mark.parametrize("seed", range(5))
def test_the_check_accepts_the_right_denoiser(seed: int) -> None:
    report = check_denoiser(right, seed)
    assert report.score == len(report.findings), str(report)
    assert json.loads(report.json())["score"] == 8


WRONG = {
    "estimates x0": (lambda x, y, s, c, v: y + right(x, y, s, c, v), "D estimates r = x0 − y"),
    "forgets y": (
        lambda x, y, s, c, v: c * v / (c * v + (c + v) * s**2) * x,
        "y is not used",
    ),
    "always Wiener": (lambda x, y, s, c, v: -v / (c + v) * y, "return nearly x̃"),
    "σ without its square": (
        lambda x, y, s, c, v: right(x, y, s**0.5, c, v),
        "times the smallest possible",
    ),
    "twice the variance": (
        lambda x, y, s, c, v: right(x, y, 2**0.5 * s, c, v),
        "times the smallest possible",
    ),
    "a weight of the fourth power": (
        lambda x, y, s, c, v: right(x, y, s**2 * ((c + v) / (c * v)) ** 0.5, c, v),
        "times the smallest possible",
    ),
    "drops the imaginary part": (lambda x, y, s, c, v: right(x, y, s, c, v).real, "float64"),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", WRONG)
def test_the_check_names_what_is_wrong(name: str, seed: int) -> None:
    wrong, message = WRONG[name]
    report = check_denoiser(wrong, seed)
    assert report.score < len(report.findings)
    assert message in str(report), str(report)


def autograd(log_density, x):
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(x).sum(), x)
    return gradient


def score(log_density, x):
    gradient = autograd(log_density, x)
    return gradient / 2 if gradient.is_complex() else gradient


WRONG_SCORES = {
    "autograd as it is": (autograd, "complex: Tweedie, x̃ + σ² score = D: the score is 2 times"),
    "half for both types": (
        lambda p, x: autograd(p, x) / 2,
        "real: Tweedie, x̃ + σ² score = D: the score is 0.5 times",
    ),
    "downhill": (lambda p, x: -score(p, x), "it points the other way: the sign"),
    "∂/∂x̃": (lambda p, x: score(p, x).conj(), "not ∂/∂x̃"),
    "of the density": (
        lambda p, x: score(lambda at: p(at).exp(), x),
        "another direction: differentiate log p",
    ),
    "real part": (lambda p, x: score(p, x).real, "found (64,) torch.float64"),
}


@pytest.mark.parametrize("seed", range(4))
def test_the_check_accepts_the_right_score(seed: int) -> None:
    report = check_score(score, seed)
    assert report.score == len(report.findings) == 6, str(report)


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("name", WRONG_SCORES)
def test_the_check_names_what_is_wrong_with_a_score(name: str, seed: int) -> None:
    wrong, message = WRONG_SCORES[name]
    report = check_score(wrong, seed)
    assert report.score < len(report.findings) and message in str(report), str(report)


# The pictures


def test_the_curves_are_the_oracle() -> None:
    averages = {0.5: (at([0.0, 1.0]), at([0.1, 0.9]))}
    figure = figures.denoiser_curves(toy(), (0.5, 2.0), averages)
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    for sigma in (0.5, 2.0):
        x, d = (at(list(values)) for values in lines[f"σ = {sigma:g}"].get_data())
        close(d, toy()(x, torch.zeros_like(x), sigma))
    marked = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 2]
    close(at(list(marked[-1].get_ydata())), averages[0.5][1])


def test_arrows_are_the_score_times_the_variance() -> None:
    oracle = se.MixtureOracle(at([0.7, 0.3]), torch.tensor([1 + 0.5j, -1 - 0.5j]), 0.15)
    figure = figures.arrow_fields(oracle, (0.3, 2.0))
    for axes, sigma in zip(figure.axes, (0.3, 2.0), strict=True):
        quiver = axes.collections[-1]
        x = torch.complex(at(quiver.X.tolist()), at(quiver.Y.tolist()))
        found = torch.complex(at(quiver.U.tolist()), at(quiver.V.tolist()))
        close(found, 0.35 * sigma**2 * oracle.score(x, torch.zeros_like(x), sigma), rtol=1e-9)


def test_the_chapter_reads_its_files_from_the_package() -> None:
    notebook = (ROOT / "notebooks" / "05_denoising_at_one_noise_level.ipynb").read_text()
    assert Path(MODULE).exists() and "denoise_1d" in notebook
    assert notebook.count("<summary>Solution</summary>") == 6
