"""Find and start a real browser for the tests; run as a script, check that one starts."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
]


def find_browser() -> str | None:
    """Return the path of an installed Chromium, or None for the one that playwright installed."""
    named = os.environ.get("EDMSE_BROWSER")
    if named:
        if not Path(named).exists():
            raise FileNotFoundError(f"EDMSE_BROWSER names {named}, which does not exist")
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a headless browser; raise, saying what to install, where there is none."""
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        except Exception as error:
            raise RuntimeError(
                "no browser starts: install chromium (Debian: apt-get install chromium) or name "
                f"one with EDMSE_BROWSER=/path/to/chrome\n{error}"
            ) from error
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    with open_browser() as found:
        print(f"Chromium {found.version}")
    sys.exit(0)
