"""The corpus is what its manifest says; folders of pairs are read, and bad ones named."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from edmse_lite.corpora import Corpus, as_16_bit, read_mono
from edmse_lite.folders import find_pairs, folder_pairs

CORPUS = Corpus.bundled()


def write(path: Path, wave: np.ndarray, rate: int = 16_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


def sine(seconds: float = 0.5, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def test_the_bundled_corpus_is_whole() -> None:
    assert len(CORPUS) == 1_814
    assert all(clip.path.is_file() for clip in CORPUS)
    files = {path for path in CORPUS.clips[0].path.parents[2].rglob("*.opus")}
    assert files == {clip.path for clip in CORPUS}  # no file without a row
    assert sum(clip.path.stat().st_size for clip in CORPUS) < 55e6


def test_every_clip_has_an_author_a_source_and_a_known_licence() -> None:
    licences = {"CC-BY-SA-3.0", "CC-BY-3.0", "CC0-1.0", "public-domain"}
    assert {clip.licence for clip in CORPUS} == licences
    assert all(clip.author and clip.source for clip in CORPUS)


def test_prompts_have_a_language_and_nearly_all_have_words_and_noise_has_none() -> None:
    speech = CORPUS.where(kind="speech")
    assert all(clip.language for clip in speech)
    assert len(speech.where(text="")) == 46  # the source lists no words for them
    assert not any(clip.text or clip.language for clip in CORPUS.where(kind="noise"))


def test_no_recording_is_in_two_splits() -> None:
    splits: dict[Path, set[str]] = {}
    for clip in CORPUS:
        splits.setdefault(clip.path, set()).add(clip.split)
    assert len(splits) == len(CORPUS)
    assert set().union(*splits.values()) == {"train", "valid", "test", "test-unseen"}


def test_no_prompt_of_training_is_tested_in_any_language() -> None:
    seen = CORPUS.where(kind="speech").filter(lambda clip: clip.split != "test-unseen")
    names: dict[str, set[str]] = {}
    for clip in seen:
        language = clip.path.parts.index(clip.language)
        name = "/".join(clip.path.with_suffix("").parts[language + 1 :])
        names.setdefault(name, set()).add(clip.split)
    assert all(len(splits) == 1 for splits in names.values())


def test_unseen_means_unseen() -> None:
    def labels(kind: str, *splits: str) -> set[str]:
        clips = CORPUS.where(kind=kind).filter(lambda clip: clip.split in splits)
        return {clip.label for clip in clips}

    for kind in ("speech", "noise"):
        known = labels(kind, "train", "valid")
        assert not known & labels(kind, "test-unseen")
        assert labels(kind, "test", "valid") <= labels(kind, "train")
    unseen = CORPUS.where(kind="speech", split="test-unseen")
    languages = {clip.language for clip in CORPUS.where(kind="speech", split="train")}
    assert not languages & {clip.language for clip in unseen}


def test_recordings_are_as_long_as_the_manifest_says_and_audible() -> None:
    some = CORPUS.clips[::61]
    for clip, wave in zip(some, Corpus(some).audio(), strict=True):
        assert wave.dtype == torch.float32 and wave.ndim == 1
        assert abs(len(wave) / 16_000 - clip.seconds) < 0.05, clip.path
        assert wave.isfinite().all() and wave.square().mean() > 1e-6, clip.path


def test_where_and_filter_agree() -> None:
    first = CORPUS.where(kind="noise", split="train")
    second = CORPUS.filter(lambda clip: (clip.kind, clip.split) == ("noise", "train"))
    assert first == second and len(first) == 93
    assert not len(CORPUS.where(label="no such voice"))


def test_a_manifest_without_a_column_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "kind", "seconds"], ["a.wav", "speech", "1"]])
    with pytest.raises(ValueError, match="no column author, label, language"):
        Corpus.from_manifest(manifest)
    with pytest.raises(FileNotFoundError):
        Corpus.from_manifest(tmp_path / "none.csv")


def test_a_manifest_without_rows_or_lengths_is_refused(tmp_path: Path) -> None:
    names = ["path", "kind", "split", "label", "language", "seconds", "text"]
    header = ",".join([*names, "author", "source", "licence"])
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"{header}\n")
    with pytest.raises(ValueError, match="manifest.csv: lists no recording; add a row"):
        Corpus.from_manifest(manifest)
    good = "a.wav,noise,train,rain,,1.5,,me,here,CC0-1.0\n"
    manifest.write_text(f"{header}\n{good}")
    assert Corpus.from_manifest(manifest).clips[0].seconds == 1.5
    for bad in ("", "long", "nan", "inf", "-1"):
        manifest.write_text(f"{header}\n{good}{good.replace('1.5', bad)}")
        with pytest.raises(ValueError, match=f"manifest.csv, line 3: seconds is '{bad}', expect"):
            Corpus.from_manifest(manifest)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_formats_and_rates_come_out_as_16_khz_mono(tmp_path: Path, suffix: str) -> None:
    stereo = np.stack([sine(1.0, 48_000), -0.5 * sine(1.0, 48_000)], axis=1)
    wave = read_mono(write(tmp_path / f"a{suffix}", stereo, 48_000))
    assert abs(len(wave) - 16_000) < 1_200  # mp3 pads with frames
    spectrum = torch.fft.rfft(wave[2_000:14_000]).abs()
    assert abs(int(spectrum.argmax()) * 16_000 / 12_000 - 440) < 2
    middle = wave[2_000:14_000]
    assert_close(middle.square().mean().sqrt().item(), 0.125 / 2**0.5, rtol=0.05, atol=0)


def test_wav_samples_are_read_exactly(tmp_path: Path) -> None:
    data = sine().astype(np.float32)
    assert_close(read_mono(write(tmp_path / "a.wav", data)), torch.from_numpy(data), rtol=0, atol=0)


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("these are words")
    with pytest.raises(ValueError, match="text.wav: not readable as audio"):
        read_mono(text)
    (tmp_path / "zero.wav").touch()
    with pytest.raises(ValueError, match="zero.wav"):
        read_mono(tmp_path / "zero.wav")
    with pytest.raises(FileNotFoundError, match="absent.wav: no such file"):
        read_mono(tmp_path / "absent.wav")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_mono(tmp_path)  # a folder
    broken = sine()
    broken[7] = np.nan
    with pytest.raises(ValueError, match="nan.wav: holds samples that are not finite"):
        read_mono(write(tmp_path / "nan.wav", broken))


def test_pairs_of_a_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i, name in enumerate(("b/two", "a")):
        clean, noise = sine(), 0.1 * rng.standard_normal(8_000)
        write(tmp_path / "clean" / f"{name}.wav", clean)
        write(tmp_path / "noisy" / f"{name}.wav", clean + noise * 10 ** (-i / 2))
    one, two = folder_pairs(tmp_path)
    assert (one.key, two.key) == ("a", "b/two")
    assert len({one.noise_file, two.noise_file}) == 2  # every pair is its own cluster
    power = 10 * np.log10(0.125 / 0.01)
    assert abs(one.snr - power - 10) < 0.3 and abs(two.snr - power) < 0.3
    assert_close(two.clean, torch.from_numpy(sine()).float())


def test_folders_that_hold_no_pairs_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="clean"):
        folder_pairs(tmp_path)
    (tmp_path / "clean").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no audio"):
        folder_pairs(tmp_path)
    write(tmp_path / "clean" / "a.wav", sine())
    write(tmp_path / "noisy" / "a.wav", sine())
    write(tmp_path / "noisy" / "b.wav", sine())
    with pytest.raises(ValueError, match="b has no partner"):
        folder_pairs(tmp_path)
    write(tmp_path / "clean" / "b.wav", sine(0.4))
    with pytest.raises(ValueError, match="8000 samples, but its clean partner has 6400"):
        folder_pairs(tmp_path)


def test_two_files_of_one_name_are_not_silently_one(tmp_path: Path) -> None:
    for side in ("clean", "noisy"):
        write(tmp_path / side / "a.wav", sine())
        write(tmp_path / side / "a.flac", sine())
    with pytest.raises(ValueError, match="a.flac and .*a.wav"):
        folder_pairs(tmp_path)


def test_an_empty_file_in_a_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "clean" / "a.wav", np.zeros(0))
    write(tmp_path / "noisy" / "a.wav", np.zeros(0))
    with pytest.raises(ValueError, match="a.wav: holds no samples"):
        folder_pairs(tmp_path)


def pair(folder: Path, clean: str, noisy: str = "", seconds: float = 0.5) -> None:
    rng = np.random.default_rng(len(clean))
    wave = sine(seconds)
    write(folder / "clean" / f"{clean}.wav", wave)
    write(folder / "noisy" / f"{noisy or clean}.wav", wave + 0.05 * rng.standard_normal(len(wave)))


def test_ears_wham_pairs_are_found_by_their_number(tmp_path: Path) -> None:
    pair(tmp_path, "p102/00001", "p102/00001_-2.5dB")
    pair(tmp_path, "p102/00002", "p102/00002_17.0dB")
    pair(tmp_path, "p103/00003_3.4dB")  # both sides named alike
    found = find_pairs(tmp_path)
    assert [each.key for each in found] == ["p102/00001", "p102/00002", "p103/00003_3.4dB"]
    assert found[0].noisy.name == "00001_-2.5dB.wav"
    assert [each.read().voice for each in found] == ["p102", "p102", "p103"]


def test_two_mixtures_of_one_clean_file_are_not_one_pair(tmp_path: Path) -> None:
    pair(tmp_path, "00001", "00001_5.0dB")
    pair(tmp_path, "00001", "00001_10.0dB")
    with pytest.raises(ValueError, match="00001_5.0dB has no partner"):
        find_pairs(tmp_path)


def test_bad_files_are_refused_or_left_out_by_name(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        pair(tmp_path, name)
    (tmp_path / "clean" / "b.wav").write_text("these are words")
    write(tmp_path / "clean" / "c.wav", np.zeros(8_000))
    (tmp_path / "noisy" / "d.wav").unlink()
    seen: list[str] = []
    good = folder_pairs(tmp_path, "skip", seen.append)
    assert [each.key for each in good] == ["a", "e"]
    for line, words in zip(
        seen, ("d has no partner", "b.wav: not readable", "c.wav: is silent"), strict=True
    ):
        assert words in line
    with pytest.raises(ValueError, match="d has no partner"):
        folder_pairs(tmp_path)
    pair(tmp_path, "d")
    with pytest.raises(ValueError, match="b.wav: not readable"):
        folder_pairs(tmp_path)
    with pytest.raises(ValueError, match="refuse or skip, not to 'drop'"):
        folder_pairs(tmp_path, "drop")
    for name in ("a", "d", "e"):
        write(tmp_path / "clean" / f"{name}.wav", np.zeros(8_000))
    with pytest.raises(ValueError, match="no good pair; `edmse corpus check"):
        folder_pairs(tmp_path, "skip")


def test_pairs_csv_tells_what_the_files_do_not(tmp_path: Path) -> None:
    pair(tmp_path, "a")
    pair(tmp_path, "b")
    (tmp_path / "pairs.csv").write_text("key,snr,noise_type,noise_file\na,7.5,rain,r1\n")
    first, second = folder_pairs(tmp_path)
    assert (first.snr, first.noise_type, first.noise_file) == (7.5, "rain", "r1")
    assert abs(second.snr - 17) < 0.5 and second.noise_file == "b"
    (tmp_path / "pairs.csv").write_text("name,snr\na,7.5\n")
    with pytest.raises(ValueError, match="pairs.csv: no column key"):
        folder_pairs(tmp_path)


def test_16_bits_keep_a_pair_together() -> None:
    wave = torch.from_numpy(sine()).float()
    exact = (wave * 32_768).round() / 32_768
    (kept,) = as_16_bit(exact)
    assert_close(kept.float() / 32_768, exact, rtol=0, atol=0)
    loud, quiet = as_16_bit(4 * wave, wave)
    assert abs(int(loud.abs().max()) - 0.99 * 32_768) < 2
    assert_close(loud.float(), 4 * quiet.float(), rtol=0, atol=3)
