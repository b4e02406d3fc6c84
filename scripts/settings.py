"""Copy the repository's address and tag from pyproject.toml to the files that must repeat them.

`python scripts/settings.py` rewrites them; `--check` only reports, and fails, where they differ.
The theme's buttons and the pages need no copy: they read the setting when the book is built.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = r"https://github\.com/[\w.-]+/[\w.-]+?"


def rules(repository: str, tag: str) -> list[tuple[str, str]]:
    """Return (pattern, replacement) pairs; each finds one kind of copy, right or wrong."""
    version = tag.removeprefix("v")
    return [
        (rf"(edmse-lite(?:\[[\w,]+\])? @ git\+){ADDRESS}@[\w.+-]+", rf"\g<1>{repository}@{tag}"),
        (rf'^(Repository = "){ADDRESS}(")', rf"\g<1>{repository}\g<2>"),
        (rf'^(repository-code: "){ADDRESS}(")', rf"\g<1>{repository}\g<2>"),
        (rf"{ADDRESS}(/blob/)[\w.+-]+(/edmse_lite/)", rf"{repository}\g<1>{tag}\g<2>"),
        (r"https://[\w-]+\.github\.io/[\w.-]+/", site(repository)),
        (rf"(git clone ){ADDRESS}(?=\.git|\s)", rf"\g<1>{repository}"),
        (rf"^(  url    = {{){ADDRESS}(}},)$", rf"\g<1>{repository}\g<2>"),
        (r"^(version: )\d[\w.+-]*$", rf"\g<1>{version}"),
        (r'^(__version__ = ")\d[\w.+-]*(")$', rf"\g<1>{version}\g<2>"),
        (r'^(version = ")\d[\w.+-]*(")$', rf"\g<1>{version}\g<2>"),
    ]


def site(repository: str) -> str:
    """Return the address of the GitHub Pages of a repository."""
    owner, name = repository.removeprefix("https://github.com/").split("/")
    return f"https://{owner}.github.io/{name}/"


def updated(text: str, repository: str, tag: str) -> str:
    """Return a text with every copy of the setting brought up to date."""
    for pattern, replacement in rules(repository, tag):
        text = re.sub(pattern, replacement, text, flags=re.M)
    return text


def copies() -> list[Path]:
    """List the files that may repeat the setting."""
    names = ["pyproject.toml", "edmse_lite/__init__.py", "CITATION.cff"]
    files = [ROOT / name for name in [*names, "README.md", "CONTRIBUTING.md"]]
    return files + sorted(ROOT.glob("notebooks/*.ipynb")) + sorted(ROOT.glob("book/**/*.md"))


def main() -> int:
    """Rewrite or check; return 1 where a check finds a difference."""
    setting = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["edmse-book"]
    differ = []
    for file in copies():
        text = file.read_text(encoding="utf-8")
        fresh = updated(text, setting["repository"], setting["tag"])
        if fresh != text:
            differ.append(str(file.relative_to(ROOT)))
            if "--check" not in sys.argv:
                file.write_text(fresh, encoding="utf-8")
    if differ and "--check" in sys.argv:
        print(f"Not as [tool.edmse-book] says: {', '.join(differ)}. Run `make settings`.")
        return 1
    print(f"Rewritten: {', '.join(differ) or 'nothing'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
