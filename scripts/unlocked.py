"""Run every notebook as a reader's own Python would: from the wheel, without requirements.lock.

python scripts/unlocked.py                  # the newest packages that pyproject.toml allows
python scripts/unlocked.py --oldest         # the oldest: each lower bound itself
python scripts/unlocked.py --notebooks results study_models

It makes a virtual environment in a temporary folder, installs the wheel with its extras by their
ranges alone, and runs each notebook from an empty folder, with nothing of this repository in reach.
On Linux the CPU build of torch is taken (`--torch` gives another line for pip).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = "baselines,dnsmos,export,wer"
RUNNER = ["nbclient", "nbformat", "ipykernel"]  # what runs notebooks, of any version
CPU = "torch torchaudio --index-url https://download.pytorch.org/whl/cpu"


def bounds() -> dict[str, str]:
    """Lower bounds of the library's packages and of its extras', by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = list(project["dependencies"])
    for extra in EXTRAS.split(","):
        listed += project["optional-dependencies"][extra]
    found = [re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,.*)?", line) for line in listed]
    assert all(found), "a dependency without a lower bound"
    return {one[1]: one[2] for one in found if one}


def pinned() -> dict[str, str]:
    """Versions of requirements.lock, by name."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return {name.lower(): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.M)}


def install(folder: Path, torch: str, oldest: bool) -> Path:
    """Make the environment; return its Python."""
    from book import make_wheel

    made = make_wheel(folder)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    allowed = folder / "allowed.txt"
    lines = [f"{name}=={version}" for name, version in bounds().items()] if oldest else []
    allowed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "-c", str(allowed), *torch.split()], check=True)
    subprocess.run([*pip, "-c", str(allowed), f"{made}[{EXTRAS}]", *RUNNER], check=True)
    return python


def differing(python: Path) -> list[str]:
    """Packages whose version is not the lock's, one line each."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    lock = pinned()
    found = {one["name"].lower(): one["version"] for one in json.loads(listed)}
    return [
        f"{name} {version} (lock: {lock.get(name, 'none')})"
        for name, version in sorted(found.items())
        if version.split("+")[0] != lock.get(name, "none").split("+")[0]
    ]


def run_one(path: Path) -> None:
    """Run a notebook in an empty folder; called in the environment itself."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    check = "import edmse_lite; print(edmse_lite.__file__)"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(check))
    with tempfile.TemporaryDirectory() as empty:
        resources = {"metadata": {"path": empty}}
        NotebookClient(notebook, timeout=900, kernel_name="python3", resources=resources).execute()
        assert not list(Path(empty).iterdir()), "it leaves files behind"
    loaded = Path(notebook.cells[0].outputs[0]["text"].strip())
    assert loaded.is_relative_to(sys.prefix), f"the library came from {loaded}"
    told = [
        output["text"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    if told:
        print("  on stderr: " + " | ".join(told)[:1000])


def run_all(python: Path, notebooks: list[Path]) -> int:
    """Run the notebooks, say how each went, and return how many failed."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = {**kept, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    failed = 0
    for path in notebooks:
        start = time.monotonic()
        command = [str(python), "-I", str(Path(__file__).resolve()), "--one", str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        failed += done.returncode != 0
        word = "FAILED" if done.returncode else "ran"
        print(f"{path.stem}: {word}, {time.monotonic() - start:.0f} s", flush=True)
        said = done.stdout + (done.stderr[-3000:] if done.returncode else "")
        print(re.sub(r"\x1b\[[0-9;]*m", "", said), end="", flush=True)
    return failed


def main() -> int:
    """Set up, run, report; the exit code is 1 if a notebook failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--oldest", action="store_true", help="the lower bounds themselves")
    parser.add_argument("--torch", default=CPU, metavar="LINE", help="what pip installs first")
    parser.add_argument("--notebooks", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run_one(args.one)
        return 0
    with tempfile.TemporaryDirectory(prefix="edmse-unlocked-") as folder:
        copied = shutil.copytree(ROOT / "notebooks", Path(folder) / "notebooks")
        every = {path.stem: path for path in sorted(copied.glob("*.ipynb"))}
        if unknown := set(args.notebooks) - set(every):
            parser.error(f"no notebook {', '.join(sorted(unknown))}; there are {', '.join(every)}")
        chosen = [every[name] for name in args.notebooks or every]
        python = install(Path(folder), args.torch, args.oldest)
        print("Not as in the lock: " + (", ".join(differing(python)) or "nothing"), flush=True)
        failed = run_all(python, chosen)
    print(f"{failed} notebooks failed" if failed else "Every notebook ran.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
