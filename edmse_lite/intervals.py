"""How sure is a mean? Bootstrap intervals over noise recordings, and the verdict of a claim.

Clips that share a noise recording are not independent: what fools a system once fools it again.
So whole recordings are drawn with replacement, not clips.

Chapter: 3 Judging an enhancement
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["better", "worse", "equivalent", "inconclusive"]
_NEGATIVE = re.compile(r"(?<![\w.{^-])-(?=[\d∞])")  # no exponent, range or name


def minus(text: str) -> str:
    """Give the negative numbers of a text a minus sign in place of a hyphen.

    Chapter: 3 Judging an enhancement
    """
    return _NEGATIVE.sub("−", text)


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval; prints as ``1.43 [1.38, 1.49]``.

    Args:
        mean: mean over clips, in the unit of the values.
        low, high: ends of the interval; NaN if there is only one cluster.
        n: number of clips.
        clusters: number of noise recordings.

    Chapter: 3 Judging an enhancement
    """

    mean: float
    low: float
    high: float
    n: int
    clusters: int

    def __format__(self, spec: str) -> str:
        spec = spec or ".2f"
        mean, low, high = (
            format(_no_minus_zero(value, spec), spec).replace("nan", "–")
            for value in (self.mean, self.low, self.high)
        )
        return minus(f"{mean} [{low}, {high}]")

    def __str__(self) -> str:
        return format(self, "")

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0. Chapter: 3."""
        return self.low > 0 or self.high < 0

    def inside(self, margin: float) -> bool:
        """Whether the whole interval lies within ± `margin`. Chapter: 3."""
        return -margin < self.low and self.high < margin


def _no_minus_zero(value: float, spec: str) -> float:
    return 0.0 if not math.isnan(value) and float(format(value, spec)) == 0 else value


def mean_interval(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[object] | np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """Mean of `values` with a bootstrap interval clustered by `clusters`.

    Each resample draws C of the C clusters with replacement, whole, and takes the mean of all their
    values. The ends are percentiles of those means, at Φ(±√(C/(C−1)) · t) instead of ± z, with t
    the quantile of Student's t with C − 1 degrees of freedom: plain percentiles are too narrow for
    few clusters (Hesterberg 2015, doi 10.1080/00031305.2015.1089789, "expanded percentiles").

    Args:
        values: one score a clip, shape (n,). Several seeds: a row for each, same cluster.
        clusters: which noise recording each clip has, shape (n,), any hashable labels.
        level: coverage to aim at.
        resamples: number of resamples.
        seed: seed of the draws; the same seed gives the same interval.

    Raises:
        ValueError: no values, other lengths, or a value that is NaN or infinite.

    Chapter: 3 Judging an enhancement
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0 or len(clusters) != numbers.size:
        raise ValueError(
            f"values have shape {numbers.shape}, clusters {len(clusters)} labels: "
            "expected one label for each of at least one value"
        )
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise ValueError(
            f"{bad.size} of {numbers.size} values are NaN or infinite, the first at {bad[0]}: "
            "give a failed clip the worst score, or leave it out for every system; "
            "dropping it for one flatters that one"
        )
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level is {level}, resamples {resamples}: expected 0 < level < 1, ≥ 1")
    index: dict[object, int] = {}
    which = [index.setdefault(label, len(index)) for label in clusters]
    sums, counts = np.bincount(which, numbers), np.bincount(which)  # (C,)
    low, high = _ends(sums, counts, level, resamples, seed)
    return Interval(float(numbers.mean()), low, high, numbers.size, len(sums))


def _ends(
    sums: np.ndarray, counts: np.ndarray, level: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Ends of the interval of Σ sums / Σ counts over resampled clusters."""
    from scipy.special import ndtr, stdtrit

    size = len(sums)
    if size < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), resamples)
    means = draws @ sums / (draws @ counts)  # (resamples,)
    tail = ndtr(stdtrit(size - 1, (1 - level) / 2) * math.sqrt(size / (size - 1)))
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def paired_interval(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    clusters: Sequence[object] | np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """Mean of ``first − second`` on the same clips, with its interval: what is common cancels.

    Args:
        first: scores of one system, shape (n,).
        second: scores of another on the same clips in the same order, shape (n,).
        clusters: which noise recording each clip has, shape (n,).
        level, resamples, seed: see `mean_interval`.

    Raises:
        ValueError: other lengths, no values, NaN or infinity.

    Chapter: 3 Judging an enhancement
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape:
        raise ValueError(f"first has shape {one.shape}, second {two.shape}: score the same clips")
    for name, values in (("first", one), ("second", two)):
        if not np.isfinite(values).all():
            raise ValueError(
                f"{name} holds NaN or infinite scores: give failed clips the worst score, "
                "or leave them out for both"
            )
    return mean_interval(one - two, clusters, level=level, resamples=resamples, seed=seed)


def verdict(difference: Interval, margin: float, *, higher_is_better: bool = True) -> Verdict:
    """The verdict of a claim card; `margin` is stated before the run.

    better or worse: the interval excludes 0. equivalent: it lies inside ± margin. Otherwise
    inconclusive at this scale. A difference that excludes 0 and lies inside the margin is real and
    too small to matter: ``difference.inside(margin)`` tells.

    Args:
        difference: interval of "ours − theirs".
        margin: smallest difference that matters, > 0, in the unit of the score.
        higher_is_better: direction of the score.

    Raises:
        ValueError: a margin that is not above 0.

    Chapter: 3 Judging an enhancement
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}, expected a number above 0, stated before the run")
    if difference.excludes_zero:
        return "better" if (difference.low > 0) == higher_is_better else "worse"
    return "equivalent" if difference.inside(margin) else "inconclusive"


def not_worse(difference: Interval, margin: float, *, higher_is_better: bool = True) -> bool:
    """Whether "ours − theirs" is at most `margin` to the bad side: the whole interval says so.

    Args:
        difference: interval of "ours − theirs".
        margin: largest loss to accept, > 0.
        higher_is_better: direction of the score.

    Chapter: 3 Judging an enhancement
    """
    return difference.low > -margin if higher_is_better else difference.high < margin
