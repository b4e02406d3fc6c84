"""A checkpoint trained in stages says so: its record, its card, and how a run is released."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

import edmse_lite as se
from edmse_lite import cards, checkpoints, compact, recipes, records, runs, studies
from edmse_lite.mixing import Mixer, MixingConfig
from edmse_lite.networks import UNetConfig

FIRST = replace(
    compact.COMPACT,
    network=UNetConfig(channels=(8, 16), embedding=16),
    mixing=MixingConfig(seconds=0.5),
    training=recipes.TrainingConfig(
        steps=3, batch_size=2, warmup=2, save_every=1, validate_every=100
    ),
)
SECOND = replace(
    FIRST,
    mixing=MixingConfig(seconds=0.5, equaliser=4.0),
    training=replace(FIRST.training, steps=2, seed=1),
)


@pytest.fixture(scope="module", autouse=True)
def small_corpus() -> object:
    """Recipes train on a few clips, and validate on none."""
    clips = se.Corpus.bundled().where(split="valid")
    speech = clips.where(kind="speech", language="fr").audio()[:20]
    noises = clips.where(kind="noise").audio()[:4]
    with pytest.MonkeyPatch.context() as patch:
        bundled = classmethod(lambda cls, config, device: cls(speech, noises, config, device))
        patch.setattr(Mixer, "bundled", bundled)
        patch.setattr(runs, "evaluation_set", lambda *_: ())
        yield


@pytest.fixture(scope="module")
def folders(small_corpus: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A first run, and a second one that begins with its weights."""
    root = tmp_path_factory.mktemp("runs")
    list(runs.train(FIRST, root / "first", command="edmse train first"))
    list(
        runs.train(SECOND, root / "second", warm_start=root / "first", command="edmse train second")
    )
    return root / "first", root / "second"


def test_totals_add_up_and_say_what_is_not_known() -> None:
    one = {"steps": 5, "hours": 0.5, "audio_hours": 2.25}
    two = records.follow({"steps": 7, "hours": 0.25, "audio_hours": 1.0}, one | {"sha256": "a"})
    three = records.follow({"steps": 1, "hours": 1.0}, two | {"sha256": "b"})
    assert two["total"] == {"steps": 12, "hours": 0.75, "audio_hours": 3.25}
    assert three["total"] == {"steps": 13, "hours": 1.75, "audio_hours": None}
    assert [stage["steps"] for stage in records.stages(three)] == [5, 7, 1]
    assert [stage.get("sha256") for stage in records.stages(three)] == ["a", "b", None]
    assert all("before" not in s and "total" not in s for s in records.stages(three))
    assert records.total(one) == one  # a run that began with nothing is one stage


def test_a_warm_start_carries_the_record_of_what_it_began_from(folders) -> None:
    first, second = (checkpoints.load(folder) for folder in folders)
    assert second.record["before"] == first.record | {"sha256": first.sha256}
    assert second.record["total"]["steps"] == 5
    assert (
        second.record["total"]["audio_hours"]
        == first.record["audio_hours"] + (second.record["audio_hours"])
    )
    one, two = records.stages(second.record)
    assert (one["command"], two["command"]) == ("edmse train first", "edmse train second")
    assert (one["config"], two["config"]) == (asdict(FIRST.training), asdict(SECOND.training))
    assert (one["mixing"]["equaliser"], two["mixing"]["equaliser"]) == (0.0, 4.0)
    assert "before" not in first.record and "total" not in first.record


def test_a_resumed_run_remembers_what_it_began_from(folders, tmp_path) -> None:
    first, _ = folders
    steps = runs.train(SECOND, tmp_path / "cut", warm_start=first, command="edmse train second")
    next(steps)
    steps.close()  # as after a kill
    list(runs.train(SECOND, tmp_path / "cut", command="not this one"))
    found = checkpoints.load(tmp_path / "cut").record
    assert found["command"] == "edmse train second" and found["total"]["steps"] == 5


