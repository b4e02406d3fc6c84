"""Audio files, read and written block by block; whatever is wrong with one is said in one line.

Chapter: 1 (A noisy recording, enhanced).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edmse_lite.endings import CHECKED, ending, missing
from edmse_lite.files import replaced
from edmse_lite.streams import LOWEST_RATE

if TYPE_CHECKING:
    from soundfile import SoundFile

BLOCK = 65_536  # frames read or written at once
LOUDEST = 1e6  # samples beyond this are no audio; float32 could not hold their power
OUTPUTS = {
    ".wav": ("WAV", ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    ".flac": ("FLAC", ("PCM_16", "PCM_24")),
    ".ogg": ("OGG", ("VORBIS", "OPUS")),
    ".opus": ("OGG", ("OPUS",)),
    ".mp3": ("MP3", ("MPEG_LAYER_III",)),
}
"""Suffix: format, and the kinds of samples it may hold."""


class AudioError(ValueError):
    """A file that cannot be read or written: the file, what was found, how to mend it.

    Chapter: 1.
    """


@dataclass(frozen=True)
class Reader:
    """An open audio file.

    Args:
        path: the file.
        file: the open file.
        counted: whether it says how many samples it has; else the decoder's estimate is no less.

    Chapter: 1.
    """

    path: Path
    file: SoundFile
    counted: bool = True

    @property
    def rate(self) -> int:
        """Samples a second, Hz."""
        return self.file.samplerate

    @property
    def seconds(self) -> float:
        """Length, s."""
        return self.file.frames / self.file.samplerate

    def blocks(self) -> Iterator[Tensor]:
        """Yield the sound from its beginning, each (channels, samples), float32.

        Raises:
            AudioError: the file is damaged or cut short, or holds NaN.
        """
        import soundfile

        done, frames = 0, self.file.frames
        while done < frames:
            try:
                block = self.file.read(min(BLOCK, frames - done), "float32", always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError):
                raise cut_short(self.path, f"no more after {done} of {frames} samples") from None
            if not len(block) and done and not self.counted:
                return
            if not len(block):
                raise cut_short(self.path, f"it ends after {done} of {frames} samples")
            wave = torch.from_numpy(block).T  # (channels, samples)
            check_samples(wave, str(self.path))
            done += len(block)
            yield wave.contiguous()


def check_samples(wave: Tensor, name: str) -> None:
    """Raise an AudioError, which begins with ``name``, for samples that are no audio."""
    if not bool(wave.isfinite().all()):
        count = int((~wave.isfinite()).sum())
        raise AudioError(
            f"{name}: holds {count} NaN or infinite samples — "
            "mend them, or find the step that made them"
        )
    if bool((wave.abs() > LOUDEST).any()):
        raise AudioError(
            f"{name}: holds samples up to {float(wave.abs().max()):.3g}, expected -1 to 1 — "
            "divide it by its full scale"
        )


def cut_short(path: Path, what: str) -> AudioError:
    """Return the error for a file whose end is missing."""
    return AudioError(f"{path}: is cut short or damaged ({what}) — copy or download it again")


def _unreadable(path: Path, what: str) -> AudioError:
    """Return the error for a file of another kind."""
    return AudioError(
        f"{path}: {what} — expected wav, flac, ogg, opus or mp3 "
        f"(from others: ffmpeg -i {path.name} voice.wav)"
    )


@contextmanager
def reading(path: str | Path) -> Iterator[Reader]:
    """Open an audio file of a kind that libsndfile knows, and whose end can be checked.

    Raises:
        AudioError: missing, empty, cut short, below 1 kHz, or no audio.

    Chapter: 1.
    """
    import soundfile

    path = Path(path)
    try:
        if not path.exists():
            raise AudioError(f"{path}: no such file — check the name")
        if not path.is_file():
            raise AudioError(f"{path}: is not a file — give an audio file")
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: is empty (0 bytes) — record or copy it again")
        end = ending(path)
        with _quiet():
            file = soundfile.SoundFile(os.fsencode(path))  # a name may be no UTF-8
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror}) — check its rights") from None
    except (soundfile.LibsndfileError, RuntimeError, TypeError):
        raise _unreadable(path, "is not audio that can be read") from None
    with file:
        if file.format not in CHECKED:
            raise _unreadable(path, f"is {file.format} audio, which breaks off without a sign")
        if lacks := end.lacks or missing(path, file):
            raise cut_short(path, lacks)
        if not (end.counted or end.steady):
            raise AudioError(
                f"{path}: its bit rate varies and its beginning does not say how long it is — "
                f"give it one that does: ffmpeg -i {path.name} -c copy whole.mp3"
            )
        if file.frames == 0:
            raise AudioError(f"{path}: holds no samples — record or copy it again")
        if file.samplerate < LOWEST_RATE:
            raise AudioError(
                f"{path}: has {file.samplerate} samples a second, expected {LOWEST_RATE} or more — "
                "record it again, or mend its header"
            )
        yield Reader(path, file, end.counted)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the MP3 decoder from printing while it looks at a file."""
    try:
        kept = os.dup(2)
    except OSError:  # the standard error is closed: nobody hears it
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def check_target(path: str | Path, source: str | Path | None = None) -> None:
    """Raise an AudioError if ``path`` cannot be written, before any work is done.

    Args:
        path: audio file to write.
        source: file that must not be overwritten.

    Chapter: 1.
    """
    path = Path(path)
    if path.suffix.lower() not in OUTPUTS:
        kinds = ", ".join(OUTPUTS)
        found = f"ends in {path.suffix!r}" if path.suffix else "has no suffix"
        raise AudioError(f"{path}: {found} — choose one of {kinds}, or make that folder first")
    if not path.parent.is_dir():
        raise AudioError(f"{path}: the folder {path.parent} does not exist — make it first")
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise AudioError(f"{path}: is not a file — give another name")
    if source is not None and path.exists() and Path(source).exists() and path.samefile(source):
        raise AudioError(f"{path}: is the input as well — give the output another name")
    if not os.access(path.parent, os.W_OK):
        raise AudioError(f"{path}: the folder {path.parent} cannot be written — choose another")


