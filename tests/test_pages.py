"""Page helpers: equal loudness, sound that fits a page, cards that say what was measured."""

import base64
import html
import io
import json
import math
import re

import pytest
import soundfile
import torch
from close import close
from hypothesis import given, settings
from hypothesis import strategies as st

from edmse_lite import pages
from edmse_lite.intervals import Interval
from edmse_lite.spectrograms import SAMPLE_RATE, Spectrogram


def tone(amplitude: float, seconds: float = 2.0, hertz: float = 440) -> torch.Tensor:
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return amplitude * torch.sin(2 * torch.pi * hertz * time)


def decoded(address: str) -> torch.Tensor:
    kind, data = re.fullmatch(r"data:(audio/\w+);base64,(.*)", address).groups()
    assert kind in ("audio/mpeg", "audio/wav")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32")
    assert rate == SAMPLE_RATE
    return torch.from_numpy(samples)


def test_a_pause_does_not_change_the_active_level() -> None:
    wave = tone(0.2)
    expected = 20 * math.log10(0.2 / math.sqrt(2))
    assert pages.active_level(wave) == pytest.approx(expected, abs=0.05)
    paused = torch.cat([wave, torch.zeros(3 * SAMPLE_RATE), wave])
    assert pages.active_level(paused) == pytest.approx(expected, abs=0.5)
    assert 10 * torch.log10(paused.square().mean()) < expected - 2  # the plain level would fall


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1e-4, 30), min_size=1, max_size=4), st.floats(0, 200))
def test_clips_come_out_equally_loud_and_unclipped(gains: list[float], crest: float) -> None:
    generator = torch.Generator().manual_seed(0)
    waves = [gain * torch.randn(SAMPLE_RATE, generator=generator) for gain in gains]
    waves[0][500] = crest * gains[0]  # one click may not clip
    matched = pages.match_loudness(waves)
    levels = [pages.active_level(wave) for wave in matched]
    assert max(levels) - min(levels) < 0.01
    assert max(levels) < pages.TARGET_LEVEL + 0.01
    assert max(float(wave.abs().max()) for wave in matched) <= pages.PEAK + 1e-6


def test_silence_stays_silent_beside_a_voice() -> None:
    silent, loud = pages.match_loudness([torch.zeros(SAMPLE_RATE), tone(0.5)])
    assert not silent.any()
    assert pages.active_level(loud) == pytest.approx(pages.TARGET_LEVEL, abs=0.05)


def test_wav_is_exact_and_mp3_is_small_and_aligned() -> None:
    wave = tone(0.3, seconds=4.0) * torch.linspace(0, 1, 4 * SAMPLE_RATE)
    close(decoded(pages.data_uri(wave, "WAV")), wave, atol=1e-4, rtol=0)
    small = pages.data_uri(wave)
    assert len(small) < 40_000
    back = decoded(small)
    assert len(back) == len(wave)
    error = (back - wave).square().sum() / wave.square().sum()
    assert error < 0.01  # no delay: a shift of a quarter period alone would give 2


@pytest.mark.parametrize(
    "wave", [torch.full((9,), 1.5), torch.tensor([math.nan]), torch.zeros(2, 9)]
)
def test_sound_that_would_clip_is_refused(wave: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="match_loudness first"):
        pages.data_uri(wave)


def test_a_player_gives_every_clip_a_sentence_and_a_transcript() -> None:
    sounds = [pages.Sound("Quiet", tone(0.01), "A <soft> tone."),
              pages.Sound("Loud", tone(0.9), "A tone.")]  # fmt: skip
    shown = pages.player("Tones", sounds, "No “words”.", note="Headphones help.")
    clips = json.loads(html.unescape(re.search(r'data-edmse-options="([^"]*)"', shown.html)[1]))
    assert [clip["label"] for clip in clips["clips"]] == ["Quiet", "Loud"]
    assert all(clip["heard"] and clip["transcript"] == "No “words”." for clip in clips["clips"])
    levels = [pages.active_level(decoded(clip["src"])) for clip in clips["clips"]]
    assert levels[0] == pytest.approx(levels[1], abs=0.1)
    assert shown.plain.count("<audio controls preload=\"none\"") == 2
    assert "<soft>" not in shown.plain and "Transcript" in shown.plain


def test_a_prediction_has_one_right_choice_and_feedback_for_each() -> None:
    shown = pages.predict("key", "Which?", [("this", "No."), ("that", "Yes.")], right=1)
    assert [choice["correct"] for choice in shown.options["choices"]] == [False, True]
    assert "<summary>Answer</summary><p>that: Yes.</p>" in shown.plain
    with pytest.raises(ValueError, match="right=2 is no index of 2 choices"):
        pages.predict("key", "Which?", [("this", "No."), ("that", "Yes.")], right=2)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "better"), (-0.3, -0.1, "worse"), (-0.02, 0.03, "equivalent"),
     (-0.02, 0.3, "inconclusive at this scale")],
)  # fmt: skip
def test_a_claim_says_what_its_interval_says(low: float, high: float, verdict: str) -> None:
    effect = Interval((low + high) / 2, low, high, 8, 5)
    card = pages.Claim("It helps", "PESQ", 0.05, effect, 3, "run", 2)
    assert card.verdict == verdict
    text = card._repr_markdown_()
    assert f"**{verdict}**" in text and "8 clips × 3 seeds, 5 noise recordings" in text
    assert len(text.splitlines()) == 5 and all(line[:2] == "- " for line in text.splitlines())


def test_an_interval_keeps_its_ends_together_in_a_table() -> None:
    shown = pages.table(["name", "value"], [["a, b", Interval(1, 0.5, 1.5, 4, 4)]]).markdown
    assert shown.splitlines()[1] == "| :-- | --: |"
    assert "a, b" in shown and "1.00 [0.50,\u00a01.50]" in shown


def test_solutions_of_the_exercises_hold() -> None:
    # chapter 2, exercise 1: at a quarter of the window the squared windows add up to 2
    window = torch.sin(torch.pi * torch.arange(512) / 512).square()
    close(window.reshape(4, 128).sum(0), 2.0, rtol=1e-6)
    # exercise 4: where speech is loud, r is twenty times smaller than the noise alone
    t = Spectrogram()
    speech, noise = torch.tensor([100 + 0j, 0j]), torch.tensor([1 + 0j, 1 + 0j])
    r = t.compress(speech) - t.compress(speech + noise)
    close(r.real, torch.tensor([-0.0075, -0.15]), atol=5e-5, rtol=0)
    close(-t.compress(noise).real, -0.15, rtol=1e-6)
    # exercise 5, and exercise 3 of chapter 1
    assert t.frames(2 * SAMPLE_RATE) == 126
    assert max(n for n in range(1, 20) if 2 * n - 1 <= 20) == 10
