"""The explorable computes in the browser what the library computes in Python."""

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from browser import by_node
from close import close

from edmse_lite import pages
from edmse_lite.metrics import si_sdr
from edmse_lite.spectrograms import SAMPLE_RATE, Spectrogram
from edmse_lite.widgets import EXPLORABLES

MODULE = EXPLORABLES / "phase_and_compression.mjs"
SOURCE = MODULE.read_text(encoding="utf-8")
F64 = torch.float64
ADDRESS = "http://explorable.test/"


def voice_like(seconds: float = 1.5) -> torch.Tensor:
    """Return harmonics with a moving level, and a faint hiss."""
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    harmonics = sum(torch.sin(2 * torch.pi * 140 * k * time) / k for k in range(1, 20))
    hiss = torch.randn(len(time), generator=torch.Generator().manual_seed(1))
    return 0.1 * harmonics * torch.sin(3 * time).square() + 1e-3 * hiss


@pytest.fixture
def untouched(browser: Any) -> Iterator[Any]:
    """Page with the explorable; the clip is at an address, and what is asked for is kept."""
    context = browser.new_context()
    page = context.new_page()
    wave = pages.match_loudness([voice_like()])[0]
    clip = pages.clip("Clean", wave, "None.", "A hum.", form="WAV")
    clip, sound = {**clip, "src": "clip.wav"}, b64decode(clip["src"].split(",", 1)[1])
    options = {"title": "T", "tasks": ["one", "two"], "clip": clip}
    body = f"""<!doctype html><div id="here"></div><script type="module">
        import widget, * as all from "./m.mjs"; window.all = all;
        const values = {json.dumps(options)};
        const model = {{ get: (key) => values[key] }};
        widget.render({{ model, el: document.getElementById("here") }});
    </script>"""
    kinds = {ADDRESS: ("text/html", body), ADDRESS + "m.mjs": ("text/javascript", SOURCE)}
    kinds[ADDRESS + "clip.wav"] = ("audio/wav", sound)
    page.asked = []

    def answer(route: Any) -> None:
        page.asked.append(route.request.url)
        kind, content = kinds.get(route.request.url, ("text/plain", ""))
        route.fulfill(body=content, content_type=f"{kind}; charset=utf-8")

    page.route("**/*", answer)
    page.goto(ADDRESS)
    page.wait_for_selector(".ed-spectrum")
    yield page
    context.close()


@pytest.fixture
def page(untouched: Any) -> Any:
    untouched.get_by_role("button", name="Load the clip").click()
    untouched.wait_for_selector(".ed-spectrum[data-ready]", timeout=20_000)
    return untouched


def readouts(page: Any) -> dict[str, float]:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
    found = page.evaluate("() => ({...document.querySelector('.ed-spectrum').dataset})")
    return {name: float(found[name]) for name in ("above", "fourth", "siSdr")}


def move(page: Any, slider: int, value: float) -> None:
    page.evaluate(
        """([i, v]) => { const s = document.querySelectorAll('input[type=range]')[i];
        s.value = v; s.dispatchEvent(new Event('input')); }""",
        [slider, value],
    )


def moved(page: Any, slider: int, value: float) -> dict[str, float]:
    move(page, slider, value)
    return readouts(page)


NUMBERS = """(() => {
  const s = m.stft(wave), e = m.experiment(s, { exponent, factor, snr });
  const noisy = m.istft(e.noisy.magnitude, e.noisy.phase, s.frames, wave.length);
  const back = m.expand(e.compressed, { exponent, factor });
  const plain = m.istft(back, e.phases, s.frames, wave.length);
  const list = (values) => Array.from(values);
  return { frames: s.frames, magnitude: list(s.magnitude), phase: list(s.phase),
    shaken: [list(e.noisy.magnitude), list(e.noisy.phase)], noisy: list(noisy), plain: list(plain),
    above: e.above, fourth: e.fourth, rms: e.rms, sigma: e.sigma, score: m.siSdr(wave, noisy) };
})()"""


