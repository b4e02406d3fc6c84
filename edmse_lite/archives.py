"""Archives from the network: checked before anything is unpacked, and recorded.

The record of a folder, ``archives.json``, says of each archive where and when it came from, its
size and its SHA-256. A later download has to agree with it.

Chapter: 10 (The compact score model, whose larger corpora are fetched so).
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from .downloads import AGAIN, Download, DownloadError
from .files import write_bytes

RECORD = "archives.json"
"""Name of the record in a folder."""

LARGEST = 256 << 20
"""Bytes that one file of an archive may take; a recording has a few million."""


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """What is known of the archives that were fetched into a folder: name to facts.

    Raises:
        DownloadError: the record is damaged.

    Chapter: 10.
    """
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if all(len(facts["sha256"]) == 64 for facts in found.values()):
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise DownloadError(f"{path}: is damaged; remove it and run the same command again")


def note(folder: Path, found: Download, **more: Any) -> None:
    """Write an archive into the record of a folder.

    Args:
        folder: where the record is.
        found: the archive.
        more: what else to say of it.

    Raises:
        DownloadError: the record cannot be written.

    Chapter: 10.
    """
    before = recorded(folder)
    facts = asdict(found)
    name = facts.pop("name")
    old = before.get(name, {})
    facts["url"] = found.url or old.get("url", "")
    facts["date"] = old.get("date") or datetime.now(UTC).strftime("%Y-%m-%d")
    text = json.dumps(before | {name: facts | more}, indent=1) + "\n"
    try:
        write_bytes(folder / RECORD, text.encode())
    except OSError as error:
        raise DownloadError(
            f"{folder / RECORD}: cannot be written ({error.strerror}); free some space and {AGAIN}"
        ) from None


def checked_members(path: Path, say: Callable[[int, int], None]) -> list[zipfile.ZipInfo]:
    """Members of a zip file, once every byte of it agrees with its checksum.

    Args:
        path: the zip file; a damaged one is removed, so that it can be fetched again.
        say: called with the number of members that were checked, and of all.

    Raises:
        DownloadError: it is damaged, cut short or no zip file; or a name in it would be written
            outside the folder, or a file takes more than `LARGEST`.

    Chapter: 10.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            members = opened.infolist()
            for member in members:
                _check_name(path, member)
            for number, member in enumerate(members, 1):
                with opened.open(member) as file:
                    while file.read(1 << 20):
                        pass
                say(number, len(members))
    except DownloadError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # or encrypted
        path.unlink()
        raise DownloadError(
            f"{path}: is damaged, cut short, or no zip file ({error}); it was removed. Run the "
            "same command again, or give another address"
        ) from None
    return members


def _check_name(path: Path, member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in member.filename:
        raise DownloadError(
            f"{path}: holds the unsafe name {member.filename!r}; nothing was unpacked. Remove the "
            "file and give another address"
        )
    if member.file_size > LARGEST:
        raise DownloadError(
            f"{path}: {member.filename} would take {member.file_size:,} bytes, expected at most "
            f"{LARGEST:,}; nothing was unpacked. Remove the file and give another address"
        )
