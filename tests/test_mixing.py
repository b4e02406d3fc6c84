"""Mixtures have the SNR that was asked for; the evaluation sets are fixed and balanced."""

import hashlib
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from edmse_lite import augmentation, evaluation_sets, mixing
from edmse_lite.corpora import Clip, Corpus, Pair
from edmse_lite.evaluation_sets import evaluation_set, whole_prompts
from edmse_lite.mixing import Mixer, MixingConfig, mix

FOUR = ("matched", "unseen-noise", "unseen-voice", "unseen")


SPLITS = {  # speech and noise; written out again, so that a slip in the library shows
    "matched": ("test", "test"), "unseen-noise": ("test", "test-unseen"),
    "unseen-voice": ("test-unseen", "test"), "unseen": ("test-unseen", "test-unseen"),
}  # fmt: skip


def ratio(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Mixture SNR in dB by its definition, in double precision."""
    clean, noisy = clean.double(), noisy.double()
    return 10 * torch.log10(clean.square().sum(-1) / (noisy - clean).square().sum(-1))


@given(st.floats(-30, 40), st.floats(1e-2, 10), st.floats(1e-2, 10), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_mixture_has_exactly_the_snr(snr: float, a: float, b: float, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    clean, noise = torch.randn(2, 3, 500, dtype=torch.float64, generator=g)
    noisy = mix(a * clean, b * noise, snr)
    assert_close(ratio(a * clean, noisy), torch.full((3,), snr).double(), rtol=0, atol=1e-5)
    added = noisy - a * clean
    assert_close(added / added.norm(dim=-1, keepdim=True), noise / noise.norm(dim=-1, keepdim=True))


def test_each_item_of_a_batch_has_its_own_snr() -> None:
    clean, noise = torch.randn(2, 4, 1_000)
    wanted = torch.tensor([-5.0, 0.0, 7.5, 15.0])
    assert_close(ratio(clean, mix(clean, noise, wanted)).float(), wanted, rtol=0, atol=1e-3)


def test_silence_makes_no_infinite_samples() -> None:
    wave, silence = torch.randn(2, 100), torch.zeros(2, 100)
    assert_close(mix(wave, silence, 0.0), wave)
    assert mix(silence, wave, 0.0).isfinite().all()
    assert mix(silence, wave, 0.0).abs().max() < 1e-3  # not the noise at full level


@pytest.fixture(scope="module", params=FOUR)
def pairs(request: pytest.FixtureRequest) -> tuple[Pair, ...]:
    return evaluation_set(request.param)


def test_a_set_has_48_pairs_of_4_s_and_exact_snr(pairs: tuple[Pair, ...]) -> None:
    assert len(pairs) == 48 and len({pair.key for pair in pairs}) == 48
    for pair in pairs:
        assert pair.clean.shape == pair.noisy.shape == (64_000,)
        assert abs(ratio(pair.clean, pair.noisy).item() - pair.snr) < 1e-4
        assert pair.noisy.abs().max() <= 0.9901
        assert (pair.clean.abs() > 1e-3).float().mean() > 0.4  # mostly speech
        assert pair.text and pair.language


def test_a_set_is_balanced(pairs: tuple[Pair, ...]) -> None:
    assert Counter(pair.snr for pair in pairs) == {0.0: 16, 5.0: 16, 10.0: 16}
    for label in ("voice", "noise_type"):
        counts = Counter(getattr(pair, label) for pair in pairs)
        assert max(counts.values()) - min(counts.values()) <= 1
    cells = Counter((pair.noise_type, pair.snr) for pair in pairs)
    assert len(cells) == 3 * len({pair.noise_type for pair in pairs})
    assert len(set(cells.values())) == 1  # every type at every SNR, equally often
    meetings = Counter((pair.voice, pair.snr) for pair in pairs)
    assert max(meetings.values()) - min(meetings.values()) <= 2
    assert len({pair.noise_file for pair in pairs}) >= 14  # clusters of the intervals


def test_sets_hold_only_their_splits(pairs: tuple[Pair, ...]) -> None:
    speech_split, noise_split = SPLITS[pairs[0].key.rsplit("-", 1)[0]]
    corpus = Corpus.bundled()
    noises = {clip.path.stem: clip for clip in corpus.where(kind="noise")}
    voices = {clip.label for clip in corpus.where(kind="speech", split=speech_split)}
    texts = {clip.text for clip in corpus.where(kind="speech", split=speech_split)}
    for pair in pairs:
        clip = noises[pair.noise_file]
        assert clip.split == noise_split and clip.label == pair.noise_type
        assert pair.voice in voices
        assert any(pair.text.startswith(text) for text in texts)
    assert len(noises) == len(corpus.where(kind="noise"))  # a name tells one recording


def test_no_mixture_is_in_two_sets() -> None:
    assert not {pair.key for pair in evaluation_set("matched")} & {
        pair.key for pair in evaluation_set("unseen")
    }
    sums = [[float(p.noisy.double().sum()) for p in evaluation_set(name)] for name in FOUR]
    assert len(set(itertools.chain(*sums))) == 4 * 48


# Made once; a change here makes every number of the results page incomparable with older ones.
METADATA = {
    "matched": "e0106ebb9f5b8122",
    "unseen-noise": "9a214389a3ef9181",
    "unseen-voice": "ad5a83a1957e2e5a",
    "unseen": "0a961234b014a107",
}
AUDIO = {
    "matched": "fe1fd817d7bdd570",
    "unseen-noise": "b8f49effd4aa41fc",
    "unseen-voice": "8434dd962eaaa37e",
    "unseen": "77e1ab0fc7028022",
}


def fingerprint(pairs: tuple[Pair, ...]) -> str:
    """Hash of the pairs' levels in 4 bands of time, dB to 0.5: decoders may differ in last bits."""
    digest = hashlib.sha256()
    for pair in pairs:
        for wave in (pair.clean, pair.noisy):
            power = 10 * wave.view(4, -1).double().square().mean(-1).log10()
            digest.update(str((2 * power + 0.137).round().long().tolist()).encode())
    return digest.hexdigest()[:16]


def test_the_sets_never_change(pairs: tuple[Pair, ...]) -> None:
    name = pairs[0].key.rsplit("-", 1)[0]
    rows = [(p.key, p.snr, p.voice, p.noise_type, p.noise_file, p.text) for p in pairs]
    assert hashlib.sha256(repr(rows).encode()).hexdigest()[:16] == METADATA[name]
    assert fingerprint(pairs) == AUDIO[name]


def test_a_set_is_made_again_bit_for_bit_whatever_the_global_seeds() -> None:
    first = evaluation_set("unseen-voice", 4)
    torch.manual_seed(99)
    again = evaluation_sets._make_set.__wrapped__("unseen-voice", 4, 4.0, False)  # no cache
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one.noisy, two.noisy) and torch.equal(one.clean, two.clean)


