"""How often is an interval right? Simulated studies in a world whose true mean is known.

The measured values are taken as the whole world: then its mean is no estimate, and the share of
studies whose interval holds it can be counted.

Chapter: 3 Judging an enhancement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .intervals import mean_interval


def studies(
    values: np.ndarray, clusters: Sequence[object], recordings: int, count: int, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw studies from a world in which the given recordings are all there is.

    Each study draws `recordings` noise recordings with replacement, with all their clips; a
    recording that is drawn twice counts as two. The true mean of the world is ``values.mean()``.

    Args:
        values: one value a clip, shape (n,).
        clusters: which noise recording each clip has, shape (n,).
        recordings: noise recordings of a study.
        count: number of studies.
        seed: seed of the draws.

    Returns:
        Values and cluster numbers of each study.

    Chapter: 3 Judging an enhancement.
    """
    values, rng = np.asarray(values), np.random.default_rng(seed)
    labels = list(dict.fromkeys(clusters))
    groups = [values[[c == label for c in clusters]] for label in labels]
    made = []
    for _ in range(count):
        drawn = [groups[i] for i in rng.integers(len(groups), size=recordings)]
        number = np.repeat(np.arange(recordings), [len(group) for group in drawn])
        made.append((np.concatenate(drawn), number))
    return made


def ends(
    some: Sequence[tuple[np.ndarray, np.ndarray]], clustered: bool, resamples: int = 500
) -> np.ndarray:
    """Intervals of the library for each study, shape (studies, 2).

    Args:
        some: what :func:`studies` returns.
        clustered: whether clips of one recording are drawn together, or each clip alone.
        resamples: of the bootstrap.

    Chapter: 3 Judging an enhancement.
    """
    found = [
        mean_interval(v, c if clustered else range(len(v)), resamples=resamples, seed=i)
        for i, (v, c) in enumerate(some)
    ]
    return np.array([(interval.low, interval.high) for interval in found])


def coverage(found: np.ndarray, truth: float) -> tuple[float, float]:
    """Share of intervals that hold the truth, and half of its own 95 % interval.

    Args:
        found: intervals, shape (studies, 2).
        truth: true mean.

    Chapter: 3 Judging an enhancement.
    """
    share = float(((found[:, 0] <= truth) & (truth <= found[:, 1])).mean())
    return share, 1.96 * math.sqrt(share * (1 - share) / len(found))


def alike(values: np.ndarray, clusters: Sequence[object]) -> tuple[float, float]:
    """How alike clips of one recording are, and what that costs.

    The intraclass correlation ρ by one-way analysis of variance, and the design effect
    1 + (m − 1) ρ with m = Σ m_c² / n: n clips are worth n / (1 + (m − 1) ρ) independent ones.
    Source: Kish 1965, Survey Sampling (the design effect).

    Args:
        values: one value a clip, shape (n,).
        clusters: which noise recording each clip has, shape (n,).

    Chapter: 3 Judging an enhancement.
    """
    values, labels = np.asarray(values), list(dict.fromkeys(clusters))
    index = np.array([labels.index(c) for c in clusters])
    sizes = np.bincount(index)
    means = np.bincount(index, values) / sizes
    n, count = len(values), len(labels)
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (count - 1)
    within = float(((values - means[index]) ** 2).sum()) / (n - count)
    typical = (n - float((sizes**2).sum()) / n) / (count - 1)
    rho = (between - within) / (between + (typical - 1) * within)
    return rho, 1 + (float((sizes**2).sum()) / n - 1) * rho


def between(values: np.ndarray, clusters: Sequence[object]) -> float:
    """Standard deviation S between recordings: the mean of K of them has the spread S / √K.

    S² = (1/C) Σ (m_c (mean_c − mean))² / (n/C)², with m_c clips in recording c of C: recordings
    with more clips weigh more. Source: the linearised ratio of two sums.

    Args:
        values: one value a clip, shape (n,).
        clusters: which noise recording each clip has, shape (n,).

    Chapter: 3 Judging an enhancement.
    """
    values, labels = np.asarray(values), list(dict.fromkeys(clusters))
    index = np.array([labels.index(c) for c in clusters])
    sums = np.bincount(index, values - values.mean())
    return float(np.sqrt(np.mean(sums**2))) * len(labels) / len(values)


def simulated_effect(clips: int, rho: float, recordings: int = 14, count: int = 20_000) -> float:
    """Design effect of equal recordings, by drawing: n times the variance of a study's mean.

    Values are sums of a part that a recording's clips share, of variance `rho`, and of a part of
    their own, of variance 1 - `rho`.  The formula that this checks is 1 + (m - 1) `rho`.

    Args:
        clips: m, of each recording.
        rho: correlation of two clips of one recording, in [0, 1].
        recordings: of a study.
        count: number of studies.

    Chapter: 3 Judging an enhancement.
    """
    drawn = np.random.default_rng(0).standard_normal((count, recordings, clips + 1))
    values = rho**0.5 * drawn[..., :1] + (1 - rho) ** 0.5 * drawn[..., 1:]
    return float(values.mean(axis=(1, 2)).var() * recordings * clips)
