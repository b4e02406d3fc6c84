"""Chapter 3: fooled metrics, simulated studies, checks against wrong answers, the blind test."""

import json
import math
import random
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import torch
from browser import PHONE, by_node, check_fit, opened, served_bench
from close import close
from scipy.stats import spearmanr

from edmse_lite import coverage, figures, judging, metrics, pages, words
from edmse_lite.checks import check_interval, check_si_sdr
from edmse_lite.intervals import mean_interval
from edmse_lite.widgets import EXPLORABLES

MODULE = EXPLORABLES / "blind_listening.mjs"


# The explorable's numbers are the library's

PIECES = (
    "Please enter your PIN # 14 1,234,567 won't can't cannot let's you're I've it'll I'm isn't "
    "007 1234567 100 12,5 50% a&b star* me@home don’t Ärger's rock'n'roll _x_ -5 … ﬁne 2,024. "
    "number now the 999999 20 21 n't cannotx"
).split(" ")


def texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(PIECES, k=draw.randint(1, 9))) for _ in range(count)]


def test_words_are_normalised_as_the_library_does() -> None:
    some = [*PIECES, *texts(200, 1)]
    assert by_node(MODULE, "q.map(m.normalise)", q=some) == [words.normalise(text) for text in some]


def test_word_errors_are_the_library_s() -> None:
    pairs = [pair for pair in zip(texts(300, 2), texts(300, 3), strict=True)]
    pairs = [pair for pair in pairs if words.normalise(pair[0])]
    found = by_node(MODULE, "q.map(([a, b]) => m.wordErrors(a, b))", q=pairs)
    for (text, heard), counts in zip(pairs, found, strict=True):
        expected = words.compare(text, heard)
        assert counts["errors"] / counts["words"] == expected.rate
        for name in ("substitutions", "deletions", "insertions", "words"):
            assert counts[name] == getattr(expected, name), (text, heard, name)


def test_the_agreement_of_two_orders_is_spearman_s() -> None:
    draw = np.random.default_rng(4)
    cases = [(draw.integers(1, 6, 8).tolist(), draw.standard_normal(8).tolist()) for _ in range(50)]
    found = by_node(MODULE, "q.map(([a, b]) => m.agreement(a, b))", q=cases)
    for (first, second), value in zip(cases, found, strict=True):
        close(value, float(spearmanr(first, second).statistic), rtol=1e-6, atol=1e-9)
    assert by_node(MODULE, "m.agreement([3, 3, 3], [1, 2, 3])") is None


def test_the_hidden_order_keeps_first_and_last_and_draws_the_rest_fairly() -> None:
    orders = by_node(MODULE, "Array.from({ length: 3000 }, () => m.hiddenOrder(5))")
    assert all(order[0] == 0 and order[4] == 4 for order in orders)
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    kinds = {tuple(order): 0 for order in orders}
    for order in orders:
        kinds[tuple(order)] += 1
    assert len(kinds) == 6 and min(kinds.values()) > 400  # 500 expected, 4.9 standard deviations


# Fooled metrics


@pytest.fixture(scope="module")
def cases() -> dict[str, judging.Case]:
    one = judging.said("vm-review-nonurgent", "megaglest-day", snr=5)
    other = judging.said("conf-getconfno", "megaglest-day", snr=5)
    return {case.name: case for case in judging.cases(one, other)}


def test_said_mixes_at_the_ratio_and_keeps_the_whole_prompt() -> None:
    one = judging.said("conf-getconfno", "megaglest-day", snr=3, start=2)
    close(metrics.snr(one.clean, one.noisy), 3.0, atol=1e-4)
    assert one.text.startswith("Please enter") and float(one.noisy.abs().max()) < 0.9901
    assert one.noise_type == "forest-birds-day"
    with pytest.raises(ValueError, match="no recording 'nobody' in the test split"):
        judging.said("nobody", "megaglest-day", 0)
    with pytest.raises(ValueError, match="start earlier or take a longer recording"):
        judging.said("conf-getconfno", "megaglest-day", 0, start=34)


