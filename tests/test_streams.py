"""Stages of a stream: each gives the same however the sound is cut into blocks."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import band_limited, snr
from torch import Tensor

from edmse_lite import streams
from edmse_lite.resampling import torchaudio
from edmse_lite.spectrograms import level

quick = settings(max_examples=25, deadline=None)
sizes = st.lists(st.integers(1, 9_000), min_size=1, max_size=6)


def cut(wave: Tensor, lengths: list[int]) -> list[Tensor]:
    """Cut into blocks of these lengths, again and again."""
    blocks, at = [], 0
    while at < wave.shape[1]:
        blocks.append(wave[:, at : at + lengths[len(blocks) % len(lengths)]])
        at += blocks[-1].shape[1]
    return blocks


def joined(blocks) -> Tensor:
    return torch.cat(list(blocks), dim=1)


@quick
@given(
    rates=st.sampled_from([(44_100, 16_000), (16_000, 44_100), (48_000, 16_000), (8_000, 16_000)]),
    samples=st.integers(1, 20_000),
    lengths=sizes,
)
def test_a_stream_is_resampled_as_one_piece(rates, samples: int, lengths: list[int]) -> None:
    wave = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    out = joined(streams.resampled(cut(wave, lengths), *rates))
    whole = torchaudio().functional.resample(
        wave, *rates, lowpass_filter_width=streams.ZERO_CROSSINGS, rolloff=streams.ROLLOFF
    )
    assert out.shape == (2, math.ceil(samples * rates[1] / rates[0]))
    # torchaudio's function makes its filter in float32, the class that streams use in float64
    torch.testing.assert_close(out, whole, rtol=0, atol=1e-4)


def test_a_rate_is_off_by_a_thousandth_at_most() -> None:
    def off(rate: int) -> float:
        return abs(float(streams.rate_ratio(rate)) * 16_000 / rate - 1)

    rates = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
    assert not any(off(rate) > 1e-15 for rate in rates)
    assert max(off(rate) for rate in range(1_000, 48_000, 4)) < 1.0011e-3
    assert off(16_016) > 9.9e-4  # the odd rates near 16 kHz are the worst


def test_resampling_is_exact_for_a_sine() -> None:
    """A sine below 7.6 kHz keeps amplitude and phase: no delay, no droop."""
    time = torch.arange(44_100, dtype=torch.float64) / 44_100
    for hertz in (100, 1_000, 5_000, 7_500):
        wave = torch.sin(2 * math.pi * hertz * time).float()[None]
        out = joined(streams.resampled([wave], 44_100, 16_000))[0]
        expected = torch.sin(2 * math.pi * hertz * torch.arange(16_000).double() / 16_000)
        assert snr(expected[500:-500], out[500:-500]) > 45


def test_resampling_keeps_out_what_lies_above() -> None:
    time = torch.arange(48_000, dtype=torch.float64) / 48_000
    for hertz in (8_300, 12_000, 20_000):
        wave = torch.sin(2 * math.pi * hertz * time).float()[None]
        out = joined(streams.resampled([wave], 48_000, 16_000))[0, 500:-500]
        assert out.square().mean().sqrt() < 0.003  # -50 dB


@quick
@given(
    samples=st.integers(1, 3_000),
    lengths=sizes,
    shape=st.sampled_from([(400, 100, 200), (64, 16, 16), (500, 244, 300)]),
)
def test_segments_can_be_joined(samples: int, lengths: list[int], shape) -> None:
    length, overlap, spare = shape
    wave = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    pieces = list(streams.segments(cut(wave, lengths), *shape))
    out = joined(streams.joined((piece.wave for piece in pieces), overlap))
    torch.testing.assert_close(out, wave, rtol=0, atol=1e-6)
    assert [piece.start for piece in pieces] == [
        i * (length - overlap) for i in range(len(pieces))
    ]
    if len(pieces) > 1:
        assert all(piece.wave.shape[1] == length for piece in pieces[:-1])
        assert overlap + spare <= pieces[-1].wave.shape[1] < length + spare


def test_segments_share_the_level_of_an_overlap() -> None:
    wave = torch.randn(2, 1_000) * torch.linspace(0.01, 10, 1_000)
    pieces = list(streams.segments([wave], 400, 100, 200))
    assert len(pieces) > 1
    for left, right in zip(pieces, pieces[1:], strict=False):
        torch.testing.assert_close(left.level[:, -100:], right.level[:, :100])
    torch.testing.assert_close(pieces[0].level[:, :300], level(wave[:, :400]).expand(2, 300))
    for piece in pieces:
        assert (piece.level[:, 1:] / piece.level[:, :-1]).log().abs().max() < 0.1


def test_a_single_segment_has_the_level_of_the_whole() -> None:
    wave = torch.randn(2, 599)
    (piece,) = streams.segments([wave], 400, 100, 200)
    torch.testing.assert_close(piece.level, level(wave))


@quick
@given(
    samples=st.integers(1, 4_000), lengths=sizes, loud=st.floats(0.5, 20), seed=st.integers(0, 9)
)
def test_the_limiter_limits_and_does_nothing_else(
    samples: int, lengths: list[int], loud: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    wave = 0.2 * torch.rand(2, samples, generator=generator) - 0.1
    wave[0, samples // 2] = loud
    out = joined(streams.limited(cut(wave, lengths), 0.99, reach=50))
    whole = joined(streams.limited([wave], 0.99, reach=50))
    assert out.shape == wave.shape
    torch.testing.assert_close(out, whole, rtol=0, atol=1e-6)
    assert out.abs().max() <= 0.99 + 1e-5
    far = (torch.arange(samples) - samples // 2).abs() > 100
    torch.testing.assert_close(out[:, far], wave[:, far], rtol=0, atol=1e-6)
    gain = out / wave
    torch.testing.assert_close(gain[0], gain[1], rtol=1e-4, atol=1e-5)  # the image stays
    if loud < 0.99:
        assert torch.equal(out, wave)


def test_noise_belongs_to_frames() -> None:
    like = torch.zeros(3, 1, 16, 200, dtype=torch.complex64)
    left, right = streams.FrameNoise(seed=5, first=0), streams.FrameNoise(seed=5, first=150)
    draws = [(left(like), right(like)) for _ in range(3)]
    for a, b in draws:
        torch.testing.assert_close(a[..., 150:], b[..., :50], rtol=0, atol=0)
        assert torch.equal(a[0], a[1]) and torch.equal(a[0], a[2])  # every channel the same
    assert not torch.equal(draws[0][0], draws[1][0])
    assert not torch.equal(draws[0][0], streams.FrameNoise(seed=6)(like))


def test_noise_has_unit_variance_and_no_memory() -> None:
    noise = streams.FrameNoise(seed=3)
    like = torch.zeros(1, 1, 256, 1_024, dtype=torch.complex64)
    first, second = noise(like)[0, 0], noise(like)[0, 0]
    count = first.numel()
    assert abs(first.abs().square().mean() - 1) < 5 / math.sqrt(count)
    assert abs(first.mean()) < 5 / math.sqrt(count)
    assert abs(first.real.square().mean() - 0.5) < 5 / math.sqrt(count)
    for other in (second, first.roll(64, dims=1), first.roll(1, dims=1), first.roll(1, dims=0)):
        assert abs((first * other.conj()).mean()) < 5 / math.sqrt(count)


def test_double_precision_noise() -> None:
    like = torch.zeros(1, 1, 8, 10, dtype=torch.complex128)
    assert streams.FrameNoise(seed=0)(like).dtype == torch.complex128


@pytest.mark.parametrize("samples", [0, 1, 5, 12])
def test_the_end_is_mirrored(samples: int) -> None:
    wave = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    expected = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0] + [0.0] * 7
    out = streams.extended(wave, samples)
    torch.testing.assert_close(out, torch.tensor([expected[: 6 + samples]]))


def test_only_long_silence_is_muted() -> None:
    wave = torch.zeros(2, 8_000)
    wave[0] = band_limited(8_000, 16_000)
    wave[1, 3_000] = 0.5
    gain = streams.awake(wave)
    assert torch.equal(gain[0], torch.ones(8_000))
    assert gain[1, 2_700:3_300].min() == 1
    assert gain[1, :2_000].max() == 0 and gain[1, 4_000:].max() == 0
    assert (gain[:, 1:] - gain[:, :-1]).abs().max() < 0.005  # no click
