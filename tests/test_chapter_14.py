"""Chapter 14: the study of quality against calls, the lab, the check, the picture."""

import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from close import close
from tiny import tiny_model

import edmse_lite as se
from edmse_lite import (
    checkpoints,
    confirmation,
    curves,
    evaluation,
    figures,
    laws,
    live,
    races,
    studies,
    trajectories,
)
from edmse_lite.checks import check_budget
from edmse_lite.cli import main
from edmse_lite.intervals import Interval
from edmse_lite.spectrograms import Spectrogram
from edmse_lite.trajectories import Setting

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
def test_rows_of_the_standard_evaluation_are_taken_over(
    checkpoint: Path, tmp_path: Path
) -> None:
    rows = studies.read(curves.run(checkpoint, tmp_path, workers=1))
    marked = [replace(row, seconds=1234.0) for row in rows if row.steps == 2]
    studies.write(tmp_path / "curve.csv", [row for row in rows if row.steps != 2])
    studies.write(tmp_path / "tiny.csv", [*marked, replace(rows[0], evaluation_set="unseen")])
    (tmp_path / "curve.json").unlink()
    found = studies.read(curves.run(checkpoint, tmp_path, workers=1))
    record = curves.load(tmp_path).record
    assert record["rows_of_the_standard_evaluation"] == len(marked) > 0
    assert [row.identity for row in found] == [row.identity for row in rows]
    assert [r.seconds == 1234.0 for r in found] == [r.steps == 2 for r in rows]


@pytest.mark.usefixtures("small")
def test_a_quick_look_and_other_weights_cost_no_row(checkpoint: Path, tmp_path: Path) -> None:
    path = curves.run(checkpoint, tmp_path, workers=1)
    whole = keyed(path)
    curves.run(checkpoint, tmp_path, workers=1, size=1)
    assert keyed(path) == whole
    other = replace(studies.read(path)[-1], checkpoint="0" * 12)
    studies.write(path, [other])
    with pytest.raises(ValueError, match=r"other weights \(000000000000…\); give another --out"):
        curves.run(checkpoint, tmp_path, workers=1)
    assert [row.identity for row in studies.read(path)] == [other.identity]


@pytest.mark.usefixtures("small")
def test_rows_that_lack_dnsmos_are_computed_again_once_all_are_there(
    checkpoint: Path, tmp_path: Path
) -> None:
    path = curves.run(checkpoint, tmp_path, workers=1)
    rows = [replace(row, dnsmos_ovrl=3.0 if row.seed == 0 else math.nan, seconds=1234.0)
            for row in studies.read(path)]  # fmt: skip
    studies.write(path, rows[:-1])  # one is missing: it is computed, then those of seed 1
    found = studies.read(curves.run(checkpoint, tmp_path, workers=1))
    assert [row.seconds == 1234.0 for row in found] == [row.seed == 0 for row in found]
    assert [row.identity for row in found] == [row.identity for row in rows]


@pytest.mark.usefixtures("small")
def test_points_are_means_over_whole_seeds(checkpoint: Path, tmp_path: Path) -> None:
    curves.run(checkpoint, tmp_path, workers=1)
    rows = curves.load(tmp_path).rows
    found = curves.points(rows)
    assert [(p.name, p.nfe) for p in found if p.walk == "default"] == [
        ("EDM, 1 step", 1), ("EDM, 2 steps", 3), ("EDM, 3 steps", 5), ("EDM, 4 steps", 7),
        ("PC, 1 step", 2),
    ]  # fmt: skip
    assert {p.seeds for p in found} == {(0, 1)} and all(len(p.rows) == 4 for p in found)
    some = [row for row in rows if row.system == "EDM, 2 steps"]
    interval = races.curve(found, "si_sdr")["EDM"][3]
    assert interval.mean == pytest.approx(sum(row.si_sdr for row in some) / 4)
    assert "PC, whole walk" in races.curve(found, "si_sdr")
    lost = next(row for row in rows if row.system == "EDM, 2 steps" and row.seed == 1)
    again = {p.name: p.seeds for p in curves.points([row for row in rows if row != lost])}
    assert again["EDM, 2 steps"] == (0,) and again["EDM, 1 step"] == (0, 1)


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


