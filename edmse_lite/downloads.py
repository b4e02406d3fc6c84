"""A file from the network: resumed where it stopped, and known by its SHA-256.

What arrives stays in ``NAME.part`` until it is whole. A connection that is cut is opened again and
goes on from there, and so does a later run. A mark of the server's version beside it sees to it
that two versions of a file are never joined.

Chapter: 10 (The compact score model, whose larger corpora are fetched so).
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Literal, NoReturn

AGENT = "edmse-lite"
CHUNK = 1 << 18  # bytes
TIMEOUT = 60.0  # s without a byte
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # s before each new attempt, as long as nothing arrives
LONGEST_WAIT = 60.0  # s, whatever the server asks for
AGAIN = "run the same command again, it goes on from there"
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others in a moment

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes of the whole file, None if unknown."""


class DownloadError(RuntimeError):
    """A file that could not be fetched: which, what was found, how to mend it.

    Chapter: 10.
    """


class _Cut(Exception):
    """This attempt ended early; the next one may do better."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True)
class Download:
    """A file that was fetched, for the record.

    Args:
        name: of the file.
        url: where it came from; empty for a file that was already there.
        bytes: its size.
        sha256: of its content, 64 hexadecimal digits.

    Chapter: 10.
    """

    name: str
    url: str
    bytes: int
    sha256: str


def fetch(
    url: str,
    path: str | Path,
    sha256: str = "",
    progress: Progress | None = None,
    pauses: Sequence[float] = PAUSES,
) -> Download:
    """Fetch a file by HTTP, or go on with one that was begun.

    Args:
        url: http or https address.
        path: file to write; it appears when it is whole.
        sha256: what its SHA-256 must be; empty if that is not known.
        progress: called after each piece.
        pauses: s before another attempt; after as many attempts in which nothing new came, it
            gives up.

    Returns:
        Size and SHA-256 of what came.

    Raises:
        DownloadError: no such address, no connection, a web page in place of the file, other
            bytes than `sha256` says, a full disk. What came stays, unless it was wrong.

    Chapter: 10.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    if not re.match(r"https?://", url):
        raise DownloadError(f"{url}: is no address; expected http://… or https://…")
    _make_folder(path.parent)
    furthest, fruitless = _size(part), 0
    while True:
        try:
            _attempt(url, part, progress)
            break
        except _Cut as cut:
            fruitless = 0 if _size(part) > furthest else fruitless + 1
            furthest = max(furthest, _size(part))
            if fruitless > len(pauses):
                raise DownloadError(f"{url}: {cut}; {AGAIN}") from None
            time.sleep(max(cut.wait, pauses[fruitless - 1] if fruitless else 0.0))
    found = sha256_of(part)
    if sha256 and found != sha256.lower():
        _forget(part)
        raise DownloadError(
            f"{path.name}: its SHA-256 is {found}, expected {sha256.lower()}; what came was "
            "removed. Run the same command again, or check the expected value and the address"
        )
    size = _size(part)
    part.replace(path)
    _forget(part)
    return Download(path.name, url, size, found)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits.

    Chapter: 10.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _attempt(url: str, part: Path, progress: Progress | None) -> None:
    """Fetch what is missing; return when the part is whole."""
    have = _size(part)
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        mark = _read_mark(part)
        if mark:
            headers["If-Range"] = mark
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            _receive(url, answer, part, have, progress)
    except urllib.error.HTTPError as error:
        with error:
            _refused(url, error, part, have)
    except urllib.error.URLError as error:
        raise _Cut(f"no connection ({error.reason})") from None
    except (OSError, http.client.HTTPException) as error:  # cut, or silent for too long
        raise _Cut(f"the connection broke ({error or type(error).__name__})") from None


def _refused(url: str, error: urllib.error.HTTPError, part: Path, have: int) -> None:
    """Judge an answer that holds no file."""
    if error.code == 416:  # nothing after what is there
        whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if whole and int(whole[1]) == have:
            return
        _forget(part)
        raise _Cut(f"the server's file is not the one that was begun ({have} bytes); begun anew")
    if error.code in PASSING:
        wait = error.headers.get("Retry-After", "")
        seconds = min(float(wait), LONGEST_WAIT) if wait.isdigit() else 0.0
        raise _Cut(f"the server answered {error.code} ({error.reason})", seconds)
    raise DownloadError(
        f"{url}: the server answered {error.code} ({error.reason}); "
        "check the address, or give another one"
    )


def _receive(
    url: str, answer: http.client.HTTPResponse, part: Path, have: int, progress: Progress | None
) -> None:
    """Append an answer to the part, or begin anew where the server does not go on."""
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/"):
        raise DownloadError(
            f"{url}: a web page or text came ({kind}) in place of the file; open the address in a "
            "browser, or give another one"
        )
    length = answer.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    if answer.status == 206:
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not place or int(place[1]) != have:
            _forget(part)
            raise _Cut("the server sent another part than the one that was asked for")
        total = None if place[2] == "*" else int(place[2])
    else:  # the whole file: nothing was there, or the server does not resume, or it has another one
        have = 0
    _check_space(part, have, total)
    _write_mark(part, answer.headers)
    with _opened(part, "ab" if have else "wb") as file:
        while piece := answer.read(CHUNK):
            _append(file, piece, part)
            have += len(piece)
            if progress:
                progress(have, total)
    if total is not None and have > total:
        _forget(part)
        raise _Cut(f"{have} bytes came of a file of {total}")
    if total is not None and have < total:
        raise _Cut(f"the connection was cut after {have} of {total} bytes")


def _opened(part: Path, mode: Literal["ab", "wb"]) -> FileIO:
    try:
        return part.open(mode, buffering=0)
    except OSError as error:
        _disk_failed(part, error)


def _append(file: FileIO, piece: bytes, part: Path) -> None:
    view = memoryview(piece)
    try:
        while len(view):  # a nearly full disk takes less than it is given
            view = view[file.write(view) :]
    except OSError as error:
        _disk_failed(part, error)


def _disk_failed(path: Path, error: OSError) -> NoReturn:
    mend = "free some space" if error.errno == errno.ENOSPC else "choose another folder"
    raise DownloadError(
        f"{path}: cannot be written ({error.strerror}); {mend} and {AGAIN}"
    ) from None


def _check_space(part: Path, have: int, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and free < total - have:
        raise DownloadError(
            f"{part.parent}: {total - have:,} bytes are still to come and {free:,} are free; "
            f"free some space and {AGAIN}"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"{folder}: cannot be made ({error.strerror})") from None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _mark_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_mark(part: Path) -> str:
    """Read what the server called the version of its file when the part was begun."""
    try:
        return str(json.loads(_mark_path(part).read_text(encoding="utf-8"))["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write_mark(part: Path, headers: http.client.HTTPMessage) -> None:
    tag = headers.get("ETag", "")
    mark = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    try:
        _mark_path(part).write_text(json.dumps({"mark": mark}), encoding="utf-8")
    except OSError as error:
        _disk_failed(part, error)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _mark_path(part).unlink(missing_ok=True)
