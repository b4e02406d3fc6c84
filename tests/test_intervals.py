"""Intervals against closed forms and simulated coverage; verdicts by the letter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from edmse_lite.intervals import Interval, mean_interval, minus, not_worse, paired_interval, verdict


def test_it_prints_as_a_reader_expects():
    assert str(Interval(1.4321, 1.379, 1.4949, 48, 14)) == "1.43 [1.38, 1.49]"
    assert f"{Interval(-0.001, -1.26, 0.04, 48, 14):.1f}" == "0.0 [−1.3, 0.0]"
    assert str(Interval(1.5, math.nan, math.nan, 3, 1)) == "1.50 [–, –]"


def test_a_minus_sign_is_for_numbers_alone():
    assert minus("-8.6 dB, +1 − -2, [-0.5, -∞]") == "−8.6 dB, +1 − −2, [−0.5, −∞]"
    for text in ("2.8e-06", "edm-8", "1-2", "x^-1", "e^{-2}", "--steps", "a - b", "2024-11-30"):
        assert minus(text) == text


def test_two_clusters_give_their_means():
    """Three draws are possible: (a, a), (a, b), (b, b); 2 clusters ask for the outermost."""
    interval = mean_interval([1.0, 3.0, 8.0, 8.0], ["a", "a", "b", "b"])
    assert interval == Interval(5.0, 2.0, 8.0, 4, 2)


def test_one_cluster_has_a_mean_and_no_interval():
    interval = mean_interval([1.0, 2.0], ["rain", "rain"])
    assert interval.mean == 1.5 and math.isnan(interval.low) and math.isnan(interval.high)
    assert verdict(interval, 0.1) == "inconclusive" and not not_worse(interval, 0.1)


def test_many_equal_clusters_agree_with_students_t():
    rng = np.random.default_rng(1)
    count, size = 60, 4
    values = np.repeat(rng.standard_normal(count), size) + rng.standard_normal(count * size)
    clusters = np.repeat(np.arange(count), size)
    interval = mean_interval(values, clusters, resamples=20_000)
    means = values.reshape(count, size).mean(axis=1)
    half = student.ppf(0.975, count - 1) * means.std(ddof=1) / math.sqrt(count)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.mean == pytest.approx(half, rel=0.06)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.06)


def test_clusters_of_other_sizes_weigh_by_their_clips():
    interval = mean_interval([0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"])
    assert interval == Interval(0.25, 0.0, 1.0, 4, 2)


@given(shift=st.floats(-10, 10), scale=st.floats(0.1, 10), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_it_moves_and_stretches_with_the_values(shift, scale, seed):
    values = np.random.default_rng(0).standard_normal(20)
    clusters = np.arange(20) // 3
    base = mean_interval(values, clusters, resamples=200, seed=seed)
    moved = mean_interval(shift + scale * values, clusters, resamples=200, seed=seed)
    for name in ("mean", "low", "high"):
        expected = shift + scale * getattr(base, name)
        assert getattr(moved, name) == pytest.approx(expected, abs=1e-9)


def test_the_seed_decides_and_names_of_clusters_do_not():
    values = np.random.default_rng(0).standard_normal(30)
    numbers = np.arange(30) // 3
    assert mean_interval(values, numbers) == mean_interval(values, [f"r{i}" for i in numbers])
    assert mean_interval(values, numbers) != mean_interval(values, numbers, seed=1)


def simulate(rng, clusters=14, clips=48):
    """Clips that share the luck of their noise recording; the true mean is 0."""
    which = np.arange(clips) % clusters
    return rng.standard_normal(clusters)[which] + 0.5 * rng.standard_normal(clips), which


def test_coverage_is_what_it_says_and_without_clusters_it_is_not():
    rng = np.random.default_rng(2)
    runs, clustered, naive = 1000, 0, 0
    for seed in range(runs):
        values, which = simulate(rng)
        interval = mean_interval(values, which, resamples=500, seed=seed)
        clustered += interval.low <= 0 <= interval.high
        interval = mean_interval(values, range(len(values)), resamples=500, seed=seed)
        naive += interval.low <= 0 <= interval.high
    assert clustered / runs == pytest.approx(0.95, abs=0.025)  # 3.6 standard errors
    assert naive / runs < 0.80


def test_the_level_is_the_coverage():
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(500):
        interval = mean_interval(*simulate(rng, 24), level=0.8, resamples=300, seed=seed)
        hits += interval.low <= 0 <= interval.high
    assert hits / 500 == pytest.approx(0.8, abs=0.055)


def test_pairing_cancels_what_is_common():
    rng = np.random.default_rng(4)
    common, which = simulate(rng)
    first = common + 0.2 + 0.05 * rng.standard_normal(common.size)
    difference = paired_interval(first, common, which)
    assert difference == mean_interval(first - common, which)
    assert difference.low > 0.15 and difference.high < 0.25
    alone = mean_interval(first, which)
    assert alone.high - alone.low > 10 * (difference.high - difference.low)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.30, "better"),
        (0.01, 0.04, "better"),
        (-0.30, -0.01, "worse"),
        (-0.04, 0.04, "equivalent"),
        (-0.05, 0.04, "inconclusive"),
        (-0.04, 0.05, "inconclusive"),
        (-0.30, 0.30, "inconclusive"),
        (0.0, 0.30, "inconclusive"),
    ],
)
def test_verdicts(low, high, expected):
    difference = Interval((low + high) / 2, low, high, 48, 14)
    assert verdict(difference, 0.05) == expected
    mirrored = Interval(-(low + high) / 2, -high, -low, 48, 14)
    assert verdict(mirrored, 0.05, higher_is_better=False) == expected
    assert not_worse(difference, 0.05) == (low > -0.05)
    assert not_worse(mirrored, 0.05, higher_is_better=False) == (low > -0.05)


def test_errors_name_the_mend():
    with pytest.raises(
        ValueError, match=r"1 of 2 values are NaN or infinite, the first at 1.*worst"
    ):
        mean_interval([1.0, math.nan], ["a", "b"])
    with pytest.raises(ValueError, match="first holds NaN or infinite scores"):
        paired_interval([math.inf, 1.0], [math.inf, 1.0], ["a", "b"])
    with pytest.raises(ValueError, match="clusters 1 labels"):
        mean_interval([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="at least one value"):
        mean_interval([], [])
    with pytest.raises(ValueError, match=r"first has shape \(2,\), second \(1,\)"):
        paired_interval([1.0, 2.0], [1.0], ["a", "b"])
    with pytest.raises(ValueError, match="margin is 0"):
        verdict(Interval(0, -1, 1, 2, 2), 0)
    with pytest.raises(ValueError, match="level is 95"):
        mean_interval([1.0, 2.0], ["a", "b"], level=95)
