"""What the Enhancer does to a walk: cycle spinning over grids, speeds and signs; the limit."""

import math

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Nothing, band_limited, snr, tiny_model
from torch import Tensor

import edmse_lite as se
from edmse_lite import enhancement, recipes
from edmse_lite.enhancement import Enhancer
from edmse_lite.spins import spins
from edmse_lite.streams import delayed


class Gate(Nothing):
    """Takes away the weak bins: another frame grid, another result, whatever the noise.

    It also adds what does not change its sign with the sound's.
    """

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        return -y / (1 + (y.abs() / 0.2) ** 8) + 0.05 * y.abs()


class Low(Nothing):
    """Was trained on low levels only."""

    sigma_range = (0.01, 0.5)


@settings(max_examples=12, deadline=None)
@given(samples=st.integers(1, 9_000), count=st.integers(1, 256), channels=st.integers(1, 2))
def test_no_spin_delays_or_cuts(samples: int, count: int, channels: int) -> None:
    """With r = 0 the mean over any number of delays, speeds and signs is the input."""
    wave = torch.stack([band_limited(max(samples, 64), 16_000, c) for c in range(channels)])
    wave = wave[:, :samples]
    out = Enhancer(Nothing(), sampler=se.EDM(steps=1), spins=count)(wave, 16_000)
    assert out.shape == wave.shape
    if samples >= 2_000:
        assert snr(wave, out) > 40


def by_hand(wave: Tensor, delay: int, slow: bool, sign: int) -> Tensor:
    """Play slowly, delay, transform, estimate, transform back, advance, play as it was."""
    spectrogram, scale = se.Spectrogram(), sign * se.level(wave)
    how = {"lowpass_filter_width": 64, "rolloff": 0.985}
    played = torchaudio.functional.resample(wave, 4, 5, **how) if slow else wave
    padded = torch.cat([played[1 : delay + 1].flip(0), played, played.flip(0)[1:4_097]]) / scale
    y = spectrogram.forward(padded[None])
    x0 = y + Gate()(y, y, torch.ones(1))
    out = spectrogram.inverse(x0, len(padded))[0, delay : delay + len(played)] * scale
    return torchaudio.functional.resample(out, 5, 4, **how) if slow else out


@pytest.mark.parametrize(
    ("count", "turns"),
    [
        (1, [(0, False, 1)]),
        (2, [(0, False, 1), (0, True, 1)]),
        (3, [(0, False, 1), (0, True, 1), (128, False, -1)]),
        (8, [(64 * k, slow, (-1) ** k) for k in range(4) for slow in (False, True)]),
    ],
)
def test_spins_are_the_mean_over_delays_speeds_and_signs(count: int, turns: list) -> None:
    wave = band_limited(20_000, 16_000)
    expected = torch.stack([by_hand(wave, *turn) for turn in turns]).mean(dim=0)
    found = Enhancer(Gate(), sampler=se.EDM(steps=1), spins=count)(wave, 16_000)
    inside = slice(0, 19_000)  # the last frames see how the end was extended
    assert snr(expected[inside], found[inside]) > 80
    if count > 1:
        assert snr(Enhancer(Gate(), sampler=se.EDM(steps=1))(wave, 16_000), found) < 40


def test_segments_of_a_long_sound_begin_on_the_same_frames_at_every_speed() -> None:
    hop = se.Spectrogram().hop
    step = (enhancement.SEGMENT - enhancement.OVERLAP) * enhancement.grain(hop)
    for spin in spins(8, hop):
        for number in range(4):
            assert spin.place(number * step) == number * step / spin.speed
            assert spin.place(number * step) % (16 * hop) == 0  # four halvings of time


def test_a_slow_walk_of_a_long_sound_has_no_seam() -> None:
    wave = band_limited(30 * 16_000, 16_000)
    found = Enhancer(Nothing(), sampler=se.EDM(steps=1), spins=2)(wave, 16_000)
    assert snr(wave, found) > 60


class Silence(Nothing):
    """Takes all for noise."""

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        return -y


@pytest.mark.parametrize("exponent", [0.5, 1.0])
@pytest.mark.parametrize("limit", [20.0, 60.0])
def test_noise_is_turned_down_by_the_limit_and_no_more(limit: float, exponent: float) -> None:
    wave = band_limited(12_000, 16_000)
    spectrogram = se.Spectrogram(exponent=exponent)
    enhancer = Enhancer(Silence(), spectrogram, se.EDM(steps=1), limit=limit)
    left = enhancer(wave, 16_000) * 10 ** (limit / 20)
    assert snr(wave, left) > 50
    assert not Enhancer(Silence(), spectrogram, se.EDM(steps=1))(wave, 16_000).any()


def test_the_limit_belongs_to_the_default() -> None:
    model = tiny_model()
    assert Enhancer(model).limit == Enhancer(model, spins=2).limit == recipes.LIMIT
    assert Enhancer(model, limit=math.inf).limit == math.inf
    assert Enhancer(model, sampler=se.EDM(steps=8)).limit == math.inf
    assert Enhancer(Low(), spins=2).limit == math.inf  # its default is a walk
    for limit in (0.0, -3.0, math.nan, "60"):
        with pytest.raises(ValueError, match="must be above 0 dB"):
            Enhancer(model, limit=limit)


def test_a_delay_begins_with_the_mirror_image() -> None:
    wave = torch.arange(5.0)[None]
    assert delayed(wave, 3).tolist() == [[3, 2, 1, 0, 1, 2, 3, 4]]
    assert torch.equal(delayed(wave, 0), wave)


def test_every_walk_has_its_own_noise_and_one_seed_decides_all() -> None:
    wave, model = 0.1 * torch.randn(9_000), tiny_model()
    enhancer = Enhancer(model, sampler=se.EDM(steps=2), spins=3)
    drawn: list[Tensor] = []

    def listen(whole: Tensor, noise, step_done) -> Tensor:
        drawn.append(noise(torch.zeros(1, 1, 4, 4, dtype=torch.complex64)))
        return whole

    enhancer._sample = listen
    enhancer(wave, 16_000)
    assert len({complex(z[0, 0, 0, 0]) for z in drawn}) == 3
    spun = Enhancer(model, sampler=se.EDM(steps=2), spins=3)
    assert torch.equal(spun(wave, 16_000, seed=5), spun(wave, 16_000, seed=5))
    assert not torch.equal(spun(wave, 16_000, seed=5), spun(wave, 16_000, seed=6))


def test_calls_and_progress_count_every_walk() -> None:
    model, calls, told = tiny_model(), [], []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    enhancer = Enhancer(model, sampler=se.EDM(steps=2), spins=4)
    enhancer(0.1 * torch.randn(16_000), 16_000, progress=told.append)
    assert len(calls) == 4 * 3
    assert sum(told) == pytest.approx(1.0) and min(told) > 0


def test_defaults_spin_and_chosen_samplers_do_not() -> None:
    model = tiny_model()
    default = Enhancer(model)
    assert (default.sampler, default.spins) == (recipes.SAMPLER, recipes.SPINS)
    assert Enhancer(model, sampler=se.EDM(steps=8)).spins == 1
    assert Enhancer(model, spins=1).sampler == recipes.SAMPLER
    for count in (0, -1, 257, 2.5):
        with pytest.raises(ValueError, match=f"spins={count} must be 1 ... 256"):
            Enhancer(model, spins=count)