def test_the_ear_s_equals_are_no_equals_to_waveform_metrics(cases) -> None:
    for name in ("Half the level", "Flipped sign", "8 samples late"):
        case = cases[name]
        assert metrics.pesq(case.clean, case.estimate) > 4.6
        assert metrics.snr(case.clean, case.estimate) < 6.1
    late = cases["8 samples late"]
    assert torch.equal(late.estimate[8:], late.clean[:-8]) and not late.estimate[:8].any()
    assert metrics.si_sdr(late.clean, late.estimate) < 0
    flipped = cases["Flipped sign"]
    assert metrics.si_sdr(flipped.clean, flipped.estimate) == math.inf


def test_a_fluent_hallucination_fools_dnsmos_and_not_estoi(cases) -> None:
    noisy, other = cases["Noisy"], cases["Another sentence"]
    assert metrics.dnsmos(other.estimate, max_windows=1).ovrl > 3
    assert metrics.dnsmos(noisy.estimate, max_windows=1).ovrl < 2.5
    assert metrics.estoi(other.clean, other.estimate) < 0.1 < metrics.estoi(*_pair(noisy))
    assert metrics.pesq(*_pair(other)) >= metrics.pesq(*_pair(noisy))  # PESQ alone cannot tell


def _pair(case: judging.Case) -> tuple[torch.Tensor, torch.Tensor]:
    return case.clean, case.estimate


def test_clipping_cuts_peaks_and_nothing_else(cases) -> None:
    case = cases["Clipped"]
    top = float(case.clean.abs().max()) * 0.1
    assert float(case.estimate.abs().max()) == pytest.approx(top)
    kept = case.clean.abs() <= top
    assert torch.equal(case.estimate[kept], case.clean[kept]) and 0.01 < float(
        (~kept).float().mean()
    )


def test_a_row_has_a_dash_where_a_score_is_not_defined(cases, monkeypatch) -> None:
    monkeypatch.setattr(judging, "has_recogniser", lambda: False)
    assert judging.score_row(cases["Silent"]) == ["Silent", "–", "–", "0.0", "–", "–", "–"]
    row = judging.score_row(cases["Flipped sign"])
    assert row[1:5] == ["4.64", "1.00", "−6.0", "∞"] and row[6] == "–"
    assert "pip install" in judging.recognised(cases["Clean"].estimate)


def test_swapping_moves_snr_by_the_formula_and_leaves_si_sdr(cases) -> None:
    case = cases["Noisy, swapped"]
    noisy, clean = _pair(case)
    moved = metrics.snr(noisy, clean) - metrics.snr(clean, noisy)
    close(moved, 10 * math.log10(1 + 10**-0.5), atol=0.05)
    close(metrics.si_sdr(noisy, clean), metrics.si_sdr(clean, noisy), atol=1e-9)


def test_a_wrong_rate_hides_from_si_sdr_and_not_from_estoi(cases) -> None:
    case, right = cases["Noisy, wrong rate"], cases["Noisy"]
    assert len(case.clean) == 3 * len(right.clean)
    close(metrics.si_sdr(*_pair(case)), metrics.si_sdr(*_pair(right)), atol=0.05)
    assert metrics.estoi(*_pair(case)) < metrics.estoi(*_pair(right)) - 0.2


@pytest.mark.parametrize("lag", [1, 5, 8, 30])
def test_the_spectrum_predicts_what_a_delay_costs(cases, lag: int) -> None:
    x = judging.fit(cases["Clean"].clean, len(cases["Clean"].clean) + 64).double()
    spectrum = torch.fft.rfft(x, 2 * len(x)).abs().square()
    rho = float(torch.fft.irfft(spectrum)[lag] / torch.fft.irfft(spectrum)[0])
    expected = 10 * math.log10(rho**2 / (1 - rho**2))
    close(metrics.si_sdr(x, judging.delayed(x, lag)), expected, atol=1e-6)


