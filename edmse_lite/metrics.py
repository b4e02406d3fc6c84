"""How good is an enhancement? Each number, what it means, and what it cannot hear.

Every function takes ``(clean, estimate)`` in this order: 1-D float audio at 16 kHz, torch or numpy.
A score that does not exist (silence, too short, NaN, other lengths) raises ``ValueError`` with the
mend; `evaluate` turns it into NaN and keeps the reason, so that a long evaluation never stops.

Chapter: 3 Judging an enhancement
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import words
from .perceptual import DNSMOS, dnsmos, estoi, pesq
from .signals import Audio, checked_pair, checked_wave, looks_swapped, refuse_silence

__all__ = [
    "DNSMOS",
    "METRICS",
    "Metric",
    "Scores",
    "dnsmos",
    "estoi",
    "evaluate",
    "looks_swapped",
    "pesq",
    "si_sdr",
    "snr",
    "wer",
]


@dataclass(frozen=True)
class Metric:
    """What one score means; ``str()`` of it is the row of a Markdown table.

    Args:
        name: key of the score in `evaluate`.
        title: name for people.
        low, high: range of the score, in `unit`.
        unit: unit of the score.
        higher_is_better: direction.
        blind_to: what the score cannot hear.
        source: where it is defined.

    Chapter: 3 Judging an enhancement
    """

    name: str
    title: str
    low: float
    high: float
    unit: str
    higher_is_better: bool
    blind_to: str
    source: str

    @property
    def direction(self) -> str:
        """Direction of the score in words. Chapter: 3 Judging an enhancement."""
        return "higher is better" if self.higher_is_better else "lower is better"

    def __str__(self) -> str:
        span = f"{self.low:g} … {self.high:g} {self.unit}".replace("inf", "∞").replace("-", "−")
        return f"| {self.title} | {span} | {self.direction} | {self.blind_to} | {self.source} |"


_INF = math.inf
_MOS = "mean opinion score"
_P835 = "Reddy, Gopal, Cutler 2022, DNSMOS P.835, doi 10.1109/ICASSP43922.2022.9746108"
METRICS = (
    Metric("pesq", "PESQ (wide-band)", 1.0, 4.64, _MOS, True,
           "polarity, overall level, a constant delay; does not know which word was said; "
           "not made for processing that invents speech", "ITU-T P.862.2 (2007)"),
    Metric("estoi", "ESTOI", -1.0, 1.0, "correlation", True,
           "polarity, level and a fixed equaliser; what fills pauses (silent frames are cut); "
           "above 4.3 kHz", "Jensen, Taal 2016, doi 10.1109/TASLP.2016.2585878"),
    Metric("snr", "SNR", -_INF, _INF, "dB", True,
           "perception: counts a wrong level, a delay of one sample or a phase shift as distortion",
           "energy of the clean signal over energy of the error"),
    Metric("si_sdr", "SI-SDR", -_INF, _INF, "dB", True,
           "level, polarity and the order of its arguments; perception: loud low frequencies "
           "decide, a delay of one sample costs most of the score",
           "Le Roux et al. 2019, doi 10.1109/ICASSP.2019.8683855"),
    Metric("dnsmos_ovrl", "DNSMOS overall", 1.0, 5.0, _MOS, True,
           "the clean signal: fluent invented speech scores well; depends on the level; a clip "
           "under 9 s is repeated until it has 9", _P835),
    Metric("dnsmos_sig", "DNSMOS speech", 1.0, 5.0, _MOS, True,
           "the clean signal, as above; asks for the quality of the voice alone", _P835),
    Metric("dnsmos_bak", "DNSMOS background", 1.0, 5.0, _MOS, True,
           "the clean signal, as above; a muted output has a quiet background", _P835),
    Metric("wer", "Word error rate", 0.0, _INF, "errors per word", False,
           "sound quality; a recogniser guesses words from context; English only here",
           "Levenshtein distance on words; recogniser Whisper tiny.en"),
)  # fmt: skip
_DNSMOS = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")


def snr(clean: Audio, estimate: Audio) -> float:
    """Signal-to-noise ratio, 10 log₁₀(‖x‖² / ‖x − x̂‖²), in dB.

    It is not scale invariant: a silent estimate has 0 dB, half the level 6 dB. Equal signals: +inf.
    It is not symmetric either, which shows swapped arguments: for noisy = clean + noise,
    ``snr(clean, noisy)`` is the mixture SNR, swapped it is higher by 10 log₁₀(1 + 10^(−SNR/10)) dB
    for noise that is uncorrelated with the speech: 3.0 dB at 0 dB.

    Args:
        clean: reference x, shape (samples,).
        estimate: estimate x̂, shape (samples,).

    Raises:
        ValueError: silent clean signal, other lengths, NaN.

    Chapter: 3 Judging an enhancement
    """
    x, y = checked_pair(clean, estimate)
    peak = max(np.abs(x).max(), np.abs(y).max())
    x, y = x / peak, y / peak  # no overflow, no underflow
    return _ratio_db(np.sum(x**2), np.sum((x - y) ** 2))


def si_sdr(clean: Audio, estimate: Audio) -> float:
    """Scale-invariant signal-to-distortion ratio, in dB.

    10 log₁₀(‖αx‖² / ‖αx − x̂‖²) with α = ⟨x̂, x⟩ / ‖x‖² (Le Roux et al. 2019, eq. 5); no mean is
    removed. With the cosine ρ of the angle between the signals it is 10 log₁₀(ρ² / (1 − ρ²)).
    Three traps follow: it is **symmetric**, so swapped arguments do not show; it does not see a
    flipped sign; and an estimate at a right angle to the clean signal has −inf.

    Args:
        clean: reference x, shape (samples,).
        estimate: estimate x̂, shape (samples,).

    Raises:
        ValueError: silent clean signal or estimate, other lengths, NaN.

    Chapter: 3 Judging an enhancement
    """
    x, y = checked_pair(clean, estimate)
    refuse_silence(y, "SI-SDR")
    x, y = x / np.abs(x).max(), y / np.abs(y).max()  # no overflow, no underflow
    target = np.dot(y, x) / np.dot(x, x) * x
    return _ratio_db(np.sum(target**2), np.sum((target - y) ** 2))


def _ratio_db(signal: float, error: float) -> float:
    if error == 0:
        return math.inf
    return 10 * math.log10(signal / error) if signal > 0 else -math.inf


def wer(text: str, estimate: Audio, language: str = "en") -> float:
    """Word error rate of an offline recogniser on `estimate`, errors per word of `text`.

    Needs ``pip install "edmse-lite[wer]"``. See `words` for the normalisation and the recogniser.
    Over many clips, divide sums: add up `words.compare`, its long clips count more than here.

    Args:
        text: what was said, in exactly this audio: words that were cut off count as deleted.
        estimate: audio, shape (samples,).
        language: only "en".

    Raises:
        ValueError: no word in `text`, another language, NaN.
        ModuleNotFoundError: the extra is not installed.

    Chapter: 3 Judging an enhancement
    """
    wave = checked_wave(estimate, "estimate").astype(np.float32)
    return words.compare(text, words.recognise(wave, language), language).rate


_COMPARISONS: dict[str, Callable[[Audio, Audio], float]] = {
    "pesq": pesq,
    "estoi": estoi,
    "snr": snr,
    "si_sdr": si_sdr,
}


class Scores(dict[str, float]):
    """Scores by name; `reasons` says why a score is NaN, `warning` what looks wrong.

    Both are empty if all is well.

    Chapter: 3 Judging an enhancement
    """

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[str, str] = {}
        self.warning = ""


def evaluate(
    clean: Audio,
    estimate: Audio,
    names: Sequence[str] = ("pesq", "estoi", "snr", "si_sdr"),
    *,
    text: str = "",
    language: str = "en",
    max_windows: int | None = None,
) -> Scores:
    """Score one estimate; a score that is not defined is NaN and has a reason.

    Silence, NaN samples, other lengths and clips that are too short never raise here. Arguments
    that look swapped are scored as given and cause a ``UserWarning``, kept in ``.warning``.

    Args:
        clean: reference, shape (samples,).
        estimate: estimate, shape (samples,).
        names: names of `METRICS`; "dnsmos" stands for its three scores.
        text: what was said, for "wer".
        language: language of `text`.
        max_windows: see `dnsmos`.

    Raises:
        ValueError: an unknown name.
        ModuleNotFoundError: a package that a named metric needs is missing.

    Chapter: 3 Judging an enhancement
    """
    known = [metric.name for metric in METRICS]
    wanted = [key for name in names for key in (_DNSMOS if name == "dnsmos" else (name,))]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no metric {unknown[0]!r}, expected some of {', '.join(known)}, dnsmos")
    scores = Scores()
    for name in wanted:
        if name in scores:
            continue
        try:
            if name in _DNSMOS:
                found = dnsmos(estimate, max_windows=max_windows)
                scores.update((k, v) for k, v in zip(_DNSMOS, found, strict=True) if k in wanted)
            elif name == "wer":
                scores[name] = wer(text, estimate, language)
            else:
                scores[name] = _COMPARISONS[name](clean, estimate)
        except ValueError as error:
            scores[name] = math.nan
            scores.reasons[name] = str(error)
    scores.warning = _order_warning(clean, estimate)
    if scores.warning:
        warnings.warn(scores.warning, stacklevel=2)
    return scores


def _order_warning(clean: Audio, estimate: Audio) -> str:
    try:
        swapped = looks_swapped(clean, estimate)
    except ValueError:  # the reasons have said so
        return ""
    if not swapped:
        return ""
    return (
        "the pauses of clean are louder than those of estimate: are the arguments swapped? "
        "The order is (clean, estimate)"
    )
