"""Checks of what readers write in chapter 3: they grade properties and show no answer.

Chapter: 3 Judging an enhancement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .report import Report, guarded


@guarded
def check_si_sdr(my_si_sdr: Callable[[Tensor, Tensor], float], seed: int = 0) -> Report:
    """Check the scale-invariant signal-to-distortion ratio on signals with a known angle.

    Args:
        my_si_sdr: called as ``my_si_sdr(clean, estimate)`` with float64 signals of shape (T,);
            returns dB.
        seed: another seed gives other hidden signals, gains and ratios.

    Chapter: 3 Judging an enhancement.
    """
    generator = torch.Generator().manual_seed(seed)
    x, n = torch.randn(2, 4000, dtype=torch.float64, generator=generator)
    n = n - (n @ x) / (x @ x) * x  # at a right angle to x, so that the ratio is exact
    n = n * (x.norm() / n.norm())
    high, low = (torch.tensor([6.0, -12.0]) + 6 * torch.rand(2, generator=generator)).tolist()
    gain = 0.2 + 0.3 * float(torch.rand(1, generator=generator))

    def ask(db: float, scale: float = 1.0, clean_scale: float = 1.0) -> float:
        return float(my_si_sdr(clean_scale * x, scale * (x + 10 ** (-db / 20) * n)))

    plain, centred = ask(high), _zero_mean(x, x + 10 ** (-high / 20) * n)
    findings = [
        ("a known ratio", _ratio(plain, high, centred)),
        ("level of the estimate", _same(ask(high, gain), plain, "the estimate")),
        ("level of the clean signal", _same(ask(high, 1.0, 1 / gain), plain, "the clean signal")),
        ("sign of the estimate", _same(ask(high, -1.0), plain, "the sign of the estimate")),
        ("a ratio below 0 dB", _negative(ask(low), low, plain, high)),
    ]
    return Report("si_sdr", seed, tuple(findings))


def _close(found: float, expected: float) -> bool:
    return math.isfinite(found) and abs(found - expected) < 1e-4


def _zero_mean(x: Tensor, estimate: Tensor) -> float:
    """Return the variant that takes the mean of each signal away first."""
    x, estimate = x - x.mean(), estimate - estimate.mean()
    target = (estimate @ x) / (x @ x) * x
    return 10 * math.log10(float(target.square().sum() / (estimate - target).square().sum()))


def _ratio(found: float, db: float, centred: float) -> str:
    if _close(found, db):
        return ""
    if abs(found) < 0.01:
        return "αx and x̂ − αx are equally long: is α divided by ‖x‖²?"
    for value, hint in (
        (centred, "a mean was subtracted first; here none is"),
        (-db, "the sign is wrong: speech is above the line, distortion below"),
        (2 * db, "twice the dB: energies take 10 log₁₀, amplitudes 20"),
        (db / 2, "half of the dB: the ratio is one of energies, not of amplitudes"),
        (db * math.log(10), "this is the natural logarithm"),
        (10 ** (db / 10), "this is the ratio itself: give dB"),
        (10 * math.log10(1 + 10 ** (db / 10)), "this is 1/(1 − ρ²): above the line stands a whole "
         "signal, and only the projection αx belongs there"),
    ):  # fmt: skip
        if _close(found, value):
            return hint
    return f"{found:.4f} dB, expected {db:.4f}"


def _same(found: float, plain: float, what: str) -> str:
    if _close(found, plain):
        return ""
    change = found - plain
    return f"it changes by {change:+.2f} dB with {what}: choose α so that αx is a projection"


def _negative(found: float, db: float, plain: float, high: float) -> str:
    if _close(found, db) or not _close(plain, high):
        return "" if _close(found, db) else f"{found:.2f} dB, expected {db:.2f}"
    if found >= 0:
        return "it never goes below 0 dB: the distortion may be the larger part"
    return f"{found:.2f} dB, expected {db:.2f}: which of the two is projected on the other?"


Clips = tuple[np.ndarray, np.ndarray]


def _clips(rng: np.random.Generator, recordings: int, each: int, spread: float) -> Clips:
    """Clips that share the luck of their recording; the true mean is 0."""
    which = np.repeat(np.arange(recordings), each)
    luck = rng.standard_normal(recordings)[which]
    return luck + spread * rng.standard_normal(which.size), which


@guarded
def check_interval(
    my_interval: Callable[[np.ndarray, np.ndarray], Sequence[float]], seed: int = 0
) -> Report:
    """Check a 95 % interval of a mean over clips that share noise recordings.

    Args:
        my_interval: called as ``my_interval(values, clusters)`` with floats and the number of each
            clip's recording, both of shape (n,); returns the two ends.
        seed: another seed gives other hidden studies.

    Chapter: 3 Judging an enhancement.
    """
    rng = np.random.default_rng(seed)
    values, which = _clips(rng, 14, 5, 0.5)
    low, high = (float(end) for end in my_interval(values, which))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        fault = f"found {low:.3g} and {high:.3g}: two finite ends, the lower first"
        return Report("interval", seed, (("two ends", fault),))
    many = my_interval(np.tile(values, 9), np.tile(which, 9))
    moved = my_interval(10 + 2 * values, which)
    means = values.reshape(14, 5).mean(axis=1)
    exact = 2 * 2.16 * means.std(ddof=1) / math.sqrt(14)  # Student's t with 13 degrees of freedom
    studies = [my_interval(*_clips(rng, 14, 5, 0.5)) for _ in range(100)]
    share = sum(_holds(study, 0.0) for study in studies) / 100
    usual = 2 * 1.96 * math.sqrt((1 + 0.25 / 5) / 14)  # the normal interval, variances known
    widths = sum(float(end) - float(begin) for begin, end in studies) / 100 / usual
    findings = [
        ("two ends", ""),
        ("holds the mean of the clips", "" if low < values.mean() < high else "it does not"),
        ("moves and stretches with the values", _moves(moved, low, high)),
        ("copies of the clips add nothing", _copies(many, high - low)),
        (
            "width",
            _width((high - low) / exact, np.ptp(np.quantile(values, (0.025, 0.975))) / exact),
        ),
        ("holds the truth in about 95 % of studies", _rate(share, widths)),
    ]
    return Report("interval", seed, tuple(findings))


def _holds(interval: Sequence[float], truth: float) -> bool:
    return float(interval[0]) <= truth <= float(interval[1])


def _moves(moved: Sequence[float], low: float, high: float) -> str:
    expected, slack = (10 + 2 * low, 10 + 2 * high), 0.3 * (high - low)
    near = all(abs(float(m) - e) < slack for m, e in zip(moved, expected, strict=True))
    return "" if near else "values 10 + 2v must give ends 10 + 2 times the ends"


def _copies(many: Sequence[float], width: float) -> str:
    ratio = (float(many[1]) - float(many[0])) / width
    if ratio > 0.75:
        return ""
    return (
        f"each clip nine times: the interval shrinks to {ratio:.2f} of its width, though nothing "
        "new was heard; draw whole recordings, with all their clips"
    )


def _width(ratio: float, spread: float) -> str:
    if 0.7 < ratio < 1.3:
        return ""
    if abs(ratio / spread - 1) < 0.25:
        return "this is where clips lie, not where their mean lies: draw samples, take their means"
    if ratio > 1.3:
        return f"{ratio:.2f} times as wide as it should be"
    return f"{ratio:.2f} times as wide as it should be: what is drawn at random is not what varies"


def _rate(share: float, width: float) -> str:
    if share > 0.999 or width > 1.15:
        return "it is too wide: an interval of more than 95 %"
    if 0.8 <= share and width >= 0.86:
        return ""
    if 0.8 <= share:
        return "it is too narrow: an interval of less than 95 %"
    return f"it holds the truth in {100 * share:.0f} % of 100 simulated studies"
