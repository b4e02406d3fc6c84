"""A file is replaced whole or not at all.

Chapter: 10 (The compact score model, which is saved so).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which it replaces if the block ends well.

    After an error or Ctrl-C the temporary file is gone, and an earlier ``path`` is as it was.

    Args:
        path: file to write; its folder exists. A symbolic link is followed.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full.

    Chapter: 10.
    """
    path = Path(path).resolve()
    partial = path.with_name(f".{path.stem[:24]}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())  # on the disk before it gets its name
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all; raises what :func:`replaced` raises.

    Chapter: 10.
    """
    with replaced(path) as partial:
        partial.write_bytes(data)
