"""Two real processes train as one does; they are killed, and go on, and nothing has changed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from small_run import RECIPE, small_mixer, small_shards

from edmse_lite import checkpoints, parallel, runs
from edmse_lite.parallel import Plan

BIN = Path(sys.executable).parent
TOLERANCE = 1e-5  # relative, of a loss: the sums over a batch have another order


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def torchrun() -> list[str]:
    return [str(BIN / "torchrun"), "--nproc_per_node", "2", "--master_port", str(free_port())]


def accelerate() -> list[str]:
    launch = [str(BIN / "accelerate"), "launch", "--multi_gpu", "--num_processes", "2"]
    plain = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return [*launch, *plain, "--main_process_port", str(free_port())]


def two_processes(
    launcher: list[str], *runs: str, die_at: int = 0, die_in: int = 0
) -> tuple[dict, str]:
    """Loss curves by folder, and what was said on the standard error."""
    done = subprocess.run(
        [*launcher, str(ROOT / "tests" / "small_run.py"), *runs],
        env={**os.environ, "DIE_AT": str(die_at), "DIE_IN": str(die_in)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode == 0) == (die_at == die_in == 0), done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["out"]: line["losses"] for line in lines}, done.stderr


@pytest.fixture(scope="module", autouse=True)
def no_validation() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "evaluation_set", lambda *_: ())
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def shards(folder: Path) -> str:
    """Options for a run on fourteen pairs in shards, two of them bad."""
    small_shards(folder / "pairs")
    return f"--corpus {folder / 'pairs'} --bad-audio skip"


@pytest.fixture(scope="module")
def curves(folder: Path, shards: str) -> dict:
    """Runs of two processes: whole ones, and one that is killed as it writes its third state."""
    mixed = "--precision bf16 --accumulate 3 --parts 2"
    whole = [f"{folder}/two", f"{folder}/mixed {mixed}", f"{folder}/shards {shards}"]
    return two_processes(torchrun(), *whole, f"{folder}/killed", die_at=6 + 6 + 6 + 3)[0]


@pytest.fixture(scope="module")
def places(folder: Path, shards: str) -> list[dict]:
    """Where each process stood in a run on shards, when both are killed within the fourth step."""
    two_processes(torchrun(), f"{folder}/cut {shards}", die_in=4)
    state = torch.load(folder / "cut" / "state.pt", weights_only=True)
    assert state["step"] == 3
    return state["places"]


@pytest.fixture(scope="module")
def resumed(folder: Path, shards: str, curves: dict, places: list[dict]) -> tuple[dict, str]:
    """The killed runs go on, by another launcher; and commands that must fail in one line."""
    shutil.copytree(folder / "killed", folder / "alone")
    wrong = [f"!{folder}/wrong --accumulate 4", f"!{folder}/two --seed 5"]
    return two_processes(accelerate(), f"{folder}/killed", f"{folder}/cut {shards}", *wrong)


def one_process(folder: Path, plan: Plan | None = None, **changes: object) -> list[float]:
    recipe = replace(RECIPE, training=replace(RECIPE.training, **changes))
    trainer = runs.start(recipe, folder, batches=small_mixer(), plan=plan)
    trainer.resume()
    return [progress.loss for progress in trainer.run()]


def test_two_processes_have_the_losses_of_one(curves, tmp_path):
    found = torch.tensor(curves["two"])
    torch.testing.assert_close(
        found, torch.tensor(one_process(tmp_path / "one")), rtol=TOLERANCE, atol=0
    )
    assert len(found) == 6 and len(found.unique()) == 6


def test_so_they_have_in_parts_and_pieces_and_half_precision(curves, tmp_path):
    one = one_process(tmp_path / "one", Plan(parts=2), precision="bf16")
    torch.testing.assert_close(torch.tensor(curves["mixed"]), torch.tensor(one), rtol=1e-3, atol=0)


def test_two_killed_processes_resume_to_the_same_weights(folder, curves, resumed):
    assert "killed" not in curves and len(resumed[0]["killed"]) == 4  # steps 3 to 6
    assert resumed[0]["killed"] == curves["two"][2:]
    killed, whole = (torch.load(folder / name / "state.pt") for name in ("killed", "two"))
    for part in ("model", "average"):
        for key, value in whole[part].items():
            assert torch.equal(value, killed[part][key]), key
    found = [checkpoints.load(folder / name) for name in ("killed", "two")]
    assert found[0].sha256 == found[1].sha256
    assert found[0].record["audio_hours"] == found[1].record["audio_hours"]


def test_killed_in_mid_epoch_they_go_on_in_their_shards(folder, curves, places, resumed):
    """Seven pairs an epoch for each; the bad ones that they passed over are counted."""
    starts = [place["start"] for place in places]
    assert all(start > 3 * 3 and start % 7 for start in starts)
    assert resumed[0]["cut"] == curves["shards"][3:] and len(set(curves["shards"])) == 6
    found = [checkpoints.load(folder / name) for name in ("cut", "shards")]
    assert found[0].sha256 == found[1].sha256
    skipped = [each.record["skipped"] for each in found]
    assert set(skipped[0]) == set(skipped[1]) and len(skipped[0]) == 2


def test_a_run_goes_on_with_another_number_of_processes(folder, curves, resumed):
    recipe_steps = one_process(folder / "alone")
    torch.testing.assert_close(
        torch.tensor(recipe_steps), torch.tensor(curves["two"][2:]), rtol=TOLERANCE, atol=0
    )


def test_an_error_of_many_processes_is_one_line(resumed):
    said = [line for line in resumed[1].splitlines() if line.startswith("edmse: error")]
    assert len(said) == 2, resumed[1]
    assert "a batch of 6 cannot be divided into 2 processes x 4 pieces" in said[0]
    assert "made with another seed" in said[1]


def test_a_process_alone_needs_no_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team = parallel.join("cpu")
    assert (team.rank, team.size, team.first) == (0, 1, True)
    assert type(team) is parallel.Alone
