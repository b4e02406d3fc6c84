"""Tasks of the explorables of chapters 5 to 7 on the built pages: what is read is what is promised.

The expected read-outs come from the page's own sentences, which the build computed.
"""

import re
from collections.abc import Iterator

import pytest

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
NUMBER = r"(−?\d+\.\d+)"


@pytest.fixture(params=[PHONE, DESK], ids=["phone", "desk"])
def visit(browser, site_address: str, request) -> Iterator:
    context = browser.new_context(viewport=request.param)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.messages, page.asked = [], []
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.on("console", lambda m: page.messages.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: page.asked.append(request.url))

    def open_box(chapter: str, name: str):
        page.goto(f"{site_address}notebooks/{chapter}.html")
        page.wait_for_selector(f".ed-{name}", state="attached")
        return page.locator(f".ed-{name}")

    yield open_box
    assert not page.messages
    elsewhere = [url for url in page.asked if not url.startswith((site_address, "data:", "blob:"))]
    assert not elsewhere, elsewhere
    context.close()


def drag(box, label: str, value: float) -> None:
    box.get_by_label(label).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )
    box.page.wait_for_timeout(150)


def promised(box, pattern: str) -> list[str]:
    """Return the numbers of the first task that has the pattern."""
    tasks = box.locator("ol li").all_inner_texts()
    return list(next(m for task in tasks if (m := re.search(pattern, task))).groups())


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
    before = readout.inner_text()
    box.get_by_text("More: volume").click()
    drag(box, "Volume", 30)
    assert readout.inner_text() == before, "loudness changes no read-out"


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
