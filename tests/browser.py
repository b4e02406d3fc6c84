"""Find and start a real browser for the tests; run as a script, check that one starts."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

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


if __name__ == "__main__":
    with open_browser() as found:
        print(f"Chromium {found.version}")
    sys.exit(0)
