"""Evaluations stop, go on and come out the same; bad files and changed results are named."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import edmse_lite as se
from edmse_lite import checkpoints, confirmation, evaluation, studies, systems
from edmse_lite.corpora import Pair
from edmse_lite.evaluation_sets import evaluation_set
from edmse_lite.grids import RhoGrid
from edmse_lite.networks import CompactUNet, UNetConfig
from edmse_lite.spectrograms import Spectrogram
from edmse_lite.studies import Job, Row, evaluate, jobs, measure, read, write
from edmse_lite.systems import NOISY, System


def half(wave: torch.Tensor, seed: int) -> torch.Tensor:
    return 0.5 * wave


def noisy_by_seed(wave: torch.Tensor, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return wave + 0.01 * torch.randn(wave.shape, generator=g)


def refuse(wave: torch.Tensor, seed: int) -> torch.Tensor:
    raise ValueError("too short")


def silent(wave: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.zeros_like(wave)


RANDOM = System("random", noisy_by_seed, "abc", "Cosine", "edm", "EDM S_churn=inf", 8, 15)


@pytest.fixture(scope="module")
def pairs() -> tuple[Pair, ...]:
    return tuple(
        replace(pair, clean=pair.clean[:24_000], noisy=pair.noisy[:24_000])
        for pair in evaluation_set("matched", 3)
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNSMOS takes most of the time and is tested elsewhere."""
    monkeypatch.setattr(studies, "METRICS", ("pesq", "si_sdr", "snr"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    network = CompactUNet(UNetConfig(channels=(8, 8), embedding=8))
    model = se.ScoreModel(network, se.Cosine(), sigma_range=(0.01, 2.0))
    record = {"steps": 3, "audio_hours": 0.5, "hours": 0.1, "hardware": "a CPU",
              "command": "edmse train tiny", "config": {"seed": 0}}  # fmt: skip
    checkpoints.save(folder, model, Spectrogram(), record)
    return folder


def test_a_row_holds_settings_pair_and_scores(pairs: tuple[Pair, ...]) -> None:
    row = measure(Job(RANDOM, "matched", pairs[1], 2))
    assert (row.system, row.sampler, row.steps, row.nfe) == ("random", RANDOM.sampler, 8, 15)
    assert (row.key, row.mixture_snr, row.seed) == ("matched-01", 5.0, 2)
    assert row.noise_file == pairs[1].noise_file and row.voice == pairs[1].voice
    assert 1 < row.pesq < 4.65 and -1 < row.snr < 10 and row.seconds > 0
    assert math.isnan(row.estoi) and not row.reason


def test_the_noisy_recording_has_the_mixture_snr() -> None:
    pair = evaluation_set("matched", 3)[2]
    assert abs(measure(Job(NOISY, "matched", pair)).snr - 10) < 1e-3


def test_what_fails_has_a_reason_and_stops_nothing(pairs: tuple[Pair, ...]) -> None:
    refused = measure(Job(System("refuse", refuse), "matched", pairs[0]))
    assert refused.reason == "not enhanced: too short" and math.isnan(refused.pesq)
    quiet = measure(Job(System("silent", silent), "matched", pairs[0]))
    assert math.isnan(quiet.pesq) and "pesq: estimate is silent" in quiet.reason
    assert quiet.snr == 0  # which is defined


def test_each_clip_has_its_own_noise_whatever_the_order(pairs: tuple[Pair, ...]) -> None:
    work = jobs([RANDOM], {"matched": pairs}, (0, 1))
    scores = [row.si_sdr for row in evaluate(work)]
    backwards = [row.si_sdr for row in evaluate(work[::-1])][::-1]
    assert scores == backwards
    assert len(set(scores)) == len(scores) == 6
    seeds = {studies.clip_seed(pair.key, seed) for pair in pairs for seed in range(3)}
    assert len(seeds) == 9


def test_only_systems_that_draw_noise_are_run_with_more_seeds(pairs: tuple[Pair, ...]) -> None:
    work = jobs([NOISY, RANDOM], {"matched": pairs}, (0, 1, 2))
    assert [job.system.name for job in work] == ["Noisy"] * 3 + ["random"] * 9


def test_rows_survive_their_file(tmp_path: Path, pairs: tuple[Pair, ...]) -> None:
    rows = [
        measure(Job(RANDOM, "matched", pairs[0])),
        measure(Job(System("a, \"b\"", refuse), "matched", replace(pairs[1], snr=math.inf))),
    ]
    write(tmp_path / "rows.csv", rows)
    for row, back in zip(rows, read(tmp_path / "rows.csv"), strict=True):
        for name, value in vars(row).items():
            found = getattr(back, name)
            if isinstance(value, float):
                assert_close(found, value, rtol=1e-5, atol=1e-6, equal_nan=True)
            else:
                assert found == value


def test_an_evaluation_that_was_killed_goes_on(tmp_path: Path, pairs: tuple[Pair, ...]) -> None:
    out, calls = tmp_path / "rows.csv", []
    work = jobs([NOISY, RANDOM], {"matched": pairs})
    whole = evaluate(work, out)
    text = out.read_text()
    lines = text.splitlines(keepends=True)
    out.write_text("".join(lines[:4]) + lines[4][:40])  # the last line cut short
    again = evaluate(work, out, progress=calls.append)
    assert [row.key for row in calls] == [row.key for row in whole[3:]]
    assert [row.si_sdr for row in again[3:]] == [row.si_sdr for row in whole[3:]]
    assert len(read(out)) == len(whole)
    evaluate(work, out, progress=lambda row: pytest.fail("nothing was left to do"))


def test_rows_of_older_weights_are_made_anew(tmp_path: Path, pairs: tuple[Pair, ...]) -> None:
    out = tmp_path / "rows.csv"
    evaluate(jobs([NOISY, RANDOM], {"matched": pairs}), out)
    fresh: list[Row] = []
    newer = replace(RANDOM, checkpoint="def")
    evaluate(jobs([NOISY, newer], {"matched": pairs}), out, progress=fresh.append)
    assert {row.system for row in fresh} == {"random"}  # the noisy rows are kept
    assert {row.checkpoint for row in read(out)} == {"", "def"}


def test_processes_give_the_same_rows(pairs: tuple[Pair, ...]) -> None:
    work = jobs([NOISY, RANDOM], {"matched": pairs[:1]})
    alone, together = evaluate(work), evaluate(work, workers=2)
    for one, two in zip(alone, together, strict=True):
        assert (two.pesq, two.snr) == (one.pesq, one.snr)
        assert one.identity == two.identity


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("pesq", "posq", 1), "expected the columns system, checkpoint"),
        (lambda t: t.replace("Noisy,", "Noisy,extra,", 1), "line 2: .*; remove the line"),
        (lambda t: t.replace("matched-01,5", "matched-01,five"), "line 3: could not convert"),
    ],
)
def test_a_file_that_holds_no_rows_is_named(
    tmp_path: Path, pairs: tuple[Pair, ...], change, message: str
) -> None:
    out = tmp_path / "rows.csv"
    work = jobs([NOISY], {"matched": pairs[:2]})
    evaluate(work, out)
    damaged = change(out.read_text())
    out.write_text(damaged)
    with pytest.raises(ValueError, match=message):
        evaluate(work, out)
    assert out.read_text() == damaged  # a damaged file is not overwritten