def test_a_smaller_set_is_the_beginning_of_a_larger_one() -> None:
    small = evaluation_set("matched", 5)
    for one, two in zip(small, evaluation_set("matched"), strict=False):
        assert torch.equal(one.noisy, two.noisy)


def test_whole_prompts_are_the_pairs_of_the_set_with_an_end() -> None:
    longer = 0
    for cut, whole in zip(evaluation_set("matched", 12), whole_prompts("matched", 12), strict=True):
        assert (cut.whole, whole.whole) == (False, True)
        for name in ("key", "snr", "voice", "noise_type", "noise_file", "text", "language"):
            assert getattr(cut, name) == getattr(whole, name), name
        n, tail = len(cut.clean) - 800, len(whole.clean) - len(cut.clean)  # 50 ms: a loop's joint
        noises = [pair.noisy - pair.clean for pair in (cut, whole)]
        for short, long in ((cut.clean, whole.clean), noises):
            short, long = short[:n], long[:n]
            gain = (short @ long) / (short @ short)  # one factor, the same sound
            torch.testing.assert_close(long, gain * short, rtol=0, atol=1e-5)
        assert ratio(whole.clean[None], whole.noisy[None]).item() == pytest.approx(
            whole.snr, abs=1e-3
        )
        longer += tail > 1_600
        assert whole.clean[-int(0.25 * 16_000) :].abs().max() < 0.01  # it ends in a pause
    assert longer > 8  # the fixed sets do cut words off


def test_an_unknown_set_is_named() -> None:
    with pytest.raises(ValueError, match="'mached'; there are matched, unseen-noise"):
        evaluation_set("mached")