def test_a_player_with_true_levels_keeps_their_ratio() -> None:
    tone = torch.sin(torch.arange(16_000) * 0.1)
    sounds = [(pages.Sound(n, g * tone, "A tone."), f"{n}.") for n, g in (("a", 0.5), ("b", 0.05))]
    made = judging.true_level_player("Two tones", sounds, "Levels are true.")
    assert [each["transcript"] for each in made.options["clips"]] == ["a.", "b."]
    assert made.html.count("<audio") == 2 and "Levels are true." in made.options["note"]
    peaks = [_decoded(each["src"]).max() for each in made.options["clips"]]
    assert peaks[1] / peaks[0] == pytest.approx(0.1, rel=0.1)


def _decoded(address: str) -> np.ndarray:
    import base64
    import io

    return np.abs(soundfile.read(io.BytesIO(base64.b64decode(address.split(",")[1])))[0])


def test_the_blind_test_holds_scores_and_hides_no_audio_before_javascript() -> None:
    one = judging.said("conf-getconfno", "megaglest-day", snr=0)
    half = 0.5 * (one.clean + one.noisy)
    made = judging.blind_listening("k", [(one, [pages.Sound("Half", half, "Half.")])], ["Do."])
    (recording,) = made.options["recordings"]
    assert [clip["label"] for clip in recording["clips"]] == ["Noisy", "Half", "Clean"]
    close(recording["clips"][1]["pesq"], metrics.pesq(one.clean, half), atol=1e-4)
    close(recording["clips"][0]["estoi"], metrics.estoi(one.clean, one.noisy), atol=1e-4)
    assert recording["transcript"] == one.text and made.plain.count("<audio") == 3
    assert '"transcript": "' not in json.dumps(recording["clips"])


# Simulated studies


def world(spread: float) -> tuple[np.ndarray, list[int]]:
    """Recordings with 1 to 6 clips each that share their luck."""
    rng = np.random.default_rng(0)
    which = np.repeat(np.arange(40), 1 + np.arange(40) % 6)
    return rng.standard_normal(40)[which] + spread * rng.standard_normal(which.size), which.tolist()


def test_a_study_holds_whole_recordings() -> None:
    values = np.array([1.0, 1.0, 2.0, 3.0, 3.0, 3.0])
    ((drawn, numbers),) = coverage.studies(values, list("aabccc"), 50, 1)
    sizes = {1.0: 2, 2.0: 1, 3.0: 3}
    for number in range(50):
        mine = drawn[numbers == number]
        assert len(set(mine)) == 1 and len(mine) == sizes[mine[0]]


def test_the_design_effect_and_the_spread_predict_simulated_means() -> None:
    values, files = world(0.5)
    means = [v.mean() for v, _ in coverage.studies(values, files, 40, 4000)]
    rho, effect = coverage.alike(values, files)
    assert 0.6 < rho < 0.95  # 1 / (1 + 0.5²) = 0.8
    assert np.var(means) / (values.var() / len(values)) == pytest.approx(effect, rel=0.25)
    assert np.std(means) * 40**0.5 == pytest.approx(coverage.between(values, files), rel=0.06)


@pytest.mark.parametrize(("clips", "rho"), [(1, 0.5), (4, 0.5), (5, 0.0), (3, 1.0)])
def test_equal_recordings_have_the_design_effect_of_the_formula(clips: int, rho: float) -> None:
    expected = 1 + (clips - 1) * rho
    assert coverage.simulated_effect(clips, rho) == pytest.approx(expected, rel=0.04)


