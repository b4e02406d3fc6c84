"""The study of the design space: its recipes, what they share, and its rows."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_model
from torch.testing import assert_close

import edmse_lite as se
from edmse_lite import (
    checkpoints,
    compact,
    confirmation,
    designs,
    evaluation,
    recipes,
    records,
    studies,
    surveys,
)
from edmse_lite.designs import DESIGNS
from edmse_lite.losses import denoising_loss
from edmse_lite.networks import CompactUNet
from edmse_lite.recipes import TrainingConfig
from edmse_lite.spectrograms import Spectrogram
from edmse_lite.systems import count_calls

SMALL = CompactUNet(se.networks.UNetConfig(channels=(8, 8), embedding=8))

# The levels of training


@pytest.mark.parametrize(
    ("sde", "quantiles"),
    [
        (se.RichterOUVE(), (0.029, 0.096, 0.263, 0.679, 1.44)),
        (se.Cosine(), (0.021, 0.095, 0.226, 0.542, 2.78)),
    ],
)
def test_uniform_times_give_the_known_quantiles_of_sigma(
    sde: se.SDE, quantiles: tuple[float, ...]
) -> None:
    """Quantiles at 5, 25, 50, 75, 95 % of the paper's p_train, by another program."""
    config = TrainingConfig(t_min=0.01)
    sigma = config.draw_sigma(400_000, torch.Generator().manual_seed(0), sde)
    found = torch.quantile(sigma, torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]))
    assert_close(found, torch.tensor(quantiles), rtol=0.03, atol=0)
    low, high = float(sde.sigma(0.01)), sde.sigma_1
    assert low <= float(sigma.min()) < 1.1 * low and 0.9 * high < float(sigma.max()) <= high


def test_the_density_of_sigma_is_one_over_its_speed() -> None:
    """p_train(sigma) = 1 / ((1 - t_min) dsigma/dt), against the share of draws in a band."""
    sde, t = se.OUVE(), torch.tensor(0.6, dtype=torch.float64)
    sigma = TrainingConfig(t_min=0.1).draw_sigma(1_000_000, torch.Generator().manual_seed(1), sde)
    width = 0.004
    share = float(((sigma - float(sde.sigma(t))).abs() < width / 2).double().mean())
    speed = float((sde.sigma(t + 1e-5) - sde.sigma(t - 1e-5)) / 2e-5)
    assert share / width == pytest.approx(1 / (0.9 * speed), rel=0.05)


@pytest.mark.parametrize("t_min", [0.0, 1.0, -0.1, math.nan])
def test_a_wrong_t_min_is_named(t_min: float) -> None:
    with pytest.raises(ValueError, match="t_min must lie in"):
        TrainingConfig(t_min=t_min)


def test_times_need_a_schedule() -> None:
    with pytest.raises(ValueError, match="give the schedule"):
        TrainingConfig(t_min=0.01).draw_sigma(2, torch.Generator())


# The designs


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_is_sampled_where_it_was_trained(name: str) -> None:
    recipe = DESIGNS[name]
    low, high = recipe.sigma_range
    levels = recipe.sampler.grid(recipe.sde, recipe.sampler.steps, recipe.sigma_range)
    assert low <= float(levels.min()) and float(levels.max()) <= high
    assert count_calls(recipe.sampler) == (1 if name == "predictive" else 15)
    assert recipe.network == designs.NETWORK and recipe.training.steps == designs.BUDGET.steps


def test_one_choice_at_a_time() -> None:
    for name in (*designs.SCHEDULES, *designs.NO_DRIFT):
        assert DESIGNS[f"richter-{name}"].preconditioning == se.Preconditioning.richter(0.0875)
    for name in designs.SCHEDULES:
        one, other = DESIGNS[f"richter-{name}"], DESIGNS[f"edm-{name}"]
        assert replace(one, preconditioning=other.preconditioning) == other
    trained = {name for name, recipe in DESIGNS.items() if recipe.training.t_min is None}
    assert trained == {"edm-log-normal", "predictive"}


