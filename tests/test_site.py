"""The built site: links, weight, phone width, accessibility, buttons; every page in a browser."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from browser import DESK, PHONE
from conftest import ROOT, SITE

FIRST_VIEW = 1_500_000  # bytes
PAGES = sorted(
    str(page.relative_to(SITE))
    for folder in ("book", "notebooks")
    for page in (SITE / folder).glob("**/*.html")
)
NOTEBOOKS = [page for page in PAGES if page.startswith("notebooks/")]


class Page(HTMLParser):
    """Collects a page's anchors, links and files."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        for key in ("href", "src"):
            if values.get(key):
                self.links.append((tag, values[key]))


def html_pages(site: Path) -> list[Path]:
    return [page for page in site.rglob("*.html") if "_static" not in page.relative_to(site).parts]


def test_there_are_pages(site: Path) -> None:
    assert PAGES, f"no page below {site}: run `make book`"


def test_every_internal_link_leads_somewhere(site: Path) -> None:
    parsed = {page.resolve(): Page(page) for page in html_pages(site)}
    broken = []
    for page, content in parsed.items():
        for _, link in content.links:
            address, anchor = urldefrag(link)
            if urlparse(address).scheme or address.startswith("//"):
                continue
            target = (page.parent / unquote(address.split("?")[0])).resolve() if address else page
            if not target.exists():
                broken.append(f"{page.relative_to(site)}: {link}")
            elif anchor and target in parsed and unquote(anchor) not in parsed[target].ids:
                broken.append(f"{page.relative_to(site)}: {link} (no such anchor)")
    assert not broken, "\n".join(broken)


def test_links_are_safe_under_a_base_path(site: Path) -> None:
    rooted = [
        f"{page.relative_to(site)}: {link}"
        for page in html_pages(site)
        for _, link in Page(page).links
        if link.startswith("/") or "localhost" in link or "file:" in link
    ]
    assert not rooted, "\n".join(rooted)


def test_contents_list_every_notebook_and_only_real_pages() -> None:
    listed = set(re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text()))
    notebooks = {
        str(path.relative_to(ROOT).with_suffix("")) for path in ROOT.glob("notebooks/*.ipynb")
    }
    pages = {str(path.relative_to(ROOT).with_suffix("")) for path in ROOT.glob("book/*.md")}
    assert listed == notebooks | pages
    short = [page for page in pages if len((ROOT / f"{page}.md").read_text().split()) < 20]
    assert not short, f"pages without content: {short}"


def test_the_address_of_the_site_leads_to_the_landing_page(browser, site_address: str) -> None:
    page = browser.new_page()
    page.goto(site_address)
    page.wait_for_url("**/book/index.html")
    page.close()


SMALL = """() => {
    const at = 'button, summary, select, audio, .ed-choice, '
        + 'input:not([type=radio]):not([type=checkbox])';
    return [...document.querySelectorAll(at)].filter((e) => e.checkVisibility())
        .map((e) => [e.getBoundingClientRect(), e])
        .filter(([box]) => box.width > 0 && (box.height < 43.5 || box.width < 43.5)
            && box.right > 0 && box.left < innerWidth)
        .map(([box, e]) => `${e.outerHTML.slice(0, 90)} ${box.width}x${box.height}`);
}"""
WIDTH = "document.documentElement.scrollWidth"
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
MEDIA = re.compile(r"\.(mp3|wav|ogg|onnx|wasm)$")


@dataclass(frozen=True)
class Seen:
    """What one visit finds: first on a phone, light and dark, then at a desk."""

    messages: list[str]  # errors of scripts, and requests to other hosts
    failed: list[str]  # addresses that the server did not give
    weight: int  # bytes that came before a tap
    early: list[str]  # sounds and models that came before a tap
    small: list[str]  # targets below 44 px
    widths: dict[str, int]
    light: list[str]  # accessibility
    dark: list[str]
    desk: list[str]
    title: str
    unmounted: int
    unset: int  # equations that do not typeset


def violations(page, *excluded: str, **options) -> list[str]:
    """Run axe on the page; serious findings, one line each."""
    context = json.dumps({"include": ["main", ".bd-header-article"], "exclude": list(excluded)})
    options = json.dumps({"resultTypes": ["violations"], "preload": False, **options})
    found = page.evaluate(f"axe.run({context}, {options})")
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:200]}: {v['nodes'][0]['failureSummary']}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


def look(page, address: str, home: str) -> Seen:
    """Visit an address, as a reader with a phone, then in the dark, then at a desk."""
    responses, messages, widths = [], [], {}
    page.on("response", lambda response: responses.append(response))
    page.on("pageerror", lambda error: messages.append(f"error: {error}"))
    page.on("console", lambda m: messages.append(m.text) if m.type == "error" else None)
    page.on(
        "request",
        lambda request: (
            messages.append(f"fetches {request.url}")
            if not request.url.startswith((home, "data:", "blob:"))
            else None
        ),
    )
    page.goto(address)
    page.wait_for_load_state("networkidle")
    early = [r.url for r in responses if MEDIA.search(r.url)]
    weight = sum(int(r.headers.get("content-length", 0)) for r in responses)
    widths["phone"], small = page.evaluate(WIDTH), page.evaluate(SMALL)
    page.evaluate(Path(AXE_FILE_PATH).read_text())
    light = violations(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.evaluate(TWO_FRAMES)  # the colours are those of the new scheme
    # What colours decide; an equation has that of the text around it, and takes most of the time.
    dark = violations(page, "mjx-container", runOnly=["color-contrast", "link-in-text-block"])
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESK)
    page.wait_for_load_state("networkidle")
    widths["desk"] = page.evaluate(WIDTH)
    # What the width decides: colours are those of the phone, equations have the same markup.
    desk = violations(page, "mjx-container", rules={"color-contrast": {"enabled": False}})
    return Seen(
        messages, [r.url for r in responses if r.status >= 400], weight, early, small, widths,
        light, dark, desk, page.locator("h1").first.inner_text().strip(),
        page.locator("[data-edmse-widget]:not([data-edmse-mounted])").count(),
        page.locator("mjx-merror").count(),
    )  # fmt: skip


