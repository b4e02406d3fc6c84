"""The player and the prediction in a real browser, and their plain forms without JavaScript."""

import html
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import opened, served_bench
from conftest import ROOT


def clip(folder: Path, name: str, hertz: float) -> None:
    time = np.arange(4 * 16_000) / 16_000
    soundfile.write(folder / name, 0.1 * np.sin(2 * np.pi * hertz * time), 16_000)


@pytest.fixture(scope="module")
def bench_address(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a page with two players and one prediction."""
    root = tmp_path_factory.mktemp("bench")
    for name, hertz in (("a.wav", 220), ("b.wav", 330), ("c.wav", 440)):
        clip(root, name, hertz)
    clips = [
        {"label": "Noisy", "src": "a.wav", "heard": "A low tone.", "transcript": "None."},
        {"label": "Enhanced", "src": "b.wav", "heard": "A higher tone.", "transcript": "None."},
    ]
    question = {
        "key": "bench",
        "question": "Which is higher?",
        "choices": [
            {"text": "Noisy", "feedback": "It has 220 Hz."},
            {"text": "Enhanced", "correct": True, "feedback": "It has 330 Hz."},
        ],
    }
    widgets = [
        ("player", {"title": "Two tones", "clips": clips}),
        ("player", {"title": "One tone", "clips": [{"label": "Third", "src": "c.wav"}]}),
        ("predict", question),
    ]
    with served_bench(root, *widgets) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-predict", timeout_ms=60_000) as page:
        yield page


PLAYING = """() => [...document.querySelectorAll('audio')]
    .filter((a) => !a.paused).map((a) => a.src.at(-5))"""


def test_player_fetches_nothing_before_a_tap(bench) -> None:
    bench.wait_for_timeout(200)
    assert not [url for url in bench.fetched if url.endswith(".wav")]


def test_player_keeps_the_position_and_plays_one_clip(bench) -> None:
    bench.get_by_role("button", name="Enhanced").click()
    bench.wait_for_function("document.querySelectorAll('audio')[1].currentTime > 0.4")
    assert bench.evaluate(PLAYING) == ["b"]
    assert bench.get_by_role("button", name="Enhanced").get_attribute("aria-pressed") == "true"
    assert bench.locator(".ed-heard").first.inner_text() == "A higher tone."
    bench.get_by_role("button", name="Noisy").click()
    bench.wait_for_function("document.querySelectorAll('audio')[0].currentTime > 0.3")
    assert bench.evaluate(PLAYING) == ["a"]
    bench.get_by_role("button", name="Third").focus()
    bench.keyboard.press("Enter")
    bench.wait_for_function("document.querySelectorAll('audio')[2].currentTime > 0.05")
    assert bench.evaluate(PLAYING) == ["c"], "a second player must stop the first"


def test_player_answers_the_keyboard(bench) -> None:
    bench.get_by_role("button", name="Play").first.focus()
    bench.keyboard.press("2")
    bench.wait_for_function("document.querySelectorAll('audio')[1].currentTime > 0")
    bench.get_by_role("button", name="Pause").first.press("Enter")
    assert bench.evaluate(PLAYING) == []
    slider = bench.get_by_label("Position").first
    slider.focus()
    before = bench.evaluate("document.querySelectorAll('audio')[1].currentTime")
    slider.press("End")
    bench.wait_for_function(f"document.querySelectorAll('audio')[1].currentTime > {before + 1}")


def test_player_says_when_a_clip_is_missing(bench) -> None:
    bench.evaluate("document.querySelectorAll('audio')[2].src = 'gone.wav'")
    with bench.expect_console_message(lambda message: "404" in message.text):
        bench.get_by_role("button", name="Third").click()
    bench.wait_for_function(
        "document.querySelectorAll('.ed-heard')[1].textContent.includes('cannot be played')"
    )
    assert len(bench.messages) == 1, bench.messages
    bench.messages.clear()  # the server's 404 is the only one


def test_prediction_waits_for_a_choice_and_is_kept(bench) -> None:
    commit = bench.get_by_role("button", name="Commit")
    assert commit.is_disabled() and bench.locator(".ed-feedback").inner_text() == ""
    bench.get_by_label("Noisy").check()
    commit.click()
    assert "220 Hz" in bench.locator(".ed-feedback").inner_text()
    assert bench.locator(".ed-feedback").get_attribute("data-correct") == "false"
    bench.reload()
    bench.wait_for_selector(".ed-predict")
    assert "220 Hz" in bench.locator(".ed-feedback").inner_text()
    bench.get_by_role("button", name="Change my answer").click()
    bench.get_by_label("Enhanced").check()
    bench.get_by_role("button", name="Commit").click()
    assert "330 Hz" in bench.locator(".ed-feedback").inner_text()
    assert bench.locator(".ed-feedback").get_attribute("data-correct") == "true"


def test_explorables_have_a_plain_form_without_javascript() -> None:
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    from fallbacks import add_fallbacks

    def page(name: str, options: str) -> str:
        return f"<div data-edmse-widget=\"{name}\" data-edmse-options='{options}'></div>"

    choices = [{"text": "A", "feedback": "no"}, {"text": "B", "correct": True, "feedback": "yes"}]
    asked = add_fallbacks(
        page("predict", json.dumps({"question": "A or B?", "choices": choices})), "p"
    )
    assert (
        "A or B?" in asked and "<details>" in asked and asked.index("B: yes") < asked.index("A: no")
    )
    clips = [{"label": "Noisy", "src": "a.mp3", "transcript": "Hello <b>"}]
    heard = add_fallbacks(page("player", html.escape(json.dumps({"clips": clips}))), "p")
    assert '<audio controls preload="none" src="a.mp3"' in heard and "Hello &lt;b&gt;" in heard
    with pytest.raises(ValueError, match="chapter 9.*not JSON"):
        add_fallbacks(page("player", "{clips: 1}"), "chapter 9")