@pytest.mark.parametrize(("exponent", "factor", "snr"), [(1.0, 0.15, 10), (0.5, 0.4, 3)])
def test_random_waves_give_the_numbers_of_the_library(
    exponent: float, factor: float, snr: float
) -> None:
    """In double precision, 1e-6: transform, compressed moments, sum and its score."""
    envelope = torch.rand(13, dtype=F64).repeat_interleave(256)[:3_001]  # no whole frame
    wave, t = (
        envelope * torch.randn(3_001, dtype=F64),
        Spectrogram(factor=factor, exponent=exponent),
    )
    found = by_node(MODULE, NUMBERS, wave=wave.tolist(), exponent=exponent, factor=factor, snr=snr)
    bins = lambda values: torch.tensor(values, dtype=F64).reshape(-1, 256).T  # noqa: E731
    near = lambda a, b: torch.testing.assert_close(  # noqa: E731
        torch.as_tensor(a, dtype=b.dtype), b, rtol=1e-6, atol=1e-6 * float(b.abs().max())
    )
    spectrum, c = t.stft(wave)[0, 0], t.forward(wave).abs()
    near(torch.polar(bins(found["magnitude"]), bins(found["phase"])), spectrum)
    near(found["plain"], t.inverse(t.forward(wave), len(wave))[0])
    rms = c.square().mean().sqrt()
    sigma = rms * 10 ** (-snr / 20)
    near([found["rms"], found["sigma"]], torch.stack([rms, sigma]))
    near(
        [found["above"], found["fourth"]],
        torch.stack([(c > sigma).double().mean(), (c / rms).pow(4).mean()]),
    )
    shaken = torch.polar(*(bins(values) for values in found["shaken"]))
    near(found["noisy"], t.istft(shaken[None, None], len(wave))[0])
    added = (t.compress(shaken) - t.forward(wave)[0, 0]) / sigma
    close(added.abs().square().mean(), 1.0, atol=6 / added.numel() ** 0.5)
    noisy = torch.tensor(found["noisy"], dtype=F64)
    near(found["score"], torch.tensor(si_sdr(wave, noisy), dtype=F64))


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
    found = moved(page, 0, exponent)
    assert found["above"] == pytest.approx(float((m > 10**-0.5).float().mean()), abs=0.005)
    assert found["fourth"] == pytest.approx(float((m**4).mean()), rel=0.01)
    sigma = c.abs().square().mean().sqrt() * 10**-0.5
    eps = torch.randn(c.shape, dtype=c.dtype, generator=torch.Generator().manual_seed(0))
    score = si_sdr(wave, t.inverse(c + sigma * eps, len(wave))[0])
    assert found["siSdr"] == pytest.approx(score, abs=0.7)  # another draw of the diffusion noise


def test_nothing_is_fetched_before_a_tap(untouched: Any) -> None:
    untouched.locator(".ed-spectrum").scroll_into_view_if_needed()
    untouched.wait_for_timeout(300)
    assert ADDRESS + "clip.wav" not in untouched.asked
    assert "Load the clip" in untouched.locator(".ed-readout").inner_text()
    assert untouched.locator(".ed-heard").inner_text() == "A hum."
    move(untouched, 0, 0.5)  # a control loads as the button does
    untouched.wait_for_selector(".ed-spectrum[data-ready]", timeout=20_000)
    assert untouched.asked.count(ADDRESS + "clip.wav") == 1
    assert untouched.get_by_role("button", name="Load the clip").count() == 0
    assert untouched.locator("output").first.inner_text() == "0.50"


def test_the_factor_changes_nothing_and_the_exponent_does(page: Any) -> None:
    before = readouts(page)
    after = moved(page, 2, 0.7)
    assert after == pytest.approx(before, rel=1e-6)
    assert abs(moved(page, 0, 0.3)["above"] - before["above"]) > 0.1


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