def batch() -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(3)
    parts = [torch.randn(3, 1, 16, 8, dtype=torch.complex64, generator=draw) for _ in range(3)]
    return 0.2 * parts[0], 0.3 * parts[1], torch.tensor([0.05, 0.2, 0.45]), parts[2]


def loss(sde: se.SDE, preconditioning: se.Preconditioning) -> torch.Tensor:
    torch.manual_seed(0)
    torch.nn.init.normal_(SMALL.head.weight, std=0.1)
    x0, y, sigma, noise = batch()
    with torch.no_grad():
        return denoising_loss(se.ScoreModel(SMALL, sde, preconditioning), x0, y, sigma, noise)


@pytest.mark.parametrize("family", [se.OUVE, se.OUVP, se.Cosine])
def test_stiffness_reaches_the_network_only_through_richters_coefficients(family: type) -> None:
    """Why a model of the study stands for every stiffness, and which do not."""
    one, other = family(stiffness=0.0), family(stiffness=1.5)
    t = torch.linspace(0.01, 1, 50, dtype=torch.float64)
    assert_close(one.sigma(t), other.sigma(t), rtol=0, atol=0)  # the same p_train
    edm, richter = se.Preconditioning.edm(0.0875), se.Preconditioning.richter()
    assert_close(loss(one, edm), loss(other, edm), rtol=0, atol=0)
    assert (loss(one, richter) / loss(other, richter) - 1).abs().min() > 1e-3
    shifted = se.Preconditioning.edm(0.0875, c_shift="edm-scaled-shift")
    assert (loss(one, shifted) / loss(other, shifted) - 1).abs().min() > 1e-4


def test_three_schedules_are_one_without_stiffness() -> None:
    t = torch.linspace(0, 1, 50, dtype=torch.float64)
    for other in (se.RichterOUVE(stiffness=0.0), se.VE(0.05, 0.5)):
        assert_close(other.sigma(t), se.OUVE(stiffness=0.0).sigma(t))
        assert_close(other.s(t), torch.ones_like(t))
        for column in (se.Preconditioning.edm(0.0875), se.Preconditioning.richter(0.0875)):
            assert_close(loss(other, column), loss(se.OUVE(stiffness=0.0), column))
    stiff = (loss(sde(stiffness=1.5), column) for sde in (se.RichterOUVE, se.OUVE))
    one, two = stiff  # with a drift they are two designs of Richter's column
    assert (one / two - 1).abs().min() > 1e-3


def test_the_scaled_shift_is_trained_at_one_stiffness_only() -> None:
    shifted = [r for r in DESIGNS.values() if r.preconditioning.c_shift == "edm-scaled-shift"]
    assert [r.sde for r in shifted] == [se.OUVE(stiffness=1.5)]


def test_two_seeds_of_the_predictive_model_agree_and_of_a_generative_one_do_not() -> None:
    wave = 0.1 * torch.randn(8_000, generator=torch.Generator().manual_seed(0))
    for name, same in (("predictive", True), ("edm-cosine", False)):
        enhancer = se.Enhancer.from_pretrained(f"study/{name}")
        one, two = (enhancer(wave, 16_000, seed=seed) for seed in (0, 1))
        assert torch.allclose(one, two, atol=1e-6) == same, name


def test_the_predictive_model_sees_neither_state_nor_level() -> None:
    model = se.ScoreModel(SMALL, se.VE(), se.Preconditioning.predictive(0.0875))
    x0, y, sigma, noise = batch()
    torch.manual_seed(0)
    torch.nn.init.normal_(SMALL.head.weight, std=0.1)
    with torch.no_grad():
        one, other = model(noise, y, 0.3), model(0 * noise, y, 1.7)
        inputs = torch.cat([0 * y.real, 0 * y.real, y.real, y.imag], 1)
        answer = 0.0875 * torch.complex(*SMALL(inputs, torch.zeros(3)).chunk(2, 1))
        error = denoising_loss(model, x0, y, sigma, noise)
    assert_close(one, other, rtol=0, atol=0)
    assert_close(one, answer)
    assert_close(error, (answer - (x0 - y)).abs().square().mean(dim=(1, 2, 3)) / 0.0875**2)


