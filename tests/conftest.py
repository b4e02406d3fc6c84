"""What every test shares: one thread, one seed, the built site and a real browser."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; tests run side by side, one a core

import pytest
import torch
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
BASE_PATH = "edmse-lite"  # a project site on GitHub Pages lives below such a path

sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "tests"))

# A busy machine is slow, not wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Make each test repeatable, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def site() -> Path:
    """Return the folder of the built book; a missing one fails the test."""
    if not (SITE / "index.html").exists():
        pytest.fail(
            f"{SITE / 'index.html'} is missing: run `make book` (`make test` does it for you)"
        )
    return SITE


@pytest.fixture(scope="session")
def site_address(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the built book below a base path and yield its address."""
    from browser import served

    root = tmp_path_factory.mktemp("served")
    (root / BASE_PATH).symlink_to(site, target_is_directory=True)
    with served(root) as address:
        yield f"{address}{BASE_PATH}/"


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Start one Chromium for all tests; a missing one fails them."""
    from browser import open_browser

    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once, from the tree as it is, and return its path."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if hasattr(request.config, "workerinput") else root) / "wheel"
    with open(folder.with_suffix(".lock"), "w") as lock:  # other workers wait, and take this one
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            build_wheel(folder)
    return next(folder.glob("*.whl"))


def build_wheel(folder: Path) -> None:
    """Write the wheel into a new folder."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools would pack what lies there
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    result = subprocess.run(
        [*command, "-w", str(folder), str(ROOT)], capture_output=True, text=True, timeout=300
    )
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    assert result.returncode == 0, result.stderr
