"""A folder of pairs, at any rate, brought to 16 kHz once: EARS-WHAM, or recordings of your own.

What ``edmse corpus get`` does for archives, :func:`take` does for folders that are there already:
16 kHz and 16 bits, one channel, the same splits, and a record of what every file came from. A copy
that was stopped goes on.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from .downloads import sha256_of
from .files import write_bytes
from .folders import FACTS, PairFiles, Report, find_pairs
from .spectrograms import SAMPLE_RATE

SPLITS = ("train", "valid", "test")
RECORD = "sources.csv"
"""Name of the record in the new folder: a line for each pair that was taken."""

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Source:
    """What one pair was made from.

    Args:
        key: of the pair, as :class:`~edmse_lite.folders.PairFiles` has it.
        clean_sha256, noisy_sha256: of both files, 64 hexadecimal digits.

    Chapter: 10.
    """

    key: str
    clean_sha256: str
    noisy_sha256: str

    @classmethod
    def of(cls, files: PairFiles) -> Source:
        """Read both files of a pair for their hashes."""
        return cls(files.key, sha256_of(files.clean), sha256_of(files.noisy))


def take(
    folder: str | Path,
    to: str | Path,
    bad: str = "refuse",
    progress: Progress | None = None,
    report: Report | None = None,
) -> dict[str, int]:
    """Copy pairs at 16 kHz, or go on with that: what is there already is not done again.

    Args:
        folder: holds ``clean/`` and ``noisy/``, or ``train/``, ``valid/`` or ``test/`` with both.
        to: receives the same folders; names lose the mixture SNR that EARS-WHAM gives them.
        bad: what to do with a bad file: ``refuse`` or ``skip``.
        progress: called as it goes on.
        report: called with a line on each file that is left out.

    Returns:
        Pairs of each split that were taken; without splits, under the name of ``to``.

    Raises:
        FileNotFoundError: no pairs there.
        ValueError: a bad file, where they are refused; ``to`` is ``folder``, or was taken from
            other files.
        OSError: the disk is full, or ``to`` cannot be written.

    Chapter: 10.
    """
    folder, to = Path(folder), Path(to)
    if to.resolve() == folder.resolve():
        raise ValueError(f"{to}: is the folder to copy; give another one")
    splits = [name for name in SPLITS if (folder / name / "clean").is_dir()]
    if not splits:
        return {to.name: _take_split(folder, to, bad, progress, report)}
    return {
        name: _take_split(folder / name, to / name, bad, progress, report) for name in splits
    }


def _take_split(
    folder: Path, to: Path, bad: str, progress: Progress | None, report: Report | None
) -> int:
    files = find_pairs(folder, bad, report)
    to.mkdir(parents=True, exist_ok=True)
    if (folder / FACTS).is_file():
        write_bytes(to / FACTS, (folder / FACTS).read_bytes())
    record, count = to / RECORD, 0
    known = _known(record)
    with record.open("a", newline="", encoding="utf-8") as file:
        for number, each in enumerate(files, 1):
            source = _take_pair(each, to, known.get(each.key), bad, report)
            if source and known.get(each.key) != source:
                csv.writer(file, lineterminator="\n").writerow(astuple(source))
                file.flush()
            count += source is not None
            if progress:
                progress(f"take {folder}", number, len(files))
    return count


def _known(record: Path) -> dict[str, Source]:
    """What the record says, key to source; a line that a kill cut short is cut off."""
    head = ",".join(each.name for each in fields(Source)) + "\n"
    text = record.read_bytes().decode(errors="replace") if record.exists() else head
    whole = text[: text.rfind("\n") + 1]
    if whole != text or not record.exists():
        write_bytes(record, whole.encode())
    rows = list(csv.reader(io.StringIO(whole)))
    if not rows or ",".join(rows[0]) + "\n" != head or any(len(row) != 3 for row in rows):
        raise ValueError(f"{record}: is damaged; remove it, and the pairs are taken again")
    return {row[0]: Source(*row) for row in rows[1:]}


def _take_pair(
    files: PairFiles, to: Path, before: Source | None, bad: str, report: Report | None
) -> Source | None:
    """Write both sides of a pair, unless they are there; None if the pair is bad."""
    source = Source.of(files)
    targets = [to / side / f"{files.key}.wav" for side in ("clean", "noisy")]
    if before and all(target.is_file() for target in targets):
        if before != source:
            raise ValueError(
                f"{files.noisy}: is another recording than {to / RECORD} says, or its clean "
                "partner is; take it into another folder"
            )
        return source
    try:
        pair = files.read()
    except ValueError as error:
        if bad == "refuse":
            raise
        if report:
            report(str(error))
        return None
    for target, wave in zip(targets, (pair.clean, pair.noisy), strict=True):
        write(target, wave)
    return source


def write(target: str | Path, wave: Tensor) -> None:
    """Write a waveform at 16 kHz as a wav file of 16 bits, whole or not at all.

    Args:
        target: the file; its folders are made.
        wave: shape (T,); what lies beyond ±1 is clipped.

    Raises:
        OSError: the disk is full, or the folder cannot be written.

    Chapter: 10.
    """
    import soundfile

    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = (32_768 * wave).round().clamp(-32_768, 32_767).to(torch.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, whole.numpy(), SAMPLE_RATE, "PCM_16", format="WAV")
    write_bytes(target, buffer.getvalue())
