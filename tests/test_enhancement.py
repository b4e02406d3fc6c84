"""The Enhancer: a denoiser that finds nothing proves length, delay, rate and channels."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Nothing, band_limited, snr, tiny_model

import edmse_lite as se
from edmse_lite import enhancement
from edmse_lite.audio import AudioError, reading
from edmse_lite.enhancement import Enhancer, enhance_file
from edmse_lite.streams import segments

HOP = 256
OVERLAP = enhancement.OVERLAP * enhancement.grain(HOP) - HOP
SEGMENT = enhancement.SEGMENT * enhancement.grain(HOP) - HOP
LONG = 2 * SEGMENT + 5_000  # samples: three segments


@pytest.fixture(scope="module")
def nothing() -> Enhancer:
    return Enhancer(Nothing(), sampler=se.EDM(steps=1))


@pytest.fixture(scope="module")
def tiny() -> Enhancer:
    return Enhancer(tiny_model(), sampler=se.EDM(steps=2))


@settings(max_examples=40, deadline=None)
@given(
    samples=st.one_of(st.integers(1, 300), st.integers(300, 30_000)),
    rate=st.one_of(
        st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000]),
        st.integers(2_000, 60_000),
    ),
    channels=st.integers(0, 3),
    kind=st.sampled_from([torch.float32, torch.float64, np.float32, np.float64]),
)
def test_nothing_changes_nothing(samples: int, rate: int, channels: int, kind) -> None:
    """With r = 0 the output is the input: same shape, type and length, and no delay."""
    wave = torch.stack([band_limited(max(samples, 64), rate, c) for c in range(max(channels, 1))])
    wave = wave[:, :samples] if channels else wave[0, :samples]
    noisy = wave.to(kind) if isinstance(kind, torch.dtype) else wave.numpy().astype(kind)
    out = Enhancer(Nothing(), sampler=se.EDM(steps=1))(noisy, rate)
    assert type(out) is type(noisy) and out.dtype == noisy.dtype
    assert tuple(out.shape) == tuple(noisy.shape)
    if samples >= 2_000:  # shorter ones have no band
        assert snr(wave, torch.as_tensor(out)) > 40


def test_an_impulse_stays_where_it_is(nothing: Enhancer) -> None:
    wave = torch.zeros(2, 30_000)
    wave[0, 12_345] = wave[1, 29_900] = 1.0
    for rate in (16_000, 44_100, 44_101, 48_000):
        assert nothing(wave, rate).argmax(dim=1).tolist() == [12_345, 29_900]


def test_long_sound_has_no_seam(nothing: Enhancer) -> None:
    wave = band_limited(LONG, 16_000) * torch.linspace(0.01, 3, LONG)  # levels differ
    assert snr(wave, nothing(wave, 16_000)) > 60


@given(hop=st.integers(1, 4096))
def test_a_grain_is_whole_groups_of_frames(hop: int) -> None:
    found = enhancement.grain(hop)
    assert found % (16 * hop) == 0 and 4096 <= found < 4096 + 16 * hop
    assert enhancement.grain(HOP) == 4096


@pytest.mark.parametrize(("spins", "hop"), [(1, HOP), (3, HOP), (1, 160), (2, 100)])
def test_segments_agree_at_the_joint(spins: int, hop: int) -> None:
    """Both samples of an overlap come from the same diffusion noise, so a fade loses no level."""
    unit = enhancement.grain(hop)
    length, overlap = enhancement.SEGMENT * unit - hop, enhancement.OVERLAP * unit - hop
    speech = band_limited(2 * length, 16_000) + 0.02 * torch.randn(2 * length)
    enhancer = Enhancer(tiny_model(), se.Spectrogram(hop=hop), se.EDM(steps=2), spins=spins)
    pieces = list(segments([speech[None]], length, overlap, 1_000))
    outs = [enhancer._segment(piece, 0, lambda seconds: None) for piece in pieces[:2]]
    other = enhancer._segment(pieces[1], 1, lambda seconds: None)
    faded = slice(overlap // 4, 3 * overlap // 4)
    left, right, stranger = (
        x[0, at][faded]
        for x, at in (
            (outs[0], slice(-overlap, None)), (outs[1], slice(overlap)), (other, slice(overlap)),
        )
    )  # fmt: skip
    assert snr(left, right) > 25
    assert snr(left, stranger) < 10  # what another noise would do
    loss = 10 * torch.log10(((left + right) / 2).square().mean() / left.square().mean())
    assert abs(loss) < 0.05  # dB


def test_joints_sound_like_the_rest() -> None:
    """An exact sampler on stationary noise: power at the joints is that of everywhere else."""
    clean_var, noise_var = torch.full((1, 1, 256, 1), 0.02), torch.full((1, 1, 256, 1), 0.02)
    enhancer = Enhancer(
        se.GaussianOracle(clean_var, noise_var), se_linear(), se.EDM(steps=4),
        sde=se.VE(0.05, 1.0),
    )  # fmt: skip
    noisy = 0.1 * torch.randn(LONG)
    out = enhancer(noisy, 16_000)
    advance = SEGMENT - OVERLAP
    joints = [out[k * advance + OVERLAP // 4 : k * advance + 3 * OVERLAP // 4] for k in (1,)]
    width = len(joints[0])
    rest = out[SEGMENT // 4 : SEGMENT // 4 + 8 * width].reshape(8, width)
    spectrum = lambda x: torch.stft(  # noqa: E731
        x, 512, window=torch.hann_window(512), return_complex=True
    ).abs().square().mean(dim=(-2, -1))
    levels = 10 * torch.log10(spectrum(rest))
    for joint in joints:
        assert abs(10 * torch.log10(spectrum(joint)) - levels.mean()) < 4 * levels.std() + 0.05


def se_linear():
    from edmse_lite.spectrograms import Spectrogram

    return Spectrogram(factor=0.1, exponent=1.0)


def test_what_follows_a_joint_does_not_change_what_came_before(tiny: Enhancer) -> None:
    wave = 0.1 * torch.randn(LONG)
    whole, short = tiny(wave, 16_000), tiny(wave[: LONG - SEGMENT // 2], 16_000)
    before = SEGMENT - 2 * OVERLAP
    assert snr(whole[:before], short[:before]) > 60


def test_blocks_do_not_matter(tiny: Enhancer) -> None:
    wave = 0.1 * torch.randn(2, 100_000)
    parts = torch.cat(list(tiny.stream(wave.split(777, dim=1), 44_100)), dim=1)
    torch.testing.assert_close(parts, tiny(wave, 44_100), rtol=0, atol=1e-5)


def test_a_seed_decides_the_sample(tiny: Enhancer) -> None:
    wave = 0.1 * torch.randn(20_000)
    first = tiny(wave, 16_000, seed=3)
    assert torch.equal(first, tiny(wave, 16_000, seed=3))
    assert snr(first, tiny(wave, 16_000, seed=4)) < 30
    pc = Enhancer(tiny.denoiser, sampler=se.PC(steps=2))
    assert torch.equal(pc(wave, 16_000, seed=3), pc(wave, 16_000, seed=3))


def test_each_channel_is_enhanced_on_its_own(tiny: Enhancer) -> None:
    wave = 0.1 * torch.randn(10, 6_000) * torch.logspace(-2, 0, 10)[:, None]
    wave[7] = wave[3]
    out = tiny(wave, 16_000)
    for channel in (0, 3, 9):
        torch.testing.assert_close(out[channel], tiny(wave[channel], 16_000), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(out[7], out[3], rtol=0, atol=1e-6)  # the middle stays the middle


def test_a_gain_goes_through(tiny: Enhancer) -> None:
    wave = 0.1 * torch.randn(20_000)
    torch.testing.assert_close(tiny(8 * wave, 16_000), 8 * tiny(wave, 16_000), rtol=1e-3, atol=1e-4)


def test_silence_stays_silence(tiny: Enhancer) -> None:
    assert torch.equal(tiny(torch.zeros(2, 5_000), 44_100), torch.zeros(2, 5_000))
    wave = torch.zeros(3, 40_000)
    wave[0, :10_000] = 0.1 * torch.randn(10_000)
    out = tiny(wave, 16_000)
    assert out[0, :10_000].abs().max() > 0.01
    assert out[0, 12_000:].abs().max() == 0 and out[1:].abs().max() == 0


@pytest.mark.parametrize(
    "wave",
    [
        torch.ones(5_000),
        (3 * torch.randn(20_000)).clamp(-1, 1),
        1e-4 * torch.randn(20_000),
        3e4 * torch.randn(20_000),
        torch.ones(1),
        (torch.arange(20_000) % 7_000 == 0).float(),
    ],
    ids=["constant", "clipped", "faint", "unscaled", "one sample", "clicks"],
)
def test_odd_sound_gives_finite_sound(
    wave: torch.Tensor, tiny: Enhancer, nothing: Enhancer
) -> None:
    out = tiny(wave, 16_000)
    assert out.shape == wave.shape and out.isfinite().all()
    assert nothing(wave, 48_000).abs().max() < 2 * wave.abs().max()


def test_progress_adds_up(tiny: Enhancer) -> None:
    for wave, rate in ((torch.randn(3, LONG), 16_000), (torch.zeros(2, 48_000), 48_000)):
        told: list[float] = []
        tiny(0.1 * wave, rate, progress=told.append)
        assert math.isclose(sum(told), wave.shape[1] / rate, rel_tol=1e-3)
        assert all(seconds > 0 for seconds in told)


def test_calls_of_the_network(tiny: Enhancer) -> None:
    """Batches are counted once: 2N - 1 calls a segment."""
    calls = []
    handle = tiny.denoiser.network.register_forward_hook(lambda *_: calls.append(1))
    tiny(0.1 * torch.randn(8, 5_000), 16_000)
    handle.remove()
    assert len(calls) == 3


BAD = {
    "no samples": (torch.zeros(0), 16_000, "at least one sample"),
    "three axes": (torch.zeros(1, 1, 9), 16_000, r"\(1, 1, 9\), expected \(samples,\)"),
    "integers": (torch.zeros(9, dtype=torch.int16), 16_000, "divide int16 by 32768"),
    "numpy integers": (np.zeros(9, np.int16), 16_000, "divide int16 by 32768"),
    "transposed": (np.zeros((9_000, 2)), 16_000, "transpose it"),
    "NaN": (torch.tensor([0.0, math.nan]), 16_000, "1 NaN or infinite"),
    "infinite": (torch.tensor([0.0, math.inf]), 16_000, "1 NaN or infinite"),
    "huge": (torch.tensor([0.0, 1e9]), 16_000, "expected -1 to 1"),
    "rate": (torch.zeros(9), 0, "sample_rate=0 must be a number, at least 1000 Hz"),
    "rate in words": (torch.zeros(9), "16k", "sample_rate='16k' must be a number"),
    "no rate": (torch.zeros(9), math.nan, "sample_rate=nan must be a number"),
    "words": (np.array(["0.5"] * 9), 16_000, "noisy is <U3, expected floats"),
    "objects": (np.array([0.5] * 9, object), 16_000, "noisy is object, expected floats"),
    "list": ([0.0] * 9, 16_000, "noisy is a list, expected a tensor or a numpy array"),
    "nothing": (None, 16_000, "noisy is a NoneType"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_sound_is_named(kind: str, nothing: Enhancer) -> None:
    wave, rate, words = BAD[kind]
    with pytest.raises(ValueError, match=words):
        nothing(wave, rate)


@pytest.mark.parametrize("kind", [np.longdouble, ">f4", ">f8", np.float16])
def test_floats_of_any_kind_will_do(kind: object, nothing: Enhancer) -> None:
    noisy = band_limited(8_000, 16_000).numpy().astype(kind)
    out = nothing(noisy[::-1], 16_000)
    assert out.dtype == noisy.dtype
    usual = nothing(noisy[::-1].astype(np.float32), 16_000)
    np.testing.assert_allclose(out.astype(np.float32), usual, atol=1e-3)


@pytest.mark.parametrize("spins", [2.0, 0, -1, 257, True, "2"])
def test_spins_are_counted_at_once(spins: object) -> None:
    with pytest.raises(ValueError, match=f"spins={spins!r} must be 1 ... 256, .* a whole number"):
        Enhancer(Nothing(), spins=spins)
    assert Enhancer(Nothing(), spins=np.int64(2)).spins == 2


def test_bad_seed_and_denoiser(nothing: Enhancer) -> None:
    with pytest.raises(ValueError, match="seed=-1 must be"):
        nothing(torch.zeros(9), 16_000, seed=-1)
    with pytest.raises(ValueError, match="function has no sde"):
        Enhancer(lambda x, y, sigma: x)


def test_a_checkpoint_enhances(tmp_path: Path) -> None:
    from edmse_lite import checkpoints
    from edmse_lite.spectrograms import Spectrogram

    checkpoints.save(tmp_path / "run", tiny_model(), Spectrogram(), {})
    enhancer = Enhancer.from_pretrained(tmp_path / "run", sampler=se.EDM(steps=1), device="cpu")
    assert enhancer.denoiser.network.config.channels == (8, 8)
    assert enhancer.sampler == se.EDM(steps=1)
    assert enhancer(0.1 * torch.randn(5_000), 16_000).isfinite().all()


FILES = {
    "pcm16.wav": ("PCM_16", "PCM_16"),
    "pcm24.wav": ("PCM_24", "PCM_24"),
    "float.wav": ("FLOAT", "FLOAT"),
    "eight.wav": ("PCM_U8", "PCM_16"),
    "law.wav": ("ULAW", "PCM_16"),
    "lossless.flac": ("PCM_16", "PCM_16"),
    "vorbis.ogg": ("VORBIS", "VORBIS"),
    "sound.mp3": ("MPEG_LAYER_III", "MPEG_LAYER_III"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_keep_rate_length_and_channels(name: str, tmp_path: Path, nothing: Enhancer) -> None:
    subtype, expected = FILES[name]
    wave = torch.stack([band_limited(60_001, 44_100, seed) for seed in (0, 1)])
    soundfile.write(tmp_path / name, wave.T.numpy(), 44_100, subtype=subtype)
    source, _ = soundfile.read(tmp_path / name, dtype="float32")
    out = tmp_path / f"out-{name}"
    enhance_file(nothing, tmp_path / name, out)
    info = soundfile.info(out)
    assert (info.samplerate, info.channels, info.frames) == (44_100, 2, 60_001)
    assert info.subtype == expected
    enhanced, _ = soundfile.read(out, dtype="float32")
    least = {"eight.wav": 25, "law.wav": 25, "vorbis.ogg": 8, "sound.mp3": 8}.get(name, 40)
    assert snr(torch.from_numpy(source), torch.from_numpy(enhanced)) > least
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, out.name])


def test_opus_and_other_suffixes(tmp_path: Path, nothing: Enhancer) -> None:
    wave = band_limited(48_000, 48_000).numpy()
    soundfile.write(tmp_path / "in.opus", wave, 48_000, format="OGG", subtype="OPUS")
    for name, expected in (("a.ogg", "OPUS"), ("b.wav", "PCM_16"), ("c.flac", "PCM_16")):
        enhance_file(nothing, tmp_path / "in.opus", tmp_path / name)
        info = soundfile.info(tmp_path / name)
        assert (info.frames, info.subtype) == (48_000, expected)
    soundfile.write(tmp_path / "in.wav", wave, 44_100, subtype="DOUBLE")
    enhance_file(nothing, tmp_path / "in.wav", tmp_path / "d.flac")
    assert soundfile.info(tmp_path / "d.flac").subtype == "PCM_24"
    with pytest.raises(AudioError, match="OPUS does not hold 1 channels at 44100 Hz"):
        enhance_file(nothing, tmp_path / "in.wav", tmp_path / "e.opus")
    assert not (tmp_path / "e.opus").exists()


def tagged(text: bytes, picture: int = 0) -> bytes:
    """Return an ID3v2 block with a comment, and an empty picture of so many bytes."""
    parts = ((b"COMM", b"\0eng\0" + text), (b"APIC", b"\0image/png\0\3\0" + bytes(picture)))
    sizes = [bytes(len(body) >> bits & 127 for bits in (21, 14, 7, 0)) for _, body in parts]
    block = b"".join(
        name + size + b"\0\0" + body for (name, body), size in zip(parts, sizes, strict=True)
    )
    return b"ID3\4\0\0" + bytes(len(block) >> bits & 127 for bits in (21, 14, 7, 0)) + block


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_words_before_an_mp3_stream_are_no_header(
    rate: int, channels: int, tmp_path: Path
) -> None:
    wave = band_limited(2 * rate, rate)[:, None].expand(-1, channels)
    path = tmp_path / "a.mp3"
    soundfile.write(path, wave.numpy(), rate)
    stream = path.read_bytes()
    assert b"Info" in stream[:100] or b"Xing" in stream[:100]
    for tag in (b"", tagged(b"Info about this recording"), tagged(b"Xing", 20_000)):
        path.write_bytes(tag + stream)
        with reading(path) as reader:
            assert sum(block.shape[1] for block in reader.blocks()) == reader.file.frames
        path.write_bytes(tag + stream[: int(0.9 * len(stream))])
        with pytest.raises(AudioError, match="a.mp3: is cut short or damaged"), reading(path):
            pass


@pytest.mark.parametrize("spare", range(0, 16, 3))
def test_a_header_that_ends_early_is_no_header(spare: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    for start in (bytes(64), b"\xff\xfb\x90\0" + bytes(32)):
        path.write_bytes(start + b"Info\0\0\0\2"[: 4 + spare] + bytes(max(0, spare - 4)))
        with pytest.raises(AudioError, match="a.mp3: "), reading(path) as reader:
            list(reader.blocks())


def test_files_are_read_where_the_standard_error_is_closed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(500), 16_000)
    kept = os.dup(2)
    os.close(2)
    try:
        with reading(tmp_path / "a.wav") as reader:
            frames = sum(block.shape[1] for block in reader.blocks())
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert frames == 500


def test_peaks_are_not_clipped(tmp_path: Path, nothing: Enhancer) -> None:
    """Resampling a clipped recording overshoots full scale; the file must not clip again."""
    clipped = (5 * band_limited(60_000, 44_100)).clamp(-1, 1)
    for kind in ("PCM_16", "FLOAT"):
        soundfile.write(tmp_path / "in.wav", clipped.numpy(), 44_100, subtype=kind)
        enhance_file(nothing, tmp_path / "in.wav", tmp_path / "out.wav")
        out, _ = soundfile.read(tmp_path / "out.wav")
        flat = int((np.abs(out) >= 0.9999).sum())
        assert (flat == 0 and np.abs(out).max() < 0.991) if kind == "PCM_16" else out.max() > 1


SCRIPT = """
import json, resource, sys
import numpy, soundfile, torch
sys.path.insert(0, {tests!r})
from tiny import Nothing
import edmse_lite as se
from edmse_lite.enhancement import Enhancer, enhance_file
torch.set_num_threads(1)
enhancer = Enhancer(Nothing(), sampler=se.EDM(steps=1))
peaks = []
for halves in (1, 8):
    rng = numpy.random.default_rng(0)
    with soundfile.SoundFile("in.wav", "w", 44_100, 1, "PCM_16") as file:
        for _ in range(halves):
            file.write(0.1 * rng.standard_normal(30 * 44_100, "float32"))
    enhance_file(enhancer, "in.wav", "out.wav")
    assert soundfile.info("out.wav").frames == halves * 30 * 44_100
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps(peaks))
"""


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    short, long = json.loads(done.stdout)
    assert long < short + 40  # MB
