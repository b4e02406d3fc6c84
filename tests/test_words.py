"""Word errors: counting, normalisation, and the real recogniser."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edmse_lite import metrics, words
from edmse_lite.corpora import Corpus
from edmse_lite.evaluation_sets import evaluation_set, whole_prompts
from edmse_lite.words import WordErrors, compare, normalise, spell

WORDS = st.lists(st.sampled_from("a b c d".split()), max_size=6)


def test_counts_of_a_known_alignment():
    errors = compare("the cat sat on the mat", "the hat sat on mat today now")
    assert errors == WordErrors(substitutions=1, deletions=1, insertions=2, words=6)
    assert errors.rate == 4 / 6


def test_ends_of_the_scale():
    assert compare("one two", "one two").rate == 0
    assert compare("one two", "").rate == 1
    assert compare("one", "two three four").rate == 3
    with pytest.raises(ValueError, match="no word in the text '...'"):
        compare("...", "one")


def test_a_set_is_the_sum_of_its_counts():
    total = compare("one two three", "one two") + compare("four", "five")
    assert total == WordErrors(1, 1, 0, 4) and total.rate == 0.5


@given(said=WORDS.filter(bool), heard=WORDS)
@settings(max_examples=60, deadline=None)
def test_distance_is_the_smallest_by_plain_recursion(said, heard):
    @cache
    def distance(i, j):
        if i == 0 or j == 0:
            return i + j
        wrong = said[i - 1] != heard[j - 1]
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + wrong)

    errors = compare(" ".join(said), " ".join(heard), "xx")
    count = errors.substitutions + errors.deletions + errors.insertions
    assert count == distance(len(said), len(heard))
    assert errors.words - errors.deletions + errors.insertions == len(heard)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You're on 14, PIN #1.", "you are on fourteen pin pound one"),
        ("I can’t — won't; cannot!", "i can not will not can not"),
        ("twenty-one and 21", "twenty one and twenty one"),
        ("dial 8500 or 1,000,", "dial eight thousand five hundred or one thousand"),
        ("code 007", "code zero zero seven"),
        ("...to mute  (or unmute)", "to mute or unmute"),
        ("H.323 & 3D", "h three hundred twenty three and three d"),
    ],
)
def test_normalisation(text, expected):
    assert normalise(text) == expected.split()


def test_other_languages_keep_letters_and_digits():
    assert normalise("L'été, à 14 h.", "fr") == ["l'été", "à", "14", "h"]
    assert normalise("Введите номер!", "ru") == ["введите", "номер"]


@given(st.text(max_size=40))
def test_normalisation_is_stable(text):
    once = normalise(text)
    assert normalise(" ".join(once)) == once


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "zero"), (13, "thirteen"), (40, "forty"), (999, "nine hundred ninety nine"),
     (70_015, "seventy thousand fifteen"), (200_000, "two hundred thousand")],
)  # fmt: skip
def test_spelling(number, expected):
    assert spell(number) == expected


def test_spelling_has_an_end():
    with pytest.raises(ValueError, match="expected 0 … 999999"):
        spell(1_000_000)


def test_only_english_and_only_with_the_extra(monkeypatch):
    wave = np.full(16_000, 0.1, dtype=np.float32)
    with pytest.raises(ValueError, match="English only, found 'fr'"):
        metrics.wer("bonjour", wave, "fr")
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    words._recogniser.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r'pip install "edmse-lite\[wer\]"'):
        metrics.wer("hello", wave)


def test_recogniser_reads_clean_prompts_and_loses_words_in_noise():
    """The real one, offline; the lock has it, and where it is missing this fails."""
    prompts = Corpus.bundled().where(kind="speech", split="test", language="en")
    prompts = [clip for clip in prompts if 2 < clip.seconds < 4 and clip.text[0] != "."][:3]
    clean = noisy = WordErrors(0, 0, 0, 0)
    rng = np.random.default_rng(0)
    for clip in prompts:
        wave = clip.audio().numpy()
        noise = 2 * wave.std() * rng.standard_normal(wave.size)
        clean += compare(clip.text, words.recognise(wave))
        noisy += compare(clip.text, words.recognise((wave + noise).astype(np.float32)))
    assert clean.words > 15
    assert clean.rate < 0.15
    assert noisy.rate > clean.rate + 0.25
    silence = np.zeros(32_000, dtype=np.float32)
    assert metrics.wer("hello there", silence) == 1
    scores = metrics.evaluate(silence + 0.1, silence, ("wer",), text=" ")
    assert "no word in the text" in scores.reasons["wer"]


def test_pairs_with_whole_prompts_are_counted_and_cut_ones_refused():
    cut, whole = (
        [pair for pair in made("matched", 15) if pair.language == "en"][:2]
        for made in (evaluation_set, whole_prompts)
    )
    with pytest.raises(ValueError, match="cut words would count .* evaluation_sets.whole_prompts"):
        words.errors_of(cut[0], cut[0].clean)
    honest = wrong = WordErrors(0, 0, 0, 0)
    for short, long in zip(cut, whole, strict=True):
        honest += words.errors_of(long, long.clean)
        wrong += compare(short.text, words.recognise(short.clean.numpy()))
    assert honest.rate < 0.15
    assert wrong.rate > honest.rate + 0.2  # the words after 4 s, which nobody could have heard


def test_only_english_pairs_have_a_rate():
    pair = next(p for p in whole_prompts("matched", 12) if p.language != "en")
    with pytest.raises(ValueError, match=f"English only, found '{pair.language}'"):
        words.errors_of(pair, pair.clean)
