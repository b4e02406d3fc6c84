"""Scores against closed forms, the packages' own values, and everything that can go wrong."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edmse_lite import metrics, perceptual
from edmse_lite.evaluation_sets import evaluation_set
from edmse_lite.metrics import METRICS, evaluate, looks_swapped
from edmse_lite.mixing import mix

COMPARISONS = (metrics.pesq, metrics.estoi, metrics.snr, metrics.si_sdr)
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(32_000)


@pytest.fixture(scope="module")
def pair():
    return evaluation_set("matched", size=6)[1]  # 5 dB


def orthogonal(x: np.ndarray, seed: int = 1) -> np.ndarray:
    """Noise at a right angle to x, with the same energy."""
    n = np.random.default_rng(seed).standard_normal(x.size)
    n -= np.dot(n, x) / np.dot(x, x) * x
    return n * np.linalg.norm(x) / np.linalg.norm(n)


# SNR and SI-SDR: closed forms


@pytest.mark.parametrize("level", [-10.0, 0.0, 20.0])
def test_snr_and_si_sdr_of_orthogonal_noise(level):
    x = NOISE.copy()
    noisy = x + 10 ** (-level / 20) * orthogonal(x)
    assert metrics.snr(x, noisy) == pytest.approx(level, abs=1e-9)
    assert metrics.si_sdr(x, noisy) == pytest.approx(level, abs=1e-9)


def test_si_sdr_is_the_cotangent_of_the_angle(pair):
    """An independent route: the cosine, 10 log10(rho^2 / (1 - rho^2))."""
    x, y = pair.clean.double().numpy(), pair.noisy.double().numpy()
    rho = np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y)
    expected = 10 * np.log10(rho**2 / (1 - rho**2))
    assert metrics.si_sdr(x, y) == pytest.approx(expected, abs=1e-6)


def test_si_sdr_is_the_least_squares_fit(pair):
    """An independent route: numpy's least squares fits the clean signal to the estimate."""
    x, y = pair.clean.double().numpy(), pair.noisy.double().numpy()
    gain, error, _, _ = np.linalg.lstsq(x[:, None], y, rcond=None)
    expected = 10 * np.log10(np.sum((gain * x) ** 2) / error[0])
    assert metrics.si_sdr(x, y) == pytest.approx(expected, abs=1e-6)


@given(
    gain=st.floats(1e-6, 1e6),
    sign=st.sampled_from((-1, 1)),
    mixing=st.floats(0.01, 10),
)
@settings(max_examples=30, deadline=None)
def test_si_sdr_ignores_scale_sign_and_order_and_snr_does_not(gain, sign, mixing):
    x = NOISE[:2000]
    y = x + mixing * orthogonal(x)
    score = metrics.si_sdr(x, y)
    assert metrics.si_sdr(x, sign * gain * y) == pytest.approx(score, abs=1e-8)
    assert metrics.si_sdr(y, x) == pytest.approx(score, abs=1e-8)
    # ||x - g y||^2 / ||x||^2 = (1 - g)^2 + (g m)^2
    expected = -10 * math.log10((1 - sign * gain) ** 2 + (gain * mixing) ** 2)
    assert metrics.snr(x, sign * gain * y) == pytest.approx(expected, abs=1e-6)


