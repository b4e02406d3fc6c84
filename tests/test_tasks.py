"""Tasks of the explorables of chapters 2 to 7 on the built pages: what is read is what is promised.

The expected read-outs come from the page's own sentences, which the build computed.
"""

import json
import re
from collections.abc import Iterator

import pytest
from browser import DESK, PHONE, drag, watched
from scipy.stats import spearmanr

WIDE = """[...document.querySelectorAll('section#card td')]
    .map((e) => [e.getBoundingClientRect(), e])
    .filter(([box, e]) => box.right > innerWidth || e.scrollWidth > e.clientWidth + 1)
    .map(([, e]) => e.textContent)"""
NUMBER = r"(−?\d+\.\d+)"


@pytest.fixture(params=[PHONE, DESK], ids=["phone", "desk"])
def visit(browser, site_address: str, request) -> Iterator:
    with watched(browser, request.param, timeout_ms=60_000) as page:

        def open_box(chapter: str, name: str):
            page.goto(f"{site_address}notebooks/{chapter}.html")
            page.wait_for_selector(f".ed-{name}", state="attached")
            assert not page.evaluate(WIDE), "a card's equations need no scrolling, at any width"
            return page.locator(f".ed-{name}")

        yield open_box
        home = (site_address, "data:", "blob:")
        elsewhere = [url for url in page.fetched if not url.startswith(home)]
        assert not elsewhere, elsewhere


def promised(box, pattern: str) -> list[str]:
    """Return the numbers of the first task that has the pattern."""
    tasks = box.locator("ol li").all_inner_texts()
    return list(next(m for task in tasks if (m := re.search(pattern, task))).groups())


def data(box) -> dict[str, str]:
    return box.evaluate("(e) => ({ ...e.dataset })")


def test_the_exponent_lifts_bins_and_the_factor_changes_nothing(visit) -> None:
    box = visit("02_the_complex_spectrogram_as_data", "spectrum")
    box.get_by_role("button", name="Load the clip").click()
    box.page.wait_for_selector(".ed-spectrum[data-ready]")
    before, after = promised(box, r"go from (\d+) % to (\d+) %")
    for exponent, share in ((1, before), (0.5, after)):
        drag(box, "Exponent α", exponent)
        box.page.wait_for_function(
            f"document.querySelector('.ed-readout').textContent.includes('noise: {share} %')"
        )
    kept = data(box)
    box.locator("summary").first.click()
    drag(box, "Factor", 0.7)
    now = data(box)
    assert all(abs(float(now[k]) - float(kept[k])) < 1e-6 for k in ("above", "fourth", "siSdr"))


def test_the_blind_test_ends_with_the_scores_of_the_page(visit) -> None:
    box = visit("03_judging_an_enhancement", "blind")
    options = json.loads(box.evaluate("(e) => e.parentElement.dataset.edmseOptions"))
    clips = [clip for one in options["recordings"] for clip in one["clips"]]
    given = {clip["src"].split("/")[-1]: 1 + i % 5 for i, clip in enumerate(clips)}
    for _ in clips:
        box.locator(".ed-toggle").click()
        source = box.evaluate("(e) => e.querySelector('audio').src").split("/")[-1]
        box.locator(f"input[value='{given[source]}'][type=radio]").check()
        box.get_by_role("button", name="Next").click()
    box.page.wait_for_selector(".ed-blind[data-state='done']")
    mine = [given[clip["src"].split("/")[-1]] for clip in clips]
    for name in ("pesq", "estoi"):
        expected = spearmanr(mine, [clip[name] for clip in clips]).statistic
        assert abs(float(data(box)[name]) - expected) < 1e-6
    kept = data(box)
    box.locator("details > summary", has_text="More: volume").click()
    drag(box, "Volume", 50)
    assert data(box) == kept, "loudness changes no score"


def test_the_eight_differ_where_the_page_says(visit) -> None:
    box = visit("04_many_clean_answers", "eight")
    place = r"(\d+\.\d+ s, \d+\.\d+ kHz), (\d+\.\d+) dB"
    most, wide, least, narrow = promised(box, rf"Expected: {place}; the.*Expected: {place}; eight")
    for button, at, db in (("agree", least, narrow), ("differ most", most, wide)):
        box.get_by_role("button", name=f"Where they {button}").click()
        assert f"{at}: standard deviation {db} dB" in box.locator(".ed-readout").inner_text()
    before = data(box)
    box.locator("details > summary", has_text="More: place").click()
    drag(box, "Turn all samples down", -12)
    after = data(box)
    assert abs(float(after["spread"]) - float(before["spread"])) < 1e-9
    assert abs(float(after["low"]) - float(before["low"]) + 12) < 1e-9


def test_a_low_level_decides(visit) -> None:
    box = visit("05_denoising_at_one_noise_level", "denoise")
    readout = box.locator(".ed-readout")
    high, low = promised(box, f"D goes from {NUMBER} to {NUMBER}")
    drag(box, "Level σ", 0.48)
    assert f"D = {high}." in readout.inner_text()
    drag(box, "Level σ", -0.7)
    before = readout.inner_text()
    assert f"D = {low}." in before
    box.get_by_text("More:").click()
    drag(box, "Multiply the density", 5)
    assert readout.inner_text() == before, "the scale of a density changes nothing"
    drag(box, "Level σ", 0.48)
    for end, d in zip(
        (-2, 2), promised(box, f"D only goes from {NUMBER} to {NUMBER}"), strict=True
    ):
        drag(box, "Noisy value", end)
        assert f"D = {d}." in readout.inner_text()