def test_calls_are_counted_not_computed() -> None:
    assert [systems.count_calls(s) for s in (evaluation.FAST, evaluation.PC_FAST)] == [15, 16]
    assert [systems.count_calls(s) for s in (evaluation.FULL, evaluation.PC_FULL)] == [31, 30]
    assert systems.count_calls(se.PC(steps=7, corrector_steps=2)) == 21
    every = {system.name: system.nfe for system in evaluation.systems()}
    assert every[evaluation.OURS] == 8 and every["PC, 4 × 1 step"] == 8


def test_samplers_and_preconditionings_have_names() -> None:
    assert systems.describe(se.EDM(steps=4)) == "EDM S_churn=inf"
    assert systems.describe(se.EDM(steps=9, s_churn=0.0)) == "EDM S_churn=0"
    assert "rho=3" in systems.describe(se.EDM(grid=RhoGrid(rho=3.0)))
    other = se.EDM(s_min=0.05, s_max=50.0, s_noise=1.003)
    assert systems.describe(other) == "EDM S_churn=inf S_min=0.05 S_max=50 S_noise=1.003"
    assert systems.describe(se.PC()) == "PC corrector=1 snr=0.5 t_eps=0.03 last=tweedie"
    assert systems.name_preconditioning(se.Preconditioning.richter()) == "richter"
    mixed = se.Preconditioning.edm(c_shift="richter")
    assert "c_shift=richter" in systems.name_preconditioning(mixed)


