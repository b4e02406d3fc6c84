"""Downloads resume and end whole, or say in one line what is wrong, whatever the server does."""

import errno
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edmse_lite import downloads
from edmse_lite.downloads import DownloadError, fetch, sha256_of

QUICK = (0.0, 0.0)  # s between attempts
DATA = bytes(i * i % 251 for i in range(300_000))


class Answer(NamedTuple):
    """How a server answers one request.

    Args:
        status: 0 answers as a good server does: 200, or 206 to a Range.
        cut: bytes after which the connection breaks; -1 for none.
        length: Content-Length that it claims; -1 for the true one, -2 for none.
        ranges: whether Range is honoured.
        body: bytes in place of the file.
        kind: Content-Type.
        tag: ETag.
        shift: bytes by which a range begins too late.
    """

    status: int = 0
    cut: int = -1
    length: int = -1
    ranges: bool = True
    body: bytes | None = None
    kind: str = "application/zip"
    tag: str = '"one"'
    shift: int = 0


class Server(ThreadingHTTPServer):
    """Serves files as its script says; a finished script is followed by good answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/a.zip": DATA}
        self.script: list[Answer] = []
        self.requests: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Server = self.server
        wanted = self.headers.get("Range")
        server.requests.append((self.path, wanted))
        how = server.script.pop(0) if server.script else Answer()
        data = server.files.get(self.path) if how.body is None else how.body
        if data is None or how.status:
            return self.refuse(how.status or 404)
        start = 0
        fresh = self.headers.get("If-Range") in (None, how.tag)
        if wanted and how.ranges and fresh:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) + how.shift
            if start >= len(data):
                return self.refuse(416, {"Content-Range": f"bytes */{len(data)}"})
        self.give(data, start, how, partial=bool(wanted and how.ranges and fresh))

    def give(self, data: bytes, start: int, how: Answer, partial: bool) -> None:
        body = data[start:]
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if how.length != -2:
            length = len(body) if how.length == -1 else how.length
            self.send_header("Content-Length", str(length))
        if how.kind:
            self.send_header("Content-Type", how.kind)
        if how.tag:
            self.send_header("ETag", how.tag)
        self.end_headers()
        self.wfile.write(body if how.cut < 0 else body[: how.cut])
        self.close_connection = True

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def get(server: Server, folder: Path, **options) -> downloads.Download:
    return fetch(f"{server.address}/a.zip", folder / "a.zip", pauses=QUICK, **options)


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_is_recorded(server: Server, tmp_path: Path) -> None:
    seen = []
    record = get(server, tmp_path / "new", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "new" / "a.zip").read_bytes() == DATA
    assert (record.name, record.bytes) == ("a.zip", len(DATA))
    assert record.sha256 == sha256_of(tmp_path / "new" / "a.zip")
    assert seen[-1] == (len(DATA), len(DATA)) and sorted(seen) == seen
    assert parts(tmp_path / "new") == ["a.zip"]


def test_a_cut_connection_is_resumed_with_what_is_missing(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(cut=100_000), Answer(cut=50_000)]
    get(server, tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", "bytes=150000-"]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 300_000), st.booleans()), max_size=6))
def test_any_cuts_end_in_the_very_bytes(cuts: list[tuple[int, bool]]) -> None:
    """Cuts anywhere, by servers that resume or not: whole in this run or in the next one."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        made = Server()
        thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        made.script = [Answer(cut=cut, ranges=ranges) for cut, ranges in cuts]
        try:
            for _ in range(4):
                try:
                    get(made, Path(folder), sha256=sha256_of_bytes(DATA))
                    break
                except DownloadError as error:
                    assert "goes on from there" in str(error)
            assert (Path(folder) / "a.zip").read_bytes() == DATA
        finally:
            made.shutdown()
            made.server_close()
            thread.join()


