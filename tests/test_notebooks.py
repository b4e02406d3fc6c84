"""Each notebook runs from an empty directory with nothing of this project but the wheel."""

import json
import os
import re
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
WHERE = "import edmse_lite; print('loaded from', edmse_lite.__file__)"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel where it comes before the source tree."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder)
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_names_no_file_of_the_repository(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    found = re.findall(r"""["'](?:\.\./|book/|notebooks/|tests/|edmse_lite/|/)[^"'\s]*["']""", code)
    assert not found, f"{path.name} names {found}: what a notebook needs is package data"


def test_the_build_runs_every_notebook_with_the_wheel_in_an_empty_folder(site: Path) -> None:
    """What the build did for all, seen for one; each output of the site was made so."""
    import book

    config = yaml.safe_load((ROOT / "_config.yml").read_text())["execute"]
    assert config["run_in_temp"] is True and config["allow_errors"] is False
    assert "exclude_patterns" not in config  # no notebook is left out
    unpacked = {str(path.relative_to(book.WHEEL)) for path in book.WHEEL.rglob("*.py")}
    source = {str(path.relative_to(ROOT)) for path in (ROOT / "edmse_lite").rglob("*.py")}
    assert unpacked == source


def test_a_notebook_runs_with_the_wheel_alone(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / "notebooks" / "data_card.ipynb"
    monkeypatch.setenv("PYTHONPATH", str(installed), prepend=os.pathsep)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(WHERE))
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert str(installed) in notebook.cells[0].outputs[0]["text"]
    assert not list(tmp_path.iterdir()), "a notebook leaves files behind"