def test_limits():
    x = NOISE[:1000]
    assert metrics.snr(x, np.zeros_like(x)) == 0
    assert metrics.snr(x, x / 2) == pytest.approx(20 * math.log10(2))
    assert metrics.snr(x, x) == math.inf
    assert metrics.si_sdr(x, x) == math.inf
    assert metrics.si_sdr(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == -math.inf
    for scale in (1e-200, 1e200):  # no underflow, no overflow
        assert metrics.snr(scale * x, scale * x / 2) == pytest.approx(20 * math.log10(2))
        assert metrics.si_sdr(scale * x, scale * NOISE[1:1001]) < 0


def test_snr_of_a_known_mixture_shows_the_order(pair):
    noise = orthogonal(pair.clean.double().numpy())
    for level in (0.0, 5.0, 10.0):
        noisy = mix(pair.clean.double(), torch.from_numpy(noise), level)
        assert metrics.snr(pair.clean, noisy) == pytest.approx(level, abs=1e-4)
        excess = 10 * math.log10(1 + 10 ** (-level / 10))
        assert metrics.snr(noisy, pair.clean) == pytest.approx(level + excess, abs=1e-4)


def test_evaluation_sets_have_the_snr_they_say():
    for p in evaluation_set("matched", size=6):
        assert metrics.snr(p.clean, p.noisy) == pytest.approx(p.snr, abs=1e-3)


# PESQ


def test_pesq_of_equal_signals_is_the_end_of_the_itu_scale(pair):
    top = 0.999 + 4 / (1 + math.exp(-1.3669 * 4.5 + 3.8224))  # P.862.2, raw score 4.5
    assert metrics.pesq(pair.clean, pair.clean) == pytest.approx(top, abs=1e-5)
    assert metrics.pesq(pair.clean, -0.3 * pair.clean) == pytest.approx(top, abs=1e-5)


def test_pesq_is_the_packages_wide_band_value_in_the_right_order(pair):
    from pesq import pesq

    x, y = pair.clean.numpy(), pair.noisy.numpy()
    ours = metrics.pesq(pair.clean, pair.noisy)
    assert ours == pytest.approx(pesq(16_000, x, y, "wb"), abs=1e-6)
    assert abs(ours - pesq(16_000, y, x, "wb")) > 1e-3


def test_perceptual_scores_rise_with_the_snr(pair):
    noise = pair.noisy - pair.clean
    mixtures = [mix(pair.clean, noise, level) for level in (0.0, 10.0, 20.0, 40.0)]
    for score in (metrics.pesq, metrics.estoi):
        scores = [score(pair.clean, noisy) for noisy in mixtures]
        assert scores == sorted(scores) and scores[-1] - scores[0] > 0.2


# ESTOI


def test_estoi_of_equal_signals_is_one(pair):
    assert metrics.estoi(pair.clean, 0.01 * pair.clean) == pytest.approx(1, abs=1e-9)
    assert abs(metrics.estoi(pair.clean[:32_000], NOISE)) < 0.1


def test_estoi_is_the_packages_value_and_leaves_the_global_generator_alone(pair):
    from pystoi import stoi

    before = np.random.get_state()[1].copy()
    ours = metrics.estoi(pair.clean, pair.noisy)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    theirs = stoi(pair.clean.numpy(), pair.noisy.numpy(), 16_000, extended=True)
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_estoi_does_not_change_from_call_to_call(pair):
    """The package adds random numbers, which decide wherever the estimate is silent."""
    cut = pair.clean.clone()
    cut[16_000:] = 0
    first = metrics.estoi(pair.clean, cut)
    state = np.random.get_state()
    np.random.seed(1)
    assert metrics.estoi(pair.clean, cut) == first
    np.random.set_state(state)


# DNSMOS


def packages_dnsmos():
    """Microsoft's own class, without the model that we do not use and its slow mel picture."""
    from speechmos import dnsmos as package

    class Bare(package.DNSMOS):
        def __init__(self) -> None:
            self.onnx_sess = perceptual._dnsmos_model(1)
            self.p808_onnx_sess = self

        def audio_melspec(self, audio, **_):
            return np.zeros((1, 1))

        def run(self, *_):
            return [np.zeros((1, 1))]

    return Bare()


class Statistics:
    """Stands for the network: three numbers that tell the samples of a window apart."""

    def run(self, _, inputs):
        x = inputs["input_1"]
        ramp = np.linspace(0, 1, x.shape[1])
        return [np.stack([2 + x.mean(1), 3 + (ramp * x).mean(1), 2 + (x**2).mean(1)], axis=1)]


def test_dnsmos_is_the_packages_value(pair):
    theirs = packages_dnsmos()(pair.noisy.numpy(), 16_000, False)
    ours = metrics.dnsmos(pair.noisy)
    expected = [theirs[key] for key in ("ovrl_mos", "sig_mos", "bak_mos")]
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.01, 1, 4, 4.3, 5, 9.01, 9.5, 12, 17.5, 19, 33])
def test_dnsmos_windows_are_the_packages(seconds, monkeypatch):
    wave = np.cumsum(np.random.default_rng(3).uniform(-1, 1, int(16_000 * seconds)))
    wave = (wave / np.abs(wave).max()).astype(np.float32)
    monkeypatch.setattr(perceptual, "_dnsmos_model", lambda threads: Statistics())
    theirs = packages_dnsmos()(wave, 16_000, False)
    expected = [theirs[key] for key in ("ovrl_mos", "sig_mos", "bak_mos")]
    np.testing.assert_allclose(metrics.dnsmos(wave), expected, atol=1e-5)


def test_dnsmos_prefers_clean_speech(pair):
    clean, noisy = (metrics.dnsmos(w, max_windows=1) for w in (pair.clean, pair.noisy))
    assert all(1 <= score <= 5 for score in (*clean, *noisy))
    assert clean.ovrl > noisy.ovrl + 0.5 and clean.bak > noisy.bak + 0.5


def test_missing_dnsmos_names_the_extra(pair, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    perceptual._dnsmos_model.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"edmse-lite\[dnsmos\]"):
        metrics.dnsmos(pair.clean)


# What can go wrong


def bad_pairs():
    x = 0.1 * np.random.default_rng(5).standard_normal(16_000).astype(np.float32)
    hole = x.copy()
    hole[100] = np.nan
    return {
        "silent clean": (0 * x, x, "clean is silent"),
        "NaN": (x, hole, "estimate holds 1 NaN or infinite samples, the first at 100"),
        "infinite": (np.inf * np.abs(x), x, "clean holds 16000 NaN or infinite"),
        "other length": (x, x[:-128], "clean has 16000 samples, estimate has 15872: align"),
        "empty": (x[:0], x[:0], "clean is empty"),
        "two channels": (x[None], x[None], r"clean has shape \(1, 16000\)"),
        "integers": (x, (32767 * x).astype(np.int16), "estimate is int16.*divide"),
    }


