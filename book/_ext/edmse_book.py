"""What the book adds to Jupyter Book, all of it at build time.

It hands the one repository setting to the theme and to the pages, moves sound that a notebook
embedded into files that load on a tap, makes pictures lazy and wide tables scroll in their own
box, and copies the explorables out of the package.
"""

import base64
import hashlib
import re
import shutil
import struct
import tomllib
from pathlib import Path
from typing import Any

from fallbacks import add_fallbacks
from slim import slim_site
from sphinx.application import Sphinx
from sphinx.config import Config

ROOT = Path(__file__).resolve().parent.parent.parent
SOUND = re.compile(r"data:audio/(\w[\w.+-]*);base64,([A-Za-z0-9+/=]{200,})")
PICTURE = re.compile(r'<img(?![^>]*\bwidth=)[^>]*\bsrc="[^"]*_images/([\w.-]+)"[^>]*>')
LAB = "book/lab"  # the page that runs the score model
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
SUFFIX = {"mpeg": "mp3", "mp3": "mp3", "x-wav": "wav", "wav": "wav", "ogg": "ogg"}


def settings() -> dict[str, str]:
    """Return repository, branch and tag from pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["edmse-book"]


def configure(app: Sphinx, config: Config) -> None:
    """Give the theme and the pages the repository setting."""
    ours = settings()
    config.html_theme_options.update(
        repository_url=ours["repository"],
        repository_branch=ours["branch"],
        path_to_docs="",
        use_issues_button=True,
        use_repository_button=True,
        use_edit_page_button=True,
    )
    config.html_context["default_mode"] = "auto"
    config.myst_substitutions = {**config.myst_substitutions, **ours}


def sound_to_file(match: re.Match, outdir: Path, static: str) -> str:
    """Write one embedded sound below _static/audio and return its relative address."""
    data = base64.b64decode(match[2])
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.{SUFFIX.get(match[1], 'bin')}"
    folder = outdir / "_static" / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return static + name


def sized(match: re.Match, app: Sphinx) -> str:
    """Give a picture of a notebook its size, so that the page does not jump when it comes."""
    file = Path(app.doctreedir).parent / "jupyter_execute" / Path(match[1]).name
    head = file.read_bytes()[:24] if file.exists() else b""
    if not head.startswith(b"\x89PNG"):
        return match[0]
    width, height = struct.unpack(">II", head[16:24])
    return f'<img width="{width}" height="{height}"{match[0][4:]}'


def rewrite_body(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Make a page's body light and narrow: sound in files, lazy pictures, boxed tables."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if getattr(script, "attributes", {}).get("type") != WIDGET_STATE  # nothing reads it
    ]
    body = context.get("body")
    if not body:
        return
    static = context["pathto"]("_static/audio/", resource=True)
    body = add_fallbacks(body, page)
    body = SOUND.sub(lambda m: sound_to_file(m, Path(app.outdir), static), body)
    body = re.sub(r"<audio(?![^>]*\bpreload=)", '<audio preload="none"', body)
    body = re.sub(r"<img(?![^>]*\bloading=)", '<img loading="lazy"', body)
    body = PICTURE.sub(lambda m: sized(m, app), body)
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    box = '<div class="table-box" role="region" aria-label="Table" tabindex="0">'
    context["body"] = re.sub(r"(<table\b.*?</table>)", box + r"\1</div>", body, flags=re.S)


def pin_colab(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Let the Colab button open the tagged notebook, which fits the version that it installs."""
    ours = settings()

    def pinned(buttons: list[dict[str, Any]]) -> None:
        for button in buttons:
            pinned(button.get("buttons", []))
            if "colab" in (button.get("url") or ""):
                button["url"] = button["url"].replace(f"/{ours['branch']}/", f"/{ours['tag']}/", 1)

    pinned(context.get("header_buttons", []))


def finish(app: Sphinx, error: Exception | None) -> None:
    """Copy the explorables from the package, make what the lab loads, slim the style sheets."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "explorables"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(
            ROOT / "edmse_lite" / "explorables",
            target,
            ignore=shutil.ignore_patterns("*.py", "__pycache__"),
        )
        if LAB in app.env.found_docs:
            from lab_assets import make_lab  # torch, onnx: only where they are needed

            assets = Path(app.outdir) / "_static" / "lab" / "assets"
            make_lab(assets, Path(app.outdir).parent / ".lab")
        slim_site(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", configure, priority=900)
    app.connect("html-page-context", rewrite_body, priority=900)
    app.connect("html-page-context", pin_colab, priority=950)
    app.connect("build-finished", finish)
    app.add_js_file("mount.mjs", type="module")
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return {"version": version, "parallel_read_safe": True, "parallel_write_safe": True}
