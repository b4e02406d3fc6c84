"""Build the book: run every notebook whose result may have changed, then write _build/html.

Jupyter Book caches a notebook's outputs by the notebook alone. The outputs depend on the
library, its weights and its corpus too, so a change there empties the cache.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
STAMP = BUILD / ".library"
INPUTS = ["edmse_lite", "requirements.lock", "_config.yml", "book/_ext"]


def library_key() -> str:
    """Hash everything a notebook's output can depend on, apart from the notebook itself."""
    digest = hashlib.sha256(sys.version.encode())
    for top in INPUTS:
        path = ROOT / top
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(ROOT)).encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def main() -> int:
    """Build, one build at a time in this folder."""
    with open(ROOT / ".venv" / "build.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return build()


def build() -> int:
    """Build with every warning fatal; return Jupyter Book's exit code."""
    start, key = time.monotonic(), library_key()
    if BUILD.exists() and (not STAMP.exists() or STAMP.read_text() != key):
        print("The library has changed since the last build: running every notebook again.")
        shutil.rmtree(BUILD)
    BUILD.mkdir(exist_ok=True)
    STAMP.write_text(key)
    program = str(Path(sys.executable).parent / "jupyter-book")
    command = [program, "build", ".", "--path-output", "."]
    command += ["-W", "-n", "--keep-going", "--quiet"]
    environment = {"PYTHONWARNINGS": "ignore::DeprecationWarning", **os.environ}
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    code = subprocess.call(command, cwd=ROOT, env=environment)
    if code:
        # Sphinx warns of a page only when it reads it: forget the pages, keep the outputs.
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
        print("The book was not built: see the messages above.", file=sys.stderr)
        return code
    page = BUILD / "html" / "index.html"
    print(f"The book is built ({time.monotonic() - start:.0f} s): {page}")
    print("Open that file in a browser, or run `make read` and follow the address it prints.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