def test_a_name_that_is_not_known_is_answered_with_all() -> None:
    assert designs.find("compact") is compact.COMPACT
    assert designs.find("study/edm-cosine") is DESIGNS["edm-cosine"]
    with pytest.raises(ValueError, match=r"no recipe 'edm'; known are compact, .*study/predictive"):
        designs.find("edm")


@pytest.mark.parametrize("name", ["edm-ouve", "edm-sgmse", "edm-cosine"])
def test_the_default_walk_keeps_to_the_levels_of_the_model(name: str) -> None:
    recipe, asked = DESIGNS[name], []

    class Listener:
        sde, sigma_range = recipe.sde, recipe.sigma_range

        def __call__(self, x: torch.Tensor, y: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            asked.append(float(sigma))
            return 0 * x

    se.Enhancer(Listener())(torch.randn(8_000, generator=torch.Generator().manual_seed(0)), 16_000)
    low, high = recipe.sigma_range
    assert len(asked) == (recipes.SPINS if name == "edm-cosine" else 31)
    assert low * 0.999 <= min(asked) and max(asked) <= high * 1.001
    assert (min(asked) > 0.9) == (name == "edm-cosine")  # high levels where there are any


# Their evaluation


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> surveys.Folders:
    """Untrained models that stand for two designs with two seeds, clips of a second."""

    def pairs_of(name: str, size: int | None = None) -> tuple:
        pairs = evaluation.pairs_of(name, 2)
        return tuple(replace(p, clean=p.clean[:16_000], noisy=p.noisy[:16_000]) for p in pairs)

    monkeypatch.setattr(studies, "METRICS", ("si_sdr", "snr"))
    monkeypatch.setattr(surveys, "pairs_of", pairs_of)
    monkeypatch.setattr(surveys, "PAPERS_PC", se.PC(2))
    found = {}
    for number, name in enumerate(("richter-sgmse", "predictive")):
        for seed in (0, 1):
            model, folder = tiny_model(2 * number + seed), tmp_path / f"{name}-{seed}"
            recipe = DESIGNS[name]
            model = se.ScoreModel(
                model.network, recipe.sde, recipe.preconditioning, recipe.sigma_range
            )
            record = {"command": f"train {name}", "steps": 7, "hours": 0.1, "audio_hours": 2.0,
                      "hardware": "none"}  # fmt: skip
            checkpoints.save(folder, model, Spectrogram(), record)
            (folder / "history.csv").write_text("step,pesq,si_sdr\n5,1.0,2.0\n7,1.5,2.5\n")
            found[name, seed] = folder
    return found


def test_rows_carry_what_tells_designs_apart(folders: surveys.Folders, tmp_path: Path) -> None:
    path = surveys.run(folders, ["matched"], tmp_path, workers=1)
    results = surveys.load(tmp_path)
    assert path.name == "designs.csv" and len(results.rows) == 2 * (3 + 2 + 1 + 1)
    found = {(row.system, row.seed): row for row in results.rows}
    assert {key[0] for key in found} == {
        "richter-sgmse", "richter-sgmse, 1 call", "richter-sgmse, PC", "predictive"
    }  # fmt: skip
    assert ("richter-sgmse, 1 call", 1) not in found
    row = found["richter-sgmse, PC", 1]
    assert (row.schedule, row.preconditioning) == ("RichterOUVE stiffness=1.5", "richter")
    assert row.nfe == 4 and row.sampler.startswith("PC corrector=1 snr=0.5")
    one = json.loads(path.with_suffix(".json").read_text())["models"][1]
    assert (one["design"], one["seed"], one["valid_pesq"]) == ("richter-sgmse", 1, 1.5)
    assert one["sha256"].startswith(row.checkpoint)
    before = path.read_bytes()
    surveys.run(folders, ["matched"], tmp_path, workers=1)  # nothing is left to do
    assert path.read_bytes() == before
    with path.open() as file:
        assert {line["evaluation_set"] for line in csv.DictReader(file)} == {"matched"}


def test_rows_of_models_that_are_not_at_hand_stay(folders: surveys.Folders, tmp_path: Path) -> None:
    path = surveys.run(folders, ["matched"], tmp_path, workers=1)
    whole = surveys.load(tmp_path)
    elsewhere = path.with_suffix(".json").read_text().replace(whole.record["hardware"], "Another")
    path.with_suffix(".json").write_text(elsewhere)
    some = {key: folder for key, folder in folders.items() if key == ("predictive", 1)}
    surveys.run(some, ["matched", "unseen"], tmp_path, workers=1)  # as in another checkout
    found = surveys.load(tmp_path)
    assert len(found.rows) == found.record["rows"] == len(whole.rows) + 2
    scores = {row.identity: row.si_sdr for row in found.rows}
    assert {row.identity: row.si_sdr for row in whole.rows}.items() <= scores.items()
    keys = [(m["design"], m["seed"]) for m in found.record["models"]]
    assert sorted(keys) == sorted(folders)
    hardware = {(row.system, row.seed): records.provenance(row.checkpoint, found.record).hardware
                for row in found.rows}  # fmt: skip
    assert hardware["predictive", 0] == hardware["richter-sgmse", 1] == "Another"
    assert hardware["predictive", 1] == whole.record["hardware"] != "Another"


def test_a_study_that_was_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"designs\.csv: no such file; make it by"):
        surveys.load(tmp_path)


