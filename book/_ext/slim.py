"""Drop the rules of the theme's style sheets that name a class no page or script of the site uses.

The theme ships several complete frameworks; a page needs about a third of them, and a phone
should not have to load the rest.
"""

import re
from pathlib import Path

SHEETS = [
    "styles/bootstrap.css",
    "styles/pydata-sphinx-theme.css",
    "vendor/fontawesome/6.5.2/css/all.min.css",
    "sphinx-design.min.css",
]
WORD = re.compile(r"[A-Za-z_][\w-]*")
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")


def words_in_use(site: Path) -> set[str]:
    """Return every word of every page and script: any of them may be a class name."""
    words: set[str] = set()
    for file in site.rglob("*"):
        if file.suffix in (".html", ".js", ".mjs") and "mathjax" not in file.parts:
            words.update(WORD.findall(file.read_text(encoding="utf-8", errors="ignore")))
    return words


def blocks(css: str) -> list[tuple[str, str | None]]:
    """Split a sheet at its outermost braces into (prelude, body); body is None for `@import …;`."""
    found, start, depth, opened = [], 0, 0, 0
    for brace in re.finditer(r"[{};]", css):
        at, mark = brace.start(), brace.group()
        if mark == "{":
            depth += 1
            opened = at if depth == 1 else opened
        elif mark == "}":
            depth -= 1
            if depth == 0:
                found.append((css[start:opened].strip(), css[opened + 1 : at]))
                start = at + 1
        elif depth == 0:
            found.append((css[start : at + 1].strip(), None))
            start = at + 1
    return found


def used_selectors(prelude: str, words: set[str]) -> str:
    """Keep the selectors of a list whose classes are all in use."""
    parts = re.split(r",(?![^(]*\))", prelude)
    needed = [CLASS.findall(re.sub(r":not\([^)]*\)", "", part)) for part in parts]
    keep = [part for part, names in zip(parts, needed, strict=True) if words.issuperset(names)]
    return ",".join(keep)


def slim(css: str, words: set[str]) -> str:
    """Return a sheet without the rules that nothing on the site can match."""
    css = re.sub(r"/\*(?!!).*?\*/", "", css, flags=re.S)
    out = []
    for prelude, body in blocks(css):
        comment = "".join(re.findall(r"/\*!.*?\*/", prelude, flags=re.S))
        prelude = re.sub(r"/\*!.*?\*/", "", prelude, flags=re.S).strip()
        if body is None or prelude.startswith(("@font-face", "@keyframes", "@-webkit", "@page")):
            out.append(comment + prelude + ("" if body is None else "{" + body + "}"))
        elif prelude.startswith("@"):
            inner = slim(body, words)
            out.append(f"{comment}{prelude}{{{inner}}}" if inner else comment)
        else:
            selectors = used_selectors(prelude, words)
            out.append(comment + (f"{selectors}{{{body}}}" if selectors else ""))
    return "".join(out)


def slim_site(site: Path) -> None:
    """Rewrite the sheets of a built site in place."""
    words = words_in_use(site)
    for name in SHEETS:
        file = site / "_static" / name
        if file.exists():
            file.write_text(slim(file.read_text(encoding="utf-8"), words), encoding="utf-8")