# The lab


@pytest.fixture(scope="module")
def lab() -> live.SamplerLab:
    return live.SamplerLab()


def reads(lab: live.SamplerLab, **values: object) -> list[str]:
    """Set controls, press Run, wait, and return the read-outs without the seconds."""
    for name, value in values.items():
        lab.controls[name].value = value
    lab.run_button.click()
    assert lab.wait(60), "the walk has not ended"
    found = re.findall(r"<b>([^<]*)</b>", lab.status.value)
    assert len(found) == 5, lab.status.value
    return [found[0], *found[2:]]


def test_the_lab_opens_with_three_tasks_and_a_walk(lab: live.SamplerLab) -> None:
    data, _ = lab._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert page.count("<li>") == page.count("Expected:") == len(live.TASKS) == 3
    assert "Colab" in page and "lab.html" in page and "data:image/png" in page
    assert "calls <b>15</b>" in page and "<script" not in page
    assert lab.progress.value == 8 and lab.picture.value[:4] == b"\x89PNG"
    assert len(lab.widget.children) > 8


def test_a_schedule_moves_pc_and_not_edm(lab: live.SamplerLab) -> None:
    """Task 1."""
    edm = [reads(lab, sampler="EDM", steps=1, schedule=name) for name in trajectories.SCHEDULES]
    waves = [lab.readings[-1].wave]
    assert edm[0] == edm[1] == edm[2] and lab.controls["r_corr"].disabled
    reads(lab, schedule="VE")
    assert torch.equal(waves[0], lab.readings[-1].wave)
    pc = [reads(lab, sampler="PC", schedule=name) for name in trajectories.SCHEDULES]
    assert pc[0][0] == "2" and lab.controls["s_churn"].disabled
    assert pc[0] != pc[1] != pc[2]


def test_fewer_steps_take_less_calls_and_time(lab: live.SamplerLab) -> None:
    """Task 2."""
    settings = live.TASKS[1].settings
    assert [s.steps for s in settings] == [8, 1]
    many = reads(lab, sampler="EDM", schedule="VE", steps=8)
    seconds = lab.readings[-1].seconds
    few = reads(lab, steps=1)
    assert (many[0], few[0]) == ("15", "1") and lab.readings[-1].seconds < seconds / 4
    assert len(lab.readings) == 1


def test_a_corrector_that_is_too_large_costs_decibels(lab: live.SamplerLab) -> None:
    """Task 3."""
    half, whole = (
        reads(lab, sampler="PC", schedule="VE", steps=8, r_corr=r)[-1] for r in (0.5, 1.0)
    )
    assert float(whole) < float(half) - 2
    reads(lab, sampler="EDM", r_corr=0.5, steps=1)


def test_every_control_reaches_the_walk(lab: live.SamplerLab) -> None:
    start = {"sampler": "EDM", "steps": 2, "schedule": "VE", "r_corr": 0.5}
    base = reads(lab, **start)
    other = {"walk": "all levels", "clip": "rain, French", "mixture_snr": -5.0, "seed": 3}
    for name, value in other.items():
        before = lab.controls[name].value
        assert reads(lab, **{name: value}) != base, name
        lab.controls[name].value = before
    churned = reads(lab, walk="all levels")
    assert reads(lab, s_churn="none") != churned
    assert reads(lab, s_churn="full", walk="high levels") == base


def test_a_sound_for_each_step(lab: live.SamplerLab) -> None:
    reads(lab, steps=3)
    assert lab.step.max == lab.step.value == 3
    last = lab.audio.value
    lab.step.value = 1
    assert lab.audio.value != last and lab.reference.value
    assert [r.nfe for r in lab.readings] == [2, 4, 5]
    assert [r.sigma for r in lab.readings] == sorted((r.sigma for r in lab.readings), reverse=True)