def results(ours: float, theirs: float) -> evaluation.Results:
    """A study of 12 clips and three trainings whose two systems differ by a known amount."""
    from edmse_lite.studies import Row

    rows = []
    for system, mean, nfe in (("edm-ouve", ours, 15), (surveys.SGMSE + surveys.PC_60, theirs, 60)):
        for seed in range(3):
            for clip in range(12):
                turn = 0.01 * (-1) ** (clip // 2) * (nfe == 15)
                pesq = mean + 0.3 * clip + turn  # clips differ more than systems
                rows.append(Row(system, "w", "S", "p", "s", 8, nfe, "matched", f"m-{clip}", 0.0,
                                "wind", f"file-{clip // 2}", "carlo", seed, pesq=pesq))  # fmt: skip
    models = [{"design": name, "seed": seed, "sha256": "w", "valid_pesq": pesq, "hours": 0.1}
              for name, seed, pesq in (("edm-ouve", 0, 1.3), ("edm-cosine", 0, 1.2),
                                       ("edm-cosine", 1, 1.9),
                                       ("richter-ouve", 0, 2.0))]  # fmt: skip
    return evaluation.Results(rows, {"models": models, "minutes": 3.0})


def test_the_best_design_is_that_of_the_first_validation() -> None:
    assert surveys.best(results(1, 1)) == "edm-ouve"
    assert surveys.best(results(1, 1), "richter-") == "richter-ouve"


@pytest.mark.parametrize(
    ("ours", "verdict"), [(1.3, "better"), (1.0, "equivalent"), (0.9, "worse")]
)
def test_the_card_of_two_systems(ours: float, verdict: str) -> None:
    card = surveys.systems_claim(results(ours, 1.0))
    assert card.effect.mean == pytest.approx(ours - 1.0) and card.verdict == verdict
    assert card.seeds == 3 and card.sample == "12 clips × 3 trainings, 6 noise recordings"
    assert "(edm-ouve) reaches with 15 calls" in card.hypothesis
    assert card.minutes == pytest.approx(3.0 + 12)  # evaluation, and four trainings two at a time


def test_a_ranking_takes_three_trainings_of_each() -> None:
    found = results(1.3, 1.0)
    rival = surveys.SGMSE + surveys.PC_60
    assert surveys.ranking(found, "edm-ouve", rival) == surveys.systems_claim(found).effect
    for system in ("edm-ouve", rival):
        rows = [row for row in found.rows if row.system != system or row.seed < 2]
        with pytest.raises(ValueError, match="takes 3 trainings of each"):
            surveys.ranking(replace(found, rows=rows), "edm-ouve", rival)
    with pytest.raises(ValueError, match="share no clip"):
        surveys.ranking(found, "edm-ouve", rival, "unseen")


def test_the_commands_of_the_study_run_and_train_what_its_record_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import study

    done: list[object] = []
    monkeypatch.setattr(study, "train", lambda *one: done.append(one))
    monkeypatch.setattr(study, "ship", lambda names: done.append("ship"))
    monkeypatch.setattr(study, "finished", lambda name, seed: (name, seed) in done)
    monkeypatch.setattr(surveys, "run", lambda found, *_, **__: done.append(set(found)))
    record = surveys.load().record
    models = [(model["design"], model["seed"]) for model in record["models"]]
    for command in record["command"].split(" && "):
        python, script, *words = command.split()
        assert python == "python" and (Path(__file__).parents[1] / script).is_file()
        monkeypatch.setattr("sys.argv", [script, *words])
        assert study.main() == 0
    assert sorted(done[:-2]) == sorted(models)
    assert done[-2:] == [set(models), "ship"]
    assert record["command"] == designs.commands(record["models"])
    assert designs.commands().count("train") == 1  # all designs, seed 0


def test_a_card_needs_rows_of_both() -> None:
    found = results(1.3, 1.0)
    rows = [row for row in found.rows if row.system == "edm-ouve"]
    with pytest.raises(ValueError, match="share no clip"):
        surveys.systems_claim(replace(found, rows=rows))


# What ships


def test_the_shipped_models_are_those_of_the_results() -> None:
    study = surveys.load()
    first = {m["design"]: m for m in study.record["models"] if m["seed"] == 0}
    shipped = {name.removeprefix("study/") for name in checkpoints.names() if "/" in name}
    assert shipped == set(first) <= set(DESIGNS)
    for name, model in first.items():
        found, recipe = checkpoints.load(f"study/{name}"), DESIGNS[name]
        assert found.sha256 == model["sha256"] and model["steps"] == recipe.training.steps
        assert found.model.network.config == recipe.network and found.model.sde == recipe.sde
        assert found.model.preconditioning == recipe.preconditioning
        assert (found.folder / "model.safetensors").stat().st_size < 2.5e6
        assert found.sha256 in (found.folder / "README.md").read_text(encoding="utf-8")
    trained = {(m["design"], m["seed"]) for m in study.record["models"]}
    assert {(row.system.split(",")[0], row.seed) for row in study.rows} == trained
    clips = {s: {r.key for r in study.rows if r.evaluation_set == s} for s in surveys.SETS}
    for row_set in {row.evaluation_set for row in study.rows}:
        assert len(clips[row_set]) == 48
    both = {surveys.best(study), surveys.SGMSE}
    assert {(name, seed) for name in both for seed in range(3)} <= trained


def test_a_shipped_row_is_computed_again_and_a_changed_one_is_named() -> None:
    study = surveys.load()
    assert len(surveys.confirm(study, count=1)) == 1
    rows = [replace(row, si_sdr=row.si_sdr + 1) for row in study.rows]
    with pytest.raises(confirmation.Disagreement, match="si_sdr is"):
        surveys.confirm(replace(study, rows=rows), count=1)
    models = [m | {"sha256": "0" * 64} for m in study.record["models"]]
    changed = replace(study, record=study.record | {"models": models})
    with pytest.raises(confirmation.Disagreement, match="has the weights .* the results 0000"):
        surveys.confirm(changed)
