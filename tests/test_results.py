"""Tables say what the rows say; claims hold only if every interval does; the card is current."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from edmse_lite import (
    cards,
    checkpoints,
    claims,
    confirmation,
    curves,
    evaluation,
    evaluation_sets,
    figures,
    records,
    studies,
    surveys,
    tables,
)
from edmse_lite.corpora import Corpus
from edmse_lite.evaluation import Results
from edmse_lite.intervals import Interval, paired_interval
from edmse_lite.studies import Row


def row(system: str, clip: int, pesq: float, seed: int = 0, **changes: object) -> Row:
    made = Row(
        system, "", "", "", "", 0, 15 if system == "ours" else 0, "matched", f"matched-{clip}",
        (0.0, 5.0, 10.0)[clip % 3], ("wind", "rain")[clip // 3 % 2], f"file-{clip // 2}", "june",
        seed, pesq=pesq, estoi=0.5, si_sdr=10 * pesq,
    )  # fmt: skip
    return replace(made, **changes)


def study(lift: float = 0.3, clips: int = 12, seeds: int = 1) -> list[Row]:
    """Rows of "theirs" and "ours"; ours is better by `lift`, a little more on some clips."""
    theirs = [row("theirs", i, 1 + 0.1 * (i % 5)) for i in range(clips)]
    ours = [
        row("ours", i, 1 + 0.1 * (i % 5) + lift + 0.01 * (i % 3) + 0.001 * s, seed=s)
        for s in range(seeds) for i in range(clips)
    ]  # fmt: skip
    return theirs + ours


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"\d+\.\d+", text.replace("−", "-"))]


def test_a_mean_is_the_mean_and_clusters_are_noise_recordings() -> None:
    found = tables.mean(tables.where(study(), system="theirs"), "pesq")
    assert abs(found.mean - sum(1 + 0.1 * (i % 5) for i in range(12)) / 12) < 1e-12
    assert (found.n, found.clusters) == (12, 6)


def test_a_difference_is_paired_clip_by_clip() -> None:
    rows = study()
    found = tables.difference(rows[::-1], "ours", "theirs", "pesq")  # the order is nothing
    assert abs(found.mean - 0.31) < 1e-9
    assert found.high - found.low < 0.02  # what clips have in common cancels
    back = tables.difference(rows, "theirs", "ours", "pesq")
    assert abs(back.mean + found.mean) < 1e-9


def test_seeds_are_paired_with_the_same_seed_or_with_the_only_one() -> None:
    rows = study(seeds=3)
    pairs = tables.pair_up(rows, "ours", "theirs")
    assert len(pairs) == 36 and all(one.key == two.key for one, two in pairs)
    other = [replace(r, system="other", pesq=r.pesq - 0.1) for r in rows if r.system == "ours"]
    pairs = tables.pair_up(rows + other, "ours", "other")
    assert len(pairs) == 36 and all(one.seed == two.seed for one, two in pairs)


def test_a_seed_that_was_not_scored_costs_no_clip() -> None:
    rows = [row("a", clip, 2.0) for clip in range(6)] + [row("b", clip, 1.0) for clip in range(6)]
    rows += [row("a", clip, math.nan, seed=1) for clip in range(6)]
    assert len(tables.shared(rows, "pesq")) == 12
    assert tables.difference(rows, "a", "b", "pesq").mean == pytest.approx(1)


def test_a_clip_that_one_system_failed_is_left_out_for_all() -> None:
    rows = study()
    rows[3] = replace(rows[3], pesq=math.nan)
    kept = tables.shared(rows, "pesq")
    assert len(kept) == 22 and "matched-3" not in {r.key for r in kept}
    assert len(tables.shared(rows, "si_sdr")) == 24
    assert tables.difference(rows, "ours", "theirs", "pesq").n == 11


def test_systems_are_compared_on_equal_clips() -> None:
    rows = [r for r in study(seeds=2) if not (r.system == "ours" and r.key == "matched-4")]
    kept = tables.shared(rows, "pesq")
    assert len(kept) == 11 * 3 and "matched-4" not in {r.key for r in kept}
    theirs, _ = tables.means_table(rows, ("pesq",)).rows
    fair = tables.means_table([r for r in rows if r.key != "matched-4"], ("pesq",))
    assert theirs == fair.rows[0]


def test_systems_without_a_clip_in_common_are_named() -> None:
    with pytest.raises(ValueError, match="ours and nobody share no clip"):
        tables.difference(study(), "ours", "nobody", "pesq")


def test_the_table_of_means_shows_means_and_marks_the_best() -> None:
    table = tables.means_table(study(0.305, seeds=3), ("pesq", "si_sdr"))
    assert list(table.header) == ["System", "PESQ", "SI-SDR, dB"]
    theirs, ours = table.rows
    assert theirs[0] == "theirs" and ours[0] == "ours<br><small>15 calls</small>"
    assert theirs[1].startswith("1.18<br>") and ours[1].startswith("<strong>1.49</strong><br>")
    assert ours[2].startswith("<strong>14.9</strong>") and "<strong>" not in theirs[2]


def test_the_table_of_differences_marks_what_excludes_zero() -> None:
    table = tables.differences_table(study(), "ours", ["theirs"], ("pesq", "estoi"))
    ((name, pesq, estoi),) = table.rows
    assert name == "<small>matched</small><br>minus theirs" and table.header[0] == "ours"
    assert pesq.startswith("+0.31&nbsp;*<br>")
    assert estoi.startswith("0.000<br>") and "*" not in estoi


def test_cells_are_narrow_and_use_a_minus_sign() -> None:
    assert tables.cell(Interval(-1.234, -2.0, 0.0, 5, 3)) == (
        f"−1.23<br>{tables.SMALL}[−2.00, 0.00]</small>"
    )
    assert "[–, –]" in tables.cell(Interval(1.0, math.nan, math.nan, 5, 1))


def test_html_and_markdown_hold_the_same_numbers() -> None:
    table = tables.means_table(study(), ("pesq",))
    page, text = table._repr_html_(), table.markdown()
    assert numbers(page) == numbers(text) and "<" not in text and len(numbers(text)) == 6
    assert page.count('scope="row"') == 2 and page.count('scope="col"') == 2
    assert all(line.count("|") == 3 for line in text.splitlines())


def test_groups_are_sorted_and_hold_their_rows_only() -> None:
    found = tables.by_group(study(), "pesq", lambda r: r.mixture_snr)
    assert list(found) == ["theirs", "ours"] and list(found["ours"]) == [0.0, 5.0, 10.0]
    assert all(interval.n == 4 for interval in found["ours"].values())
    expected = sum(1 + 0.1 * (i % 5) for i in range(0, 12, 3)) / 4
    assert abs(found["theirs"][0.0].mean - expected) < 1e-12
    table = tables.groups_table(found, "pesq", "PESQ at", " dB")
    assert [line[0] for line in table.rows] == ["0 dB", "5 dB", "10 dB"]
    across = tables.groups_table(found, "pesq", "PESQ at", " dB", across=True)
    assert [line[0] for line in across.rows] == ["theirs", "ours"]
    assert across.header == ["PESQ at", "0 dB", "5 dB", "10 dB"]
    turned = [list(column) for column in zip(*(line[1:] for line in across.rows), strict=True)]
    assert turned == [list(line[1:]) for line in table.rows]


def test_charts_draw_every_mean_once() -> None:
    by_snr = tables.by_group(study(), "pesq", lambda r: r.mixture_snr)
    (axes,) = figures.over_axis(by_snr, "mixture SNR, dB", "PESQ").axes
    drawn = {float(y) for line in axes.lines[::3] for y in line.get_ydata()}
    means = {i.mean for found in by_snr.values() for i in found.values()}
    assert means <= drawn and axes.get_xlabel() == "mixture SNR, dB"
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["theirs", "ours"]
    one = tables.by_group(study(clips=2), "pesq", lambda r: r.noise_type)  # no interval
    (axes,) = figures.over_groups(one, "PESQ").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["wind"]


MARGINS = {"pesq": 0.05, "si_sdr": 0.5}


def card(rows: list[Row], goal: str = "better", margins: dict = MARGINS) -> claims.Card:
    compared = claims.compare_systems(rows, "matched", "ours", ["theirs"], margins)
    return claims.Card("Ours is better", compared, "edmse evaluate", 12, 1, goal)


@pytest.mark.parametrize(
    ("lift", "verdict"), [(0.3, "holds"), (-0.3, "does not hold"), (-0.01, "does not hold")]
)
def test_a_claim_holds_only_above_zero(lift: float, verdict: str) -> None:
    assert card(study(lift)).verdict == verdict


def test_a_claim_without_enough_evidence_is_inconclusive() -> None:
    rows = [
        replace(r, pesq=r.pesq + (0.9 if int(r.key[8:]) % 4 < 2 else -0.9))
        if r.system == "ours" else r for r in study(0.1)
    ]  # fmt: skip
    assert card(rows, margins={"pesq": 0.05}).verdict == "inconclusive at this scale"


def test_one_bad_comparison_spoils_a_claim() -> None:
    worse = [replace(r, si_sdr=r.si_sdr - 20 * (r.system == "ours")) for r in study(0.3)]
    assert card(worse).verdict == "does not hold"


@pytest.mark.parametrize(
    ("lift", "verdict"), [(0.3, "holds"), (-0.1, "holds"), (-0.4, "does not hold")]
)
def test_not_worse_means_within_the_margin(lift: float, verdict: str) -> None:
    assert card(study(lift), "not worse", {"pesq": 0.2}).verdict == verdict


def test_a_card_shows_hypothesis_margin_command_evidence_and_verdict() -> None:
    page = card(study(seeds=1))._repr_html_()
    for part in ("Ours is better", "margin 0.05: better", "margin 0.5: better", "edmse evaluate",
                 "12 clips × 1 seed,", "6 noise recordings", "<strong>holds</strong>"):  # fmt: skip
        assert part in page


def test_the_interval_of_several_seeds_has_the_clusters_of_one() -> None:
    rows = study(seeds=3)
    found = tables.difference(rows, "ours", "theirs", "pesq")
    assert (found.n, found.clusters) == (36, 6)
    pairs = tables.pair_up(rows, "ours", "theirs")
    values = [one.pesq - two.pesq for one, two in pairs]
    same = paired_interval(values, [0] * 36, [one.noise_file for one, _ in pairs])
    assert abs(same.low - found.low) < 1e-9


# What ships: the weights, their results and their card belong together


@pytest.fixture(scope="module")
def shipped() -> Results:
    return Results.load("compact")


def test_results_are_those_of_the_weights_that_ship(shipped: Results) -> None:
    confirmation.check_weights(shipped, "compact")
    assert shipped.record["rows"] == len(shipped.rows)


def test_no_row_is_missing(shipped: Results) -> None:
    found = {row.identity for row in shipped.rows}
    assert {job.empty_row.identity for job in evaluation.plan("compact", thorough=False)} <= found
    assert found <= {job.empty_row.identity for job in evaluation.plan("compact")}


@pytest.mark.parametrize(
    ("name", "score", "least"),
    [("matched", "pesq", 2.0), ("matched", "si_sdr", 12.0), ("unseen", "pesq", 1.8)],
)
def test_the_shipped_model_reaches_its_targets(
    shipped: Results, name: str, score: str, least: float
) -> None:
    rows = tables.where(shipped.rows, evaluation_set=name, system=evaluation.OURS, seed=0)
    assert len(rows) == 48
    assert tables.mean(rows, score).mean >= least


@pytest.mark.parametrize("path", sorted(evaluation.RESULTS.glob("*.csv")), ids=lambda p: p.stem)
def test_every_row_leads_to_command_hardware_and_training_steps(path: Path) -> None:
    study = Results.load(path.stem)
    assert study.record["rows"] == len(study.rows)
    made = {row.checkpoint: row for row in study.rows}
    for checkpoint, one in made.items():
        found = records.provenance(checkpoint, study.record)
        assert found.command.startswith(("edmse evaluate", "python scripts/")), one.system
        assert "…" not in found.command and "..." not in found.command
        assert (found.training_steps > 0) == bool(one.checkpoint)
        if path.stem != "stages":  # some of its rows are older than its record
            assert found.hardware


def test_the_record_of_the_stages_agrees_with_that_of_the_weights() -> None:
    study, stages = Results.load("stages"), records.stages(checkpoints.load("compact").record)
    assert {row.checkpoint for row in study.rows} == {s["sha256"][:12] for s in stages[:-1]}
    steps = 0
    for stage in stages[:-1]:
        steps += stage["steps"]
        assert records.provenance(stage["sha256"][:12], study.record).training_steps == steps
    assert len(study.rows) == 48 * len(evaluation.SETS) * (len(stages) - 1)


def test_every_row_has_its_scores(shipped: Results) -> None:
    for line in shipped.rows:
        scores = [line.pesq, line.estoi, line.si_sdr]
        scores += [] if line.seed else [line.dnsmos_ovrl]
        assert not any(map(math.isnan, scores)), f"{line.system} {line.key}: {line.reason}"


def test_rows_belong_to_the_evaluation_sets(shipped: Results) -> None:
    pairs = {pair.key: pair for pair in evaluation_sets.evaluation_set("matched")}
    for line in tables.where(shipped.rows, evaluation_set="matched"):
        pair = pairs[line.key]
        assert (line.mixture_snr, line.voice, line.noise_file) == (
            pair.snr, pair.voice, pair.noise_file,
        )  # fmt: skip
    noisy = tables.where(shipped.rows, evaluation_set="matched", system="Noisy")
    assert all(abs(line.snr - line.mixture_snr) < 1e-3 for line in noisy)


def test_the_model_card_is_the_one_that_the_code_writes(shipped: Results) -> None:
    stored = (checkpoints.find("compact") / "README.md").read_text(encoding="utf-8")
    assert stored == cards.model_card("compact", shipped), "run `edmse evaluate --standard`"


def test_the_earlier_stage_has_its_card_and_its_study() -> None:
    name = curves.load().record["checkpoint"]
    stored = (checkpoints.find(name) / "README.md").read_text(encoding="utf-8")
    assert stored == cards.stage_card(name)
    assert curves.load().record["sha256"] == checkpoints.load(name).sha256


def test_a_card_says_only_what_is_true_of_its_model() -> None:
    """Which models draw their answer, and what was measured on clean input, by the rows."""
    clean = {
        row.checkpoint
        for path in evaluation.RESULTS.glob("*.csv")
        for row in studies.read(path)
        if row.evaluation_set in evaluation.CLEANER
    }
    for name in checkpoints.names():
        text = (checkpoints.find(name) / "README.md").read_text(encoding="utf-8")
        drawn = name != "study/predictive"
        assert ("It is a generative model" in text) == drawn, name
        assert ("draws diffusion noise" in text) == drawn, name
        assert ("It is a discriminative model" in text) == (not drawn), name
        measured = checkpoints.load(name).sha256[:12] in clean
        assert ("see *Clean input*" in text) == ("### Clean input" in text) == measured, name
        assert ("clean input was not measured" in text) == (not measured), name


def test_the_cards_of_the_study_are_those_that_the_code_writes() -> None:
    study = surveys.load()
    for name in {model["design"] for model in study.record["models"]}:
        stored = (checkpoints.find(f"study/{name}") / "README.md").read_text(encoding="utf-8")
        assert stored == cards.study_card(name, study), "run `python scripts/study.py ship`"


def test_the_card_subtracts_every_earlier_stage(shipped: Results) -> None:
    text = cards.model_card("compact", shipped)
    earlier = records.stages(checkpoints.load("compact").record)[:-1]
    assert {row.checkpoint for row in cards.stage_rows()} == {r["sha256"][:12] for r in earlier}
    rows = [row for row in cards.stage_rows() if row.checkpoint == earlier[0]["sha256"][:12]]
    ours = tables.where(shipped.rows, evaluation_set="matched", system=evaluation.OURS, seed=0)
    first = {row.key: row.pesq for row in tables.where(rows, evaluation_set="matched")}
    gain = sum(row.pesq - first[row.key] for row in ours) / len(ours)
    assert f"| matched minus stage 1 | {gain:+.2f}" in text
    assert text.count("minus stage") == len(earlier) * len(evaluation.SETS)


def test_the_model_card_says_what_it_must() -> None:
    folder = checkpoints.find("compact")
    text = (folder / "README.md").read_text(encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["weights"]["sha256"] in text
    for stage in records.stages(config["training"]):
        for key in ("steps", "hardware", "hours", "audio_hours", "command"):
            assert str(stage[key]) in text, stage[key]
    for words in ("Three training speakers", "CC BY-SA 4.0", "95 % interval", "### unseen"):
        assert words in text


def test_the_page_shows_the_numbers_of_the_file(site: Path, shipped: Results) -> None:
    page = (site / "notebooks" / "results.html").read_text(encoding="utf-8")
    for name in evaluation.SETS:
        some = tables.where(shipped.rows, evaluation_set=name)
        for line in tables.means_table(some, ("pesq",)).rows:
            assert line[1] in page, f"{name}: {line[0]}"
    assert shipped.record["sha256"][:12] in page and shipped.record["command"] in page
    assert page.count("Verdict") == 3


def test_the_page_states_the_verdicts_of_the_rows(site: Path, shipped: Results) -> None:
    """Whether the floor is passed or not, the page says it: better, by intervals above zero."""
    page = (site / "notebooks" / "results.html").read_text(encoding="utf-8")
    said = re.findall(r"Verdict</th><td[^>]*><strong>([^<]*)</strong>", page)
    ours, margins = evaluation.OURS, {"pesq": 0.05, "si_sdr": 0.5}
    wanted = [
        (("matched",), ["Noisy", "Spectral gating", "RNNoise"], margins, "better"),
        (("unseen",), ["Noisy"], margins, "better"),
        (("clean-20dB", "clean"), ["Noisy"], {"pesq": 0.2}, "not worse"),
    ]
    for words, (names, theirs, limits, goal) in zip(said, wanted, strict=True):
        compared = [
            each for name in names
            for each in claims.compare_systems(shipped.rows, name, ours, theirs, limits)
        ]  # fmt: skip
        assert words == claims.Card("", compared, "", 0, 1, goal).verdict


def test_the_data_card_counts_what_there_is(site: Path) -> None:
    page = (site / "notebooks" / "data_card.html").read_text(encoding="utf-8")
    for kind in ("speech", "noise"):
        clips = Corpus.bundled().where(kind=kind, split="train")
        assert f"<p>{len(clips)}</p>" in page or f">{len(clips)}<" in page
    for name in evaluation.SETS:
        files = len({pair.noise_file for pair in evaluation_sets.evaluation_set(name)})
        assert re.search(rf"{name}\D.*?48.*?{files}", page, re.S)
    assert "CC-BY-SA-3.0" in page and "Three training speakers" in page