@pytest.mark.parametrize("case", bad_pairs())
def test_a_bad_pair_names_the_mend_and_never_stops_an_evaluation(case):
    clean, estimate, message = bad_pairs()[case]
    for score in COMPARISONS:
        with pytest.raises(ValueError, match=message):
            score(clean, estimate)
    scores = evaluate(clean, estimate)
    assert set(scores) == set(scores.reasons) == {"pesq", "estoi", "snr", "si_sdr"}
    assert all(math.isnan(value) for value in scores.values())


def test_a_silent_estimate_is_not_defined_except_for_snr(pair):
    silent = torch.zeros_like(pair.clean)
    scores = evaluate(pair.clean, silent, ("pesq", "estoi", "snr", "si_sdr", "dnsmos"))
    assert scores.pop("snr") == 0
    assert all(math.isnan(value) for value in scores.values()) and len(scores) == 6
    assert all("count it as a failure" in reason for reason in scores.reasons.values())


def test_short_and_long_clips(pair):
    with pytest.raises(ValueError, match=r"0\.25 … 20 s of audio, found 0\.12 s"):
        metrics.pesq(pair.clean[:2000], pair.noisy[:2000])
    with pytest.raises(ValueError, match=r"found 24\.00 s: score pieces"):
        metrics.pesq(pair.clean.repeat(6), pair.noisy.repeat(6))
    for size in (1, 100, 4000):
        with pytest.raises(ValueError, match="ESTOI needs 0.4 s of speech"):
            metrics.estoi(NOISE[:size], NOISE[:size] + 0.1)
    click = np.zeros(32_000)
    click[16_000] = 0.5
    with pytest.raises(ValueError, match="ESTOI needs 0.4 s of speech"):
        metrics.estoi(click, click)


@given(
    exponent=st.integers(-30, 30),
    size=st.sampled_from((1, 63, 3999, 4000, 8000)),
    kind=st.sampled_from(("noise", "constant", "click", "tone")),
)
@settings(max_examples=30, deadline=None)
def test_evaluate_never_raises_and_explains_each_nan(exponent, size, kind):
    signals = {
        "noise": NOISE[:size],
        "constant": np.ones(size),
        "click": np.eye(1, size, size // 2)[0],
        "tone": np.sin(np.arange(size)),
    }
    estimate = 10.0**exponent * signals[kind]
    for scores in (evaluate(NOISE[:size], estimate), evaluate(estimate, NOISE[:size])):
        missing = {name for name, value in scores.items() if math.isnan(value)}
        assert missing == set(scores.reasons)


def test_evaluate_returns_what_was_asked_for(pair):
    scores = evaluate(pair.clean, pair.noisy, ("si_sdr", "dnsmos_bak"), max_windows=1)
    assert list(scores) == ["si_sdr", "dnsmos_bak"] and not scores.reasons and not scores.warning
    assert scores["dnsmos_bak"] == metrics.dnsmos(pair.noisy, max_windows=1).bak
    with pytest.raises(ValueError, match="no metric 'stoi', expected some of pesq"):
        evaluate(pair.clean, pair.noisy, ("stoi",))


def test_torch_and_numpy_and_every_float_agree(pair):
    expected = metrics.snr(pair.clean, pair.noisy)
    assert metrics.snr(pair.clean.numpy(), pair.noisy.double()) == expected
    half = metrics.snr(pair.clean.bfloat16(), pair.noisy.bfloat16().requires_grad_())
    assert half == pytest.approx(expected, abs=0.1)


# Swapped arguments


def test_swapped_arguments_are_noticed_without_false_alarms():
    found = []
    for name in ("matched", "unseen"):
        for p in evaluation_set(name, size=18):
            assert not looks_swapped(p.clean, p.noisy)
            assert not looks_swapped(p.clean, p.clean)
            assert not looks_swapped(p.clean, 0 * p.clean)
            hiss = 0.01 * p.clean.std() * torch.from_numpy(np.resize(NOISE, len(p.clean)))
            assert not looks_swapped(p.clean + hiss, p.clean)  # a better estimate than the clean
            found.append(looks_swapped(p.noisy, p.clean))
    assert np.mean(found) > 0.7


def test_swapped_arguments_warn(pair):
    x = pair.clean
    noisy = mix(x, torch.from_numpy(np.resize(NOISE, len(x))).float(), 5.0)
    with pytest.warns(UserWarning, match="are the arguments swapped"):
        scores = evaluate(noisy, x, ("snr",))
    assert "swapped" in scores.warning and math.isfinite(scores["snr"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(x, noisy, ("snr",)).warning == ""


# The table


def test_every_metric_is_described():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names) == 8
    for metric in METRICS:
        assert metric.low < metric.high and metric.blind_to and metric.source
        assert str(metric).count("|") == 6
    lower = [metric.name for metric in METRICS if not metric.higher_is_better]
    assert lower == ["wer"]
    assert "−∞ … ∞ dB | higher is better" in str(METRICS[2])