def test_a_state_from_before_there_were_notes_takes_those_of_the_command(folders, tmp_path) -> None:
    first, _ = folders
    folder = tmp_path / "old"
    next(runs.train(SECOND, folder, warm_start=first))
    state = torch.load(folder / "state.pt", weights_only=True)
    del state["notes"]
    torch.save(state, folder / "state.pt")
    list(runs.train(SECOND, folder, warm_start=first, command="again"))
    record = checkpoints.load(folder).record
    assert record["command"] == "again" and record["total"]["steps"] == 5


def test_other_mixtures_are_refused_by_name(folders, tmp_path) -> None:
    next(runs.train(FIRST, tmp_path / "run"))
    other = replace(FIRST, mixing=SECOND.mixing)
    with pytest.raises(Exception, match="another equaliser; use the settings"):
        next(runs.train(other, tmp_path / "run"))


def test_what_changed_is_every_setting_that_differs_and_no_other() -> None:
    before = {"config": {"seed": 0, "p_mean": -1.7}, "mixing": {"equaliser": 0.0}}
    after = {
        "config": {"seed": 0, "p_mean": -1.2, "t_min": None, "precision": "bf16"},
        "mixing": {"equaliser": 4.0, "formants": 0.0, "slowest": 10},
    }  # of a later version: settings that the first record did not know
    found = records.changes(after, before)
    assert found == {
        "p_mean": (-1.7, -1.2), "precision": ("fp32", "bf16"),
        "equaliser": (0.0, 4.0), "slowest": (17, 10),
    }  # fmt: skip
    assert records.changes(before, after) == {key: pair[::-1] for key, pair in found.items()}
    assert not records.changes({"config": {"seed": 0}}, {"mixing": {}})  # nothing to compare
    line = cards._changed(after, before)
    assert line == (
        "What changed: p_mean −1.7 → −1.2, precision fp32 → bf16, equaliser 0 → 4, slowest 17 → 10."
    )
    assert "alone" in cards._changed(before, before)


def test_the_shipped_record_says_what_the_recipes_change() -> None:
    """Two ways to the same changes: the records of the runs, and the recipes as they stand."""
    stages = records.stages(checkpoints.load("compact").record)
    recipes_of = list(compact.RECIPES.values())[: len(stages)]
    text = cards._training(checkpoints.load("compact").record)
    assert text.count("What changed: ") == len(stages) - 1
    for k in range(1, len(stages)):
        now, before = ({**asdict(r.training), **asdict(r.mixing)} for r in recipes_of[k::-1][:2])
        wanted = {key: (before[key], now[key]) for key in now if before[key] != now[key]}
        assert records.changes(stages[k], stages[k - 1]) == wanted and wanted


def test_a_row_and_its_record_say_command_hardware_and_training_steps() -> None:
    one = {"command": "a", "sha256": "abcd", "hardware": "x", "training_steps": 7}
    assert records.provenance("ab", one) == records.Provenance("a", "x", 7)
    assert records.provenance("", one) == records.Provenance("a", "x", 0)  # a baseline
    models = [{"sha256": "12", "steps": 3}, {"sha256": "34", "training_steps": 4,
              "evaluated_on": None}, {"sha256": "56", "steps": 5, "evaluated_on": "y"}]  # fmt: skip
    many = {"command": "b", "sha256": "study", "hardware": "x", "training_steps": 9,
            "models": models}  # fmt: skip
    found = [records.provenance(each["sha256"], many) for each in models]
    assert [(f.hardware, f.training_steps) for f in found] == [("x", 3), (None, 4), ("y", 5)]
    with pytest.raises(ValueError, match="no weights 99 in the record of `b`"):
        records.provenance("99", many)


