"""Find and start a real browser for the tests; run as a script, check that one starts."""

import html
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
]


def candidates() -> list[str | None]:
    """Return the browsers to try: the one that is named, else installed ones, then playwright's."""
    named = os.environ.get("EDMSE_BROWSER")
    if named:
        return [named]
    return [*(path for name in NAMES if (path := shutil.which(name))), None]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the first browser that starts; raise, saying what to install, where none does."""
    faults = []
    with sync_playwright() as playwright:
        for path in candidates():
            try:
                browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            except Exception as error:
                faults.append(f"{path or 'playwright'}: {str(error).splitlines()[0]}")
                continue
            try:
                yield browser
            finally:
                browser.close()
            return
    raise RuntimeError(
        "no browser starts: install chromium (Debian: apt-get install chromium) or name one with "
        "EDMSE_BROWSER=/path/to/chrome\n" + "\n".join(faults)
    )


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve a folder on this machine and yield its address, which ends in a slash."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import serve

    server = serve.serve(0, root)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def write_bench(root: Path, *widgets: tuple[str, dict[str, Any]]) -> None:
    """Write a page with explorables, from the sources: each a name and its options."""
    static = root / "_static"
    static.mkdir()
    (static / "mount.mjs").symlink_to(ROOT / "book" / "_static" / "mount.mjs")
    explorables = ROOT / "edmse_lite" / "explorables"
    (static / "explorables").symlink_to(explorables, target_is_directory=True)
    body = "".join(
        f'<div data-edmse-widget="{name}" data-edmse-options="{html.escape(json.dumps(options))}">'
        "</div>"
        for name, options in widgets
    )
    (root / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><title>Bench</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="_static/explorables/explorables.css">'
        f'<script type="module" src="_static/mount.mjs"></script><body>{body}</body></html>'
    )


if __name__ == "__main__":
    with open_browser() as found:
        print(f"Chromium {found.version}")
    sys.exit(0)
