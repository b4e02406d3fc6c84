"""Pairs in tar files, the WebDataset way: for corpora that no memory holds, on disk or far away.

A shard holds ``KEY.clean.flac``, ``KEY.noisy.flac`` and ``KEY.json`` of one pair after the other,
so that it is read from front to back. ``shards.json`` says how many pairs each holds. With that the
readers of an epoch, however many, share it out to the pair: none is read twice, none is lost.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import io
import json
import random
import re
import tarfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from .corpora import Pair, as_16_bit, check_audible, decode
from .files import replaced, write_bytes
from .spectrograms import SAMPLE_RATE

INDEX = "shards.json"
MEGABYTES = 256  # of a shard, at most


class ShardError(ValueError):
    """Shards that cannot be written or read; the message says which, and how to mend it.

    Chapter: 10.
    """


@dataclass(frozen=True)
class Shard:
    """One tar file.

    Args:
        name: of the file, beside the index.
        pairs: how many it holds.
        bytes: its size.

    Chapter: 10.
    """

    name: str
    pairs: int
    bytes: int = 0


def pack(
    pairs: Iterable[Pair],
    folder: str | Path,
    megabytes: float = MEGABYTES,
    progress: Callable[[Pair], None] | None = None,
) -> tuple[Shard, ...]:
    """Write pairs as shards, in their order, and the index at the end.

    Give them in random order: a reader takes what lies side by side into one batch.

    Args:
        pairs: read one after the other.
        folder: new or without an index; the same pairs make the same bytes.
        megabytes: of a shard, at most, unless one pair takes more.
        progress: called with each pair.

    Returns:
        The shards.

    Raises:
        ShardError: there is an index, two pairs have one name, there is no pair, or the disk is
            full; without an index the folder counts as empty, so run it again.

    Chapter: 10.
    """
    folder = Path(folder)
    if (folder / INDEX).exists():
        raise ShardError(f"{folder / INDEX}: is there already; choose another folder or remove it")
    shards: list[Shard] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, members in enumerate(_filled(pairs, megabytes * 1e6, progress)):
            path = folder / f"pairs-{number:06}.tar"
            with replaced(path) as partial, tarfile.open(partial, "w") as file:
                for name, data in members:
                    info = tarfile.TarInfo(name)  # no owner and no date: the same bytes
                    info.size = len(data)
                    file.addfile(info, io.BytesIO(data))
            count = sum(name.endswith(".json") for name, _ in members)
            shards.append(Shard(path.name, count, path.stat().st_size))
        if not shards:
            raise ShardError(f"{folder}: no pair came, so nothing was written")
        text = json.dumps([asdict(shard) for shard in shards], indent=1) + "\n"
        write_bytes(folder / INDEX, text.encode())
    except OSError as error:
        raise ShardError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or choose "
            "another folder, and run the same command again"
        ) from None
    return tuple(shards)


def _filled(
    pairs: Iterable[Pair], limit: float, progress: Callable[[Pair], None] | None
) -> Iterator[list[tuple[str, bytes]]]:
    """Members of each shard: as many pairs as it takes."""
    members: list[tuple[str, bytes]] = []
    size, names = 0, set()
    for pair in pairs:
        encoded = _encoded(pair)
        if encoded[0][0] in names:
            raise ShardError(f"{pair.key}: two pairs would have this name; rename one")
        names.add(encoded[0][0])
        more = sum(len(data) + 1024 for _, data in encoded)
        if members and size + more > limit:
            yield members
            members, size = [], 0
        members += encoded
        size += more
        if progress:
            progress(pair)
    if members:
        yield members


def _encoded(pair: Pair) -> list[tuple[str, bytes]]:
    import soundfile

    key = re.sub(r"[^\w-]", "_", pair.key)  # WebDataset ends a key at the first dot
    facts: dict[str, Any] = {
        name: getattr(pair, name)
        for name in ("key", "snr", "voice", "noise_type", "noise_file", "text", "language", "whole")
    }
    members = []
    for side, wave in zip(("clean", "noisy"), as_16_bit(pair.clean, pair.noisy), strict=True):
        buffer = io.BytesIO()
        soundfile.write(buffer, wave.numpy(), SAMPLE_RATE, "PCM_16", format="FLAC")
        members.append((f"{key}.{side}.flac", buffer.getvalue()))
        facts[f"crc32_{side}"] = zlib.crc32(buffer.getvalue())
    return [*members, (f"{key}.json", json.dumps(facts).encode())]


def shuffled(items: Sequence[Any], seed: int = 0) -> list[Any]:
    """The items in an order that depends on the seed alone.

    Chapter: 10.
    """
    return random.Random(seed).sample(list(items), len(items))


@dataclass(frozen=True)
class Piece:
    """Pairs of one shard that lie side by side.

    Args:
        shard: number of the shard.
        start, stop: of its pairs, from 0; the stop is not among them.

    Chapter: 10.
    """

    shard: int
    start: int
    stop: int


def deal(counts: Sequence[int], epoch: int, seed: int, reader: int, readers: int) -> list[Piece]:
    """What one of several readers takes in an epoch.

    The shards lie end to end in an order of the epoch's own. Reader c of C takes the pairs from
    c N // C to (c + 1) N // C of all N: the shares differ by one pair at most.

    Args:
        counts: pairs of each shard.
        epoch: number of the epoch.
        seed: of the order.
        reader, readers: number of the reader, from 0, and of all readers.

    Chapter: 10.
    """
    order = random.Random(f"{seed} {epoch}").sample(range(len(counts)), len(counts))
    ends = list(accumulate(counts[number] for number in order))
    total = ends[-1] if ends else 0
    first, last = reader * total // readers, (reader + 1) * total // readers
    pieces = []
    while first < last:
        place = bisect_right(ends, first)
        number = order[place]
        start = ends[place] - counts[number]
        pieces.append(Piece(number, first - start, min(last, ends[place]) - start))
        first = ends[place]
    return pieces


def read_members(file: BinaryIO) -> Iterator[dict[str, bytes]]:
    """Samples of an open tar file, read from front to back: ending to content.

    Args:
        file: the tar file; it need not be seekable.

    Raises:
        tarfile.TarError: it is damaged or cut short.

    Chapter: 10.
    """
    with tarfile.open(fileobj=file, mode="r|") as opened:
        files = (member for member in opened if member.isfile())
        for key, members in groupby(files, lambda member: _split(member.name)[0]):
            sample = {"key": key.encode()}
            for member in members:
                content = opened.extractfile(member)
                sample[_split(member.name)[1]] = content.read() if content else b""
            yield sample


def _split(name: str) -> tuple[str, str]:
    folder, _, last = name.rpartition("/")
    key, _, ending = last.partition(".")
    return f"{folder}/{key}" if folder else key, ending


def decode_pair(sample: dict[str, bytes], shard: str) -> Pair:
    """Pair of a sample; those of other programs may hold wav or ogg, and no JSON.

    Raises:
        ValueError: a side is missing, damaged or silent; the message names the shard and the key.

    Chapter: 10.
    """
    key = sample["key"].decode()
    try:
        facts = json.loads(sample.get("json", b"{}"))
        sums = [facts.pop(f"crc32_{side}", None) for side in ("clean", "noisy")]
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{shard}: {key}.json is damaged ({error})") from None
    waves = []
    for side, crc in zip(("clean", "noisy"), sums, strict=True):
        waves.append(_side(sample, side, crc, f"{shard}: {key}.{side}"))
    if waves[0].shape != waves[1].shape:
        clean, noisy = map(len, waves)
        raise ValueError(f"{shard}: {key} has {clean} clean and {noisy} noisy samples")
    known = {name: facts[name] for name in Pair.__dataclass_fields__ if name in facts}
    return Pair(**{"key": key} | known, clean=waves[0], noisy=waves[1])


def _side(sample: dict[str, bytes], side: str, crc: int | None, name: str) -> Tensor:
    data = next((data for end, data in sample.items() if end.startswith(f"{side}.")), None)
    if data is None:
        raise ValueError(f"{name} is missing")
    if crc is not None and zlib.crc32(data) != crc:
        raise ValueError(f"{name} is damaged: its checksum differs; copy the shard again")
    wave = decode(io.BytesIO(data), name)
    check_audible(wave, name)
    return wave
