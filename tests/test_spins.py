"""Cycle spinning, the Enhancer's average over frame grids: its definition and its use."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Nothing, band_limited, snr, tiny_model
from torch import Tensor

import edmse_lite as se
from edmse_lite import recipes
from edmse_lite.enhancement import Enhancer
from edmse_lite.streams import delayed


class Gate(Nothing):
    """Takes away the weak bins: another frame grid, another result, whatever the noise."""

    def __call__(self, x_tilde: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        return -y / (1 + (y.abs() / 0.2) ** 8)


@settings(max_examples=12, deadline=None)
@given(samples=st.integers(1, 9_000), spins=st.integers(1, 256), channels=st.integers(1, 2))
def test_no_spin_delays_or_cuts(samples: int, spins: int, channels: int) -> None:
    """With r = 0 the mean over any number of delays is the input."""
    wave = torch.stack([band_limited(max(samples, 64), 16_000, c) for c in range(channels)])
    wave = wave[:, :samples]
    out = Enhancer(Nothing(), sampler=se.EDM(steps=1), spins=spins)(wave, 16_000)
    assert out.shape == wave.shape
    if samples >= 2_000:
        assert snr(wave, out) > 40


@pytest.mark.parametrize("spins", [2, 3, 8])
def test_spins_are_the_mean_of_delayed_enhancements(spins: int) -> None:
    """By hand: delay, transform, estimate, transform back, advance, average."""
    wave, spectrogram = band_limited(20_000, 16_000), se.Spectrogram()
    scale, total = se.level(wave), torch.zeros(20_000)
    for spin in range(spins):
        delay = spin * 256 // spins
        padded = torch.cat([wave[1 : delay + 1].flip(0), wave, wave.flip(0)[1:4_097]]) / scale
        y = spectrogram.forward(padded[None])
        x0 = y + Gate()(y, y, torch.ones(1))
        total += spectrogram.inverse(x0, len(padded))[0, delay : delay + 20_000] * scale
    found = Enhancer(Gate(), sampler=se.EDM(steps=1), spins=spins)(wave, 16_000)
    inside = slice(0, 19_000)  # the last frames see how the end was extended
    assert snr(total[inside] / spins, found[inside]) > 80
    assert snr(Enhancer(Gate(), sampler=se.EDM(steps=1))(wave, 16_000), found) < 40  # it matters


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
    for spins in (0, -1, 257):
        with pytest.raises(ValueError, match=f"spins={spins} must be 1 ... 256"):
            Enhancer(model, spins=spins)