def test_independent_clips_have_no_design_effect() -> None:
    values = np.random.default_rng(1).standard_normal(4000)
    rho, effect = coverage.alike(values, [i // 4 for i in range(4000)])
    assert abs(rho) < 0.05 and abs(effect - 1) < 0.15


def test_clips_drawn_alone_promise_too_much() -> None:
    values, files = world(0.3)
    some = coverage.studies(values, files, 14, 120, seed=5)
    alone, whole = (coverage.ends(some, clustered, 300) for clustered in (False, True))
    assert coverage.coverage(whole, values.mean())[0] > 0.88
    assert coverage.coverage(alone, values.mean())[0] < 0.8
    share, half = coverage.coverage(np.array([[0.0, 1.0]] * 3 + [[2.0, 3.0]]), 0.5)
    assert share == 0.75 and half == pytest.approx(1.96 * (0.75 * 0.25 / 4) ** 0.5)


def test_figures_count_what_misses() -> None:
    figure = figures.caught({"a": np.array([[0.0, 1.0], [2.0, 3.0]])}, 0.5, "x, dB")
    assert figure.axes[0].get_title(loc="left") == "a: 1 of 2 miss"
    figure = figures.over_delay([1, 2], {"u": [3, 4], "v": [1, 1]}, {"u": [5, 3, 4]})
    assert [ax.get_ylabel() for ax in figure.axes] == ["u", "v"]
    figure = figures.half_widths([5, 10], [0.4, 0.3], [0.5, 0.3], "half width, dB")
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"


# The checks


def si_sdr(x, e):
    rho2 = (x @ e) ** 2 / ((x @ x) * (e @ e))
    return 10 * torch.log10(rho2 / (1 - rho2))


def whole_estimate(x, e):
    error = e - (x @ e) / (x @ x) * x
    return 10 * torch.log10((e @ e) / (error @ error))


def no_norm(x, e):
    a = x @ e
    return 10 * torch.log10((a * x).square().sum() / (a * x - e).square().sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_right_si_sdr_passes(seed: int) -> None:
    for right in (si_sdr, metrics.si_sdr):
        report = check_si_sdr(right, seed=seed)
        assert report.score == 5, str(report)
    assert json.loads(report.json())["of"] == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (metrics.snr, "level of the estimate: it changes by"),
        (whole_estimate, "only the projection αx belongs there"),
        (no_norm, "is α divided by ‖x‖²?"),
        (lambda x, e: 2 * si_sdr(x, e), "energies take 10 log₁₀, amplitudes 20"),
        (lambda x, e: si_sdr(x, e) / 2, "one of energies, not of amplitudes"),
        (lambda x, e: -si_sdr(x, e), "the sign is wrong"),
        (lambda x, e: si_sdr(x - x.mean(), e - e.mean()), "a mean was subtracted first"),
        (lambda x, e: 10 ** (si_sdr(x, e) / 10), "this is the ratio itself: give dB"),
        (lambda x, e: si_sdr(x, e) * math.log(10), "this is the natural logarithm"),
        (lambda x, e: si_sdr(x, e).clamp(min=0), "it never goes below 0 dB"),
    ],
)
@pytest.mark.parametrize("seed", [0, 3])
def test_the_check_of_si_sdr_names_what_is_wrong(wrong, message: str, seed: int) -> None:
    report = check_si_sdr(wrong, seed=seed)
    assert report.score < 5 and message in str(report), str(report)


def bootstrap(values, clusters, share=0.95):
    rng = np.random.default_rng(0)
    groups = [values[clusters == k] for k in np.unique(clusters)]
    draw = lambda: [groups[i] for i in rng.integers(len(groups), size=len(groups))]  # noqa: E731
    means = [np.concatenate(draw()).mean() for _ in range(300)]
    return tuple(np.quantile(means, ((1 - share) / 2, (1 + share) / 2)))


def library(values, clusters):
    found = mean_interval(values, clusters, resamples=300)
    return found.low, found.high


def alone(values, clusters):
    return bootstrap(values, np.arange(len(values)))


def spread(values, clusters):
    return tuple(np.quantile(values, (0.025, 0.975)))


def around_zero(values, clusters):
    low, high = bootstrap(values, clusters)
    return low - (low + high) / 2, high - (low + high) / 2


def within(values, clusters):
    rng = np.random.default_rng(0)
    groups = values.reshape(len(np.unique(clusters)), -1) if len(values) < 100 else values[None]
    means = [rng.choice(groups, groups.shape[1], axis=1).mean() for _ in range(200)]
    return tuple(np.quantile(means, (0.025, 0.975)))


@pytest.mark.parametrize("seed", range(4))
def test_the_right_interval_passes(seed: int) -> None:
    for right in (bootstrap, library):
        report = check_interval(right, seed=seed)
        assert report.score == 6, str(report)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (alone, "though nothing new was heard; draw whole recordings, with all their clips"),
        (spread, "this is where clips lie, not where their mean lies"),
        (around_zero, "values 10 + 2v must give ends 10 + 2 times the ends"),
        (within, "what is drawn at random is not what varies"),
        (lambda v, c: bootstrap(v, c)[::-1], "two finite ends, the lower first"),
        (lambda v, c: (v.mean() - 9, v.mean() + 9), "it is too wide: an interval of more"),
        (lambda v, c: bootstrap(v, c, 0.99), "it is too wide: an interval of more than 95 %"),
        (lambda v, c: bootstrap(v, c, 0.90), "it is too narrow: an interval of less than 95 %"),
        (lambda v, c: (v.mean() + 1, v.mean() + 2), "holds the mean of the clips: it does not"),
    ],
)
def test_the_check_of_intervals_names_what_is_wrong(wrong, message: str) -> None:
    report = check_interval(wrong)
    assert report.score < json.loads(report.json())["of"] and message in str(report), str(report)


