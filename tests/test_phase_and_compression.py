"""The explorable computes in the browser what the library computes in Python."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from edmse_lite import pages
from edmse_lite.metrics import si_sdr
from edmse_lite.spectrograms import SAMPLE_RATE, Spectrogram
from edmse_lite.widgets import EXPLORABLES

SOURCE = (EXPLORABLES / "phase_and_compression.mjs").read_text(encoding="utf-8")
ADDRESS = "http://explorable.test/"


def voice_like(seconds: float = 1.5) -> torch.Tensor:
    """Return harmonics with a moving level, and a faint hiss."""
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    harmonics = sum(torch.sin(2 * torch.pi * 140 * k * time) / k for k in range(1, 20))
    hiss = torch.randn(len(time), generator=torch.Generator().manual_seed(1))
    return 0.1 * harmonics * torch.sin(3 * time).square() + 1e-3 * hiss


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    page = context.new_page()
    options = {
        "title": "T", "tasks": ["one", "two"],
        "clip": pages.clip("Clean", pages.match_loudness([voice_like()])[0], "None.", form="WAV"),
    }  # fmt: skip
    body = f"""<!doctype html><div id="here"></div><script type="module">
        import widget, * as all from "./m.mjs"; window.all = all;
        const values = {json.dumps(options)};
        const model = {{ get: (key) => values[key] }};
        widget.render({{ model, el: document.getElementById("here") }});
    </script>"""
    kinds = {ADDRESS: ("text/html", body), ADDRESS + "m.mjs": ("text/javascript", SOURCE)}

    def answer(route: Any) -> None:
        kind, text = kinds.get(route.request.url, ("text/plain", ""))
        route.fulfill(body=text, content_type=f"{kind}; charset=utf-8")

    page.route("**/*", answer)
    page.goto(ADDRESS)
    page.wait_for_selector(".ed-spectrum[data-ready]", timeout=20_000)
    yield page
    context.close()


def readouts(page: Any) -> dict[str, float]:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
    found = page.evaluate("() => ({...document.querySelector('.ed-spectrum').dataset})")
    return {name: float(found[name]) for name in ("above", "fourth", "siSdr")}


def move(page: Any, slider: int, value: float) -> dict[str, float]:
    page.evaluate(
        """([i, v]) => { const s = document.querySelectorAll('input[type=range]')[i];
        s.value = v; s.dispatchEvent(new Event('input')); }""",
        [slider, value],
    )
    return readouts(page)


def test_the_transform_is_the_library_s(page: Any) -> None:
    wave = voice_like(0.3)
    found = page.evaluate(
        """(wave) => { const s = all.stft(wave);
        const back = all.istft(s.magnitude, s.phase, s.frames, wave.length);
        return [[...s.magnitude], s.frames, [...back]]; }""",
        wave.tolist(),
    )
    magnitude = torch.tensor(found[0]).reshape(found[1], 256).T
    transform = Spectrogram()
    expected = transform.stft(wave)
    torch.testing.assert_close(magnitude, expected[0, 0].abs(), atol=1e-4, rtol=1e-4)
    back = transform.istft(expected, len(wave))[0]
    torch.testing.assert_close(torch.tensor(found[2]), back, atol=1e-5, rtol=0)


@pytest.mark.parametrize("exponent", [1.0, 0.5, 0.2])
def test_read_outs_are_those_of_the_library(page: Any, exponent: float) -> None:
    wave = pages.match_loudness([voice_like()])[0]
    t = Spectrogram(exponent=exponent)
    c = t.forward(wave)
    m = c.abs() / c.abs().square().mean().sqrt()
    found = move(page, 0, exponent)
    assert found["above"] == pytest.approx(float((m > 10**-0.5).float().mean()), abs=0.005)
    assert found["fourth"] == pytest.approx(float((m**4).mean()), rel=0.01)
    sigma = c.abs().square().mean().sqrt() * 10**-0.5
    eps = torch.randn(c.shape, dtype=c.dtype, generator=torch.Generator().manual_seed(0))
    score = si_sdr(wave, t.inverse(c + sigma * eps, len(wave))[0])
    assert found["siSdr"] == pytest.approx(score, abs=0.7)  # another draw of the diffusion noise


def test_the_factor_changes_nothing_and_the_exponent_does(page: Any) -> None:
    before = readouts(page)
    after = move(page, 2, 0.7)
    assert after == pytest.approx(before, rel=1e-6)
    assert abs(move(page, 0, 0.3)["above"] - before["above"]) > 0.1


def test_the_round_trip_sounds_the_same_at_any_exponent(page: Any) -> None:
    sounds = []
    for exponent in (1, 0.2):
        move(page, 0, exponent)
        page.get_by_text("Play the round trip").click()
        page.wait_for_function("() => document.querySelector('audio').src.startsWith('blob:')")
        sounds.append(page.evaluate(
            """async () => [...new Int16Array(
            (await (await fetch(document.querySelector('audio').src)).arrayBuffer()).slice(44))]"""
        ))  # fmt: skip
    first, second = (torch.tensor(sound, dtype=torch.float32) for sound in sounds)
    assert len(first) == len(voice_like())
    assert float((first - second).abs().max()) <= 1
    assert float(first.abs().max()) < 32767 * 0.96