def test_the_record_of_the_stages_says_where_each_was_evaluated() -> None:
    from stages import describe

    ran = [{"sha256": c * 64, "steps": n} for c, n in (("a", 5), ("b", 7), ("c", 1))]
    row = studies.Row("", "", "", "", "", 1, 8, "matched", "k", 0.0, "", "", "", 0)
    rows = [replace(row, system=f"run-{c}", checkpoint=c * 12) for c in "ab"]
    now = {"hardware": "new", "workers": 2, "python": "3", "packages": {}, "sha256": "no"}
    first = describe(rows, ran, {}, now, 2.0, {"a" * 12})
    assert [m["evaluated_on"] for m in first["models"]] == ["new", None]
    assert [m["training_steps"] for m in first["models"]] == [5, 12]
    assert first["command"] == "python scripts/stages.py runs/run-a runs/run-b"
    assert (first["hardware"], first["rows"], first["minutes"]) == ("new", 2, 2.0)
    again = describe(rows, ran, first, now | {"hardware": "newer"}, 3.0, {"b" * 12})
    assert [m["evaluated_on"] for m in again["models"]] == ["new", "newer"]
    assert again["minutes"] == 5.0
    assert describe(rows, ran, again, now, 9.0, set()) == again  # nothing new was computed
    assert records.provenance("a" * 12, again).hardware == "new"


def test_a_card_has_a_line_for_every_stage_and_the_totals(folders) -> None:
    record = checkpoints.load(folders[1]).record
    text = cards._training(record)
    assert text.index("### Stage 1") < text.index("`edmse train first`")
    assert text.index("`edmse train first`") < text.index("### Stage 2")
    assert text.index("### Stage 2") < text.index("`edmse train second`")
    assert "In 2 stages" in text and "In all: 5 steps" in text
    assert record["before"]["sha256"] in text and "equaliser 4.0" in text
    alone = cards._training(checkpoints.load(folders[0]).record)
    assert "Stage" not in alone and "`edmse train first`" in alone and "changed" not in alone
    start = text.index("### Stage 2")
    assert text[start:].split("\n\n")[1] == (
        "What changed: steps 3 → 2, seed 0 → 1, equaliser 0 → 4."
    )


def stripped(folder: Path, target: Path) -> Path:
    """The run as an early version wrote it: no mixtures and nothing of what came before."""
    found = checkpoints.load(folder)
    record = {k: v for k, v in found.record.items() if k not in ("before", "total", "mixing")}
    checkpoints.save(target, found.model, found.spectrogram, record)
    return target


def test_a_release_joins_the_records_and_keeps_the_weights(folders, tmp_path) -> None:
    from release import release

    first, second = folders
    run = stripped(second, tmp_path / "run")
    levels = replace(SECOND, sigma_range=(0.02, 3.0), sde=se.VE(0.05, 3.0))  # chosen afterwards
    record = release(run, levels, tmp_path / "out", first, command="OMP_NUM_THREADS=1 edmse")
    out, whole = checkpoints.load(tmp_path / "out"), checkpoints.load(second)
    assert out.sha256 == whole.sha256 and out.record == record
    assert record == whole.record | {"command": "OMP_NUM_THREADS=1 edmse"}
    assert out.model.sigma_range == (0.02, 3.0) and out.model.sde == levels.sde
    assert release(second, SECOND, tmp_path / "new", first) == whole.record  # joined once only


def test_an_early_record_of_a_recipe_gets_its_mixtures(folders, tmp_path) -> None:
    from release import release

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(compact.RECIPES, "first", FIRST)
        before = stripped(folders[0], tmp_path / "before")
        run = stripped(folders[1], tmp_path / "run")
        record = release(run, SECOND, tmp_path / "out", before)
    assert [stage["mixing"] for stage in records.stages(record)] == [
        asdict(FIRST.mixing), asdict(SECOND.mixing)
    ]  # fmt: skip


def test_a_release_refuses_what_would_be_a_false_record(folders, tmp_path) -> None:
    from release import release

    first, second = folders
    run = stripped(second, tmp_path / "run")
    with pytest.raises(ValueError, match="differs from the recipe in seed, steps"):
        release(run, FIRST, tmp_path / "out")
    with pytest.raises(ValueError, match="is this very run"):
        release(run, SECOND, tmp_path / "out", second)
    config = json.loads((run / "config.json").read_text())
    config["training"]["steps"] = 1
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="at step 1 of 2"):
        release(run, SECOND, tmp_path / "out", first)
    assert not (tmp_path / "out").exists()
    assert release(run, SECOND, tmp_path / "out", first, unfinished=True)["total"]["steps"] == 4
