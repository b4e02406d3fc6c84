"""The browser lab in a real browser: clip, file, microphone, end to end; what can go wrong."""

import gzip
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from axe_playwright_python.base import AXE_FILE_PATH
from browser import DESK, FLAGS, PHONE, candidates, served
from conftest import ROOT
from test_lab import LAB, planes, voice_like

import edmse_lite as se
from edmse_lite import grids
from edmse_lite.metrics import si_sdr
from edmse_lite.mixing import mix
from edmse_lite.spectrograms import level
from edmse_lite.streams import FrameNoise, awake

VENDOR = ROOT / "book" / "_static" / "vendor" / "onnxruntime"
TASK = "document.querySelector('[data-edmse-lab]').lab"

# What the page loads


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out the page as in the built site, from the sources, with the weights of today."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    from lab_assets import make_lab

    root = tmp_path_factory.mktemp("lab")
    static = root / "_static"
    (static / "lab").mkdir(parents=True)
    for file in LAB.iterdir():
        (static / "lab" / file.name).symlink_to(file)
    (ROOT / "_build").mkdir(exist_ok=True)
    make_lab(static / "lab" / "assets", ROOT / "_build" / ".lab")
    (static / "vendor").symlink_to(VENDOR.parent, target_is_directory=True)
    (static / "explorables").symlink_to(
        ROOT / "edmse_lite" / "explorables", target_is_directory=True
    )
    source = (ROOT / "book" / "lab.md").read_text(encoding="utf-8")
    body = re.search(r'<link rel="stylesheet".*?</script>', source, re.S)[0]
    (root / "book").mkdir()
    (root / "book" / "lab.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><title>Lab</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="../_static/explorables/explorables.css">'
        f"<body><main><h1>Lab</h1>{body}</main></body></html>",
        encoding="utf-8",
    )
    return root


def test_all_that_is_loaded_is_at_most_six_megabytes(site: Path) -> None:
    assets = site / "_static" / "lab" / "assets"
    manifest = json.loads((assets / "manifest.json").read_text())
    parts = [manifest["model"], *manifest["runtime"], *manifest["speech"], *manifest["noises"]]
    scripts = sum(len(gzip.compress(file.read_bytes())) for file in LAB.iterdir())
    assert sum(part["bytes"] for part in parts) + scripts <= 6_000_000
    for part in parts[3:] + parts[:1]:
        assert (assets / part["file"]).stat().st_size == part["bytes"]
    model = gzip.decompress((assets / manifest["model"]["file"]).read_bytes())
    assert 2_000_000 < len(model) < 2_600_000


def test_the_vendored_program_is_whole() -> None:
    packed = (VENDOR / "ort-wasm-simd-threaded.wasm.gz").read_bytes()
    digest = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    assert digest in (VENDOR.parent / "README.md").read_text()
    assert "MIT License" in (VENDOR / "LICENSE").read_text()


# In a real browser


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as found:
        yield found


def opened(context: Any, address: str) -> Any:
    """Open the lab; the page collects errors and requests to other hosts."""
    page = context.new_page()
    page.set_default_timeout(180_000)  # a busy machine
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(f"error: {error}"))
    page.on("console", lambda m: page.faults.append(m.text) if m.type == "error" else None)

    def outside(request: Any) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            page.faults.append(f"fetches {request.url}")

    page.on("request", outside)
    page.goto(f"{address}book/lab.html")
    page.wait_for_selector("[data-edmse-lab][data-ready]")
    return page


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    contexts = []

    def visit(viewport: dict = DESK, script: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(viewport=viewport, **options))
        if script:
            contexts[-1].add_init_script(script)
        return opened(contexts[-1], address)

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def loaded(browser: Any, address: str) -> Iterator[Any]:
    """Yield a page that has enhanced its clip in one step, for tests that go on from there."""
    context = browser.new_context(viewport=DESK)
    page = opened(context, address)
    more(page)
    put(page, "steps", 1)
    enhance(page)
    yield page
    context.close()


def more(page: Any) -> None:
    page.evaluate(f"() => {{ {TASK}.view.more.open = true; }}")


def put(page: Any, name: str, value: object) -> None:
    """Set a control as a reader does."""
    page.evaluate(
        f"""([name, value]) => {{ const control = {TASK}.view[name];
        if (control.type === "radio") control.checked = value; else control.value = value;
        control.dispatchEvent(new Event("input", {{bubbles: true}})); }}""",
        [name, value],
    )


def idle(page: Any) -> None:
    page.wait_for_function(f"() => {TASK}.busy === false")


