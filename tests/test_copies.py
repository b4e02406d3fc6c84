"""Folders of pairs brought to 16 kHz: what is written, what is recorded, and what goes on."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from edmse_lite import checkpoints, compact, copies, voicebank
from edmse_lite.cli import main
from edmse_lite.feeds import open_feed
from edmse_lite.folders import folder_pairs

RATE = 48_000


def sound(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Noise below 4 kHz at 48 kHz, shape (T,): what no resampler can lose."""
    wave = torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))
    bins = torch.fft.rfft(wave)
    bins[round(4_000 * seconds) :] = 0
    return (0.1 * torch.fft.irfft(bins, len(wave)) / 0.4).numpy()


def write(path: Path, wave: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE, "PCM_16")


def ears(root: Path, splits: tuple[str, ...] = ("train", "valid", "test")) -> Path:
    """A tree as EARS-WHAM's: voices as folders, the mixture SNR in the names of noisy files."""
    for number, split in enumerate(splits):
        for k, voice in enumerate(("p102", "p103")):
            clean, noise = sound(10 * number + k), sound(100 + 10 * number + k)
            write(root / split / "clean" / voice / "00001.wav", clean)
            write(root / split / "noisy" / voice / "00001_6.0dB.wav", clean + 0.5 * noise)
    return root


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.wav"))
    }


def test_a_tree_as_ears_wham_becomes_one_at_16_khz_with_its_splits(tmp_path: Path) -> None:
    source, to = ears(tmp_path / "ears"), tmp_path / "ears16"
    told: list[tuple] = []
    counts = copies.take(source, to, progress=lambda *now: told.append(now))
    assert counts == {"train": 2, "valid": 2, "test": 2}
    assert told[-1] == (f"take {source / 'test'}", 2, 2) and len(told) == 6
    for split in counts:
        assert all(soundfile.info(p).samplerate == 16_000 for p in (to / split).rglob("*.wav"))
        before, after = folder_pairs(source / split), folder_pairs(to / split)
        assert [p.key for p in after] == ["p102/00001", "p103/00001"]
        for old, new in zip(before, after, strict=True):
            assert (old.key, old.voice) == (new.key, new.voice)
            assert_close(new.noisy, old.noisy, rtol=0, atol=1.01 / 65_536)  # 16 bits, rounded
            assert_close(new.snr, old.snr, rtol=0, atol=0.01)


def test_the_record_has_the_hash_of_every_source(tmp_path: Path) -> None:
    source, to = ears(tmp_path / "ears", ("test",)), tmp_path / "ears16"
    copies.take(source, to)
    with (to / "test" / copies.RECORD).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == ["p102/00001", "p103/00001"]
    wav = (source / "test" / "noisy" / "p103" / "00001_6.0dB.wav").read_bytes()
    assert rows[1]["noisy_sha256"] == hashlib.sha256(wav).hexdigest()


@settings(max_examples=20)
@given(cut=st.integers(0, 200), lost=st.sampled_from(["", "clean", "noisy"]))
def test_a_copy_that_was_stopped_anywhere_goes_on_to_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, cut: int, lost: str
) -> None:
    root = tmp_path_factory.mktemp("cut")
    source, to = ears(root / "ears", ("test",)), root / "to"
    copies.take(source, to)
    whole, record = hashes(to), to / "test" / copies.RECORD
    text = record.read_bytes()
    record.write_bytes(text[: len(text) - cut])  # killed while it was written
    if lost:
        (to / "test" / lost / "p103" / "00001.wav").unlink()
    if cut < len(text):
        assert copies.take(source, to) == {"test": 2}
        assert hashes(to) == whole and record.read_bytes() == text


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    source, to = ears(tmp_path / "ears", ("test",)), tmp_path / "to"
    copies.take(source, to)
    written = {path: path.stat().st_mtime_ns for path in to.rglob("*.wav")}
    copies.take(source, to)
    assert {path: path.stat().st_mtime_ns for path in to.rglob("*.wav")} == written


