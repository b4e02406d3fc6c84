"""Node, a real browser and pages for the tests; run as a script, check that a browser starts."""

import html
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
]


def run_node(script: str) -> Any:
    """Run the text of a JavaScript module and return the JSON that it prints."""
    node = shutil.which("node")
    assert node, "node is missing: it runs the explorables' numbers"
    command = [node, "--input-type=module"]  # from its input: a command line has a largest length
    found = subprocess.run(
        command, input=script, capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def by_node(module: Path, expression: str, **values: object) -> Any:
    """Return the JSON of a JavaScript expression that sees a module as ``m``, and the values."""
    lines = [f"import * as m from {json.dumps(module.as_uri())};"]
    lines += [f"const {name} = {json.dumps(value)};" for name, value in values.items()]
    lines += [f"console.log(JSON.stringify({expression}));"]
    return run_node("\n".join(lines))


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


@contextmanager
def served_bench(root: Path, *widgets: tuple[str, dict[str, Any]]) -> Iterator[str]:
    """Write a page with explorables, serve its folder and yield its address."""
    write_bench(root, *widgets)
    with served(root) as address:
        yield address


@contextmanager
def watched(
    browser: Browser,
    viewport: dict[str, int] = PHONE,
    reduced_motion: str | None = None,
    timeout_ms: int = 30_000,
) -> Iterator[Page]:
    """Yield a page that keeps its errors and what it fetches; an error fails the test."""
    with browser.new_context(viewport=viewport, reduced_motion=reduced_motion) as context:
        page = context.new_page()
        page.set_default_timeout(timeout_ms)
        page.messages, page.fetched = [], []
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        page.on("console", lambda m: page.messages.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: page.fetched.append(request.url))
        yield page
        assert not page.messages, page.messages


@contextmanager
def opened(browser: Browser, address: str, selector: str, **options: Any) -> Iterator[Page]:
    """Yield a watched page at an address, once the explorable that the selector names stands."""
    with watched(browser, **options) as page:
        page.goto(address)
        page.wait_for_selector(f"[data-edmse-mounted] {selector}")
        yield page


DRAG = """(e, value) => { e.value = value;
    e.dispatchEvent(new Event('input', { bubbles: true }));
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); }"""


def drag(place: Page | Locator, label: str, value: float) -> None:
    """Move a slider, and wait until the explorable is drawn again."""
    place.get_by_label(label).evaluate(DRAG, value)


def check_fit(page: Page, controls: str = "input, select, button, summary") -> None:
    """Check that every control is large enough for a finger, and the page no wider than a phone."""
    for control in page.locator(controls).all():
        box = control.bounding_box()
        assert box["height"] >= 43.5 and box["width"] >= 43.5, (str(control), box)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], f"{width} px wide"


if __name__ == "__main__":
    with open_browser() as found:
        print(f"Chromium {found.version}")
    sys.exit(0)