def test_a_walk_can_be_interrupted_and_the_next_one_runs(lab: live.SamplerLab) -> None:
    seen = []
    lab.progress.observe(lambda change: seen.append(change["new"]), "value")
    lab.controls["steps"].value = 32
    lab.run_button.click()
    assert lab.run_button.disabled and not lab.stop_button.disabled
    lab.run_button.click()  # changes nothing while a walk is under way
    while lab.progress.value < 2:
        time.sleep(0.01)
    lab.stop_button.click()
    assert lab.wait(20) and 2 <= len(lab.readings) < 16
    assert f"Interrupted after step {len(lab.readings)} of 32" in lab.status.value
    assert seen[-1] == len(lab.readings) == lab.step.max
    assert lab.stop_button.disabled and not lab.run_button.disabled
    assert reads(lab, steps=2)[0] == "3"


def test_a_failure_is_told(lab: live.SamplerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(setting: object, enhancer: object) -> None:
        raise RuntimeError("out of <memory>")

    monkeypatch.setattr(live, "walk", broken)
    lab.run()
    assert lab.wait(5) and "It failed:</b> out of &lt;memory&gt;" in lab.status.value
    assert not lab.run_button.disabled


def test_the_prepared_table_has_a_line_for_each_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    task = live.Task("do", "expect", (Setting(steps=1), Setting(steps=1, sampler="PC")))
    lines = live.prepared([task]).markdown.splitlines()
    assert len(lines) == 4 and lines[2].startswith("| 1: EDM, N = 1, VE | 1 |")
    assert "PC, N = 1, VE, r_corr 0.5 | 2 |" in lines[3]


def test_a_walk_is_that_of_the_library() -> None:
    """Its last estimate is what the sampler gives for the same noise."""
    setting = Setting(steps=2, walk="all levels", seed=5)
    clip, enhancer = trajectories.material(setting.clip, 5.0), trajectories.compact()
    scale = se.level(clip.noisy)
    y = enhancer.spectrogram.forward((clip.noisy / scale)[None])
    sampler = se.EDM(2, math.inf, grid=se.grids.rho(0.025, 2.0))
    out = sampler(enhancer.denoiser, enhancer.sde, y, torch.Generator().manual_seed(5)).x0_hat
    wave = scale * enhancer.spectrogram.inverse(out, trajectories.SAMPLES)[0]
    close(list(trajectories.walk(setting))[-1].wave, wave)
    with pytest.raises(ValueError, match="schedule is 'VP', expected one of VE, OUVE"):
        Setting(schedule="VP")
    noise = clip.noisy - clip.clean
    ratio = clip.clean.double().square().sum() / noise.double().square().sum()
    assert 10 * math.log10(ratio) == pytest.approx(5, abs=1e-3)


# The pictures


def test_bars_stand_at_their_calls() -> None:
    lines = {"EDM": {1: Interval(1.0, 0.8, 1.3, 4, 2), 3: Interval(2.0, 1.9, 2.2, 4, 2)}}
    figure = figures.over_calls({"PESQ": lines, "ESTOI": lines}, {"PESQ": 1.1})
    assert len(figure.axes) == 2 and figure.axes[0].get_title(loc="left") == "PESQ"
    line, _, (bars,) = figure.axes[1].containers[0]
    assert list(line.get_xdata()) == [1, 3] and list(line.get_ydata()) == [1.0, 2.0]
    assert [s.tolist()[0][1] for s in bars.get_segments()] == pytest.approx([0.8, 1.9])
    assert figure.axes[1].get_xscale() == "log"


def test_a_mean_far_below_the_floor_is_an_arrow_and_squashes_nothing() -> None:
    lines = {"EDM": {1: Interval(14.0, 13.0, 15.0, 4, 2)},
             "PC": {8: Interval(-52.4, -54.0, -50.0, 4, 2), 16: Interval(9.0, 8.0, 10.0, 4, 2)}}
    ax = figures.over_calls({"SI-SDR": lines}, {"SI-SDR": 5.0}).axes[0]
    assert 0 < ax.get_ylim()[0] < 5.0 and ax.get_ylim()[1] > 14
    assert [(t.get_text(), t.xy[0]) for t in ax.texts] == [("↓ −52", 8)]
    near = {"EDM": {1: Interval(14.0, 13.0, 15.0, 4, 2), 3: Interval(4.0, 3.0, 5.0, 4, 2)}}
    assert not figures.over_calls({"SI-SDR": near}, {"SI-SDR": 5.0}).axes[0].texts


def test_a_path_has_its_two_panels() -> None:
    top, bottom = figures.path([2, 4, 5], [2.0, 1.5, 1.0], [3.0, 5.0, 6.0], 1.0).axes
    assert list(top.lines[0].get_ydata()) == [2.0, 1.5, 1.0]
    assert list(bottom.lines[1].get_xdata()) == [2, 4, 5]
    assert list(bottom.lines[0].get_ydata()) == [1.0, 1.0]


# Exact laws


ORACLE = se.GaussianOracle(0.02, 0.03)
SDE = se.RichterOUVE()
SPAN = se.grids.rho(0.02, 1.7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(
    "sampler", [se.EDM(5, 2.0, grid=SPAN), se.PC(4, 2), se.PC(3, 0, last="mean"), se.DPM(6, SPAN)]
)
def test_a_law_is_that_of_draws(sampler, dtype) -> None:
    y = torch.tensor(0.3, dtype=dtype)
    mean, variance = laws.law(sampler, ORACLE, SDE, y)
    g = torch.Generator().manual_seed(2)
    r = sampler(ORACLE, SDE, y.expand(100_000), g).x0_hat - y
    assert float((r.mean() - mean).abs()) < 5 * (variance / 100_000) ** 0.5
    assert float(r.var()) == pytest.approx(variance, rel=0.025)


def test_a_divergence_is_the_textbook_s_and_vanishes_for_a_fine_walk() -> None:
    y, sampler = torch.tensor(0.3 + 0.1j, dtype=torch.complex128), se.PC(8)
    mean, variance = laws.law(sampler, ORACLE, SDE, y)
    apart = 0.0
    for a, b in ((mean.real, ORACLE.mean(y).real), (mean.imag, ORACLE.mean(y).imag)):
        ours, exact = (
            torch.distributions.Normal(m, (v / 2) ** 0.5)
            for m, v in ((a, torch.tensor(variance)), (b, ORACLE.var))
        )
        apart += float(torch.distributions.kl_divergence(ours, exact))
    assert laws.divergence(sampler, ORACLE, SDE, y) == pytest.approx(apart, rel=1e-6)
    assert laws.divergence(se.PC(256, t_eps=0.003), ORACLE, SDE, y) < 2e-4


def test_the_flow_keeps_the_mismatch_of_its_start() -> None:
    """Exercise 14.2: KL(prior ‖ marginal), from both ends."""
    y, top = torch.tensor(0.3 + 0.1j, dtype=torch.complex128), SDE.sigma_1
    p, m = float(ORACLE.var), float(ORACLE.mean(y).abs())
    by_hand = top**2 / (p + top**2) - 1 + math.log((p + top**2) / top**2) + m**2 / (p + top**2)
    fine = se.EDM(400, 0.0, grid=se.grids.rho(1e-3, top))
    assert laws.divergence(fine, ORACLE, SDE, y) == pytest.approx(by_hand, rel=1e-3)
    assert by_hand == pytest.approx(0.0118, abs=5e-5)


def test_exact_draws_are_nearest() -> None:
    by_chance = sum(laws.chance(k, 2_000) for k in range(5)) / 5
    good = laws.distance(se.EDM(64, grid=se.grids.rho(0.005, 1.7)), SDE, 0, 2_000)
    bad = laws.distance(se.EDM(2, grid=se.grids.rho(0.005, 1.7)), SDE, 0, 2_000)
    assert 0 < by_chance < 0.3 and good < by_chance + 0.2 and bad > 5


# Differences of points


def row(kind: str, steps: int, nfe: int, key: int, seed: int, pesq: float) -> studies.Row:
    name = f"{kind}, {steps} steps"
    return studies.Row(name, "abc", "VE", "edm", kind, steps, nfe, "matched", f"k{key}", 5.0,
                       "rain", f"file{key // 2}", "june", seed, pesq)  # fmt: skip


def study() -> list[studies.Row]:
    """Clips differ by 1, seeds by 0.1; EDM with 3 calls is 0.2 above PC with 12."""
    found = []
    for kind, steps, nfe, gain in (("EDM", 2, 3, 0.2), ("PC", 6, 12, 0.0), ("PC", 2, 4, -0.1)):
        found += [row(kind, steps, nfe, k, seed, 1 + k + 0.1 * seed + gain)
                  for k in range(6) for seed in range(2)]  # fmt: skip
    return found


def test_what_is_common_to_a_clip_and_a_seed_cancels() -> None:
    edm, few, many = curves.points(study())
    effect = races.paired(edm, many, "pesq")
    assert (effect.n, effect.clusters) == (12, 3)
    assert effect.low == pytest.approx(0.2) == effect.high
    overlap = edm.mean("pesq").low < many.mean("pesq").high
    assert overlap  # exercise 14.3: and yet the difference is sure
    assert races.matches([edm, few, many]) == [(edm, many)]
    with pytest.raises(ValueError, match="share no clip with estoi"):
        races.paired(edm, many, "estoi")


def test_the_card_and_the_tables_say_what_was_compared() -> None:
    points = curves.points(study())
    card = races.claim(points[0], points[2], {"command": "edmse evaluate --curve", "minutes": 25})
    assert card.verdict == "better" and card.margin == 0.05
    text = card._repr_markdown_()
    assert "EDM reaches with 3 calls what PC reaches with 12" in text
    assert "6 clips × 2 seeds, 3 noise recordings" in text
    table = races.differences_table([(points[0], points[2])], ["pesq"], {"pesq": 0.3})
    assert table.rows[0][0] == "EDM, 3<br>minus PC, 12"
    assert table.rows[0][1].startswith("+0.200<br>")
    assert table.rows[0][1].endswith(">better, by less than the margin</small>")
    table = races.differences_table([(points[0], points[2])], ["pesq"], {"pesq": 0.1})
    assert table.rows[0][1].endswith(">better</small>")
    lines = races.points_table(points, ["pesq"]).rows
    assert "N = 2, 2 seeds" in lines[0][0] and lines[0][1].startswith("3.75")


# The check


def right(calls: int, moves: int) -> tuple[int, int]:
    return (calls + 1) // 2, calls // (1 + moves)


WRONG = {
    "the last step costs one call, not two": lambda n, c: (n // 2, n // (1 + c)),
    "the predictor costs one": lambda n, c: (right(n, c)[0], n // max(c, 1)),
    "leaves calls unspent": lambda n, c: (right(n, c)[0], n // (2 + c)),
    "were allowed": lambda n, c: (n, n // (1 + c)),
    "expected (0, 0)": lambda n, c: tuple(max(v, 1) for v in right(n, c)),
    "expected two whole numbers": lambda n, c: ((n + 1) / 2, n / (1 + c)),
    "corrector moves makes": lambda n, c: (right(n, c)[0], n // 2),
}


@pytest.mark.parametrize("seed", range(5))
def test_the_right_budget_passes(seed: int) -> None:
    report = check_budget(right, seed)
    assert report.score == len(report.findings) == 4, str(report)
    assert json.loads(report.json())["check"] == "budget"


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("message", WRONG)
def test_the_check_of_a_budget_names_what_is_wrong(message: str, seed: int) -> None:
    report = check_budget(WRONG[message], seed)
    assert report.score < 4 and message in str(report), str(report)


def test_every_read_out_of_the_lab_comes_within_two_seconds_of_work() -> None:
    list(trajectories.walk(Setting(steps=1)))  # loads the model
    started = time.process_time()
    last = list(trajectories.walk(Setting(steps=8)))[-1]
    trajectories.scores(Setting(), last.wave)
    assert time.process_time() - started < 2 * 2  # two cores for two seconds