def test_other_sources_and_wrong_places_are_named(tmp_path: Path) -> None:
    source, to = ears(tmp_path / "ears", ("test",)), tmp_path / "to"
    copies.take(source, to)
    write(source / "test" / "clean" / "p102" / "00001.wav", sound(77))
    with pytest.raises(ValueError, match=r"00001_6.0dB.wav: is another recording than .*sources"):
        copies.take(source, to)
    with pytest.raises(ValueError, match="is the folder to copy"):
        copies.take(source, source)
    with pytest.raises(FileNotFoundError, match="expected clean/ and noisy/"):
        copies.take(tmp_path / "nothing", to)
    for path in to.rglob("00001.wav"):
        path.unlink()
    assert copies.take(source, to) == copies.take(source, to) == {"test": 2}  # mended, taken anew
    (to / "test" / copies.RECORD).write_text("words\n")
    with pytest.raises(ValueError, match=r"sources.csv: is damaged"):
        copies.take(source, to)


def test_bad_recordings_are_refused_or_left_out_by_name(tmp_path: Path) -> None:
    source, to = ears(tmp_path / "ears", ("test",)), tmp_path / "to"
    write(source / "test" / "clean" / "p102" / "00001.wav", np.zeros(RATE))
    with pytest.raises(ValueError, match=r"p102/00001.wav: is silent"):
        copies.take(source, to)
    left: list[str] = []
    assert copies.take(source, to, "skip", report=left.append) == {"test": 1}
    assert len(left) == 1 and "p102/00001.wav: is silent" in left[0]
    assert [pair.key for pair in folder_pairs(to / "test")] == ["p103/00001"]


def test_a_plain_folder_is_copied_too_with_what_it_says_of_itself(tmp_path: Path) -> None:
    source, to = ears(tmp_path, ("test",)) / "test", tmp_path / "mine"
    (source / "pairs.csv").write_text("key,snr,noise_type\np102/00001,6.0,wind\n")
    assert copies.take(source, to) == {"mine": 2}
    assert folder_pairs(to)[0].noise_type == "wind"


def test_the_command_copies_checks_packs_and_the_copy_can_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source, to = ears(tmp_path / "ears"), tmp_path / "ears16"
    assert main(["corpus", "take", str(source), "--to", str(to)]) == 0
    assert "train: 2 pairs\nvalid: 2 pairs\ntest: 2 pairs" in capsys.readouterr().out
    assert main(["corpus", "check", str(to / "test")]) == 0
    said = capsys.readouterr().out
    assert "2 good pairs" in said and "rms of x0 - y: 0." in said
    assert main(["corpus", "pack", str(to / "train"), str(tmp_path / "shards")]) == 0
    feed = open_feed(to, seconds=0.5)
    clean, noisy = feed.batches.batch(2, torch.Generator().manual_seed(0))
    assert clean.shape == noisy.shape == (2, 8_000) and len(feed.valid) == 2
    assert main(["corpus", "take", str(tmp_path / "none"), "--to", str(to)]) == 2
    assert "none" in capsys.readouterr().err


def test_the_rms_of_r_that_check_prints_is_that_of_the_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from edmse_lite import Spectrogram, level

    source = ears(tmp_path / "ears", ("test",)) / "test"
    assert main(["corpus", "check", str(source)]) == 0
    printed = float(capsys.readouterr().out.split("rms of x0 - y: ")[1].split(";")[0])
    stft, powers = Spectrogram(), []
    for pair in folder_pairs(source):
        r = stft.forward(pair.clean / level(pair.noisy)) - stft.forward(
            pair.noisy / level(pair.noisy)
        )
        powers.append(r.abs().square().mean())
    assert printed == pytest.approx(float(torch.stack(powers).mean().sqrt()), abs=6e-4)


def test_a_measured_sigma_data_is_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from small_run import RECIPE

    monkeypatch.setitem(compact.RECIPES, "compact", RECIPE)
    source, run = ears(tmp_path / "ears"), tmp_path / "run"
    command = ["train", "compact", "--corpus", str(source), "--steps", "1", "--device", "cpu"]
    assert main([*command, "--sigma-data", "0.123", "--out", str(run)]) == 0
    assert checkpoints.load(run).model.preconditioning.sigma_data == 0.123
    capsys.readouterr()
    for wrong in ("0", "-1", "nan", "inf"):
        assert main([*command, f"--sigma-data={wrong}", "--out", str(tmp_path / "no")]) == 2
        assert "measure it as the rms of x0 - y" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_voicebank_and_folders_are_written_alike(tmp_path: Path) -> None:
    wave = torch.from_numpy(sound(3)).float()
    copies.write(tmp_path / "deep" / "a.wav", 2 * wave / wave.abs().max())
    data, rate = soundfile.read(tmp_path / "deep" / "a.wav", dtype="int16")
    assert rate == 16_000 and data.max() == 32_767 and data.min() >= -32_768
    assert voicebank.write is copies.write
