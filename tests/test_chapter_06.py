"""Chapter 6: its check against wrong steps, its pictures, and Hear σ in a real browser."""

import base64
import io
import json
import random
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import torch
from browser import by_node, check_fit, opened, served_bench
from close import close
from PIL import Image

from edmse_lite import figures
from edmse_lite.checks import check_sampler, check_step
from edmse_lite.widgets import EXPLORABLES

MODULE = EXPLORABLES / "hear_sigma.mjs"
STEPS = [
    {"sigma": 1.5, "state_db": -26.5, "estimate_db": 10.5},
    {"sigma": 0.19, "state_db": -3.2, "estimate_db": 9.5},
    {"sigma": 0.014, "state_db": 7.0, "estimate_db": 7.1},
]


# The exercise's check


def heun(denoiser, x, y, sigma, sigma_next):
    slope = (x - denoiser(x, y, sigma)) / sigma
    guess = x + (sigma_next - sigma) * slope
    slope_next = (guess - denoiser(guess, y, sigma_next)) / sigma_next
    return x + (sigma_next - sigma) * (slope + slope_next) / 2


def euler(denoiser, x, y, sigma, sigma_next):
    return x + (sigma_next - sigma) * (x - denoiser(x, y, sigma)) / sigma


def wrong_level(denoiser, x, y, sigma, sigma_next):
    slope = (x - denoiser(x, y, sigma)) / sigma
    guess = x + (sigma_next - sigma) * slope
    return x + (sigma_next - sigma) * (slope + (guess - denoiser(guess, y, sigma_next)) / sigma) / 2


def wrong_sign(denoiser, x, y, sigma, sigma_next):
    return x - (sigma_next - sigma) * (x - denoiser(x, y, sigma)) / sigma


def unhalved(denoiser, x, y, sigma, sigma_next):
    return 2 * heun(denoiser, x, y, sigma, sigma_next) - x


def three_calls(denoiser, x, y, sigma, sigma_next):
    denoiser(x, y, sigma)
    return heun(denoiser, x, y, sigma, sigma_next)


def midpoint(denoiser, x, y, sigma, sigma_next):
    middle = (sigma + sigma_next) / 2
    guess = x + (middle - sigma) * (x - denoiser(x, y, sigma)) / sigma
    return x + (sigma_next - sigma) * (guess - denoiser(guess, y, middle)) / middle


@pytest.mark.parametrize("seed", range(5))
def test_the_check_accepts_heun(seed: int) -> None:
    report = check_step(heun, seed)
    assert report.score == len(report.findings) == 4, str(report)
    assert json.loads(report.json())["of"] == 4


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (euler, "order 1.0, expected 2.0"),
        (euler, "1 calls of the denoiser a step, expected 2"),
        (wrong_level, "order 1.0, expected 2.0"),
        (wrong_sign, "moves away from the exact flow"),
        (unhalved, "leads to the exact flow: "),
        (three_calls, "3 calls of the denoiser a step, expected 2"),
        (midpoint, "Heun's method asks at each level and at the next one"),
    ],
)
def test_the_check_names_what_is_wrong(step, message: str, seed: int) -> None:
    report = check_step(step, seed)
    assert report.score < 4 and message in str(report), str(report)


def sampler(
    D, x, y, sigmas, churn, g, step=heun, raised=True, noise=lambda a, b: (a**2 - b**2) ** 0.5
):
    """Walk down; the arguments after ``g`` plant the faults."""
    for sigma, lower in zip(sigmas, sigmas[1:], strict=False):
        high = sigma * (1 + churn)
        fresh = torch.randn(x.shape, dtype=x.dtype, generator=g)
        x = step(D, x + noise(high, sigma) * fresh, y, high if raised else sigma, lower)
    return D(x, y, sigmas[-1])


def churned_in_the_real_part(D, x, y, sigmas, churn, g):
    for sigma, lower in zip(sigmas, sigmas[1:], strict=False):
        high = sigma * (1 + churn)
        fresh = torch.randn(x.shape, dtype=x.dtype, generator=g)
        x = heun(D, x + (2 * (high**2 - sigma**2)) ** 0.5 * fresh.real, y, high, lower)
    return D(x, y, sigmas[-1])


def churned_once(D, x, y, sigmas, churn, g):
    first, second, *rest = sigmas
    return sampler(D, sampler_step(D, x, y, first, second, churn, g), y, [second, *rest], 0.0, g)


def sampler_step(D, x, y, sigma, lower, churn, g):
    high, fresh = sigma * (1 + churn), torch.randn(x.shape, dtype=x.dtype, generator=g)
    return heun(D, x + (high**2 - sigma**2) ** 0.5 * fresh, y, high, lower)