# The explorable in a browser


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("blind")
    time = np.arange(8_000) / 16_000
    soundfile.write(root / "a.wav", 0.1 * np.sin(2 * np.pi * 220 * time), 16_000)
    pesq = {"Noisy": 1.1, "One": 1.6, "Two": 1.3, "Clean": 4.6}
    clips = [
        {"label": n, "src": f"a.wav?{i}", "heard": f"{n} is heard.", "pesq": p, "estoi": p / 5}
        for i, (n, p) in enumerate(pesq.items())
    ]
    recordings = [
        {"transcript": text, "clips": [{**c, "src": f"{c['src']}{k}"} for c in clips]}
        for k, text in enumerate(["Press 4 now.", "Please hold."])
    ]
    options = {"title": "Listen blind", "key": "bench", "recordings": recordings, "tasks": ["Do."]}
    with served_bench(root, ("blind_listening", options), ("player", {"title": "Other", "clips": [
        {"label": "Third", "src": "a.wav?third"}]})) as address:  # fmt: skip
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-blind", reduced_motion="reduce") as page:
        yield page


def finish(page, scores: dict[str, int]) -> list[list[str]]:
    """Score each clip of both recordings by its number; return the numbers in their order."""
    orders = []
    for recording in range(2):
        orders.append([])
        for step in range(4):
            page.wait_for_function(
                "(a) => { const { recording, clip } = document.querySelector('.ed-blind').dataset;"
                " return recording == a[0] && clip == a[1]; }", arg=[recording + 1, step + 1]
            )  # fmt: skip
            page.locator(".ed-blind .ed-toggle").click()
            page.wait_for_function("document.querySelector('.ed-blind audio').currentSrc")
            page.wait_for_timeout(30)
            source = page.evaluate("document.querySelector('.ed-blind audio').currentSrc")
            which = source.split("?")[1][0]
            if step == 0:
                page.get_by_label("The words").fill("press for now" if recording == 0 else "")
            page.locator(f".ed-blind input[value='{scores[which]}']").check()
            page.get_by_role("button", name="Next").click()
            orders[-1].append(which)
    page.wait_for_selector(".ed-blind[data-state='done']")
    return orders


