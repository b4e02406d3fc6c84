"""Folders of clean and noisy recordings, whoever made them, as pairs.

A folder holds ``clean/`` and ``noisy/`` with files of one name, such as what ``edmse corpus get``
and ``edmse corpus --write`` leave. EARS-WHAM's noisy files end in the mixture SNR, such as
``00001_3.4dB.wav``; they find their clean partner without it.

Chapter: 2 (The complex spectrogram as data).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .corpora import AUDIO_SUFFIXES, Pair, check_audible, read_mono

BAD = ("refuse", "skip")
"""What to do with a bad file: stop and name it, or name it and leave it out."""

FACTS = "pairs.csv"
"""Name of the table in a folder that tells what the files do not."""

_SNR = re.compile(r"(.+)_(-?\d+(?:\.\d+)?)dB")
_VOICE = re.compile(r"(p\d{3})[_/]")  # of VoiceBank and EARS
_FACTS = ("voice", "noise_type", "noise_file", "text", "language")

Report = Callable[[str], None]
"""Called with a line on each file that is left out."""


@dataclass(frozen=True)
class PairFiles:
    """Two files of one name, not yet read.

    Args:
        key: path of both in their folder, without suffix.
        clean, noisy: the files.
        facts: what is known beforehand; its ``clean`` and ``noisy`` are empty.

    Chapter: 2.
    """

    key: str
    clean: Path
    noisy: Path
    facts: Pair

    def read(self) -> Pair:
        """Both waveforms; the mixture SNR is computed from them where it is not known.

        Raises:
            FileNotFoundError: a file is gone.
            ValueError: a file is no audio, is silent, or the two differ in length.
        """
        clean, noisy = read_mono(self.clean), read_mono(self.noisy)
        if clean.shape != noisy.shape:
            raise ValueError(
                f"{self.noisy}: {len(noisy)} samples, but its clean partner has {len(clean)}"
            )
        check_audible(clean, str(self.clean))
        check_audible(noisy, str(self.noisy))
        noise = noisy - clean
        snr = 10 * torch.log10(clean.square().sum() / noise.square().sum().clamp_min(1e-12))
        known = self.facts.snr == self.facts.snr  # not NaN
        return replace(
            self.facts, clean=clean, noisy=noisy, snr=self.facts.snr if known else float(snr)
        )


def folder_pairs(
    folder: str | Path, bad: str = "refuse", report: Report | None = None
) -> list[Pair]:
    """Pairs of a folder that holds ``clean/`` and ``noisy/`` with files of the same names.

    Args:
        folder: the folder, such as ``voicebank-demand/test``.
        bad: what to do with a bad file, see `BAD`.
        report: called with a line on each file that is left out.

    Returns:
        Pairs in the order of their names; the mixture SNR is computed from each pair, unless
        ``pairs.csv`` in the folder tells it.

    Raises:
        FileNotFoundError: if a folder is missing or holds no audio.
        ValueError: if no pair is good; or, where bad files are refused, if a file has no partner,
            is no audio or silent, the two differ in length, or two files of one folder have the
            same name; the message names them.

    Chapter: 2.
    """
    return list(each_pair(folder, bad, report))


def each_pair(
    folder: str | Path, bad: str = "refuse", report: Report | None = None
) -> Iterator[Pair]:
    """The same one after the other, so that memory need not hold all; raises the same.

    Chapter: 2.
    """
    found = False
    for pair in read_pairs(find_pairs(folder, bad, report), bad, report):
        found = True
        yield pair
    if not found:
        raise ValueError(f"{folder}: holds no good pair; `edmse corpus check {folder}` says why")


def read_pairs(
    files: Iterable[PairFiles], bad: str = "refuse", report: Report | None = None
) -> Iterator[Pair]:
    """Read pairs one after the other; ``bad`` and ``report`` as for :func:`folder_pairs`.

    Chapter: 2.
    """
    _check_choice(bad)
    for each in files:
        try:
            pair = each.read()
        except (ValueError, OSError) as error:
            _judge(str(error), bad, report)
        else:
            yield pair


def find_pairs(
    folder: str | Path, bad: str = "refuse", report: Report | None = None
) -> list[PairFiles]:
    """Files of a folder that belong together, in the order of their names, not yet read.

    Args:
        folder, bad, report: as for :func:`folder_pairs`; it raises the same.

    Chapter: 2.
    """
    _check_choice(bad)
    folder = Path(folder)
    clean, noisy = (_audio_files(folder / side, bad, report) for side in ("clean", "noisy"))
    for key in sorted(noisy.keys() - clean.keys()):
        named = _SNR.fullmatch(key)
        if named and named[1] in clean and named[1] not in noisy:
            noisy[named[1]] = noisy.pop(key)
    for key in sorted(clean.keys() ^ noisy.keys()):
        _judge(f"{folder}: {key} has no partner in clean/ or noisy/", bad, report)
    facts = _read_facts(folder / FACTS)
    none = torch.zeros(0)
    return [
        PairFiles(key, clean[key], noisy[key], facts.get(key) or Pair(
            key, none, none, voice=voice_of(key), noise_file=key))
        for key in sorted(clean.keys() & noisy.keys())
    ]  # fmt: skip


def voice_of(key: str) -> str:
    """Speaker of a key such as ``p226_001`` or ``p102/00001``; empty if it names none.

    Chapter: 2.
    """
    found = _VOICE.match(key)
    return found[1] if found else ""


def _check_choice(bad: str) -> None:
    if bad not in BAD:
        raise ValueError(f"bad files can be left to {' or '.join(BAD)}, not to {bad!r}")


def _judge(fault: str, bad: str, report: Report | None) -> None:
    if bad == "refuse":
        raise ValueError(fault)
    if report:
        report(fault)


def _audio_files(folder: Path, bad: str, report: Report | None) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected clean/ and noisy/ beside it")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{folder}: holds no audio ({', '.join(AUDIO_SUFFIXES)})")
    named: dict[str, Path] = {}
    for path in found:
        first = named.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        if first != path:
            _judge(f"{first} and {path} have one name; keep one of them", bad, report)
    return named


def _read_facts(path: Path) -> dict[str, Pair]:
    """What ``pairs.csv`` says of each key, if there is one."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {"key", "snr"} - set(rows[0] if rows else ("key", "snr"))
    if missing:
        raise ValueError(f"{path}: no column {', '.join(sorted(missing))}; mend or remove the file")
    none = torch.zeros(0)
    return {
        row["key"]: Pair(
            row["key"], none, none, float(row["snr"] or "nan"),
            **{name: row.get(name) or "" for name in _FACTS} | {
                "noise_file": row.get("noise_file") or row["key"]},
            whole=row.get("whole") != "False",
        )
        for row in rows
    }  # fmt: skip
