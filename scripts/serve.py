"""Serve the built book on this machine, compressed as a web host does: `serve.py [--port 8000]`."""

import argparse
import functools
import gzip
import http.server
import io
import re
import sys
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm", ".mp3": "audio/mpeg"}
COMPRESSED = {".html", ".css", ".js", ".mjs", ".svg", ".json", ".txt", ".wasm"}

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@functools.lru_cache(maxsize=256)
def packed(path: Path, modified: float) -> bytes:
    """Return a file's bytes gzipped; a changed file has another `modified`."""
    return gzip.compress(path.read_bytes(), compresslevel=6)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Static files with the types that browsers insist on, gzipped, and no log line a request."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, **TYPES}

    def send_head(self) -> io.BytesIO | io.BufferedReader | None:
        """Send text files compressed where the reader accepts it, the rest as they are."""
        path = Path(self.translate_path(self.path))
        if path.is_dir() and self.path.split("?")[0].endswith("/"):
            path /= "index.html"
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        if path.is_file() and (wanted := RANGE.fullmatch(self.headers.get("Range", ""))):
            return self.send_part(path, int(wanted[1]), wanted[2])
        if not (accepted and path.suffix in COMPRESSED and path.is_file()):
            return super().send_head()
        body = packed(path, path.stat().st_mtime)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)

    def send_part(self, path: Path, first: int, last: str) -> io.BytesIO | None:
        """Send the bytes that a player asks for when a listener moves the slider."""
        size = path.stat().st_size
        end = min(int(last), size - 1) if last else size - 1
        if first > end:
            self.send_error(416)
            return None
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {first}-{end}/{size}")
        self.send_header("Content-Length", str(end - first + 1))
        self.end_headers()
        return io.BytesIO(path.read_bytes()[first : end + 1])

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def serve(port: int = 0, site: Path = SITE) -> http.server.ThreadingHTTPServer:
    """Return a server of `site` on localhost; port 0 takes any free one."""
    handler = functools.partial(Handler, directory=str(site))
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 takes any free port")
    port = parser.parse_args().port
    if not (SITE / "index.html").exists():
        print(f"{SITE / 'index.html'} is missing: run `make book` first.", file=sys.stderr)
        return 1
    try:
        server = serve(port)
    except OSError as error:
        print(f"Port {port} cannot be used ({error.strerror}): try --port 0.", file=sys.stderr)
        return 1
    print(
        f"Read the book at http://localhost:{server.server_port}/  (stop with Ctrl-C)", flush=True
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
