"""Chapter 4: draws against a closed form, the map, its explorable in a browser, and checks."""

import json
import math
import random
import re
from collections.abc import Iterator

import pytest
import torch
from browser import by_node, check_fit, opened, served_bench
from close import close
from conftest import ROOT

import edmse_lite as se
from edmse_lite import answers, distortion, figures, pages
from edmse_lite.checks import check_split, check_wiener
from edmse_lite.spectrograms import SAMPLE_RATE, Spectrogram
from edmse_lite.widgets import EXPLORABLES

F64 = torch.float64
MODULE = EXPLORABLES / "eight_samples.mjs"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Oracle(se.GaussianOracle):
    """Speech and environmental noise of equal, flat spectra, with a highest level."""

    sigma_range = (0.01, 5000.0)


def enhancer() -> se.Enhancer:
    linear = Spectrogram(factor=0.15, exponent=1)
    return se.Enhancer(Oracle(0.1, 0.1), linear, device="cpu", sde=se.VE(0.05, 2.0))


def tone(hertz: float, seconds: float = 1.0, amplitude: float = 0.5) -> torch.Tensor:
    time = torch.arange(round(seconds * SAMPLE_RATE), dtype=F64) / SAMPLE_RATE
    return amplitude * torch.sin(2 * math.pi * hertz * time)


def rms(x: torch.Tensor) -> float:
    return float(x.abs().square().mean().sqrt())


# Draws and best guess


def test_the_mean_of_draws_goes_to_the_wiener_filter() -> None:
    noisy = 0.1 * torch.randn(2, 2048, generator=generator())
    sampler = se.EDM(steps=16, s_churn=0.0, grid=se.grids.rho(0.005, 5.0))
    draws = answers.draw(enhancer(), noisy, 36, generator(1), sampler)
    assert draws.shape == (2, 36, 2048)
    wiener = noisy / 2
    one, mean = rms(draws - wiener[:, None]), rms(draws.mean(1) - wiener)
    assert mean / one == pytest.approx(1 / 6, rel=0.15), "errors of draws average out"
    swapped = rms(draws.mean(1).flip(0) - wiener)
    assert swapped > 4 * mean, "draw b belongs to recording b"


def test_the_best_guess_is_the_wiener_filter_in_one_call() -> None:
    noisy = 0.1 * torch.randn(2, 4096, generator=generator())
    found = answers.best_guess(enhancer(), noisy, generator())
    transform = enhancer().spectrogram  # it loses the highest bin
    wiener = transform.inverse(transform.forward(noisy), 4096) / 2
    close(found, wiener, rtol=0, atol=1e-4)


