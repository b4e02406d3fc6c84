"""Shards wherever they lie: on a disk, behind http, in a bucket, or at the end of a pipe.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import http.client
import json
import re
import shlex
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO

from .corpora import Pair
from .folders import BAD
from .shards import INDEX, Piece, Shard, ShardError, deal, decode_pair, read_members

TIMEOUT = 60.0  # s without a byte
PAUSES = (1.0, 4.0, 15.0)  # s before another attempt at a shard that broke off
REMOTE = re.compile(r"(https?|s3|pipe):")
_FAULTS = (OSError, http.client.HTTPException, tarfile.TarError, EOFError)


@dataclass(frozen=True)
class Shards:
    """Shards that belong together.

    Args:
        base: folder, ``http://…``, ``s3://…``, or ``pipe:`` and a command that prints the file
            whose name replaces ``{}``.
        shards: the tar files.
        bad: what to do with what is damaged: ``refuse`` or ``skip``.
        report: called with a line on what is left out.
        pauses: s between attempts at a shard that breaks off.

    Chapter: 10.
    """

    base: str
    shards: tuple[Shard, ...]
    bad: str = "refuse"
    report: Callable[[str], None] | None = None
    pauses: Sequence[float] = PAUSES

    def __post_init__(self) -> None:
        if self.bad not in BAD:
            raise ValueError(f"bad files can be left to {' or '.join(BAD)}, not to {self.bad!r}")

    @classmethod
    def at(
        cls,
        base: str | Path,
        bad: str = "refuse",
        report: Callable[[str], None] | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> Shards:
        """Shards of a place, by its index; tar files of a folder without one are counted.

        Raises:
            ShardError: there are none, or the index is damaged or cannot be read.
        """
        base = str(base)
        if not REMOTE.match(base) and not (Path(base) / INDEX).exists():
            return cls(base, _counted(Path(base)), bad, report, pauses)
        place = address(base, INDEX)
        try:
            with opened(place) as file:
                text = file.read()
            rows = json.loads(text)
            shards = tuple(Shard(str(row["name"]), int(row["pairs"])) for row in rows)
        except (*_FAULTS, ValueError, KeyError, TypeError) as error:
            raise ShardError(
                f"{place}: no index can be read ({error}); `edmse corpus pack` writes it beside "
                "the shards, copy it with them"
            ) from None
        if not shards or not all(re.fullmatch(r"[\w.-]+\.tar", each.name) for each in shards):
            raise ShardError(f"{place}: names no shards, or files that are none")
        return cls(base, shards, bad, report, pauses)

    def __len__(self) -> int:
        return sum(shard.pairs for shard in self.shards)

    def epoch(self, number: int, seed: int = 0, reader: int = 0, readers: int = 1) -> list[Piece]:
        """What a reader takes in an epoch, see :func:`edmse_lite.shards.deal`."""
        return deal([each.pairs for each in self.shards], number, seed, reader, readers)

    def read(
        self, reader: int = 0, readers: int = 1, seed: int = 0, start: int = 0
    ) -> Iterator[Pair | str]:
        """Yield what :meth:`items` says of each sample of a reader, epoch after epoch, for ever.

        Args:
            reader, readers: number of the reader, from 0, and of all readers.
            seed: of the order of the shards.
            start: samples to pass over, bad ones too; those of earlier epochs and shards are not
                read for it.

        Raises:
            ShardError: a shard is missing, damaged or breaks off again and again; or there are
                fewer pairs than readers.
        """
        share = (reader + 1) * len(self) // readers - reader * len(self) // readers
        if not share:
            raise ShardError(f"{self.base}: {len(self)} pairs are too few for {readers} readers")
        first, rest = divmod(start, share)
        for number in count(first):
            for piece in self.epoch(number, seed, reader, readers):
                length = piece.stop - piece.start
                if rest >= length:
                    rest -= length
                    continue
                yield from self.items(Piece(piece.shard, piece.start + rest, piece.stop))
                rest = 0

    def pairs(self, piece: Piece) -> Iterator[Pair]:
        """Yield the good pairs of a piece, and report the others; raises what `read` raises."""
        for item in self.items(piece):
            if isinstance(item, Pair):
                yield item
            elif item and self.report:
                self.report(item)

    def items(self, piece: Piece) -> Iterator[Pair | str]:
        """Yield for each sample of a piece the pair, or what is wrong with it where it is skipped.

        Where a shard breaks off, the line comes once, and empty ones for the samples behind it.
        """
        place = address(self.base, self.shards[piece.shard].name)
        left = piece.stop - piece.start
        try:
            for sample in self._samples(place, piece):
                left -= 1
                yield self._pair(sample, place)
        except ShardError as error:
            if self.bad == "refuse":
                raise
            yield from [str(error), *[""] * (left - 1)]

    def _pair(self, sample: dict[str, bytes], place: str) -> Pair | str:
        try:
            return decode_pair(sample, place)
        except ValueError as error:
            if self.bad == "refuse":
                raise ShardError(
                    f"{error}; copy or pack it again, or choose to skip what is bad"
                ) from None
            return str(error)

    def _samples(self, place: str, piece: Piece) -> Iterator[dict[str, bytes]]:
        """Yield the samples of a piece; where the shard breaks off, open it again and go on."""
        done, fruitless = piece.start, 0
        while done < piece.stop:
            before, why, lasting = done, "", not REMOTE.match(place)
            try:
                with opened(place) as file, closing(read_members(file)) as samples:
                    for sample in islice(samples, done, piece.stop):
                        yield sample
                        done += 1
                why = f"it ends after {done} pairs, expected {piece.stop} or more"
            except urllib.error.HTTPError as error:
                why, lasting = str(error), error.code < 500 and error.code != 429
            except _FAULTS as error:
                why = str(error) or type(error).__name__
            if done < piece.stop:
                fruitless = 0 if done > before else fruitless + 1
                if lasting or fruitless > len(self.pauses):
                    raise ShardError(f"{place}: cannot be read ({why}); copy it again")
                time.sleep(self.pauses[fruitless - 1] if fruitless else 0.0)


def address(base: str, name: str) -> str:
    """Address of a file beside others.

    Args:
        base: as of :class:`Shards`.
        name: of the file.

    Chapter: 10.
    """
    if base.startswith("pipe:"):
        return base.replace("{}", shlex.quote(name))
    return f"{base.rstrip('/')}/{name}"


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    """Open what lies at an address, to be read from front to back.

    ``s3://…`` is read by ``aws s3 cp ADDRESS -``, which has the user's rights and settings.

    Raises:
        OSError: it is not there, or the command failed.

    Chapter: 10.
    """
    if place.startswith("s3:"):
        with _piped(f"aws s3 cp --only-show-errors {shlex.quote(place)} -") as file:
            yield file
    elif place.startswith("pipe:"):
        with _piped(place.removeprefix("pipe:")) as file:
            yield file
    elif REMOTE.match(place):
        with urllib.request.urlopen(place, timeout=TIMEOUT) as answer:
            yield answer
    else:
        with Path(place).open("rb") as file:
            yield file


@contextmanager
def _piped(command: str) -> Iterator[BinaryIO]:
    with TemporaryFile() as words, subprocess.Popen(
        command, shell=True, stdout=subprocess.PIPE, stderr=words
    ) as process:
        try:
            yield process.stdout
        except tarfile.TarError:
            if _ended(process) > 0:  # the command knows better why
                raise _failed(command, process, words) from None
            raise
        else:
            if not process.stdout.read(1) and _ended(process):
                raise _failed(command, process, words)
        finally:
            _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Let a command end, one that is still writing too; its exit code."""
    process.stdout.close()
    try:
        return process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _failed(command: str, process: subprocess.Popen[bytes], words: IO[bytes]) -> OSError:
    words.seek(0)
    said = words.read().decode(errors="replace").strip()[-200:]
    return OSError(f"{command}: exit code {process.returncode}. {said}")


def _counted(folder: Path) -> tuple[Shard, ...]:
    """Shards of a folder without an index, such as other programs write."""
    paths = sorted(folder.glob("*.tar"))
    if not paths:
        raise ShardError(f"{folder}: holds neither {INDEX} nor tar files")
    shards = []
    for path in paths:
        try:
            with path.open("rb") as file:
                shards.append(Shard(path.name, sum(1 for _ in read_members(file))))
        except _FAULTS as error:
            raise ShardError(f"{path}: cannot be read ({error}); copy it again") from None
    return tuple(shards)