def test_the_whole_test_gives_the_expected_read_outs(bench) -> None:
    assert not [url for url in bench.fetched if "a.wav" in url], "fetched before a tap"
    orders = finish(bench, {"0": 1, "1": 2, "2": 3, "3": 5})
    assert all(order[0] == "0" and order[-1] == "3" for order in orders)
    data = bench.locator(".ed-blind").evaluate("(e) => ({ ...e.dataset })")
    expected = spearmanr(2 * [1, 2, 3, 5], 2 * [1.1, 1.6, 1.3, 4.6]).statistic
    close(float(data["pesq"]), float(expected), rtol=1e-9)
    text = bench.locator(".ed-blind").inner_text()
    assert f"against PESQ: {expected:.2f}" in text
    assert "“Press 4 now.”" in text and "you wrote: “press for now”" in text
    assert "1 of 3" in text and "2 of 2" in text  # "for" is not "four"; nothing of the second
    first = bench.locator(".ed-blind table").first.locator("tbody tr").nth(1)
    assert first.locator("td").all_inner_texts()[:3] == ["2", "1.60", "0.32"]
    # a control that must change nothing
    bench.get_by_text("More: volume").click()
    bench.get_by_label("Volume").fill("50")
    assert bench.locator("output").first.inner_text() == "50 %"
    assert bench.locator(".ed-blind").evaluate("(e) => ({ ...e.dataset })") == data
    assert bench.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    # it stays in this browser, until it is forgotten
    bench.reload()
    bench.wait_for_selector(".ed-blind[data-state='done']")
    bench.get_by_text("More: volume").click()
    bench.get_by_role("button", name="Forget my answers").click()
    bench.wait_for_selector(".ed-blind[data-state='listening']")
    assert bench.evaluate("localStorage.getItem('edmse:blind:bench')") is None
    assert not [url for url in bench.fetched if "localhost" not in url]


def test_names_and_words_are_hidden_until_the_end(bench) -> None:
    text = bench.locator(".ed-blind").inner_text()
    assert not any(word in text for word in ("Noisy", "Clean", "Press", "PESQ", "1.1"))
    assert "Recording 1 of 2, clip 1 of 4" in text


def test_a_clip_must_be_played_and_scored(bench) -> None:
    bench.get_by_role("button", name="Next").click()
    assert "Play the clip first." in bench.locator(".ed-blind").inner_text()
    bench.locator(".ed-blind .ed-toggle").click()
    bench.wait_for_function("!document.querySelector('.ed-blind audio').paused || true")
    bench.get_by_role("button", name="Next").click()
    assert "Choose a quality from 1 to 5 first." in bench.locator(".ed-blind").inner_text()


def test_it_can_be_used_by_keyboard_and_finger(bench) -> None:
    bench.locator(".ed-blind .ed-toggle").focus()
    bench.keyboard.press("Enter")
    bench.keyboard.press("4")
    assert bench.locator(".ed-blind input[value='4']").is_checked()
    words_field = bench.get_by_label("The words that you understand")
    words_field.focus()
    bench.keyboard.press("2")
    assert words_field.input_value() == "2"
    assert bench.locator(".ed-blind input[value='4']").is_checked()
    bench.get_by_role("button", name="Next").press("Enter")
    assert "clip 2 of 4" in bench.locator(".ed-blind").inner_text()
    assert words_field.input_value() == "2"  # kept, to be corrected
    bench.get_by_text("More: volume").click()
    check_fit(bench, ".ed-blind :is(button, summary, textarea, .ed-choice, .ed-range)")
    bench.locator(".ed-blind .ed-toggle").click()
    bench.get_by_role("button", name="Third").click()  # one sound at a time on a page
    bench.wait_for_function("document.querySelector('.ed-blind audio').paused")
