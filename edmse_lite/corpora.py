"""Where speech and noise come from: the bundled corpus, and files of one's own.

Chapter: 2 (The complex spectrogram as data); the data card describes the corpus.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from .spectrograms import SAMPLE_RATE

SILENT = 1e-4
"""Samples that all lie below this are silence: -80 dB of full scale."""

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
"""Suffixes of audio files that a folder is searched for."""

OTHER_SUFFIXES = (".aac", ".aif", ".aiff", ".amr", ".au", ".m4a", ".w64", ".webm", ".wma")
"""Suffixes of sound that is left out, and told so."""


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
            ValueError: if a column is missing, no recording is listed, or a length is no number;
                the message names the column or the line.
        """
        manifest = Path(manifest)
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
        names = ("kind", "split", "label", "language", "text", "author", "source", "licence")
        missing = {"path", "seconds", *names} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{manifest}: no column {', '.join(sorted(missing))}")
        if not rows:
            raise ValueError(f"{manifest}: lists no recording; add a row for each below the header")
        return cls(
            tuple(
                Clip(
                    path=manifest.parent / row["path"],
                    seconds=_length(row["seconds"], f"{manifest}, line {line}"),
                    **{name: row[name] for name in names},
                )
                for line, row in rows
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


def _length(text: str | None, place: str) -> float:
    """Length in a manifest, s; raises a ValueError that begins with the place."""
    try:
        seconds = float(text or "")
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{place}: seconds is {text or ''!r}, expected a number; mend the line")
    return seconds


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
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        return decode(file, str(path))


def decode(file: BinaryIO, name: str) -> Tensor:
    """Mono waveform at 16 kHz, shape (T,), of an open audio file.

    Args:
        file: what a wav, flac, ogg, opus or mp3 file holds.
        name: what errors call it.

    Raises:
        ValueError: as for :func:`read_mono`.

    Chapter: 2.
    """
    import soundfile

    try:
        data, rate = soundfile.read(file, dtype="float32", always_2d=True)  # (T, channels)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise ValueError(f"{name}: not readable as audio ({error})") from None
    wave = torch.from_numpy(data).mean(dim=1)  # (T,)
    if not len(wave):
        raise ValueError(f"{name}: holds no samples; remove the file or write it again")
    if not wave.isfinite().all():
        raise ValueError(f"{name}: holds samples that are not finite; mend or remove the file")
    if rate != SAMPLE_RATE:
        from .resampling import torchaudio

        wave = torchaudio().functional.resample(wave, rate, SAMPLE_RATE)
    return wave


def check_audible(wave: Tensor, name: str) -> None:
    """Raise a ValueError for a waveform that is silent: below -80 dB of full scale throughout.

    Args:
        wave: waveform, shape (T,).
        name: what the error calls it.

    Chapter: 2.
    """
    if not float(wave.abs().max()) > SILENT:
        raise ValueError(f"{name}: is silent; record or copy it again, or remove it")


def as_16_bit(*waves: Tensor) -> list[Tensor]:
    """Waveforms as a 16-bit file holds them, int16; one gain for all keeps them below full scale.

    Args:
        waves: waveforms that belong together, of any shape, full scale is 1.

    Chapter: 2.
    """
    peak = max(float(wave.abs().max()) for wave in waves)
    gain = 1.0 if peak <= 32_767 / 32_768 else 0.99 / peak
    return [(gain * 32_768 * wave).round().to(torch.int16) for wave in waves]