def test_draws_repeat_with_the_seed_and_refuse_one_waveform() -> None:
    noisy = 0.1 * torch.randn(1, 2048, generator=generator())
    first, same, other = (answers.draw(enhancer(), noisy, 2, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert rms(first[0, 0] - first[0, 1]) > 0.1 * rms(noisy)
    with pytest.raises(ValueError, match=r"one recording is noisy\[None\]"):
        answers.draw(enhancer(), noisy[0], 2, generator())


# The map


def test_levels_are_decibels_with_a_soft_floor() -> None:
    levels = answers.levels(torch.stack([tone(2000), tone(2000, amplitude=0.25), 0 * tone(1)]))
    row = round(2000 / 250)
    assert levels.shape == (3, 32, 32)
    close(levels[0].max(), 0.0, atol=0.25)
    inside = levels[:, row, 4:-4]
    close(inside[0] - inside[1], 6.0, atol=0.26)
    close(inside[2], answers.FLOOR, atol=0.01)
    assert float(levels[0, 28, 4:-4].max()) == answers.FLOOR
    close(levels / answers.STEP, (levels / answers.STEP).round(), rtol=0)


def test_disagreement_is_a_standard_deviation_and_silence_agrees() -> None:
    levels = answers.levels(torch.stack([tone(2000), tone(2000, amplitude=0.25)]))
    found = answers.disagreement(levels)
    close(found[8, 4:-4], 3.0, atol=0.13)  # two values 6 dB apart
    close(found[28, 4:-4], 0.0, atol=1e-9)
    close(answers.disagreement(levels.flip(0)), found)
    close(answers.disagreement(levels - 7), found, atol=1e-9)


def test_extremes_leave_out_ends_low_and_quiet_places() -> None:
    levels = torch.full((2, 5, 16), -10.0, dtype=F64)
    levels[0, 2, 0] = 40.0  # at the end: left out
    levels[0, 0, 7] = 30.0  # below 500 Hz: left out
    levels[0, 3, 6] = 0.0
    levels[:, 4] = -40.0  # quiet: agrees, but no one would hear it
    levels[0, :4] += torch.arange(16) / 100
    most, least = answers.extremes(levels)
    assert most == (3, 6) and least == (2, 4)
    seconds, hertz = answers.place((8, 10))
    assert seconds == pytest.approx(20.5 * 256 / SAMPLE_RATE) and hertz == pytest.approx(2109.375)


def test_a_piece_is_a_band_around_a_time() -> None:
    middle = slice(800, 2400)
    for away, gain in ((0, 1.0), (250, math.exp(-0.5)), (1000, math.exp(-8))):
        found = answers.piece(tone(2000 + away), 0.5, 2000)
        assert len(found) == 3200
        assert rms(found[middle]) * math.sqrt(2) / 0.5 == pytest.approx(gain, abs=2e-3)
    click = torch.zeros(SAMPLE_RATE)
    click[8000] = 1
    found = answers.piece(click, 0.5, 3000)
    assert int(found.abs().argmax()) == 1600, "the middle of the piece is the place"
    assert float(answers.piece(click, 0.2, 3000).abs().max()) == 0
    assert answers.piece(click, 0.999, 3000).shape == (3200,)


def test_insight_is_high_where_doubt_and_error_go_together() -> None:
    clean = tone(500) + tone(3000, amplitude=0.05)
    sizes = torch.tensor([0.0, 0.1, 0.4, 0.8], dtype=F64)[:, None]
    burst = torch.zeros(SAMPLE_RATE, dtype=F64)
    burst[4000:12000] = tone(5000, 0.5)
    knows = clean + sizes * burst  # they differ where they are wrong
    shared = clean + burst  # all wrong in the same place: their doubt lies elsewhere
    blind = shared + sizes * tone(1500, amplitude=0.2)
    assert answers.insight(knows, clean) > answers.insight(blind, clean) + 0.2
    assert -1 <= answers.insight(blind, clean) <= 1


# Distortion and perception


def test_sibilance_is_the_power_above_three_kilohertz() -> None:
    clean = tone(1000) + tone(4000, amplitude=0.1)
    assert distortion.sibilance(clean, clean) == 0
    louder = tone(1000) + tone(4000, amplitude=0.2)
    assert distortion.sibilance(clean, louder) == pytest.approx(6.02, abs=0.05)
    without_voice = tone(4000, amplitude=0.1)
    assert distortion.sibilance(clean, without_voice) == pytest.approx(0, abs=0.1)


def test_scores_of_seeds_are_averaged_clip_by_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    close(distortion.squared_error(tone(100), 1.5 * tone(100)), 0.25)
    for name in ("PESQ", "DNSMOS"):  # slow, and tested elsewhere
        monkeypatch.setitem(distortion.SCORES, name, lambda clean, estimate: float(estimate[1]))
    clean = torch.stack([tone(100), tone(200)])
    seeds = torch.stack([1.1 * clean, 1.3 * clean], dim=1)  # (2, 2, T)
    found = distortion.scored(clean, {"guess": seeds})["guess"]
    assert list(found) == ["SI-SDR, dB", "PESQ", "3–8 kHz, dB", "DNSMOS", "error"]
    close(torch.tensor(found["error"]), (0.01 + 0.09) / 2)
    assert found["PESQ"].tolist() == pytest.approx((1.2 * clean[:, 1]).tolist())


def speech_like(count: int = 4, seconds: float = 1.0) -> torch.Tensor:
    """Return waveforms that share a tone and differ in a burst near 3 kHz in the middle."""
    draws = torch.randn(count, round(seconds * SAMPLE_RATE), generator=generator(5), dtype=F64)
    burst = torch.zeros(draws.shape[1], dtype=F64)
    burst[7000:9000] = torch.hann_window(2000, dtype=F64)
    size = torch.linspace(0.02, 0.5, count, dtype=F64)[:, None]
    voice = tone(500, seconds) + 1e-3 * draws
    return voice + size * burst * tone(3000, seconds, 1.0)


def test_the_explorable_computes_what_the_library_does() -> None:
    draw = random.Random(4)
    waves = 0.1 * torch.randn(5, SAMPLE_RATE, generator=generator(2), dtype=F64)
    waves = waves * torch.rand(1, SAMPLE_RATE, generator=generator(3), dtype=F64)
    levels = answers.levels(waves) + 2 * torch.randint(-9, 1, (5, 32, 32), generator=generator(1))
    cells = [(draw.randrange(32), draw.randrange(32)) for _ in range(12)]
    found = by_node(
        MODULE,
        "((map) => ({ levels: [...map.levels], ends: m.extremes(map),"
        " places: cells.map(([r, c]) => [m.seconds(c), m.hertz(r)]),"
        " spread: cells.map(([r, c]) => m.spread(m.at(map, r, c))),"
        " shifted: cells.map(([r, c]) => m.spread(m.at(map, r, c, -7))),"
        " pieces: cells.map(([r, c]) => [...m.piece(wave, m.seconds(c), m.hertz(r))]) })"
        ")(m.unpack(packed))",
        packed=answers.packed(levels),
        wave=waves[0].tolist(),
        cells=cells,
    )
    close(torch.tensor(found["levels"], dtype=F64), levels.flatten(), rtol=1e-9)
    expected = torch.stack([answers.disagreement(levels)[cell] for cell in cells])
    for kind in ("spread", "shifted"):
        close(torch.tensor(found[kind], dtype=F64), expected, rtol=1e-6, atol=1e-9)
    for (row, column), kind in zip(answers.extremes(levels), ("most", "least"), strict=True):
        assert (found["ends"][kind]["row"], found["ends"][kind]["column"]) == (row, column)
    for cell, at, samples in zip(cells, found["places"], found["pieces"], strict=True):
        assert at == pytest.approx(answers.place(cell))
        close(torch.tensor(samples, dtype=F64), answers.piece(waves[0], *at), rtol=0, atol=1e-9)


# The explorable in a browser


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve one page with the explorable, its sounds as mp3 inside the page, as in the book."""
    waves = speech_like().float()
    sounds = [waves[0], *waves, waves.mean(0)]
    names = ["Noisy", "1", "2", "3", "4", "Average"]
    clips = [
        {**pages.clip(name, 0.5 * wave, ""), "heard": f"Clip {name}.", "db": 3.25 - i}
        for i, (name, wave) in enumerate(zip(names, sounds, strict=True))
    ]
    options = {
        "title": "Samples", "map": answers.packed(answers.levels(waves)), "clips": clips,
        "first": 1, "tasks": ["One", "Two"], "transcript": "A tone.",
    }  # fmt: skip
    root = tmp_path_factory.mktemp("bench4")
    with served_bench(root, ("eight_samples", options)) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-eight") as page:
        yield page


def read(page) -> dict[str, float]:
    data = page.evaluate("({ ...document.querySelector('.ed-eight').dataset })")
    return {key: float(value) for key, value in data.items()}


def readout(page) -> str:
    return page.locator(".ed-eight .ed-readout").inner_text()


HEARD = "document.querySelector('.ed-eight audio').currentTime > 0.05"
SAMPLES = """async () => { const audio = document.querySelector('.ed-eight audio');
    const bytes = await (await fetch(audio.src)).arrayBuffer();
    return [...new Int16Array(bytes.slice(44))]; }"""


def test_the_place_of_most_disagreement_is_shown_and_heard(bench) -> None:
    waves = speech_like()
    levels = answers.levels(waves.float())
    most, least = answers.extremes(levels)
    assert "Tap the map" in readout(bench)
    bench.get_by_role("button", name="Where they differ most").click()
    bench.wait_for_function(HEARD)
    assert read(bench)["spread"] == pytest.approx(float(answers.disagreement(levels)[most]))
    seconds, hertz = answers.place(most)
    place = f"{seconds:.2f} s, {hertz / 1000:.1f} kHz"
    assert f"{place}: standard deviation {read(bench)['spread']:.1f} dB" in readout(bench)
    found = torch.tensor(bench.evaluate(SAMPLES), dtype=F64).reshape(4, -1)  # sample by sample
    heard = torch.tensor([rms(each) for each in found])
    exact = torch.tensor([rms(answers.piece(wave, seconds, hertz)) for wave in waves])
    close(heard / heard.max(), exact / exact.max(), rtol=0, atol=0.05)
    shape = answers.piece(waves[3], seconds, hertz)
    match = torch.nn.functional.cosine_similarity(found[3, :3200], shape, dim=0)
    assert float(match) > 0.9, "the sound in the page starts when the map says"
    bench.get_by_role("button", name="Where they agree").click()
    assert read(bench)["spread"] == pytest.approx(float(answers.disagreement(levels)[least]))


def test_a_tap_selects_the_cell_below_the_finger(bench) -> None:
    canvas = bench.locator(".ed-eight canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box["width"] > 250
    bench.mouse.click(
        box["x"] + box["width"] * 10.5 / 32, box["y"] + box["height"] * (1 - 8.5 / 32)
    )
    assert (read(bench)["row"], read(bench)["column"]) == (8, 10)
    bench.wait_for_function(HEARD)
    bench.wait_for_function("document.querySelector('.ed-eight').dataset.playing >= 1")
    assert bench.locator(".ed-bars").inner_text().count("♪") == 1


def test_the_level_changes_no_disagreement_and_sliders_move_the_place(bench) -> None:
    bench.get_by_role("button", name="Where they differ most").click()
    before = read(bench)
    bench.get_by_text("More: place by sliders").click()
    bench.get_by_label("Turn all samples down").fill("-12")
    after = read(bench)
    assert after["spread"] == pytest.approx(before["spread"], abs=1e-9)
    assert after["low"] == pytest.approx(before["low"] - 12)
    for label, key in (("Time", "column"), ("Frequency", "row")):
        slider = bench.get_by_label(label)
        slider.fill("5")
        assert read(bench)[key] == 5
        slider.focus()
        slider.press("ArrowRight")
        assert read(bench)[key] == 6


def test_whole_recordings_play_at_the_same_instant(bench) -> None:
    assert not [
        u for u in bench.fetched if not u.startswith(("http://localhost", "data:", "blob:"))
    ]
    assert not bench.evaluate("document.querySelector('.ed-eight audio').src")
    bench.get_by_role("button", name="Noisy").click()
    bench.wait_for_function("document.querySelector('.ed-eight audio').currentTime > 0.3")
    bench.get_by_role("button", name="Average").click()
    assert bench.locator(".ed-heard").inner_text() == "Average. Clip Average. SI-SDR −1.8 dB."
    bench.wait_for_function("document.querySelector('.ed-eight audio').currentTime > 0.3")
    pressed = bench.locator('.ed-eight [aria-pressed="true"]').all_inner_texts()
    assert len(pressed) == 1 and "Average" in pressed[0]


def test_controls_fit_a_finger_and_the_page_a_phone(bench) -> None:
    check_fit(bench, ".ed-range:visible, summary, button")


# The exercises' checks


def wiener(y, c, v):
    return c / (c + v) * y


@pytest.mark.parametrize("seed", range(5))
def test_the_check_accepts_the_wiener_filter(seed: int) -> None:
    report = check_wiener(wiener, seed)
    assert report.score == len(report.findings) == 10, str(report)
    assert json.loads(report.json())["score"] == 10


WRONG_FILTERS = {
    "the noise": (lambda y, c, v: v / (c + v) * y, "guess of the environmental noise"),
    "a square root": (lambda y, c, v: (c / (c + v)).sqrt() * y, "restores the power"),
    "standard deviations": (
        lambda y, c, v: c.sqrt() / (c.sqrt() + v.sqrt()) * y,
        "not standard deviations",
    ),
    "a gate": (lambda y, c, v: y * (y.abs() ** 2 > c + v), "may not depend on y"),
    "nothing": (lambda y, c, v: y, "the factor is too large"),
    "the magnitude": (lambda y, c, v: c / (c + v) * y.abs(), "found (20000, 6) torch.float64"),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", WRONG_FILTERS)
def test_the_check_of_the_filter_names_what_is_wrong(name: str, seed: int) -> None:
    wrong, message = WRONG_FILTERS[name]
    report = check_wiener(wrong, seed)
    assert report.score < len(report.findings) and message in str(report), str(report)


def split(samples, clean):
    mean = samples.mean(0)
    return (mean - clean).abs().square().mean(), (samples - mean).abs().square().mean()


@pytest.mark.parametrize("seed", range(5))
def test_the_check_accepts_the_split(seed: int) -> None:
    report = check_split(split, seed)
    assert report.score == len(report.findings) == 10, str(report)


WRONG_SPLITS = {
    "K − 1": (
        lambda s, x: (split(s, x)[0], s.var(0).mean()),
        "divided by K − 1",
    ),
    "sums": (lambda s, x: tuple(len(x) * part for part in split(s, x)), "a sum over bins"),
    "roots": (lambda s, x: tuple(part.sqrt() for part in split(s, x)), "roots do not"),
    "squares without abs": (
        lambda s, x: (((s.mean(0) - x) ** 2).mean().real, split(s, x)[1]),
        "|z|² is needed",
    ),
    "complex squares": (
        lambda s, x: (((s.mean(0) - x) ** 2).mean(), ((s - s.mean(0)) ** 2).mean()),
        "found a complex number: for complex bins |z|² is needed",
    ),
    "a complex error": (
        lambda s, x: (((s.mean(0) - x) ** 2).mean(), split(s, x)[1]),
        "found a complex number",
    ),
    "error of the samples": (
        lambda s, x: ((s - x).abs().square().mean(), split(s, x)[1]),
        "average the samples first",
    ),
    "a value a bin": (lambda s, x: ((s.mean(0) - x).abs() ** 2, s.var(0)), "found shapes (400,)"),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", WRONG_SPLITS)
def test_the_check_of_the_split_names_what_is_wrong(name: str, seed: int) -> None:
    wrong, message = WRONG_SPLITS[name]
    report = check_split(wrong, seed)
    assert report.score < len(report.findings) and message in str(report), str(report)


# The pictures


def test_the_map_is_drawn_as_it_is() -> None:
    levels = answers.levels(speech_like().float())
    figure = figures.disagreement(levels)
    mean, spread = (ax.images[0] for ax in figure.axes[:2])
    close(torch.tensor(mean.get_array().data), levels.mean(0))
    close(torch.tensor(spread.get_array().data), answers.disagreement(levels))
    right, top = spread.get_extent()[1], spread.get_extent()[3]
    assert right == pytest.approx(1.0, abs=0.05) and top == pytest.approx(8, abs=0.2)


def test_traces_share_a_scale_and_points_stand_where_they_are_measured() -> None:
    x = torch.arange(5.0)
    figure = figures.traces(x, {"one": [x], "two": [2 * x, -x]}, "ms")
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert list(figure.axes[1].lines[1].get_ydata()) == [0, -1, -2, -3, -4]
    at, lost = se.Interval(-1.0, -1.5, -0.5, 6, 6), se.Interval(3.0, math.nan, math.nan, 1, 1)
    figure = figures.tradeoff({"a": {"draw": (at, lost)}, "b": {"draw": (lost, at)}}, "dB")
    for axes, (px, py) in zip(figure.axes, ((-1, 3), (3, -1)), strict=True):
        (mark,) = [
            line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_marker() == "o"
        ]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (px, py)


def test_the_module_repeats_no_constant_wrongly() -> None:
    source = MODULE.read_text(encoding="utf-8")
    for name in ("BINS", "FRAMES", "EDGE", "LOW", "PIECE", "FADE", "WIDTH"):
        found = re.search(rf"\b{name} = ([\d.]+)", source)
        assert found and float(found[1]) == getattr(answers, name), name


def test_every_outcome_has_an_exercise_with_a_hint_and_a_solution() -> None:
    text = (ROOT / "notebooks" / "04_many_clean_answers.ipynb").read_text(encoding="utf-8")
    heads = re.findall(r"\*\*4\.\d [\w ]+\*\* \(outcome (\d); (\d+) min, [\w ]+, \d points\)", text)
    assert {outcome for outcome, _ in heads} == set("12345") and len(heads) == 6
    assert 45 <= sum(int(minutes) for _, minutes in heads) <= 60
    for fold in ("Hint", "Solution"):
        assert text.count(f"<summary>{fold}</summary>") == 6