def sha256_of_bytes(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def test_a_later_run_goes_on_from_what_came(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(cut=70_000)] + [Answer(status=503)] * 3
    with pytest.raises(DownloadError, match="answered 503 .*; run the same command again"):
        get(server, tmp_path)
    assert (tmp_path / "a.zip.part").read_bytes() == DATA[:70_000]
    get(server, tmp_path)
    assert server.requests[-1][1] == "bytes=70000-"
    assert (tmp_path / "a.zip").read_bytes() == DATA and parts(tmp_path) == ["a.zip"]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(cut=70_000), Answer(ranges=False)]
    get(server, tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_two_versions_are_never_joined(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(cut=70_000), *[Answer(status=503)] * 3]
    with pytest.raises(DownloadError):
        get(server, tmp_path)
    server.files["/a.zip"] = DATA[::-1]
    server.script = [Answer(tag='"two"')]
    get(server, tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == DATA[::-1]


def test_a_range_that_is_not_the_one_asked_for_is_dropped(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(cut=70_000), Answer(shift=5)]
    get(server, tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_part_longer_than_the_file_is_begun_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(DATA + b"more")
    get(server, tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_part_that_is_whole_needs_no_byte(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(DATA)
    get(server, tmp_path)
    assert server.requests == [("/a.zip", f"bytes={len(DATA)}-")]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_length_that_is_too_long_is_found_out(server: Server, tmp_path: Path) -> None:
    """Sending fewer bytes than promised looks like a cut; the true end is then asked for."""
    server.script = [Answer(length=len(DATA) + 1000)]
    get(server, tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == DATA
    server.script = [Answer(length=len(DATA) + 1000, ranges=False)] * 9
    with pytest.raises(DownloadError, match="cut after 300000 of 301000 bytes; run the same"):
        get(server, tmp_path / "again")


def test_a_length_that_is_too_short_is_found_by_the_hash(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(length=1000)]
    with pytest.raises(DownloadError, match="a.zip: its SHA-256 is .*, expected .* was removed"):
        get(server, tmp_path, sha256=sha256_of_bytes(DATA))
    assert not parts(tmp_path)


def test_no_length_at_all_will_do(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(length=-2, kind="", tag="")]
    assert get(server, tmp_path).bytes == len(DATA)


def test_wrong_bytes_are_removed_and_the_next_run_gets_the_right_ones(
    server: Server, tmp_path: Path
) -> None:
    right = sha256_of_bytes(DATA)
    server.script = [Answer(body=DATA[::-1])]
    with pytest.raises(DownloadError, match=f"expected {right}"):
        get(server, tmp_path, sha256=right.upper())
    assert not parts(tmp_path)
    assert get(server, tmp_path, sha256=right.upper()).sha256 == right


def test_404_is_said_at_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="none.zip: the server answered 404 .*give another"):
        fetch(f"{server.address}/none.zip", tmp_path / "a.zip")
    assert len(server.requests) == 1 and not parts(tmp_path)


def test_503_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(status=503), Answer(status=429)]
    get(server, tmp_path)
    assert len(server.requests) == 3


def test_a_web_page_is_no_file(server: Server, tmp_path: Path) -> None:
    server.script = [Answer(body=b"<html>please wait</html>", kind="text/html; charset=utf-8")]
    with pytest.raises(DownloadError, match="a web page or text came"):
        get(server, tmp_path)
    assert not parts(tmp_path)


def test_no_server_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DownloadError, match="no connection .*; run the same command again"):
        fetch("http://127.0.0.1:9/a.zip", tmp_path / "a.zip", pauses=QUICK)
    with pytest.raises(DownloadError, match="is no address"):
        fetch("file:///etc/passwd", tmp_path / "a.zip")


def test_too_little_space_is_said_before_it_is_full(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1000))
        with pytest.raises(DownloadError, match="300,000 bytes are still to come and 1,000 are f"):
            get(server, tmp_path)
    get(server, tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == DATA


class FullDisk:
    """A file that takes 100,000 bytes, in pieces, then says that the disk is full."""

    def __init__(self, file) -> None:
        self.file, self.room = file, 100_000

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.file.write(data[: min(self.room, 60_000)])
        self.room -= written
        return written


def test_a_full_disk_keeps_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = downloads._opened
    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_opened", lambda part, mode: FullDisk(opened(part, mode)))
        with pytest.raises(DownloadError, match="No space left on device.*; free some space and"):
            get(server, tmp_path)
    assert (tmp_path / "a.zip.part").stat().st_size == 100_000
    get(server, tmp_path)
    assert server.requests[-1][1] == "bytes=100000-"
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="file.* cannot be made"):
        get(server, tmp_path / "file" / "folder")
