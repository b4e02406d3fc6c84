"""Chapter 10: anatomy by two routes, faults, histories, its checks against wrong answers."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from close import close
from torch import Tensor

import edmse_lite as se
from edmse_lite import anatomy, checkpoints, compact, faults, figures, histories, recipes, records
from edmse_lite.checks import check_average, check_loss
from edmse_lite.networks import CompactUNet, UNetConfig

SMALL = UNetConfig(channels=(8, 16, 16), embedding=16)


def awake(config: UNetConfig) -> CompactUNet:
    """A network in float64 whose zero weights are random, too."""
    torch.manual_seed(0)
    network = CompactUNet(config)
    for weight in network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return network.double().eval()


# Anatomy


@pytest.mark.parametrize("config", [SMALL, compact.COMPACT.network])
def test_the_parts_add_up_to_the_whole(config: UNetConfig) -> None:
    network = CompactUNet(config)
    parts = anatomy.blocks(network)
    assert sum(p.parameters for p in parts) == sum(p.numel() for p in network.parameters())
    levels = anatomy.by_level(parts)
    assert set(levels) == set(range(len(config.channels) + 1))
    assert sum(work for _, work in levels.values()) == pytest.approx(
        sum(p.operations for p in parts)
    )


def test_a_block_costs_what_paper_says() -> None:
    """Two 3 x 3 convolutions: 18 C^2 weights, and 36 C^2 operations for each place."""
    found = {p.name: p for p in anatomy.blocks(CompactUNet(compact.COMPACT.network))}
    block = found["down 1"]
    width, bands, frames = block.shape
    assert (width, bands, frames) == (48, 64, 64)
    places = bands * se.SAMPLE_RATE / 256
    film = 128 * 2 * width * 2 / (64 * 256 / se.SAMPLE_RATE)
    assert block.operations == pytest.approx(36 * width**2 * places + film)
    biases_norms_film = 2 * width + 4 * width + 129 * 2 * width
    assert block.parameters == 18 * width**2 + biases_norms_film


@pytest.mark.parametrize(
    ("place", "blocks"), [((100, 70), 1), ((0, 0), 1), ((255, 149), 1), ((131, 33), 2)]
)
def test_the_computed_field_is_where_the_gradient_is(place: tuple[int, int], blocks: int) -> None:
    config = dataclasses.replace(SMALL, blocks=blocks)
    network, draw = awake(config), torch.Generator().manual_seed(1)
    inputs = torch.randn(1, 4, 256, 152, dtype=torch.float64, generator=draw)
    label = torch.zeros(1, dtype=torch.float64)
    fixed = anatomy.with_fixed_norms(network, inputs, label)
    close(fixed(inputs, label), network(inputs, label), rtol=1e-9, atol=1e-9)
    moved = anatomy.influence(fixed, inputs, label, place) > 0
    field = anatomy.receptive_field(config, place, (256, 152))
    for axis, ends in ((1, field.bins), (0, field.frames)):
        seen = moved.any(axis).nonzero().flatten()
        assert (int(seen[0]), int(seen[-1])) == ends


def test_normalisation_lets_every_bin_see_every_bin() -> None:
    network, draw = awake(SMALL), torch.Generator().manual_seed(1)
    inputs = torch.randn(1, 4, 256, 152, dtype=torch.float64, generator=draw)
    label = torch.zeros(1, dtype=torch.float64)
    assert (anatomy.influence(network, inputs, label, (100, 0)) > 0).all()


# Faults


def test_a_level_is_undone_only_by_a_denoiser_that_scales() -> None:
    pair = se.evaluation_set("valid", 1, seconds=1.0)[0]
    walk = se.EDM(2, grid=recipes.NEAR_THE_MEAN)
    model = se.Enhancer.from_pretrained("compact", device="cpu").denoiser
    right, loud = (faults.enhance_at_level(model, pair, walk, gain) for gain in (1.0, 10.0))
    assert (right - loud).square().mean() > 1e-3 * right.square().mean()
    scaling = se.ScoreModel(lambda u, label: 0 * u[:, :2], se.VE(), se.Preconditioning.edm(1e-6))
    one, ten = (faults.enhance_at_level(scaling, pair, walk, gain) for gain in (1.0, 10.0))
    close(one, ten, rtol=1e-3, atol=1e-3 * float(one.abs().max()))
    close(one, pair.noisy, rtol=1e-2, atol=1e-3)


def test_one_nan_ruins_all_weights_and_leaves_the_model() -> None:
    model = torch.nn.Linear(3, 2)
    assert faults.poisoned_share(model) == 1.0
    assert model.weight.isfinite().all() and model.weight.grad is None


def test_slopes_and_limits_in_closed_form() -> None:
    assert math.isnan(faults.slope_of_magnitude(0.0)) and faults.slope_of_magnitude(2.0) == 1.0
    limit = faults.float16_limit(0.1)
    weight = se.Preconditioning.edm(0.1).loss_weight(torch.tensor([0.99, 1.01]) * limit).half()
    assert weight.isinf().tolist() == [True, False]
    draw = torch.Generator().manual_seed(0)
    config = recipes.TrainingConfig(p_mean=-0.6, p_std=1.4)
    levels = config.draw_sigma(200_000, draw)
    assert faults.share_below(0.1, -0.6, 1.4) == pytest.approx(
        float((levels < 0.1).double().mean()), abs=0.004
    )


# Histories


def test_the_history_that_ships_is_of_the_model_that_ships() -> None:
    history = histories.load()
    made = records.stages(checkpoints.load("compact").record)
    assert 1 <= len(history.stages) <= len(made)
    for stage, record in zip(history.stages, made, strict=False):
        assert (stage.command, stage.seed) == (record["command"], record["config"]["seed"])
        assert stage.points[-1].step == record["steps"]
        seconds = 3600 * record["audio_hours"] / (3600 * record["hours"])
        assert stage.speed == pytest.approx(seconds, rel=0.02)
        assert stage.final["si_sdr"] > history.noisy["si_sdr"] + 3
    steps = [n for run, _ in history.path("pesq") for n in run]
    assert steps == sorted(set(steps)) and steps[-1] == sum(r["steps"] for r in made[: len(
        history.stages)])  # fmt: skip


def test_a_history_is_gathered_from_the_folders_of_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {
        "command": "edmse train tiny", "steps": 4, "hardware": "a computer",
        "config": {"batch_size": 6, "seed": 3}, "mixing": {"seconds": 2.0},
    }  # fmt: skip
    model = checkpoints.load("compact")
    checkpoints.save(tmp_path / "run", model.model, model.spectrogram, record)
    rows = "step,hours,loss,pesq,si_sdr\n2,0.1,0.5,1.1,4\n4,0.2,0.4,1.2,5\n"
    (tmp_path / "run" / "history.csv").write_text(rows)
    monkeypatch.setattr(histories, "RESULTS", tmp_path)
    with pytest.raises(ValueError, match="1 runs, got 2 folders"):
        histories.collect([tmp_path, tmp_path], tmp_path / "run", pairs=1)
    monkeypatch.setattr(histories, "_means", lambda valid, waves: {"pesq": 1.0, "si_sdr": 2.0})
    monkeypatch.setattr("edmse_lite.evaluation_sets.evaluation_set", lambda name, pairs: ())
    found = histories.collect([tmp_path / "run"], tmp_path / "run", pairs=1)
    assert found.path("si_sdr") == [([2, 4], [4.0, 5.0])]
    assert found.stages[0].speed == pytest.approx(4 * 12 / 720)
    again = {**record, "command": "edmse train on", "before": record}
    checkpoints.save(tmp_path / "on", model.model, model.spectrogram, again)
    (tmp_path / "on" / "history.csv").write_text(rows)
    both = histories.collect([tmp_path / "on"], tmp_path / "on", pairs=1, before=found)
    assert [steps for steps, _ in both.path("pesq")] == [[2, 4], [6, 8]]
    with pytest.raises(ValueError, match="1 folders after 2 runs"):
        histories.collect([tmp_path / "on"], tmp_path / "on", pairs=1, before=both)
    other = dataclasses.replace(found, stages=(both.stages[1],))
    with pytest.raises(ValueError, match="'edmse train tiny', not 'edmse train on'"):
        histories.collect([tmp_path / "on"], tmp_path / "on", pairs=1, before=other)
    (tmp_path / "run" / "history.csv").write_text(rows.rsplit("\n", 2)[0])
    with pytest.raises(ValueError, match="ends at step 2"):
        histories.collect([tmp_path / "run"], tmp_path / "run", pairs=1)


def test_every_run_is_scored_by_one_sampler_whatever_levels_its_record_names() -> None:
    final = [stage.final["pesq"] for stage in histories.load().stages]
    assert final == sorted(final), "later runs begin with the weights of earlier ones"
    assert final[0] > 1.7  # over all levels, as its own validations went, it has 1.39


# Pictures


def test_the_drawing_names_every_level_and_its_share() -> None:
    figure = figures.unet(anatomy.blocks(CompactUNet(compact.COMPACT.network)))
    said = [text.get_text() for text in figure.axes[0].texts]
    assert sum("level 1: 48 × 64" in text for text in said) == 2
    assert sum("level 5: 80 × 4" in text for text in said) == 1
    shares = [int(t.split(", ")[1].split()[0]) for t in said if "%" in t and "<" not in t]
    assert 90 <= sum(shares) <= 101


def test_runs_do_not_join_and_influence_shows_its_field() -> None:
    runs = {"PESQ": {"run 1": ([1, 2], [1.1, 1.2]), "run 2": ([3], [1.6])}}
    (ax,) = figures.stages(runs, {"PESQ": 1.0}, "steps").axes
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 2, 1]
    grid = torch.zeros(4, 9)
    grid[:, 2:7] = 1.0
    (ax,) = figures.influence({"a": grid}, 4, (2, 6), 0.1).axes
    level = torch.as_tensor(ax.lines[0].get_ydata())
    assert level.isfinite().tolist() == [2 <= k <= 6 for k in range(9)]
    close(level[4], torch.tensor(10 * math.log10(0.2), dtype=level.dtype), atol=1e-4)


# Checks


def right_loss(denoise, x0: Tensor, y: Tensor, sigma: Tensor, noise: Tensor, data: float) -> Tensor:
    error = denoise(x0 - y + sigma.view(-1, 1, 1, 1) * noise, y, sigma) - (x0 - y)
    return (sigma**-2 + data**-2) * error.abs().square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("seed", range(3))
def test_the_right_loss_passes(seed: int) -> None:
    assert check_loss(right_loss, seed).score == 5


def real_part(denoise, x0, y, sigma, noise, data):
    error = denoise(x0 - y + sigma.view(-1, 1, 1, 1) * noise, y, sigma) - (x0 - y)
    return (sigma**-2 + data**-2) * error.real.square().mean(dim=(1, 2, 3))


def squared_mean(denoise, x0, y, sigma, noise, data):
    error = denoise(x0 - y + sigma.view(-1, 1, 1, 1) * noise, y, sigma) - (x0 - y)
    return (sigma**-2 + data**-2) * error.abs().mean(dim=(1, 2, 3)).square()


def unweighted(denoise, x0, y, sigma, noise, data):
    return right_loss(denoise, x0, y, sigma, noise, data) / (sigma**-2 + data**-2)


def of_the_score(denoise, x0, y, sigma, noise, data):
    return unweighted(denoise, x0, y, sigma, noise, data) * sigma**-2


def summed(denoise, x0, y, sigma, noise, data):
    return right_loss(denoise, x0, y, sigma, noise, data) * x0[0].numel()


def towards_x0(denoise, x0, y, sigma, noise, data):
    error = denoise(x0 - y + sigma.view(-1, 1, 1, 1) * noise, y, sigma) - x0
    return (sigma**-2 + data**-2) * error.abs().square().mean(dim=(1, 2, 3))


def squared_level(denoise, x0, y, sigma, noise, data):
    return right_loss(lambda x, y_, s: denoise(x, y_, sigma), x0, y, sigma**2, noise, data)


def averaged(denoise, x0, y, sigma, noise, data):
    return right_loss(denoise, x0, y, sigma, noise, data).mean()


def about_x0(denoise, x0, y, sigma, noise, data):
    return right_loss(lambda x, y_, s: denoise(x + y, y, s), x0, y, sigma, noise, data)


def told_the_answer(denoise, x0, y, sigma, noise, data):
    return right_loss(lambda x, y_, s: denoise(x, x0, s), x0, y, sigma, noise, data)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (told_the_answer, "the denoiser was not given y"),
        (unweighted, "λ is missing"),
        (real_part, "its imaginary part counts, too"),
        (squared_mean, "at one level the loss is wrong by a factor 1."),
        (of_the_score, "EDM adds 1/σ_d²"),
        (summed, "average, do not add"),
        (towards_x0, "what is D compared with?"),
        (squared_level, "multiply ε by σ"),
        (averaged, "the shape is ()"),
        (about_x0, "not x0 − y + σε"),
    ],
)
def test_a_wrong_loss_is_named(wrong, message: str) -> None:
    report = check_loss(wrong, seed=1)
    assert report.score < 5 and message in str(report)


def right_average(mean: float, now: float, step: int) -> float:
    decay = min(0.999, (1 + step) / (10 + step))
    return decay * mean + (1 - decay) * now


def test_the_right_average_passes_and_is_the_library_s() -> None:
    assert check_average(right_average).score == 4
    config = recipes.TrainingConfig(ema=0.999)
    for step in (0, 50, 10**5):
        assert right_average(0.0, 1.0, step) == pytest.approx(1 - config.decay(step))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda mean, now, step: 0.001 * mean + 0.999 * now, "swapped"),
        (lambda mean, now, step: 0.999 * mean + 0.001 * now, "the random start must be forgotten"),
        (lambda mean, now, step: mean + 0.001 * now, "a weight of"),
        (lambda mean, now, step: (step * mean + now) / (step + 1), "the share is"),
    ],
)
def test_a_wrong_average_is_named(wrong, message: str) -> None:
    report = check_average(wrong, seed=1)
    assert report.score < 4 and message in str(report)
    assert json.loads(report.json())["score"] == report.score
