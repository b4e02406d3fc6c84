"""Chapter 14: the study of quality against calls, the lab, the check, the picture."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import tiny_model

from edmse_lite import checkpoints, confirmation, curves, evaluation, studies
from edmse_lite.cli import main
from edmse_lite.spectrograms import Spectrogram

# The study


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    checkpoints.save(folder, tiny_model(), Spectrogram(), {"steps": 3})
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of few steps, clips of one second and quick scores."""

    def pairs_of(name: str, size: int | None = None) -> tuple:
        pairs = evaluation.pairs_of(name, 4)[: size or 2]
        return tuple(replace(p, clean=p.clean[:16_000], noisy=p.noisy[:16_000]) for p in pairs)

    monkeypatch.setattr(studies, "METRICS", ("si_sdr", "snr"))
    monkeypatch.setattr(curves, "pairs_of", pairs_of)
    for name, value in {"EDM_STEPS": (1, 2, 3, 4), "PC_STEPS": (1,), "FEW": 3, "MANY": 5,
                        "WHOLE_STEPS": ((1,), (1,)), "SEEDS": (0, 1)}.items():  # fmt: skip
        monkeypatch.setattr(curves, name, value)


def keyed(path: Path) -> dict:
    """Scores by identity: all but the seconds."""
    return {row.identity: (row.si_sdr, row.snr, row.nfe) for row in studies.read(path)}


def test_the_calls_are_those_of_the_page_and_cheap_rows_come_first() -> None:
    work = curves.plan(size=1)
    short = [job.system for job in work if not job.system.name.endswith(curves.WHOLE)]
    calls = {kind: sorted({s.nfe for s in short if s.name.startswith(kind)}) for kind in "EP"}
    assert calls == {"E": [1, 3, 7, 15, 31, 63, 127], "P": [2, 4, 8, 16, 30, 64, 128]}
    first = [job for job in work if job.system.nfe <= 31
             and not job.system.name.endswith(curves.WHOLE)]  # fmt: skip
    assert work[: len(first)] == first and {job.seed for job in first} == {0, 1, 2}
    assert [job.seed for job in first] == sorted(job.seed for job in first)
    identities = [job.empty_row.identity for job in work]
    assert len(set(identities)) == len(identities) == 1 + 3 * (7 + 7 + 6)


def test_both_walks_end_at_the_same_levels() -> None:
    sde = checkpoints.load("compact").model.sde
    ends = [float(sde.sigma(t)) for t in (1.0, curves.WHOLE_PC.t_eps)]
    levels = curves.WHOLE_EDM.grid(sde, 8).tolist()
    assert levels[0] == pytest.approx(ends[0], rel=0.01)
    assert levels[-1] == pytest.approx(ends[1], rel=0.01)


@pytest.mark.usefixtures("small")
def test_a_stopped_study_goes_on_and_comes_out_the_same(checkpoint: Path, tmp_path: Path) -> None:
    whole = curves.run(checkpoint, tmp_path / "a", workers=1)
    record = json.loads(whole.with_suffix(".json").read_text())
    assert record["rows"] == record["all_rows"] == len(studies.read(whole)) == 30
    assert record["command"].startswith("edmse evaluate --curve --model")
    told = []
    for _ in range(3):
        path = curves.run(
            checkpoint, tmp_path / "b", workers=1, minutes=0, progress=lambda *n: told.append(n)
        )
    assert told == [(1, 30), (2, 30), (3, 30)] and len(studies.read(path)) == 3
    assert json.loads(path.with_suffix(".json").read_text())["rows"] == 3
    curves.run(checkpoint, tmp_path / "b", workers=1)
    assert keyed(path) == keyed(whole)


@pytest.mark.usefixtures("small")
def test_rows_of_the_standard_evaluation_are_taken_over_and_others_go(
    checkpoint: Path, tmp_path: Path
) -> None:
    rows = studies.read(curves.run(checkpoint, tmp_path, workers=1))
    marked = [replace(row, seconds=1234.0) for row in rows if row.steps == 2]
    other = replace(rows[-1], checkpoint="0" * 12)
    studies.write(tmp_path / "curve.csv", [row for row in rows if row.steps != 2] + [other])
    studies.write(tmp_path / "tiny.csv", [*marked, replace(rows[0], evaluation_set="unseen")])
    found = studies.read(curves.run(checkpoint, tmp_path, workers=1))
    assert [row.identity for row in found] == [row.identity for row in rows]
    assert [r.seconds == 1234.0 for r in found] == [r.steps == 2 for r in rows]


@pytest.mark.usefixtures("small")
def test_points_are_means_over_whole_seeds(checkpoint: Path, tmp_path: Path) -> None:
    curves.run(checkpoint, tmp_path, workers=1)
    rows = curves.load(tmp_path).rows
    found = curves.points(rows)
    assert [(p.name, p.nfe) for p in found if p.walk == "default"] == [
        ("EDM, 1 steps", 1), ("EDM, 2 steps", 3), ("EDM, 3 steps", 5), ("EDM, 4 steps", 7),
        ("PC, 1 steps", 2),
    ]  # fmt: skip
    assert {p.seeds for p in found} == {(0, 1)} and all(len(p.rows) == 4 for p in found)
    some = [row for row in rows if row.system == "EDM, 2 steps"]
    interval = curves.curve(found, "si_sdr")["EDM"][3]
    assert interval.mean == pytest.approx(sum(row.si_sdr for row in some) / 4)
    assert "PC, whole walk" in curves.curve(found, "si_sdr")
    lost = next(row for row in rows if row.system == "EDM, 2 steps" and row.seed == 1)
    again = {p.name: p.seeds for p in curves.points([row for row in rows if row != lost])}
    assert again["EDM, 2 steps"] == (0,) and again["EDM, 1 steps"] == (0, 1)


@pytest.mark.usefixtures("small")
def test_true_rows_are_confirmed_and_others_are_named(checkpoint: Path, tmp_path: Path) -> None:
    curves.run(checkpoint, tmp_path, workers=1)
    results = curves.load(tmp_path)
    assert len(curves.confirm(results, checkpoint, count=3)) == 3
    better = [replace(row, si_sdr=row.si_sdr + 0.2) for row in results.rows]
    with pytest.raises(confirmation.Disagreement, match="si_sdr is"):
        curves.confirm(replace(results, rows=better), checkpoint, count=3)
    other = replace(results, record={**results.record, "sha256": "0" * 64})
    with pytest.raises(confirmation.Disagreement, match="weights .*--curve"):
        curves.confirm(other, checkpoint)
    with pytest.raises(confirmation.Disagreement, match="no row of at most 0 calls"):
        curves.confirm(results, checkpoint, most=0)


@pytest.mark.usefixtures("small")
def test_the_command_runs_it(checkpoint: Path, tmp_path: Path, capsys) -> None:
    options = ["--curve", "--model", str(checkpoint), "--size", "1", "--out", str(tmp_path)]
    assert main(["evaluate", *options, "--minutes", "0", "--device", "cpu"]) == 0
    assert str(tmp_path / "curve.csv") in capsys.readouterr().out
    assert len(studies.read(tmp_path / "curve.csv")) == 1
    with pytest.raises(FileNotFoundError, match="edmse evaluate --curve"):
        curves.load(tmp_path / "nowhere")
    assert math.isinf(curves.WHOLE_EDM.s_churn)