def test_the_plan_is_the_table_that_was_promised(checkpoint: Path) -> None:
    work = evaluation.plan(checkpoint, size=1)
    first = [job for job in work if job.seed == 0 and job.evaluation_set in evaluation.SETS]
    assert len(first) == 11 * 4
    seeds = {(job.evaluation_set, job.seed) for job in work if job.system.name == evaluation.OURS}
    assert {("matched", 2), ("unseen", 1)} <= seeds and ("unseen-voice", 1) not in seeds
    cleaner = {job.system.name for job in work if job.evaluation_set == "clean-20dB"}
    assert cleaner == {"Noisy", evaluation.OURS}
    identities = [job.empty_row.identity for job in work]
    assert len(set(identities)) == len(identities)
    plain = evaluation.plan(checkpoint, size=1, thorough=False)
    shorter = [job.empty_row.identity for job in plain]
    assert shorter == identities[: len(shorter)]  # a thorough one goes on from it


def test_rows_of_the_same_weights_stay(tmp_path: Path, pairs: tuple[Pair, ...]) -> None:
    out = tmp_path / "rows.csv"
    evaluate(jobs([NOISY, RANDOM], {"matched": pairs}, (0, 1)), out)
    found = evaluate(jobs([NOISY, RANDOM], {"matched": pairs[:1]}), out)
    assert len(found) == 2 and len(read(out)) == 9


def test_cleaner_inputs_are_what_they_say() -> None:
    for pair in evaluation.pairs_of("clean-20dB", 4):
        noise = (pair.noisy - pair.clean).double()
        snr = 10 * torch.log10(pair.clean.double().square().sum() / noise.square().sum())
        assert abs(float(snr) - 20) < 1e-3
    for pair in evaluation.pairs_of("clean", 2):
        assert torch.equal(pair.noisy, pair.clean) and pair.snr == math.inf


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Two sets, and samplers with few steps."""
    patch.setattr(evaluation, "SETS", ("matched", "unseen"))
    steps = {"FAST": se.EDM(steps=1), "PC_FAST": se.PC(steps=1), "FULL": se.EDM(steps=2),
             "PC_FULL": se.PC(steps=2)}  # fmt: skip
    for name, sampler in steps.items():
        patch.setattr(evaluation, name, sampler)


@pytest.fixture(scope="module")
def results(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> evaluation.Results:
    """The standard evaluation of an untrained network: one pair a set, quick scores."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "METRICS", ("pesq", "si_sdr", "snr"))
        make_small(patch)
        path = evaluation.evaluate_checkpoint(checkpoint, out, workers=1, size=1)
    assert path == out / "tiny.csv"
    return evaluation.Results.load("tiny", out)