def past_the_end(D, x, y, sigmas, churn, g):
    sampler(D, x, y, sigmas, churn, g)
    return D(x, y, 0.0)


def heun_to_the_end(D, x, y, sigmas, churn, g):
    return sampler(D, x, y, [*sigmas, sigmas[-1]], churn, g)


def state(D, x, y, sigmas, churn, g):
    last = []

    def spy(x, y, sigma):
        last.append(x)
        return D(x, y, sigma)

    sampler(spy, x, y, sigmas, churn, g)
    return last[-1]


WRONG_SAMPLERS = {
    "Euler": (lambda *a: sampler(*a, step=euler), "order 1.0, expected 2.0"),
    "Euler's calls": (lambda *a: sampler(*a, step=euler), "N calls for N = 65 levels"),
    "a level twice": (heun_to_the_end, "calls for N = 65 levels, expected 2N − 1"),
    "the midpoint rule": (lambda *a: sampler(*a, step=midpoint), "and nowhere between"),
    "churn in the first step only": (churned_once, "each level is raised before its step"),
    "churn for the real part": (churned_in_the_real_part, "times as far as the imaginary"),
    "σ = 0": (past_the_end, "was called at σ = 0"),
    "x̃ at the end": (state, "this is x̃ at the last level"),
    "y + D": (lambda D, x, y, *a: y + sampler(D, x, y, *a), "return D, the estimate of r"),
    "no churn": (lambda D, x, y, s, c, g: sampler(D, x, y, s, 0.0, g), "no diffusion noise"),
    "levels subtracted": (
        lambda *a: sampler(*a, noise=lambda high, low: high - low),
        "times the exact spread: variances add",
    ),
    "not from the raised level": (
        lambda *a: sampler(*a, raised=False),
        "each level is raised before its step: ask there",
    ),
    "a generator of its own": (
        lambda D, x, y, s, c, g: sampler(D, x, y, s, c, torch.default_generator),
        "draw with the one that is passed",
    ),
}


@pytest.mark.parametrize("seed", range(3))
def test_the_check_accepts_a_sampler(seed: int) -> None:
    report = check_sampler(sampler, seed)
    assert report.score == len(report.findings) == 5, str(report)


@pytest.mark.parametrize("name", WRONG_SAMPLERS)
def test_the_check_names_what_is_wrong_with_a_sampler(name: str) -> None:
    wrong, message = WRONG_SAMPLERS[name]
    report = check_sampler(wrong, seed=1)
    assert report.score < 5 and message in str(report), str(report)


# The pictures


def test_orders_are_drawn_as_they_are_given() -> None:
    figure = figures.orders((8, 16), {"a": [1.0, 0.25], "b": [1.0, 0.5]}, "steps")
    drawn = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert drawn["a"] == [1.0, 0.25] and drawn["b"] == [1.0, 0.5]
    assert figure.axes[0].get_yscale() == "log" and figure.axes[0].get_xscale() == "log"


def test_paths_are_told_apart_by_their_end() -> None:
    levels, states = torch.tensor([1.0, 0.1]), torch.tensor([[2.0, -2.0, 1.0], [1.0, -1.0, -1.0]])
    axes = figures.paths({"walk": (levels, states)}).axes[0]
    ends = [(line.get_ydata()[-1], line.get_linestyle()) for line in axes.lines]
    assert sorted(ends) == [(-1.0, "--"), (-1.0, "--"), (1.0, "-")]
    assert axes.get_xlim()[0] > axes.get_xlim()[1], "the level falls to the right"