def enhance(page: Any) -> dict:
    """Press the button, wait, and return what came out."""
    page.click(".lab-go")
    idle(page)
    assert page.inner_text(".lab-fault") == ""
    return page.evaluate(
        f"""() => {{ const r = {TASK}.result;
        return {{before: r.before, after: r.after, ms: r.times,
        noisy: [...r.noisy], wave: [...r.wave], steps: r.steps.length}}; }}"""
    )


def heard(page: Any, selector: str) -> bool:
    """Whether an audio element decodes to something that can be played."""
    return page.evaluate(
        """async (selector) => { const audio = document.querySelector(selector);
        const bytes = await (await fetch(audio.src)).arrayBuffer();
        const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes);
        const loud = sound.getChannelData(0).some((v) => Math.abs(v) > 0.05);
        return loud && sound.duration > 0.5; }""",
        selector,
    )


def serious(page: Any) -> list[str]:
    page.evaluate(Path(AXE_FILE_PATH).read_text())
    found = page.evaluate("axe.run('main', {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:150]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def narrow_small_or_faulty(page: Any) -> list[str]:
    """Return what a reader with a phone or a screen reader would stumble on."""
    found = page.evaluate(
        """() => [...document.querySelectorAll("button, summary, select, a, .ed-choice, input")]
        .filter((e) => e.checkVisibility() && e.type !== "radio")
        .filter((e) => e.getBoundingClientRect().height < 43.5)
        .map((e) => e.outerHTML.slice(0, 80))"""
    )
    width = page.evaluate("document.documentElement.scrollWidth")
    too_wide = [f"{width} px wide"] if width > page.viewport_size["width"] else []
    return found + too_wide + serious(page)


def test_one_tap_enhances_the_clip(visit) -> None:
    page = visit(DESK)
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    assert re.fullmatch(r"Load 5\.\d MB and enhance", page.inner_text(".lab-go"))
    assert page.locator("button:visible").all_inner_texts()[-1].startswith("Load")
    found = enhance(page)
    assert any(url.endswith(".wasm.gz") for url in fetched)
    assert len(found["ms"]) == 7 and found["steps"] == 4
    assert found["before"] == pytest.approx(5, abs=0.1)
    assert found["after"] > found["before"] + 3
    assert heard(page, ".ed-player audio:nth-of-type(2)")
    assert f"{found['before']:.1f} dB before" in page.inner_text(".lab-facts")
    page.evaluate(f"() => {{ {TASK}.view.trajectory.open = true; }}")
    assert "4 of 4" in page.evaluate(f"() => {TASK}.view.stepOut.value")
    put(page, "stepIndex", 2)
    assert "2 of 4" in page.evaluate(f"() => {TASK}.view.stepOut.value")
    assert heard(page, ".lab-more audio")
    more(page)
    assert not narrow_small_or_faulty(page)
    assert not page.faults


def test_on_a_phone_whose_connection_comes_late_and_goes_early(visit) -> None:
    page = visit(PHONE, color_scheme="dark", has_touch=True)
    page.context.set_offline(True)
    page.tap(".lab-go")
    idle(page)
    assert "could not be loaded" in page.inner_text(".lab-fault")
    assert page.get_by_role("button", name="Play prepared results").is_visible()
    page.context.set_offline(False)
    page.faults.clear()  # the browser reports each file that it could not fetch
    more(page)
    put(page, "steps", 1)
    assert enhance(page)["after"] > 8
    page.context.set_offline(True)
    put(page, "speech", 3)
    put(page, "noise", 4)
    assert enhance(page)["after"] > 6
    assert not narrow_small_or_faulty(page)
    assert not page.faults


class Noted(FrameNoise):
    """Diffusion noise that keeps what it gave, to hand it to the other side."""

    def __init__(self) -> None:
        super().__init__(0)
        self.given: list[torch.Tensor] = []

    def __call__(self, like: torch.Tensor) -> torch.Tensor:
        self.given.append(super().__call__(like))
        return self.given[-1]


@pytest.mark.parametrize(("spins", "limit"), [(1, math.inf), (2, 40.0)])
def test_the_whole_enhancement_is_the_library_s(loaded, monkeypatch, spins, limit) -> None:
    """Same sound, same diffusion noise: the same result as the Enhancer's."""
    clean = voice_like(1.0, torch.float32)
    wave = mix(clean, 0.05 * torch.randn(16_000), 5.0)
    sampler = se.EDM(2, grid=grids.rho(0.1, 1.5))
    enhancer = se.Enhancer.from_pretrained("compact", sampler, "cpu", spins, limit)
    settings = {"sampler": "edm", "steps": 2, "sigmaMin": 0.1, "sigmaMax": 1.5, "rho": 7}
    noise = Noted()
    scale = level(wave)
    monkeypatch.setattr("edmse_lite.enhancement.FrameNoise", lambda seed: noise)
    expected = enhancer._averaged(wave[None] / scale, 0, 0, lambda: None)[0]
    expected = expected * scale * awake(wave[None])[0]
    settings["spins"] = spins
    if limit < math.inf:
        settings["limit"] = limit
    found = loaded.evaluate(
        """async ([wave, settings, noise]) => {
        const { loaded, manifest } = document.querySelector("[data-edmse-lab]").lab;
        const { enhance } = await import("../_static/lab/enhance.mjs");
        const { createSession, networkOf } = await import("../_static/lab/worker.mjs");
        const session = await createSession(loaded.wasm, new Uint8Array(loaded.model));
        let used = 0; const draw = () => () => Float64Array.from(noise[used++]);
        const options = { score: manifest.score, settings, draw };
        return [...await enhance(Float32Array.from(wave), networkOf(session), options)]; }""",
        [wave.tolist(), settings, [planes(z) for z in noise.given]],
    )  # fmt: skip
    error = (torch.tensor(found) - expected).abs().max() / expected.abs().max()
    assert float(error) < 1e-3


def test_seed_volume_and_sampler_do_what_they_say(loaded) -> None:
    more(loaded)
    first = loaded.evaluate(f"() => [...{TASK}.result.wave]")
    put(loaded, "volume", -20)
    quiet = enhance(loaded)
    np.testing.assert_allclose(10 * np.array(quiet["wave"]), first, atol=1e-4)
    put(loaded, "volume", 0)
    put(loaded, "seed", 1)
    put(loaded, "sampler", "pc")
    found = enhance(loaded)
    assert len(found["ms"]) == 2 and found["after"] > found["before"]
    assert np.abs(np.subtract(first, found["wave"])).max() > 1e-3
    assert loaded.locator("label", has_text="r_corr").is_visible()
    assert not loaded.locator("label", has_text="S_churn").is_visible()
    put(loaded, "sampler", "edm")
    put(loaded, "seed", 0)
    put(loaded, "spins", 2)
    averaged = enhance(loaded)
    assert len(averaged["ms"]) == 2 and averaged["after"] > averaged["before"]
    put(loaded, "spins", 1)
    assert not loaded.faults


def test_loading_can_be_cancelled(visit) -> None:
    page = visit()
    page.route("**/*.wasm.gz", lambda route: None)  # it never comes
    page.click(".lab-go")
    page.get_by_role("button", name="Cancel").click()
    idle(page)
    assert "Cancelled" in page.inner_text(".lab-status")
    assert page.inner_text(".lab-fault") == ""


def mixture(snr: float = 5.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return three seconds of the corpus, clean and with environmental noise."""
    clips = [clip for clip in se.Corpus.bundled() if clip.split == "test"]
    clean = next(c for c in clips if c.path.stem == "conf-getconfno" and c.language == "en")
    rain = next(c for c in clips if c.path.stem == "megaglest-rain-2")
    clean = clean.audio()
    return clean, mix(clean, rain.audio()[: len(clean)], snr)


def test_the_reader_s_own_file(loaded, tmp_path: Path) -> None:
    clean, noisy = mixture()
    stereo = np.repeat(noisy.numpy()[:, None], 2, axis=1)
    soundfile.write(tmp_path / "mine.flac", 0.3 * stereo / np.abs(stereo).max(), 16_000)
    more(loaded)
    put(loaded, "useFile", True)
    put(loaded, "steps", 1)
    loaded.set_input_files(".lab-file", tmp_path / "mine.flac")
    idle(loaded)
    assert "mine.flac" in loaded.inner_text(".lab > p:first-child")
    found = enhance(loaded)
    before, after = (si_sdr(clean, torch.tensor(found[key])) for key in ("noisy", "wave"))
    assert before == pytest.approx(5, abs=0.1) and after > before + 2
    assert "not known" in loaded.inner_text(".lab-facts")
    put(loaded, "useClip", True)
    assert not loaded.faults


def test_a_broken_a_huge_a_silent_and_a_long_file(loaded, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, 0.1 * np.random.default_rng(0).standard_normal(17 * 16_000), 16_000)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(16_000), 16_000)
    short = tmp_path / "short.wav"
    soundfile.write(short, 0.1 * np.ones(1_000), 16_000)
    (tmp_path / "broken.mp3").write_bytes(b"no sound at all" * 100)
    (tmp_path / "huge.wav").write_bytes(bytes(21_000_000))
    more(loaded)
    put(loaded, "useFile", True)
    cases = {
        "broken.mp3": "cannot be read as sound", "huge.wav": "at most 20 MB",
        "silent.wav": "is silent", "short.wav": "only 0.1 s long",
    }  # fmt: skip
    for name, message in cases.items():
        loaded.set_input_files(".lab-file", tmp_path / name)
        idle(loaded)
        assert message in loaded.inner_text(".lab-fault"), name
        loaded.click(".lab-go")
        idle(loaded)
        assert "No file is open" in loaded.inner_text(".lab-fault")
    loaded.set_input_files(".lab-file", long)
    idle(loaded)
    assert "the first 15.0 s are used" in loaded.inner_text(".lab-set >> nth=0")
    put(loaded, "useClip", True)
    assert enhance(loaded)["after"] > 5
    assert not loaded.faults


def test_a_cancelled_run_a_lost_worker_and_the_way_on(loaded) -> None:
    put(loaded, "steps", 16)
    loaded.click(".lab-go")
    loaded.wait_for_function(f"() => {TASK}.view.progress.value > 0")
    loaded.get_by_role("button", name="Cancel").click()
    idle(loaded)
    assert "Cancelled" in loaded.inner_text(".lab-status")
    loaded.click(".lab-go")
    loaded.wait_for_function(f"() => {TASK}.view.progress.value > 0")
    loaded.evaluate(f"() => {{ {TASK}.engine.patience = 300; {TASK}.engine.worker.terminate(); }}")
    loaded.evaluate(
        f"() => {{ clearTimeout({TASK}.engine.job.timer); {TASK}.engine.job.timer ="
        f" setTimeout(() => {TASK}.engine.worker.onerror(new ErrorEvent('error')), 300); }}"
    )
    idle(loaded)
    assert "has stopped" in loaded.inner_text(".lab-fault")
    loaded.evaluate(f"() => {{ {TASK}.engine.patience = 60_000; }}")
    put(loaded, "steps", 1)
    assert enhance(loaded)["after"] > 5
    assert not loaded.faults


def test_without_webassembly_prepared_results_play(visit) -> None:
    page = visit(PHONE, script="delete globalThis.WebAssembly")
    assert "has no WebAssembly (runs the network)" in page.inner_text(".lab-fault")
    assert page.locator(".ed-player:visible").count() == 3
    assert not page.locator(".lab-go").is_visible()
    assert heard(page, ".ed-player audio")
    assert not serious(page)
    assert not page.faults


def test_a_refused_microphone(visit) -> None:
    refuse = """navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException("no", "NotAllowedError"); };"""
    page = visit(script=refuse)
    more(page)
    put(page, "useMicrophone", True)
    page.get_by_role("button", name="Record").click()
    idle(page)
    assert "The microphone was refused. Allow it" in page.inner_text(".lab-fault")
    assert "open a file instead" in page.inner_text(".lab-fault")
    assert not page.faults


def test_a_browser_without_microphone_says_so(visit) -> None:
    page = visit(script="Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    more(page)
    put(page, "useMicrophone", True)
    assert page.get_by_role("button", name="Record").is_disabled()
    assert "This browser gives pages no microphone." in page.inner_text(".lab-set >> nth=0")


FINER = 4  # times 16 kHz, where the recording is lined up


def aligned(clean: np.ndarray, noisy: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """Shift the repeating clean sound to where each 0.4 s of the recorded noisy sound is from.

    A busy machine drops blocks of a fake microphone, so each piece is lined up on its own.
    """
    size, looped = 6_400 * FINER, np.concatenate([noisy, noisy, noisy])
    out = np.zeros_like(recorded)
    for start in range(0, len(recorded), size):
        piece = recorded[start : start + size]
        likeness = scipy.signal.correlate(looped, piece, "valid")[: len(noisy)]
        at = int(likeness.argmax())
        out[start : start + size] = np.concatenate([clean, clean, clean])[at : at + len(piece)]
    return out


def test_the_microphone(browser: Any, address: str, tmp_path: Path) -> None:
    clean, noisy = mixture()
    soundfile.write(tmp_path / "room.wav", 0.5 * noisy / noisy.abs().max(), 16_000, "PCM_16")
    fake = [
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={tmp_path / 'room.wav'}",
    ]  # fmt: skip
    started = next(
        browser.browser_type.launch(executable_path=path, args=[*FLAGS, *fake])
        for path in candidates()
    )
    page = opened(started.new_context(permissions=["microphone"]), address)
    more(page)
    put(page, "useMicrophone", True)
    put(page, "steps", 1)
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Stop (4 s)").click()
    page.wait_for_function(f"() => {TASK}.recording")
    idle(page)
    found = enhance(page)
    assert len(found["noisy"]) > 3 * 16_000
    waves = (clean.numpy(), noisy.numpy(), found["noisy"], found["wave"])
    fine = [scipy.signal.resample(wave, FINER * len(wave)) for wave in waves]
    reference = aligned(*fine[:3])
    before, after = si_sdr(reference, fine[2]), si_sdr(reference, fine[3])
    assert after > before + 2, (before, after)
    assert not page.faults
    started.close()