def sample_kind(path: str | Path, subtype: str) -> str:
    """Kind of samples for an output, the input's where the format allows.

    Kinds of less than 16 bits become 16 bits; 32 bits and floats become 24 bits in a flac file.

    Chapter: 1.
    """
    kinds = OUTPUTS[Path(path).suffix.lower()][1]
    if subtype in kinds:
        return subtype
    wide = subtype in ("PCM_24", "PCM_32", "FLOAT", "DOUBLE") and "PCM_24" in kinds
    return "PCM_24" if wide else kinds[0]


@contextmanager
def writing(
    path: str | Path, rate: int, channels: int, kind: str
) -> Iterator[Callable[[Tensor], None]]:
    """Yield a function that appends a block (channels, samples); the file appears at the end.

    Args:
        path: audio file to write; the suffix gives the format.
        rate: samples a second, Hz.
        channels: how many.
        kind: of samples, see :func:`sample_kind`.

    Raises:
        AudioError: the format cannot hold the sound, the folder cannot be written, the disk is
            full. An earlier file stays as it was.

    Chapter: 1.
    """
    import soundfile

    path = Path(path)
    container = OUTPUTS[path.suffix.lower()][0]
    try:
        with replaced(path) as partial:
            partial.touch()
            try:
                file = soundfile.SoundFile(
                    os.fsencode(partial), "w", rate, channels, kind, format=container
                )
            except soundfile.LibsndfileError:
                raise AudioError(
                    f"{path}: {kind} does not hold {channels} channels at {rate} Hz — "
                    "write a .wav or .flac file"
                ) from None
            with file:
                yield lambda block: _append(file, block)
    except (OSError, soundfile.LibsndfileError, AssertionError) as error:
        why = getattr(error, "strerror", None) or "disk full?"
        raise AudioError(
            f"{path}: cannot be written ({why}) — free some space or choose another folder"
        ) from None


def _append(file: SoundFile, block: Tensor) -> None:
    for piece in block.T.split(BLOCK // 4):  # the Vorbis encoder does not bear long blocks
        file.write(piece.contiguous().numpy())