def test_the_roar_becomes_the_voice(visit) -> None:
    box = visit("06_walking_down_the_noise", "hear")
    readout, last = box.locator(".ed-readout"), box.get_by_label("Step").get_attribute("max")
    for kind, symbol, words in (
        ("the state", "xₜ", "; a roar"),
        ("the estimate", "y + D", "; the voice is there"),
    ):
        first_db, last_db = promised(box, f"from {NUMBER} to {NUMBER} dB{words}")
        box.get_by_role("button", name=kind).click()
        for step, expected in ((1, first_db), (last, last_db)):
            drag(box, "Step", step)
            assert f"SI-SDR of {symbol}: {expected} dB." in readout.inner_text()
            assert box.locator(".ed-beside img").count() == 2
            roars = kind == "the state" and step == 1
            heard = box.locator(".ed-heard").inner_text()
            assert ("roar" in heard) == roars and ("The voice" in heard) != roars
    both = {}
    for kind, symbol in (("the state", "xₜ"), ("the estimate", "y + D")):
        box.get_by_role("button", name=kind).click()
        found = re.search(f"SI-SDR of {re.escape(symbol)}: {NUMBER} dB", readout.inner_text())
        both[symbol] = float(found[1].replace("−", "-"))
    assert abs(both["xₜ"] - both["y + D"]) < 1, "at the last step nearly no difference"
    before = readout.inner_text()
    box.get_by_text("Transcript").click()
    options = json.loads(box.evaluate("(e) => e.parentElement.dataset.edmseOptions"))
    assert box.get_by_text(options["transcript"]).is_visible()
    box.get_by_text("More: volume").click()
    drag(box, "Volume", 30)
    assert readout.inner_text() == before, "loudness changes no read-out"


def test_paths_have_the_moments_of_the_page_and_sigma_1_decides(visit) -> None:
    box = visit("07_the_shifted_sde", "shifted")

    def says() -> str:
        return " ".join(box.locator(".ed-readout").all_inner_texts())

    def press(name: str) -> None:
        box.get_by_role("button", name=name).click()

    mean, spread = promised(box, rf"mean {NUMBER}, spread {NUMBER}; near y")
    press("Forward")
    box.page.wait_for_function("document.querySelector('.ed-shifted').dataset.t === '1'")
    assert f"Exact density of xₜ: mean {mean}, spread {spread}." in says()
    mean, spread = promised(box, rf"still exactly {NUMBER} and {NUMBER}")
    drag(box, "Diffusion time", 0.5)
    forth = data(box)
    press("Backward")
    drag(box, "Diffusion time", 0.5)
    back = data(box)
    assert f"mean {mean}, spread {spread}." in says()
    assert back["mean"] == forth["mean"] and back["std"] == forth["std"]  # the control
    assert back["found"] != forth["found"]
    shares = promised(box, rf"exact: {NUMBER} % .*no drift {NUMBER} %, with cosine {NUMBER} %")
    box.locator("details > summary", has_text="More: schedule").click()
    box.get_by_label("Clean values").select_option("two")
    box.get_by_label("Backward paths").select_option("sampler")
    for name, share in zip(("OUVE", "VE", "Cosine"), shares, strict=True):
        box.get_by_label("Schedule").select_option(name)
        assert f"(exact: {share} %)" in says()


def test_the_drift_moves_one_panel_and_the_largest_level_two(visit) -> None:
    box = visit("07_the_shifted_sde", "unshift")
    moved, level = box.locator(".ed-readout").first, box.locator(".ed-readout").nth(1)
    still, sigma = promised(box, f"moved by up to {NUMBER}, and σ\\(1\\) stays at {NUMBER}")
    drag(box, "Stiffness", 0)
    found = re.search(f"xₜ has moved by up to {NUMBER}, x̃ by up to {NUMBER}", moved.inner_text())
    assert float(found[1]) > 0.2 and found[2] == still
    assert f"σ(1) = {sigma}" in level.inner_text() and "◂" not in level.inner_text()
    before, after = promised(box, f"σ\\(1\\) falls from {NUMBER} to {NUMBER}")
    box.get_by_text("More:").click()
    box.get_by_label("Schedule").select_option("RichterOUVE")
    box.page.wait_for_timeout(150)
    assert f"σ(1) = {after}" in level.inner_text()
    assert f"this moved x̃: it was {before}" in level.inner_text()
    box.get_by_label("Schedule").select_option("OUVE")
    drag(box, "Stiffness", 1.5)
    drag(box, "Noisy value", 0.9)
    found = re.search(f"xₜ has moved by up to {NUMBER}, x̃ by up to {NUMBER}", moved.inner_text())
    assert float(found[1]) > 0.3 and found[2] == "0.00", "y, with r kept, moves only the shifted"