@pytest.fixture(scope="module", params=PAGES)
def seen(request, browser, site_address: str) -> Seen:
    """Visit a page once; every test below asks another question about it."""
    with browser.new_context(viewport=PHONE, reduced_motion="reduce") as context:
        context.set_default_timeout(120_000)  # a busy machine
        return look(context.new_page(), urljoin(site_address, request.param), site_address)


def test_page_has_no_errors(seen: Seen) -> None:
    assert not seen.failed
    assert not seen.messages
    assert seen.title
    assert seen.unmounted == 0, f"{seen.unmounted} explorables did not mount"
    assert seen.unset == 0, "an equation does not typeset"


def test_page_is_light_until_a_tap(seen: Seen) -> None:
    assert seen.weight <= FIRST_VIEW, f"{seen.weight} bytes before a tap"
    assert not seen.early


def test_page_fits_a_phone_and_a_desk(seen: Seen) -> None:
    assert seen.widths["phone"] <= PHONE["width"]
    assert seen.widths["desk"] <= DESK["width"]


def test_targets_are_large_enough_for_a_finger(seen: Seen) -> None:
    assert not seen.small, "\n".join(seen.small)


def test_page_is_accessible(seen: Seen) -> None:
    assert not seen.light, "\n".join(seen.light)
    assert not seen.desk, "at a desk:\n" + "\n".join(seen.desk)


def test_page_is_accessible_in_the_dark(seen: Seen) -> None:
    assert not seen.dark, "\n".join(seen.dark)


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_notebook_page_has_its_buttons(path: str, site: Path) -> None:
    import tomllib

    setting = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["edmse-book"]
    repository, branch, tag = (setting[key] for key in ("repository", "branch", "tag"))
    source = path.replace(".html", ".ipynb")
    links = [link for _, link in Page(site / path).links]
    colab = repository.replace("https://github.com", "https://colab.research.google.com/github")
    assert f"{colab}/blob/{tag}/{source}" in links
    assert f"{repository}/edit/{branch}/{source}" in links
    assert any(link.endswith(f"_sources/{source}") for link in links)


@pytest.mark.parametrize("path", PAGES)
def test_pictures_have_a_description(path: str, site: Path) -> None:
    article = (
        (site / path).read_text(encoding="utf-8").split("<article", 1)[1].split("</article>")[0]
    )
    bare = [
        image
        for image in re.findall(r"<img\b[^>]*>", article)
        if not (alt := re.search(r'alt="([^"]*)"', image)) or re.search(r"_images/|\.png", alt[1])
    ]
    assert not bare, "\n".join(bare)


CHAPTERS = [page for page in NOTEBOOKS if re.match(r"notebooks/(0[1-9]|1\d)_", page)]


@pytest.mark.parametrize("path", CHAPTERS)
def test_equations_and_exercises_can_be_pointed_at(path: str, site: Path) -> None:
    page, number = (site / path).read_text(encoding="utf-8"), int(path[10:12])
    found = re.findall(r'<span class="eqno">\(([\d.]+)\)', page)
    assert found == [f"{number}.{k}" for k in range(1, page.count('<span class="eqno">') + 1)]
    notebook = ROOT / path.replace(".html", ".ipynb")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    named = re.findall(r"(?m)^\*\*(\d+\.\d) ", "\n".join(texts))
    wanted = {f"equation-{each.replace('.', '-')}" for each in found}
    wanted |= {f"exercise-{each.replace('.', '-')}" for each in named}
    assert len(named) >= 4 and not wanted - Page(site / path).ids


def test_the_landing_page_tells_teachers_the_time_of_each_chapter() -> None:
    text = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (\d+) [^|]+\| (\d+) \| (\d+) \| ([\d, ]*)\|$", text)
    assert [int(row[0]) for row in rows] == [*range(1, 15)]
    for chapter, reading, exercises, before in rows:
        (path,) = ROOT.glob(f"notebooks/{int(chapter):02d}_*.ipynb")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert f"*{reading} minutes" in "".join(cells[0]["source"])
        minutes = [cell["metadata"].get("exercise", {}).get("minutes", 0) for cell in cells]
        if not any(minutes):  # chapters 1 and 2
            text = "".join("".join(cell["source"]) for cell in cells)
            minutes = [int(found) for found in re.findall(r"(?m)^\*\*\d\.\d .+?, (\d+) min", text)]
        assert sum(minutes) == int(exercises), path.name
        assert all(int(k) < int(chapter) for k in before.split(",") if k.strip())


def test_a_missing_browser_fails_and_does_not_skip(tmp_path: Path) -> None:
    environment = {**os.environ, "EDMSE_BROWSER": str(tmp_path / "none")}
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "the_address_of_the_site"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "no browser starts: install chromium" in result.stdout