def test_a_thumbnail_shows_levels_between_its_ends() -> None:
    spectrum = 0.15 * torch.ones(256, 250, dtype=torch.complex64)  # |X| = 1: 0 dB
    spectrum[:128] *= 10**0.5  # the lower half: 20 dB
    address = figures.thumbnail(spectrum, top=20.0, span=40.0)
    head, data = address.split(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (125, 64) and image.mode == "P"
    pixels = np.asarray(image)
    assert (pixels[:32] == 8).all() and (pixels[32:] == 15).all(), "low frequencies lie below"


# Hear σ


def test_read_outs_are_those_of_the_options_and_the_process_snr_is_the_library_s() -> None:
    draw = random.Random(6)
    asked = [[draw.uniform(0.01, 1), draw.uniform(0.005, 90)] for _ in range(200)]
    steps = [dict(step, state="a", estimate="b") for step in STEPS]
    found, picked = by_node(
        MODULE,
        "[asked.map((a) => m.processSnr(...a)),"
        " steps.map((_, i) => [m.pick(steps, i, 'state'), m.pick(steps, i, 'estimate')])]",
        asked=asked,
        steps=steps,
    )
    rms, sigma = torch.tensor(asked, dtype=torch.float64).T
    close(torch.tensor(found), 10 * (rms**2 / sigma**2).log10(), rtol=1e-6, atol=1e-6)
    for step, (state, estimate) in zip(steps, picked, strict=True):
        assert state == {"src": "a", "sigma": step["sigma"], "db": step["state_db"]}
        assert estimate == {"src": "b", "sigma": step["sigma"], "db": step["estimate_db"]}


def test_every_clip_of_hear_sigma_has_a_sentence_on_what_is_heard() -> None:
    state, estimate = by_node(
        MODULE,
        "['state', 'estimate'].map((kind) => snrs.map((snr) => m.heardAt(kind, snr)))",
        snrs=list(range(-40, 41)),
    )
    assert all("voice" in text or "syllables" in text for text in state + estimate)
    assert [len(dict.fromkeys(texts)) for texts in (state, estimate)] == [4, 3]
    assert "roar" in state[0] and "roar" not in state[-1] and "mean" in estimate[0]


def picture(shade: int) -> str:
    file = io.BytesIO()
    Image.new("L", (8, 4), shade).save(file, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve one page with the explorable and six tones."""
    root = tmp_path_factory.mktemp("bench6")
    (root / "sound").mkdir()
    time, steps = np.arange(4 * 16_000) / 16_000, []
    for i, step in enumerate(STEPS):
        steps.append(dict(step))
        for kind, hertz in (("state", 200 + 40 * i), ("estimate", 500 + 40 * i)):
            soundfile.write(root / "sound" / f"{kind}{i}.wav", np.sin(hertz * time) / 10, 16_000)
            steps[-1][kind] = f"sound/{kind}{i}.wav"
            steps[-1][f"{kind}_image"] = picture(10 * i + (kind == "state"))
    options = {"steps": steps, "rms": 0.1, "tasks": ["One"], "transcript": "None."}
    with served_bench(root, ("hear_sigma", options)) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-hear") as page:
        yield page


PLAYING = "document.querySelector('audio').currentTime > 0.4"


def test_read_outs_follow_the_step_and_nothing_is_fetched_before_a_tap(bench) -> None:
    readout = bench.locator(".ed-readout")
    for i, step in enumerate(STEPS):
        bench.get_by_label("Step").fill(str(i + 1))
        shown = f"{step['state_db']:.1f}".replace("-", "−")
        snr = f"{20 * np.log10(0.1 / step['sigma']):.1f}".replace("-", "−")
        expected = f"σ = {step['sigma']:.3f}, process SNR {snr} dB. SI-SDR of xₜ: {shown} dB."
        assert readout.inner_text() == expected
        assert bench.locator(".ed-heard").inner_text().startswith("What is heard: ")
        for image, kind in zip(bench.locator(".ed-beside img").all(), (1, 0), strict=True):
            assert image.get_attribute("src") == picture(10 * i + kind), "both follow the slider"
            assert f"step {i + 1} of 3" in image.get_attribute("alt")
    assert not [url for url in bench.fetched if url.endswith(".wav")]
    check_fit(bench, ".ed-range:visible, summary, button")


def test_a_switch_keeps_the_instant(bench) -> None:
    bench.get_by_role("button", name="Play").click()
    bench.wait_for_function(PLAYING)
    bench.get_by_role("button", name="the estimate").click()
    bench.wait_for_function(
        f"{PLAYING} && document.querySelector('audio').src.includes('estimate')"
    )
    before = bench.evaluate("document.querySelector('audio').currentTime")
    step = bench.get_by_label("Step")
    step.focus()
    step.press("ArrowRight")
    bench.wait_for_function(
        f"document.querySelector('audio').src.endsWith('estimate1.wav') && {PLAYING}"
    )
    assert bench.evaluate("document.querySelector('audio').currentTime") >= before
    assert not bench.evaluate("document.querySelector('audio').paused")
    bench.get_by_role("button", name="Pause").click()
    assert bench.evaluate("document.querySelector('audio').paused")


def test_the_volume_changes_no_read_out(bench) -> None:
    before = bench.locator(".ed-readout").inner_text()
    bench.get_by_text("More: volume").click()
    bench.get_by_label("Volume").fill("30")
    assert bench.evaluate("document.querySelector('audio').volume") == pytest.approx(0.3)
    assert bench.locator(".ed-readout").inner_text() == before
