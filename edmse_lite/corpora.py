"""Where speech and noise come from: the bundled corpus, and folders of clean and noisy pairs.

Chapter: 2 (The complex spectrogram as data); the data card describes the corpus.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from .spectrograms import SAMPLE_RATE

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
"""Suffixes of audio files that a folder is searched for."""


@dataclass(frozen=True)
class Clip:
    """One recording of a corpus: a row of its manifest.

    Args:
        path: audio file.
        kind: ``speech`` or ``noise``.
        split: ``train``, ``valid``, ``test`` or ``test-unseen``.
        label: voice, or type of noise.
        language: two letters, empty for noise.
        seconds: length, s.
        text: transcript, empty for noise.
        author, source, licence: where it comes from and how it may be used.

    Chapter: 2.
    """

    path: Path
    kind: str
    split: str
    label: str
    language: str
    seconds: float
    text: str
    author: str
    source: str
    licence: str

    def audio(self) -> Tensor:
        """Mono waveform at 16 kHz, shape (T,); raises what :func:`read_mono` raises."""
        return read_mono(self.path)


@dataclass(frozen=True)
class Pair:
    """A clean recording and the same recording with environmental noise.

    Args:
        key: name that is unique in its set.
        clean: waveform at 16 kHz, shape (T,).
        noisy: waveform at 16 kHz, shape (T,).
        snr: mixture SNR, dB; NaN where it is not known.
        voice: speaker.
        noise_type: type of the environmental noise.
        noise_file: recording that the noise was cut from; intervals are clustered by it.
        text: transcript.
        language: two letters, of the transcript.
        whole: whether all of the transcript is heard; the fixed sets cut clips off at 4 s.

    Chapter: 2.
    """

    key: str
    clean: Tensor
    noisy: Tensor
    snr: float = float("nan")
    voice: str = ""
    noise_type: str = ""
    noise_file: str = ""
    text: str = ""
    language: str = ""
    whole: bool = True


@dataclass(frozen=True)
class Corpus:
    """Recordings with their descriptions.

    Args:
        clips: the recordings, in the order of the manifest.

    Chapter: 2.
    """

    clips: tuple[Clip, ...]

    @classmethod
    def bundled(cls) -> Corpus:
        """The corpus that comes with the package: 1,671 prompts and 143 field recordings."""
        return cls.from_manifest(Path(__file__).parent / "corpus" / "manifest.csv")

    @classmethod
    def from_manifest(cls, manifest: str | Path) -> Corpus:
        """Corpus described by a CSV file whose paths are relative to its folder.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a column is missing; the message names it.
        """
        manifest = Path(manifest)
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = ("kind", "split", "label", "language", "text", "author", "source", "licence")
        missing = {"path", "seconds", *names} - set(rows[0] if rows else ())
        if missing:
            raise ValueError(f"{manifest}: no column {', '.join(sorted(missing))}")
        return cls(
            tuple(
                Clip(
                    path=manifest.parent / row["path"],
                    seconds=float(row["seconds"]),
                    **{name: row[name] for name in names},
                )
                for row in rows
            )
        )

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def where(self, **fields: str) -> Corpus:
        """Clips whose fields have these values, e.g. ``where(kind="speech", split="train")``."""
        return self.filter(lambda clip: all(getattr(clip, k) == v for k, v in fields.items()))

    def filter(self, wanted: Callable[[Clip], bool]) -> Corpus:
        """Clips for which ``wanted(clip)`` holds."""
        return replace(self, clips=tuple(clip for clip in self.clips if wanted(clip)))

    def audio(self) -> list[Tensor]:
        """All waveforms, mono at 16 kHz, read by several threads; a list of shapes (T_i,)."""
        with ThreadPoolExecutor() as threads:
            return list(threads.map(Clip.audio, self.clips))


def read_mono(path: str | Path) -> Tensor:
    """Read an audio file as mono at 16 kHz.

    Args:
        path: wav, flac, ogg, opus or mp3.

    Returns:
        Waveform, shape (T,), float32, full scale is 1.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no audio, is empty, or holds samples that are not finite.

    Chapter: 2.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        data, rate = soundfile.read(path, dtype="float32", always_2d=True)  # (T, channels)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(f"{path}: not readable as audio ({error})") from None
    wave = torch.from_numpy(data).mean(dim=1)  # (T,)
    if not len(wave):
        raise ValueError(f"{path}: holds no samples; remove the file or write it again")
    if not wave.isfinite().all():
        raise ValueError(f"{path}: holds samples that are not finite; mend or remove the file")
    if rate != SAMPLE_RATE:
        from .resampling import torchaudio

        wave = torchaudio().functional.resample(wave, rate, SAMPLE_RATE)
    return wave


def folder_pairs(folder: str | Path) -> list[Pair]:
    """Pairs of a folder that holds ``clean/`` and ``noisy/`` with files of the same names.

    Args:
        folder: the folder; VoiceBank-DEMAND's layout, once its folders are so named.

    Returns:
        Pairs in the order of their names; the mixture SNR is computed from each pair.

    Raises:
        FileNotFoundError: if a folder is missing or holds no audio.
        ValueError: if a file has no partner, the two differ in length, or two files of one folder
            have the same name; the message names them.

    Chapter: 2.
    """
    folder = Path(folder)
    sides = {side: _audio_files(folder / side) for side in ("clean", "noisy")}
    alone = sides["clean"].keys() ^ sides["noisy"].keys()
    if alone:
        raise ValueError(f"{folder}: {sorted(alone)[0]} has no partner in clean/ or noisy/")
    return [_read_pair(key, sides["clean"][key], sides["noisy"][key]) for key in sides["clean"]]


def _audio_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected clean/ and noisy/ beside it")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{folder}: holds no audio ({', '.join(AUDIO_SUFFIXES)})")
    named: dict[str, Path] = {}
    for path in found:
        first = named.setdefault(str(path.relative_to(folder).with_suffix("")), path)
        if first != path:
            raise ValueError(f"{first} and {path} have one name; keep one of them")
    return named


def _read_pair(key: str, clean_path: Path, noisy_path: Path) -> Pair:
    clean, noisy = read_mono(clean_path), read_mono(noisy_path)
    if clean.shape != noisy.shape:
        raise ValueError(
            f"{noisy_path}: {len(noisy)} samples, but its clean partner has {len(clean)}"
        )
    noise = noisy - clean
    snr = 10 * torch.log10(clean.square().sum() / noise.square().sum().clamp_min(1e-12))
    return Pair(key, clean, noisy, float(snr), noise_file=key)
