"""The transform against explicit sums, and the properties that every other room relies on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edmse_lite.spectrograms import REFERENCE_RMS, SILENCE_RMS, Spectrogram, level

PLAIN = Spectrogram()
PAPER = Spectrogram(hop=128)
LINEAR = Spectrogram(exponent=1.0, factor=1.0)
SIZES = [Spectrogram(64, 32), Spectrogram(64, 16), Spectrogram(64, 24), Spectrogram(32, 8)]


def tones(samples: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """A sum of sines well below the Nyquist frequency, shape (2, samples)."""
    n = torch.arange(samples, dtype=dtype)
    first = sum(torch.sin(2 * torch.pi * f * n / 16_000 + f) for f in (120.0, 1_333.0, 3_950.0))
    return torch.stack([first, torch.cos(2 * torch.pi * 440 * n / 16_000)])


def test_one_frame_is_the_sum_that_defines_it() -> None:
    wave = torch.randn(1, 3_000, dtype=torch.float64)
    found = PLAIN.stft(wave)[0, 0]  # (F, L)
    padded = np.pad(wave[0].numpy(), (256, 256))
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512))
    frame, bins = 5, np.arange(256)
    piece = window * padded[frame * 256 : frame * 256 + 512]
    wheel = np.exp(-2j * np.pi * np.outer(bins, np.arange(512)) / 512)
    assert_close(found[:, frame], torch.from_numpy(wheel @ piece), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("transform", [PLAIN, PAPER, Spectrogram(1534, 384, 0.065, 0.667)])
def test_round_trip_gives_the_waveform_back(transform: Spectrogram) -> None:
    wave = tones(8_000)
    wave = wave * torch.hann_window(8_000, dtype=torch.float64)  # no edges: they are white
    back = transform.inverse(transform.forward(wave), 8_000)
    assert_close(back, wave, rtol=0, atol=3e-5)  # the window leaks into the Nyquist bin


def test_round_trip_loses_the_nyquist_bin_and_nothing_else() -> None:
    wave = torch.randn(3, 5_000, dtype=torch.float64)
    kept = LINEAR.istft(LINEAR.stft(wave), 5_000)
    window = torch.hann_window(512, dtype=torch.float64).sqrt()
    padded = torch.nn.functional.pad(wave, (0, -5_000 % 256))
    full = torch.stft(padded, 512, 256, window=window, pad_mode="constant", return_complex=True)
    full[:, :256] = 0  # the Nyquist bin alone
    lost = torch.istft(full, 512, 256, window=window, length=padded.shape[1])[:, :5_000]
    assert_close(kept + lost, wave, rtol=0, atol=1e-12)
    assert lost.square().mean() < 0.01 * wave.square().mean()


@given(st.sampled_from(SIZES), st.integers(1, 700))
@settings(max_examples=60, deadline=None)
def test_every_length_comes_back_whole(transform: Spectrogram, samples: int) -> None:
    n = torch.arange(samples, dtype=torch.float64)
    wave = torch.sin(0.3 * n)[None]
    spectrum = transform.stft(wave)
    assert spectrum.shape == (1, 1, transform.bins, transform.frames(samples))
    linear = transform.istft(spectrum, samples)
    assert linear.shape == (1, samples)
    assert (linear - wave)[..., 64:-64].abs().sum() < 1e-3 * max(samples, 1)
    assert_close(transform.inverse(transform.forward(wave), samples), linear, rtol=0, atol=1e-9)


@given(
    st.floats(1e-3, 10.0), st.floats(0.1, 1.0),
    st.lists(st.complex_numbers(max_magnitude=1e3, allow_nan=False), min_size=1, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_compression_can_be_undone_and_keeps_phases(
    factor: float, exponent: float, values: list[complex]
) -> None:
    transform = Spectrogram(factor=factor, exponent=exponent)
    x = torch.tensor(values, dtype=torch.complex128)
    x[x.abs() < 1e-6] = 0  # their phase is not defined to double precision after a high power
    c = transform.compress(x)
    assert_close(transform.expand(c), x, rtol=1e-9, atol=1e-9)
    assert_close(c.abs(), factor * x.abs() ** exponent)
    assert_close(c * x.abs(), x * c.abs(), rtol=1e-9, atol=1e-9)  # same direction


@given(st.floats(1e-3, 1e3), st.floats(0.1, 1.0))
@settings(max_examples=30, deadline=None)
def test_a_gain_leaves_the_compressed_spectrogram_as_a_power(gain: float, alpha: float) -> None:
    transform = Spectrogram(64, 32, exponent=alpha)
    wave = torch.randn(1, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_close(transform.forward(gain * wave), gain**alpha * transform.forward(wave))


def test_the_linear_transform_is_linear_and_the_compressed_one_is_not() -> None:
    a, b = torch.randn(2, 1, 2_000, dtype=torch.float64)
    assert_close(PLAIN.stft(a + b), PLAIN.stft(a) + PLAIN.stft(b))
    residue = PLAIN.forward(a) - PLAIN.forward(a + b)  # r, which is not -c(b)
    assert (residue + PLAIN.forward(b)).abs().mean() > 0.1 * PLAIN.forward(b).abs().mean()


def test_a_delay_of_one_hop_moves_frames_by_one() -> None:
    wave = torch.randn(1, 4_096, dtype=torch.float64)
    late = torch.nn.functional.pad(wave, (256, 0))
    assert_close(PLAIN.stft(late)[..., 2:16], PLAIN.stft(wave)[..., 1:15])


def test_unit_white_noise_has_the_power_of_the_window_in_every_bin() -> None:
    wave = torch.randn(1, 400_000, dtype=torch.float64)
    power = PLAIN.stft(wave)[0, 0, 1:].abs().square().mean()
    assert_close(power, torch.tensor(256.0, dtype=torch.float64), rtol=0.01, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_follows_the_input(dtype: torch.dtype) -> None:
    wave = tones(2_000, dtype)
    spectrum = PLAIN.forward(wave)
    assert spectrum.dtype == (torch.complex64 if dtype == torch.float32 else torch.complex128)
    assert PLAIN.inverse(spectrum, 2_000).dtype == dtype


def test_a_single_waveform_is_a_batch_of_one() -> None:
    wave = tones(1_000)[0]
    assert_close(PLAIN.forward(wave), PLAIN.forward(wave[None]))


@given(st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_level_follows_a_gain_and_brings_to_the_reference(gain: float) -> None:
    wave = tones(800)
    assert_close(level(gain * wave), gain * level(wave))
    scaled = gain * wave / level(gain * wave)
    assert_close(scaled.square().mean(-1).sqrt(), torch.full((2,), REFERENCE_RMS).double())


def test_level_of_silence_is_finite_and_quiet_sound_is_not_blown_up() -> None:
    silent = torch.zeros(2, 500)
    assert_close(level(silent), torch.full((2, 1), SILENCE_RMS / REFERENCE_RMS))
    faint = torch.full((500,), SILENCE_RMS / 100)
    assert (faint / level(faint)).abs().max() < 0.01 * REFERENCE_RMS * 1.01
    click = torch.zeros(64_000)
    click[100] = 1.0
    assert level(click).item() < 0.05  # max |y| would say 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"n_fft": 511}, "even"), ({"n_fft": 2}, "at least 4"), ({"hop": 0}, "hop"),
        ({"hop": 257}, "n_fft/2"), ({"factor": 0.0}, "factor"), ({"exponent": 0.0}, "exponent"),
        ({"exponent": 1.5}, "exponent"), ({"factor": math.nan}, "factor"),
    ],
)
def test_numbers_outside_their_range_are_refused(arguments: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Spectrogram(**arguments)


class NoDoubles(TorchDispatchMode):
    """Fail where a device would have to compute in double precision, which Apple's cannot."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, torch.Tensor) and each.device.type == "meta":
                assert each.dtype not in (torch.float64, torch.complex128), func
        return out


def test_a_device_without_double_precision_can_do_transform_network_and_loss():
    import edmse_lite as se
    from edmse_lite.losses import denoising_loss
    from edmse_lite.networks import CompactUNet, UNetConfig

    network = CompactUNet(UNetConfig(channels=(8, 16), embedding=16))
    model = se.ScoreModel(network, se.VE(), se.Preconditioning.edm()).to("meta")
    waves = torch.zeros(2, 2, 16_000, device="meta")
    with NoDoubles():
        x0, y = (PLAIN.forward(wave / level(wave)) for wave in waves)
        sigma = torch.ones(2, device="meta")
        loss = denoising_loss(model, x0, y, sigma, torch.zeros_like(y)).mean()
        loss.backward()
        model(y, y, torch.tensor(0.5, dtype=torch.float64))  # as a sampler asks
    with pytest.raises(AssertionError), NoDoubles():
        torch.zeros(1, device="meta", dtype=torch.float64)
