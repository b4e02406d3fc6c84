"""Whether an audio file has its end: a copy or a download that broke off has none.

Decoders read what is there and say nothing, so each kind of file is asked in its own way.

Chapter: 1 (A noisy recording, enhanced).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundfile import SoundFile

CHECKED = {"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "MPEG", "AIFF", "CAF", "AU", "NIST"}
"""The kinds of file whose end is checked, as libsndfile calls them."""
TAIL = 70_000  # bytes; an Ogg page has at most 65,307, an MP3 frame at most 2,881
UNKNOWN_SIZE = 0x7FFF_F000  # programs that write into a pipe leave such sizes in a header
XING = re.compile(  # the first frame of an MP3 stream, where it says how many bytes there are
    rb"\xff(?:[\xfa\xfb].(?:[\0-\xbf].{32}|[\xc0-\xff].{17})"  # MPEG 1: stereo, mono
    rb"|[\xe2\xe3\xf2\xf3].(?:[\0-\xbf].{17}|[\xc0-\xff].{9}))(?:..)?"  # 2; a checksum
    rb"(?:Xing|Info)\0{3}(?:[\x02\x06\x0a\x0e]|[\x03\x07\x0b\x0f].{4})(.{4})", re.DOTALL
)  # fmt: skip
FRAME = re.compile(rb"(?=(\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]))", re.DOTALL)
KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # MPEG 1, layer 3
KBITS_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # MPEG 2 and 2.5
RATES = (44_100, 48_000, 32_000)  # Hz, MPEG 1; half and a quarter of them in 2 and 2.5
SIZES = re.compile(
    r"^\s*(data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)
"""Lines in which libsndfile tells that a file is shorter than its header says."""


@dataclass(frozen=True)
class Ending:
    """How a file ends, as far as its bytes tell.

    Args:
        lacks: what is missing; None if nothing.
        counted: whether the number of samples is known: an MP3 stream need not tell it, and the
            decoder estimates it from the first bit rate.
        steady: whether an MP3 stream has one bit rate, so that the estimate is no less than the
            truth.

    Chapter: 1.
    """

    lacks: str | None = None
    counted: bool = True
    steady: bool = True


def ending(path: Path) -> Ending:
    """Look at the first and the last bytes of a file, for the kinds that need it: Ogg and MP3.

    Raises:
        OSError: it cannot be read.

    Chapter: 1.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(10)  # of an ID3v2 block: its length in four times seven bits
        length = sum((byte & 127) << 7 * (9 - at) for at, byte in enumerate(head) if at > 5)
        start = 10 + length if head.startswith(b"ID3") else 0
        file.seek(start)
        first = file.read(4096)
        file.seek(max(0, size - TAIL))
        tail = file.read()
    if head.startswith(b"OggS"):
        return Ending(None if _ogg_ends(tail) else "the last page of the Ogg stream is missing")
    if not (path.suffix.lower() == ".mp3" or head.startswith(b"ID3") or FRAME.match(head)):
        return Ending()
    if found := XING.search(first):
        there, expected = size - start - found.start(), int.from_bytes(found[1], "big")
        if there < 0.99 * expected:
            return Ending(f"{there} of {expected} bytes")
    lacks, rates = _mp3_end(first + tail if size > TAIL else tail)
    counted = any(word in first for word in (b"Xing", b"Info", b"VBRI"))
    return Ending(lacks, counted, steady=len(rates) < 2)


def _ogg_ends(tail: bytes) -> bool:
    """Whether the last page is whole and marked as the last."""
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    lacing = tail[at + 27 : at + 27 + tail[at + 26]]
    whole = len(tail) >= at + 27 + tail[at + 26] + sum(lacing)
    return whole and bool(tail[at + 5] & 4)


def _mp3_end(data: bytes) -> tuple[str | None, set[int]]:
    """Say what the last frame lacks, found by walks from frame to frame, and which bit rates are.

    The rates are numbers of the table of their kind.
    """
    at, lacks, rates = 0, None, set()
    while found := FRAME.search(data, at):
        frames = list(_mp3_frames(data, found.start()))
        at = found.start() + 1
        if len(frames) < 4:  # bytes that look like a header: a real one leads to the next
            continue
        rates |= {data[start + 2] >> 4 for start, _ in frames}
        last, length = frames[-1]
        at, there = last + length, len(data) - last
        lacks = f"{there} bytes of the last frame's {length}" if there < length else None
        if 0 < len(data) - at < 4 and data[at] == 255:
            lacks = f"{len(data) - at} bytes of the last frame's header"
    return lacks, rates


def _mp3_frames(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield position and length, bytes, of frames that follow each other, of one kind and rate."""
    kind = data[at : at + 3]
    while len(data) >= at + 4 and data[at] == kind[0] and data[at + 1] | 1 == kind[1] | 1:
        third = data[at + 2]
        if third >> 4 in (0, 15) or third & 12 == 12 or (third ^ kind[2]) & 12:
            return  # a bit rate or sampling rate that there is not, or another one
        version = kind[1] >> 3 & 3  # 3: MPEG 1; 2: MPEG 2; 0: MPEG 2.5
        kbits = (KBITS if version == 3 else KBITS_LOW)[(third >> 4) - 1]
        rate = RATES[third >> 2 & 3] // {3: 1, 2: 2, 0: 4}[version]
        length = (144_000 if version == 3 else 72_000) * kbits // rate + (third >> 1 & 1)
        yield at, length
        at += length


def missing(path: Path, file: SoundFile) -> str | None:
    """Say what an open file lacks by the sizes in its header; None if nothing.

    Args:
        path: the file, for the header of a NIST SPHERE file.
        file: the same, open.

    Chapter: 1.
    """
    for name, declared, there in SIZES.findall(file.extra_info):
        unknown = UNKNOWN_SIZE if name[0] in "dSD" else 1 << 62  # the others have 64 bits
        if int(there) < int(declared) < unknown:
            return f"{there} of {declared} bytes"
    if file.format == "NIST":
        with path.open("rb") as raw:
            found = re.search(rb"^sample_count -i (\d+)", raw.read(1024), re.MULTILINE)
        if found and file.frames < int(found[1]):
            return f"{file.frames} of {int(found[1])} samples"
    return None