def small_corpus(kind: str, count: int) -> list[torch.Tensor]:
    clips: tuple[Clip, ...] = Corpus.bundled().where(kind=kind, split="train").clips
    return Corpus(clips[:: len(clips) // count][:count]).audio()


@pytest.fixture(scope="module")
def mixer() -> Mixer:
    config = MixingConfig(seconds=1.0, babble=0.25, coloured=0.25, second_noise=0.5)
    return Mixer(small_corpus("speech", 20), small_corpus("noise", 8), config)


def test_training_mixtures_of_real_audio(mixer: Mixer) -> None:
    clean, noisy = mixer.batch(64, torch.Generator().manual_seed(0))
    assert clean.shape == noisy.shape == (64, 16_000)
    assert clean.isfinite().all() and noisy.isfinite().all()
    loud = clean.square().mean(-1) > 1e-6  # a crop may fall into a pause
    assert loud.sum() > 55
    snr = ratio(clean[loud], noisy[loud])
    assert snr.min() > -5.01 and snr.max() < 15.01
    assert snr.min() < -2 and snr.max() > 12  # the range is used
    assert (noisy - clean).square().mean(-1)[loud].min() > 0


def test_a_batch_depends_on_its_generator_alone(mixer: Mixer) -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed + 5)
        return mixer.batch(6, torch.Generator().manual_seed(seed))[1]

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_every_kind_of_noise_can_be_switched_on_alone() -> None:
    speech, noise = small_corpus("speech", 8), small_corpus("noise", 3)
    for babble, coloured in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        config = MixingConfig(0.5, babble=babble, coloured=coloured, second_noise=1.0)
        mixer = Mixer(speech, noise, config)
        clean, noisy = mixer.batch(8, torch.Generator().manual_seed(3))
        assert (noisy - clean).square().mean(-1).min() > 0 and noisy.isfinite().all()


def test_speeds_move_pitch_by_their_factor() -> None:
    n = torch.arange(160_000) / 16_000
    mixer = Mixer([torch.sin(2 * torch.pi * 1_000 * n)], [torch.randn(32_000)], MixingConfig(1.0))
    clean, _ = mixer.batch(40, torch.Generator().manual_seed(0))
    peaks = torch.fft.rfft(clean).abs().argmax(-1).tolist()  # Hz, one a bin
    allowed = {1_000 * speed // 20 for speed in augmentation.SPEEDS}
    assert all(min(abs(peak - f) for f in allowed) <= 1 for peak in peaks)
    assert max(peaks) > 1_100 and min(peaks) < 900


def vowel(pitch: float, formants: tuple[float, ...]) -> torch.Tensor:
    """One second of pulses through resonators 80 Hz wide, with a little noise."""
    pulses = torch.zeros(16_000, dtype=torch.float64)
    pulses[:: round(16_000 / pitch)] = 1
    a = torch.ones(1, dtype=torch.float64)
    for f in formants:
        r, theta = math.exp(-math.pi * 80 / 16_000), 2 * math.pi * f / 16_000
        pair = torch.tensor([1, -2 * r * math.cos(theta), r * r], dtype=torch.float64)
        a = torch.from_numpy(np.convolve(a.numpy(), pair.numpy()))
    g = torch.Generator().manual_seed(0)
    wave = torchaudio.functional.lfilter(pulses, a, torch.eye(1, len(a))[0].double(), clamp=False)
    return (wave / wave.std() + 1e-3 * torch.randn(16_000, generator=g)).float()


def first_formant(wave: torch.Tensor) -> float:
    """Highest peak of the all-pole spectrum (order 8) between 300 and 1,500 Hz, Hz."""
    power = torch.fft.rfft(wave.double() * torch.hann_window(16_000), 32_000).abs().square()
    r = torch.fft.irfft(power)[:9]
    lags = (torch.arange(8)[:, None] - torch.arange(8)).abs()
    a = torch.cat([torch.ones(1), -torch.linalg.solve(r[lags], r[1:])])
    return float(torch.fft.rfft(a, 16_000).abs()[300:1_500].argmin()) + 300


def test_formants_move_by_their_factor_and_the_pitch_stays() -> None:
    wave = vowel(160, (900, 2_400, 3_600))
    assert first_formant(wave) == pytest.approx(900, abs=25)
    factors = torch.linspace(0.82, 1.2, 12)
    voices = wave.expand(12, -1)
    moved = augmentation.move_formants(voices, factors)
    assert moved.std(-1) == pytest.approx(voices.std(-1), rel=1e-3)
    for one, factor in zip(moved, factors.tolist(), strict=True):
        assert first_formant(one) == pytest.approx(900 * factor, rel=0.04)
        lines = torch.fft.rfft(one[4_000:12_000]).abs()  # 2 Hz a bin
        assert int(lines[40:121].argmax()) + 40 == 80  # the fundamental, 160 Hz
    still = augmentation.move_formants(voices, torch.ones(12))
    assert_close(still, voices, rtol=0, atol=1e-5)


@given(st.integers(1, 3), st.integers(300, 40_000), st.floats(0.5, 2), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_formants_of_anything_move_without_harm(
    count: int, samples: int, factor: float, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    waves = torch.randn(count, samples, generator=g) * torch.rand(count, 1, generator=g).round()
    out = augmentation.move_formants(waves, torch.full((count,), factor))
    assert out.shape == waves.shape and out.isfinite().all()
    assert_close(out.norm(dim=-1), waves.norm(dim=-1), rtol=1e-3, atol=1e-4)


def test_a_mixer_draws_formants_within_their_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[torch.Tensor] = []
    monkeypatch.setattr(
        mixing, "move_formants", lambda voices, f: drawn.append(f) or voices
    )
    config = MixingConfig(0.5, formants=0.15, babble=0)
    Mixer([torch.randn(64_000)], [torch.randn(9_000)], config).batch(400, torch.Generator())
    logs = drawn[0].log()
    assert len(logs) == 400 and logs.abs().max() <= 0.15
    assert logs.min() < -0.14 and logs.max() > 0.14 and abs(logs.mean()) < 0.02


def test_noises_can_be_slowed_further_than_voices() -> None:
    n = torch.arange(160_000) / 16_000
    tone = torch.sin(2 * torch.pi * 1_000 * n)
    config = MixingConfig(1.0, -80, -80, babble=0, coloured=0, second_noise=0, slowest=10)
    _, noisy = Mixer([torch.randn(64_000)], [tone], config).batch(60, torch.Generator())
    peaks = torch.fft.rfft(noisy).abs().argmax(-1)  # Hz, one a bin
    assert min(peaks.tolist()) == 500 and max(peaks.tolist()) == 1_200


def test_voices_can_be_slowed_apart_from_noises() -> None:
    n = torch.arange(160_000) / 16_000
    tone = torch.sin(2 * torch.pi * 1_000 * n)
    config = MixingConfig(1.0, babble=0, coloured=0, second_noise=0, slowest_voice=15)
    clean, _ = Mixer([tone], [torch.randn(64_000)], config).batch(60, torch.Generator())
    peaks = torch.fft.rfft(clean).abs().argmax(-1)  # Hz, one a bin
    assert min(peaks.tolist()) == 750 and max(peaks.tolist()) == 1_200


def test_a_share_of_the_mixtures_has_its_sign_turned_and_nothing_else() -> None:
    def batch(flipped: float) -> tuple[torch.Tensor, torch.Tensor]:
        sounds = [torch.randn(64_000)], [torch.randn(64_000)]
        mixer = Mixer(*sounds, MixingConfig(0.5, flipped=flipped))
        return mixer.batch(300, torch.Generator().manual_seed(1))

    torch.manual_seed(0)
    clean, noisy = batch(0.0)
    torch.manual_seed(0)
    signed, signed_noisy = batch(0.3)
    sign = (signed * clean).sum(-1).sign()[:, None]
    assert torch.equal(signed, sign * clean) and torch.equal(signed_noisy, sign * noisy)
    assert 0.2 < (sign < 0).float().mean() < 0.4


def test_recordings_shorter_than_a_mixture_are_looped_without_a_step() -> None:
    wave = torch.sin(torch.arange(4_000) * 0.05)
    long = augmentation.looped(wave, 20_000)
    assert len(long) >= 20_000 and torch.equal(long[:3_000], wave[:3_000])
    assert long.diff().abs().max() < 3 * wave.diff().abs().max()


def test_one_second_of_speech_and_of_noise_is_enough_to_mix_from() -> None:
    draw = torch.Generator().manual_seed(0)
    speech, noise = (torch.randn(16_000, generator=draw) for _ in range(2))
    clean, noisy = Mixer([speech], [noise]).batch(2, draw)
    assert clean.shape == noisy.shape == (2, Mixer([speech], [noise]).samples)
    assert clean.isfinite().all() and (clean.square().mean(dim=1) > 0).all()


def test_a_mixer_needs_speech_and_noise() -> None:
    with pytest.raises(ValueError, match="got 0 speech and 1 noise"):
        Mixer([], [torch.randn(100)])
    with pytest.raises(ValueError, match="got 1 speech and 0 noise"):
        Mixer([torch.randn(100)], [])
