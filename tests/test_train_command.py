"""`edmse train`: what it hands on, says and keeps when it ends, is stopped or fails."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_run import RECIPE, small_mixer, small_shards

from edmse_lite import checkpoints, compact, parallel, recipes, records, runs
from edmse_lite.cli import main
from edmse_lite.training import Progress, Trainer, TrainingError

ARGUMENTS = ["train", "compact", "--device", "cpu"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, and the small recipe, which saves at its end alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(compact.RECIPES, "compact", RECIPE)
    monkeypatch.setattr(runs, "evaluation_set", lambda *_: ())
    mixer = small_mixer()
    monkeypatch.setattr(runs.Mixer, "bundled", lambda config, device: mixer)
    rare = recipes.TrainingConfig.__post_init__

    def never(self: recipes.TrainingConfig) -> None:
        object.__setattr__(self, "save_every", 100)
        rare(self)

    monkeypatch.setattr(recipes.TrainingConfig, "__post_init__", never)
    return tmp_path


def error_of(capfd: pytest.CaptureFixture) -> list[str]:
    """Lines that the command printed of itself, without the bar."""
    return [
        line.rpartition("\r")[2] for line in capfd.readouterr().err.splitlines()
        if line.rpartition("\r")[2].startswith("edmse: ")
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stopped_run_is_saved_where_it_stood_and_goes_on(here, capfd, monkeypatch, name) -> None:
    """The weights at the end are those of a run that nobody stopped."""
    take_step, at = Trainer.take_step, [3]

    def stopped(self: Trainer) -> tuple[float, float]:
        if [self.step + 1] == at:
            at.clear()
            signal.raise_signal(getattr(signal, name))  # in the midst of a step
        return take_step(self)

    assert main([*ARGUMENTS, "--out", "whole"]) == 0
    monkeypatch.setattr(Trainer, "take_step", stopped)
    assert main([*ARGUMENTS, "--out", "cut"]) == 130
    said = error_of(capfd)
    assert "edmse: stops after this step, and saves it; once more stops at once" in said
    assert "edmse: cut: saved at step 3; the same command goes on from there" in said
    assert torch.load(here / "cut" / "state.pt", weights_only=True)["step"] == 3
    assert main([*ARGUMENTS, "--out", "cut"]) == 0
    assert error_of(capfd)[-1].startswith("edmse: cut: holds the model")
    whole, cut = (checkpoints.load(here / each) for each in ("whole", "cut"))
    assert whole.sha256 == cut.sha256


def test_a_chain_trains_every_run_from_the_one_before(here, capfd, monkeypatch) -> None:
    """One command, stopped and given again, makes the weights of as many commands as runs."""
    links = {"compact": RECIPE}
    for seed, name in enumerate(("compact-refined", "compact-settled"), 1):
        links[name] = replace(RECIPE, training=replace(RECIPE.training, seed=seed))
    monkeypatch.setattr(compact, "RECIPES", links)
    before: list[str] = []
    for name in links:
        assert main(["train", name, "--device", "cpu", *before]) == 0
        before = ["--warm-start", f"runs/{name}"]
    take_step, at = Trainer.take_step, [2 * RECIPE.training.steps - 1]

    def stopped(self: Trainer) -> tuple[float, float]:
        at[0] -= 1
        if at[0] == 0:
            signal.raise_signal(signal.SIGINT)
        return take_step(self)

    monkeypatch.setattr(Trainer, "take_step", stopped)
    chain = ["train", "compact-settled", "--chain", "--device", "cpu", "--out", "all"]
    assert main(chain) == 130  # in the second run
    assert not (here / "all" / "compact-settled").exists()
    assert main(chain) == 0
    assert f"edmse: all/compact: has all of its {RECIPE.training.steps} steps" in error_of(capfd)
    for name in links:
        alone, linked = (checkpoints.load(here / top / name) for top in ("runs", "all"))
        assert alone.sha256 == linked.sha256
    stages = records.stages(linked.record)
    assert [stage["config"]["seed"] for stage in stages] == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["paper/edm", "--chain"], "--chain: paper/edm is no link of it — name one of compact, "),
        (["compact-long", "--chain", "--seed", "3"], "--chain --seed: each run has its own — "),
        (["compact-long", "--chain", "--profile"], "--chain --profile: each run has its own — "),
    ],
)
def test_a_chain_takes_no_setting_of_a_single_run(options, said, here, capfd) -> None:
    assert main(["train", *options]) == 2
    assert error_of(capfd)[-1].startswith(f"edmse: error: {said}")


def test_a_second_signal_does_not_wait(here, monkeypatch) -> None:
    def twice(self: Trainer) -> tuple[float, float]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the step went on")

    monkeypatch.setattr(Trainer, "take_step", twice)
    before = signal.getsignal(signal.SIGINT)
    assert main([*ARGUMENTS, "--out", "run"]) == 130
    assert not (here / "run" / "state.pt").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_says_so(here, capfd) -> None:
    assert main([*ARGUMENTS, "--out", "run"]) == 0
    error_of(capfd)
    assert main([*ARGUMENTS, "--out", "run"]) == 0
    assert error_of(capfd) == [
        "edmse: run: has all of its 6 steps; train another folder: --out FOLDER"
    ]


def test_settings_are_handed_on_and_faults_are_named(here, capfd, monkeypatch) -> None:
    seen: dict = {}
    start = runs.start

    def noted(recipe, folder, *rest, **how):
        seen.update(vars(recipe.training), folder=folder, command=how["command"])
        return start(recipe, folder, *rest, **how)

    def some(self: Trainer):
        yield Progress(1, 0.5, 1.0, 0.1, {})
        yield Progress(2, 0.25, 1.0, 0.1, {"pesq": 1.5})
        raise TrainingError("loss is nan at step 3")

    monkeypatch.setattr(runs, "start", noted)
    monkeypatch.setattr(Trainer, "run", some)
    assert main([*ARGUMENTS, "--out", "run", "--steps", "7", "--batch", "3"]) == 2
    assert (seen["steps"], seen["batch_size"], seen["folder"]) == (7, 3, Path("run"))
    assert seen["command"] == "edmse train compact --device cpu --out run --steps 7 --batch 3"
    printed = capfd.readouterr()
    assert "step 2: pesq 1.500" in printed.out
    assert printed.err.endswith("edmse: error: loss is nan at step 3\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "file"], "--out file: is a file — give a folder"),
        (["--corpus", "nowhere"], "--corpus nowhere: does not exist — give a manifest, a folder"),
        (["--out", "file/run"], "file/run: Not a directory"),
        (["--warm-start", "nowhere"], "nowhere: no such folder; give a folder that `edmse train`"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_is_named(here, capfd, options, said) -> None:
    (here / "file").touch()
    assert main([*ARGUMENTS, *options]) == 2
    assert error_of(capfd)[-1].startswith(f"edmse: error: {said}")


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> parallel.Alone:
    """This process is the second of two, and never waits for the first."""
    team = parallel.Alone()
    team.rank, team.size = 1, 2
    monkeypatch.setattr(parallel, "join", lambda device: team)
    return team


def test_each_process_names_what_it_refuses(here, capfd, second) -> None:
    small_shards(here / "shards")
    assert main([*ARGUMENTS, "--out", "run", "--corpus", "shards"]) == 2
    said = error_of(capfd)
    assert len(said) == 1 and "pairs-000000.tar: p03.clean is damaged" in said[0]
    assert said[0].startswith("edmse: error: process 1: shards/")


def test_each_process_names_once_what_it_skips(here, capfd, second) -> None:
    """Two epochs and more: it meets the same again."""
    small_shards(here / "shards")
    assert main([*ARGUMENTS, "--out", "run", "--corpus", "shards", "--bad-audio", "skip"]) == 0
    said = error_of(capfd)
    assert len(said) == 2 and all(line.startswith("edmse: process 1: skipped: ") for line in said)
    assert {line.split(": ")[4].split(".")[0] for line in said} == {"p03", "p07"}
    skipped = checkpoints.load(here / "run").record["skipped"]
    assert [f"edmse: process 1: skipped: {line}" for line in skipped] == said


def test_what_another_process_says_is_not_said_again(here, capfd, monkeypatch, second) -> None:
    def step(self: Trainer) -> tuple[float, float]:
        raise self.team.shared(TrainingError("loss is nan"))

    monkeypatch.setattr(Trainer, "take_step", step)
    assert main([*ARGUMENTS, "--out", "run"]) == 2
    assert error_of(capfd) == []
    second.rank = 0
    assert main([*ARGUMENTS, "--out", "run"]) == 2
    assert error_of(capfd) == ["edmse: error: loss is nan"]


def test_a_folder_with_another_model_is_left_alone(here, capfd) -> None:
    assert main([*ARGUMENTS, "--out", "run"]) == 0
    (here / "run" / "state.pt").unlink()
    before = {path: path.read_bytes() for path in (here / "run").iterdir()}
    error_of(capfd)
    assert main([*ARGUMENTS, "--out", "run", "--seed", "5"]) == 2
    (said,) = error_of(capfd)
    assert "run: holds a model (config.json), but no state of this run" in said
    assert "--warm-start run" in said
    assert {path: path.read_bytes() for path in (here / "run").iterdir()} == before


def test_a_device_that_is_too_small_is_one_error(here, capfd, monkeypatch) -> None:
    def step(self: Trainer) -> tuple[float, float]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has\n 1")

    monkeypatch.setattr(Trainer, "take_step", step)
    assert main([*ARGUMENTS, "--out", "run"]) == 2
    (said,) = error_of(capfd)
    assert said.startswith("edmse: error: not enough memory (CUDA out of memory); ")
    assert all(words in said for words in ("--batch", "--accumulate", "edmse corpus pack"))


def test_the_bar_keeps_the_last_validation_beside_the_loss() -> None:
    from edmse_lite.commands.train import _show

    class Bar:
        n, disable, told = 0, False, ""

        def update(self, steps: int) -> None:
            self.n += steps

        def set_postfix(self, refresh: bool, **shown: str) -> None:
            self.shown = shown

        def write(self, line: str) -> None:
            self.told += line

    bar, last = Bar(), {}
    _show(bar, Progress(1, 0.5, 1.0, 0.0, {"pesq": 1.25, "si_sdr": 9.0}), last)
    _show(bar, Progress(2, 0.25, 1.0, 0.0, {}), last)
    assert bar.n == 2 and bar.shown == {"loss": "0.2500", "pesq": "1.250", "si_sdr": "9.000"}
    assert bar.told == "step 1: pesq 1.250, si_sdr 9.000"
