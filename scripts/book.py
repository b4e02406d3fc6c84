"""Build the book: run every notebook whose result may have changed, then write _build/html.

Notebooks run as at a reader's: from an empty folder, with the library from its wheel. Jupyter Book
caches a notebook's outputs by the notebook alone. They depend on the library, its weights and its
corpus too, so a change there empties the cache.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
WHEEL = BUILD / "wheel"  # the library as it is installed, for the notebooks
LIBRARY = ["edmse_lite", "requirements.lock"]  # what a notebook's outputs depend on
SHELL = ["book/_ext", "book/_templates", "_config.yml", "_toc.yml", "pyproject.toml"]  # pages only

SKIPPED = frozenset({"__pycache__", "explorables"})  # explorables are copied at every build


def key(places: list[str], skipped: frozenset[str] = SKIPPED) -> str:
    """Hash the names and contents of files and of whole folders, but for `skipped` names."""
    digest = hashlib.sha256(sys.version.encode())
    for top in places:
        path = ROOT / top
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not skipped.intersection(file.parts):
                digest.update(str(file.relative_to(ROOT)).encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def forget(stamp: str, places: list[str], stale: list[Path], why: str) -> None:
    """Remove what was built from other versions of `places`; `stamp` keeps their hash."""
    file, now = BUILD / stamp, key(places)
    if not file.exists() or file.read_text() != now:
        if any(path.exists() for path in stale):
            print(why)
        for path in stale:
            shutil.rmtree(path, ignore_errors=True)
        file.write_text(now)


def make_wheel(folder: Path, *options: str) -> Path:
    """Build the wheel of the library into `folder`, with options for pip; return its path."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools would pack what lies there
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    subprocess.run([*pip, *options, "-w", str(folder), str(ROOT)], check=True)
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    (made,) = folder.glob("edmse_lite-*.whl")
    return made


def unpack_wheel() -> None:
    """Build the wheel, if the library has changed, and unpack it to `WHEEL`."""
    now = key(["edmse_lite", "pyproject.toml"], frozenset({"__pycache__"}))
    stamp = BUILD / ".wheel"
    if WHEEL.exists() and stamp.exists() and stamp.read_text() == now:
        return
    shutil.rmtree(WHEEL, ignore_errors=True)
    made = make_wheel(BUILD, "--no-build-isolation")
    with zipfile.ZipFile(made) as opened:
        opened.extractall(WHEEL)
    made.unlink()
    stamp.write_text(now)


def times() -> str:
    """Say how long the notebooks took to run when they last did, and which took longest."""
    from jupyter_cache import get_cache

    records = sorted(get_cache(BUILD / ".jupyter_cache").list_cache_records(), key=lambda r: r.pk)
    seconds = {Path(r.uri).stem: float(r.data["execution_seconds"]) for r in records}  # last wins
    longest = sorted(seconds, key=seconds.__getitem__, reverse=True)[:4]
    listed = ", ".join(f"{name} {seconds[name]:.0f} s" for name in longest)
    return f"Notebooks ran for {sum(seconds.values()):.0f} s in all; the longest: {listed}."


def main() -> int:
    """Build, one build at a time in this folder."""
    with open(ROOT / ".venv" / "build.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return build()


def build() -> int:
    """Build with every warning fatal; return Jupyter Book's exit code."""
    start = time.monotonic()
    BUILD.mkdir(exist_ok=True)
    pages = [BUILD / ".doctrees", BUILD / "html"]
    outputs = [BUILD / ".jupyter_cache", BUILD / "jupyter_execute"]
    changed = "The library has changed since the last build: running every notebook again."
    forget(".library", LIBRARY, [*outputs, *pages], changed)
    forget(".shell", SHELL, pages, "The frame of the pages has changed: writing every page again.")
    unpack_wheel()
    program = str(Path(sys.executable).parent / "jupyter-book")
    command = [program, "build", ".", "--path-output", "."]
    command += ["-W", "-n", "--keep-going", "--quiet"]
    quiet = {"PYTHONWARNINGS": "ignore::DeprecationWarning", "OMP_WAIT_POLICY": "passive"}
    environment = {**quiet, **os.environ}  # passive: threads that wait leave a busy machine alone
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(WHEEL)
    code = subprocess.call(command, cwd=ROOT, env=environment)
    if code:
        # Sphinx warns of a page only when it reads it: forget the pages, keep the outputs.
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
        print("The book was not built: see the messages above.", file=sys.stderr)
        return code
    print(times())
    page = BUILD / "html" / "index.html"
    print(f"The book is built ({time.monotonic() - start:.0f} s): {page}")
    print("Open that file in a browser, or run `make read` and follow the address it prints.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