def test_the_record_says_how_the_results_were_made(
    results: evaluation.Results, checkpoint: Path
) -> None:
    record = results.record
    sha256 = json.loads((checkpoint / "config.json").read_text())["weights"]["sha256"]
    assert record["sha256"] == sha256 and record["rows"] == len(results.rows)
    assert record["command"].startswith("edmse evaluate --standard")
    assert {"torch", "pesq"} <= record["packages"].keys() and record["minutes"] >= 0


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirm the few rows that there are."""
    make_small(monkeypatch)
    monkeypatch.setattr(confirmation, "SETS", ("matched", "unseen"))
    monkeypatch.setattr(confirmation, "pairs_of", lambda name: evaluation.pairs_of(name, 1))


@pytest.mark.usefixtures("small")
def test_true_results_are_confirmed(results: evaluation.Results, checkpoint: Path) -> None:
    found = confirmation.confirm(results, checkpoint, sets=1)
    assert [c.row.system for c in found] == [s.name for s in evaluation.systems(checkpoint)]


@pytest.mark.usefixtures("small")
def test_which_rows_are_confirmed_depends_on_the_weights_alone(
    results: evaluation.Results, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple] = []
    stored = {row.identity: row for row in results.rows}

    def recall(job: Job) -> Row:
        asked.append(job.empty_row.identity)
        return stored[job.empty_row.identity]

    monkeypatch.setattr(confirmation, "measure", recall)
    confirmation.confirm(results, checkpoint, sets=1)
    first = asked.copy()
    asked.clear()
    confirmation.confirm(results, checkpoint, sets=1)
    assert asked == first and len(first) == 11


@pytest.mark.usefixtures("small")
def test_changed_results_are_not_confirmed(results: evaluation.Results, checkpoint: Path) -> None:
    better = [replace(row, pesq=row.pesq + 0.1) for row in results.rows]
    with pytest.raises(confirmation.Disagreement, match="pesq is .*, the results say"):
        confirmation.confirm(replace(results, rows=better), checkpoint, sets=1)
    none = [row for row in results.rows if row.system != "Noisy"]
    with pytest.raises(confirmation.Disagreement, match="no row of Noisy"):
        confirmation.confirm(replace(results, rows=none), checkpoint, sets=1)


def test_results_of_other_weights_are_refused(
    results: evaluation.Results, checkpoint: Path
) -> None:
    confirmation.check_weights(results, checkpoint)
    other = replace(results, record={**results.record, "sha256": "0" * 64})
    with pytest.raises(confirmation.Disagreement, match="run `edmse evaluate --standard"):
        confirmation.check_weights(other, checkpoint)
    rows = [replace(row, checkpoint="0" * 12 if row.nfe else "") for row in results.rows]
    with pytest.raises(confirmation.Disagreement, match="000000000000"):
        confirmation.check_weights(replace(results, rows=rows), checkpoint)


def test_small_differences_are_tolerated_and_nan_is_equal_to_nan(
    results: evaluation.Results,
) -> None:
    row = results.rows[0]
    near = replace(row, pesq=row.pesq + 0.01, si_sdr=row.si_sdr - 0.001)
    found = confirmation.compare(row, near)
    assert found.score == "pesq" and abs(found.difference - 0.01) < 1e-6
    with pytest.raises(confirmation.Disagreement, match="si_sdr"):
        confirmation.compare(row, replace(row, si_sdr=row.si_sdr + 0.06))
    with pytest.raises(confirmation.Disagreement, match="pesq is nan"):
        confirmation.compare(row, replace(row, pesq=math.nan))
    endless = replace(row, si_sdr=math.inf)
    assert confirmation.compare(endless, endless).difference == 0


def test_missing_results_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="compact.csv: no such file; make it by"):
        evaluation.Results.load("compact", tmp_path)


def test_the_columns_of_the_file_are_those_that_readers_know(
    tmp_path: Path, pairs: tuple[Pair, ...]
) -> None:
    write(tmp_path / "rows.csv", [])
    with (tmp_path / "rows.csv").open() as file:
        header = next(csv.reader(file))
    assert header[:8] == ["system", "checkpoint", "schedule", "preconditioning", "sampler",
                          "steps", "nfe", "evaluation_set"]  # fmt: skip
    assert {"key", "mixture_snr", "noise_file", "voice", "seed", "seconds", *studies.SCORES} < {
        *header
    }
