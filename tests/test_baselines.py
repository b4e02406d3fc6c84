"""The two baselines: aligned to the sample, any length and rate, and as good as they should be."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, correlate, resample_poly, sosfiltfilt

from edmse_lite import metrics
from edmse_lite.baselines import rnnoise, spectral_gating
from edmse_lite.evaluation_sets import evaluation_set

BASELINES = (spectral_gating, rnnoise)


@pytest.fixture(scope="module")
def pairs():
    return evaluation_set("matched", size=6)


def lag(clean: torch.Tensor, estimate: torch.Tensor, above: float = 1500) -> float:
    """Samples by which the estimate is late, in steps of 1/16, from what lies above so many Hz.

    Below, the high-pass filter of RNNoise turns the phase: a lead without a delay.
    """
    sos = butter(4, above, "highpass", fs=16_000, output="sos")
    x, y = (resample_poly(sosfiltfilt(sos, w.double().numpy()), 16, 1) for w in (clean, estimate))
    return (int(np.argmax(correlate(y, x, method="fft"))) - (len(x) - 1)) / 16


@pytest.mark.parametrize("baseline", BASELINES)
def test_output_is_aligned_to_the_sample(baseline, pairs):
    for pair in pairs[:2]:
        assert lag(pair.clean, baseline(pair.clean)) == 0
        assert lag(pair.clean, baseline(pair.noisy)) == 0


def test_rnnoise_keeps_clean_speech_and_improves_noisy_speech(pairs):
    kept = rnnoise(pairs[0].clean)
    assert metrics.pesq(pairs[0].clean, kept) > 3
    assert metrics.si_sdr(pairs[0].clean, kept) > 12
    gains = []
    for pair in pairs[:4]:
        before, after = (metrics.evaluate(pair.clean, w) for w in (pair.noisy, rnnoise(pair.noisy)))
        gains.append([after[name] - before[name] for name in ("pesq", "estoi", "si_sdr")])
    pesq, estoi, si_sdr = np.mean(gains, axis=0)
    assert pesq > 0.2 and estoi > 0.05 and si_sdr > 3


def test_gating_removes_steady_noise_and_is_no_match_for_real_noise(pairs):
    noise = 0.05 * torch.randn(64_000, generator=torch.Generator().manual_seed(0))
    assert spectral_gating(noise).square().mean() < 0.1 * noise.square().mean()
    gains = [
        metrics.pesq(p.clean, spectral_gating(p.noisy)) - metrics.pesq(p.clean, p.noisy)
        for p in pairs
    ]
    assert abs(np.mean(gains)) < 0.15  # on this corpus it hardly moves PESQ


@pytest.mark.parametrize("baseline", BASELINES)
@given(
    size=st.integers(1, 3000),
    rate=st.sampled_from((8000, 16_000, 44_100, 48_000)),
    dtype=st.sampled_from((torch.float32, torch.float64)),
)
@settings(max_examples=12, deadline=None)
def test_any_length_rate_and_float_comes_back_as_it_was(baseline, size, rate, dtype):
    noisy = 0.1 * torch.randn(size, generator=torch.Generator().manual_seed(size)).to(dtype)
    copy = noisy.clone()
    out = baseline(noisy, sample_rate=rate)
    assert out.shape == noisy.shape and out.dtype == dtype and torch.isfinite(out).all()
    torch.testing.assert_close(noisy, copy, rtol=0, atol=0)  # the input is left alone
    torch.testing.assert_close(baseline(noisy, sample_rate=rate), out, rtol=0, atol=0)


@pytest.mark.parametrize("baseline", BASELINES)
def test_silence_stays_silent(baseline):
    out = baseline(torch.zeros(8000))
    torch.testing.assert_close(out, torch.zeros(8000), rtol=0, atol=1e-6)


def test_rnnoise_keeps_peaks_above_full_scale(pairs):
    """Through 16-bit integers they would wrap around."""
    loud = rnnoise(4 * pairs[2].clean)
    assert loud.abs().max() > 1.5
    assert metrics.si_sdr(pairs[2].clean, loud) > 10


def test_the_output_does_not_depend_on_what_ran_before(pairs):
    first = rnnoise(pairs[0].noisy)
    rnnoise(pairs[1].noisy)
    torch.testing.assert_close(rnnoise(pairs[0].noisy), first, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("baseline", "package"), [(spectral_gating, "noisereduce"), (rnnoise, "pyrnnoise.rnnoise")]
)
def test_a_missing_package_names_the_extra(baseline, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{package}.*edmse-lite\[baselines\]"):
        baseline(torch.ones(1000))


@pytest.mark.parametrize("baseline", BASELINES)
def test_errors_name_the_mend(baseline):
    with pytest.raises(ValueError, match=r"shape \(2, 100\).*expected a float signal"):
        baseline(torch.ones(2, 100))
    with pytest.raises(ValueError, match="int16"):
        baseline(torch.ones(100, dtype=torch.int16))
    with pytest.raises(ValueError, match="holds NaN"):
        baseline(torch.full((100,), torch.nan))
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        baseline(torch.zeros(0))
