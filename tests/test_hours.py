"""Recipes at the paper's scale are what they say, and hours follow from counts and rates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import soundfile
import torch
from small_run import RECIPE
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import edmse_lite as se
from edmse_lite import designs, figures, gauges, hours, papers, profiling, recipes, runs
from edmse_lite.cli import main
from edmse_lite.hours import H200, H200_8, T4, Machine
from edmse_lite.losses import denoising_loss
from edmse_lite.profiling import Profile
from edmse_lite.training import Trainer
from edmse_lite.workloads import Ledger, Operation, Work, work

SMALL = replace(RECIPE, mixing=replace(RECIPE.mixing, seconds=0.25))


# Recipes


def shrunk(name: str, precision: str) -> recipes.Recipe:
    """A recipe of the paper with narrow levels and short crops, and everything else."""
    recipe = designs.find(f"paper/{name}")
    widths = tuple(8 for _ in recipe.network.channels)
    return replace(
        recipe,
        network=replace(recipe.network, channels=widths, blocks=1, embedding=8),
        mixing=replace(recipe.mixing, seconds=0.256),
        training=replace(recipe.training, batch_size=2, precision=precision),
    )


class Hiss:
    """Pairs that need no corpus."""

    def batch(self, size, generator):
        clean = 0.1 * torch.randn(size, 1024, generator=generator)
        return clean, clean + 0.05 * torch.randn(size, 1024, generator=generator)


def trainer(recipe: recipes.Recipe, folder) -> Trainer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "evaluation_set", lambda *_: ())
        return runs.start(recipe, folder, batches=Hiss())


@pytest.mark.parametrize(
    ("name", "precision"), [("sgmse", "fp32"), ("edm", "fp32"), ("edm", "bf16"), ("edm", "fp16")]
)
def test_a_step_of_the_paper_s_settings(name, precision, tmp_path):
    run = trainer(shrunk(name, precision), tmp_path)
    before = [p.detach().clone() for p in run.model.parameters()]
    loss, norm = run.take_step()
    assert math.isfinite(loss) and norm > 0
    assert any(not torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))
    assert run.spectrogram == se.Spectrogram(512, 128)
    assert run.draws.of(1).y.shape[-2:] == (256, 9)


def test_a_checkpoint_keeps_the_recipe_s_transform_and_resumes(tmp_path):
    run = trainer(shrunk("edm", "fp32"), tmp_path)
    run.take_step()
    run.save()
    assert se.checkpoints.load(tmp_path).spectrogram == papers.SPECTROGRAM
    again = trainer(shrunk("edm", "fp32"), tmp_path)
    assert again.resume() and again.step == 1
    other = replace(shrunk("edm", "fp32"), spectrogram=se.Spectrogram(512, 256))
    with pytest.raises(se.training.TrainingError, match="another .*spectrogram"):
        trainer(other, tmp_path).resume()


def test_untrained_the_best_design_has_a_loss_near_one_at_every_level(tmp_path):
    recipe = shrunk("edm", "fp32")
    model = trainer(recipe, tmp_path).model
    draw = torch.Generator().manual_seed(0)
    r, noise = (torch.randn(6, 1, 256, 33, dtype=torch.cfloat, generator=draw) for _ in "rn")
    sigma = recipe.sde.sigma(torch.linspace(0.01, 1, 6)).float()
    r *= recipe.preconditioning.sigma_data
    loss = denoising_loss(model, r, torch.zeros_like(r), sigma, noise)
    assert torch.allclose(loss, torch.ones(6), atol=0.1)


@pytest.mark.parametrize("name", list(papers.SYSTEMS))
def test_networks_have_about_the_paper_s_size(name):
    recipe = papers.SYSTEMS[name]
    with torch.device("meta"):
        network = se.CompactUNet(recipe.network)
    counted = sum(p.numel() for p in network.parameters())
    assert counted == pytest.approx(papers.PARAMETERS[name], rel=0.02)
    bands = recipe.spectrogram.bins // recipe.network.stride
    samples = round(recipe.mixing.seconds * se.SAMPLE_RATE)
    step = 2 ** (len(recipe.network.channels) - 1)
    assert recipe.spectrogram.frames(samples) == 256  # as SGMSE, and nothing is padded
    assert bands % step == 0 and 256 % step == 0


def test_the_settings_are_those_of_the_table():
    best, old = papers.SYSTEMS["edm"], papers.SYSTEMS["sgmse"]
    assert best.sde == se.Cosine(stiffness=0.0, shift=3.0)
    assert old.sde == se.RichterOUVE(stiffness=1.5, sigma_min=0.05, sigma_max=0.5)
    assert best.preconditioning == se.Preconditioning.edm(0.1)
    assert old.preconditioning == se.Preconditioning.richter(0.1)
    for recipe in (best, old):
        config = recipe.training
        assert (config.learning_rate, config.ema, config.t_min) == (1e-4, 0.999, 0.01)
        seconds = config.batch_size * recipe.mixing.seconds
        assert seconds == pytest.approx(32, rel=0.03)
        heard = config.steps * seconds / 3600
        assert heard == pytest.approx(papers.PASSES * papers.VOICEBANK_HOURS, rel=0.01)
        levels = config.draw_sigma(4000, torch.Generator().manual_seed(0), recipe.sde)
        lowest, highest = recipe.sigma_range
        assert levels.min() >= 0.999 * lowest and levels.max() <= 1.001 * highest
        times = recipe.sde.sigma_inv(levels.double())
        assert float(times.mean()) == pytest.approx(0.505, abs=0.02)
    assert {setting.source for setting in papers.SETTINGS} == {"config", "code"}
    assert any(setting.same for setting in papers.SETTINGS)


def test_the_command_trains_on_a_folder_of_pairs(tmp_path, monkeypatch):
    monkeypatch.setitem(papers.SYSTEMS, "edm", shrunk("edm", "fp32"))
    monkeypatch.setattr(runs, "evaluation_set", lambda *_: ())
    monkeypatch.chdir(tmp_path)
    clean, noisy = Hiss().batch(1, torch.Generator().manual_seed(0))
    for side, wave in (("clean", clean), ("noisy", noisy)):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        soundfile.write(tmp_path / "pairs" / side / "p1_1.wav", wave[0].repeat(16).numpy(), 16_000)
    assert main("train paper/edm --corpus pairs --steps 1 --device cpu".split()) == 0
    found = se.checkpoints.load(tmp_path / "runs" / "paper" / "edm")
    assert found.spectrogram == papers.SPECTROGRAM and found.record["steps"] == 1
    assert found.record["command"].startswith("edmse train paper/edm")


def test_unknown_names_are_told_the_known_ones():
    with pytest.raises(ValueError, match="no recipe 'paper/best'.*paper/sgmse, paper/edm"):
        designs.find("paper/best")


# Counting


def layer_by_layer(recipe: recipes.Recipe, batch: int) -> float:
    """FLOP of a pass forward, from the shapes of layers and their outputs."""
    total = []

    def count(layer, inputs, output):
        positions = output.numel() // output.shape[1]
        total.append(2 * layer.weight.numel() * positions)

    samples = round(recipe.mixing.seconds * se.SAMPLE_RATE)
    with torch.device("meta"):
        network = se.CompactUNet(recipe.network)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        bins, frames = recipe.spectrogram.bins, recipe.spectrogram.frames(samples)
        network(torch.empty(batch, 4, bins, frames), torch.empty(batch))
    return sum(total)


@pytest.mark.parametrize("name", ["compact", "paper/edm"])
def test_operations_are_three_passes_forward(name):
    recipe = designs.find(name)
    done, forward = work(recipe, 2), layer_by_layer(recipe, 2)
    assert 2.9 * forward < done.flops <= 3 * forward  # the stem needs no gradient of its input
    assert done.audio_seconds == pytest.approx(2 * recipe.mixing.seconds)


def test_counts_on_shapes_are_those_of_a_real_step(tmp_path):
    run = trainer(SMALL, tmp_path)
    batch = run.draws.of(0)
    with FlopCounterMode(display=False) as flops, Ledger() as traffic:
        run._loss(*batch.tensors).backward()
    frames = batch.y.shape[-1]
    same = replace(SMALL, mixing=replace(SMALL.mixing, seconds=(frames - 1) * 256 / 16_000))
    done = work(same, 6)
    assert done.flops == flops.get_total_flops()
    assert done.moved() == pytest.approx(traffic.moved, rel=0.1)
    assert done.parameters == sum(p.numel() for p in run.model.parameters())


def test_an_update_moves_what_is_said(tmp_path):
    run = trainer(replace(SMALL, network=replace(SMALL.network, channels=(32, 32))), tmp_path)
    run.take_step()
    with Ledger() as traffic:
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        run.update()
    each = traffic.moved / sum(p.numel() for p in run.model.parameters())
    assert hours.UPDATE[0] < each < hours.UPDATE[1] and each == pytest.approx(92, rel=0.02)


def test_kept_bytes_grow_with_the_batch_alone():
    one, four = work(SMALL, 1), work(SMALL, 4)
    assert four.kept == pytest.approx(4 * one.kept, rel=0.01)
    assert one.parameters == four.parameters and len(one.operations) == len(four.operations)
    assert four.flops == pytest.approx(4 * one.flops, rel=1e-6)
    with pytest.raises(ValueError, match="at least one mixture, got 0"):
        work(SMALL, 0)


# Machines

SIMPLE = Machine("simple", matrix=100.0, memory=10.0, width=4)
TWO = Work((Operation(1000.0, 50.0), Operation(10.0, 50.0), Operation(0.0, 80.0)), 2.0, 0, 400.0)


def test_the_roof_is_the_lower_of_two_lines_that_meet_at_the_ridge():
    assert SIMPLE.ridge == 10
    assert (SIMPLE.roof(1), SIMPLE.roof(10), SIMPLE.roof(100)) == (10, 100, 100)
    assert T4.ridge == pytest.approx(203, rel=0.01) and H200.ridge == pytest.approx(206, rel=0.01)


def test_a_step_by_hand():
    fast, slow = hours.step_range(TWO, SIMPLE)
    assert fast == 1000 / 100 + 50 / 10  # arithmetic, then traffic; the third is free
    assert slow == 1000 / 100 / 0.25 + 50 / 10 / 0.5 + 80 / 10 / 0.5
    assert TWO.intensity() == 1010 / 180 and TWO.intensity(fused=True) == 1010 / 100
    assert TWO.moved(width=2) == 25 + 25 + 80  # only matrix products are in half precision


def test_a_roof_bounds_each_step():
    for recipe in (SMALL, papers.SYSTEMS["edm"]):
        done = work(recipe, 2)
        for machine in (T4, H200):
            fast, slow = hours.step_range(done, machine)
            assert done.flops / fast <= machine.roof(done.intensity(machine.width, fused=True))
            assert slow > done.flops / machine.roof(done.intensity(machine.width))
            assert slow >= hours.LAUNCH * len(done.operations)


def test_better_machines_are_never_slower():
    done = work(SMALL, 4)
    for better in (replace(T4, matrix=1e15), replace(T4, memory=1e13), replace(T4, width=1)):
        for new, old in zip(
            hours.step_range(done, better), hours.step_range(done, T4), strict=True
        ):
            assert new <= old


def test_scales_of_the_units():
    """Both rates ten times higher: the fast end is ten times faster, and so are the hours."""
    ten = replace(SIMPLE, matrix=1000.0, memory=100.0)
    assert hours.step_range(TWO, ten)[0] == pytest.approx(hours.step_range(TWO, SIMPLE)[0] / 10)
    assert hours.hours_range(100.0, (50.0, 200.0)) == (0.5, 2.0)
    assert hours.hours_range(0.0, (1.0, 1.0)) == (0.0, 0.0)


def test_many_devices_exchange_gradients():
    assert hours.exchange_seconds(10**9, H200) == 0
    assert hours.exchange_seconds(45, replace(H200_8, link=4.0)) == 2 * 7 / 8 * 45
    many = replace(SIMPLE, processes=2, link=1.0)
    done = replace(TWO, parameters=10)
    one, two = hours.step_range(done, SIMPLE), hours.step_range(done, many)
    assert two[0] == max(one[0], 40.0) and two[1] == one[1] + 2 * 40.0
    low, high = hours.speed_range(SMALL, H200, 2)
    low_8, high_8 = hours.speed_range(SMALL, H200_8, 16)
    assert 7 * low < low_8 < 8 * low and high < high_8 <= 8 * high


def test_a_batch_fits_in_pieces():
    done = Work((), 1.0, 1_000, kept=7e6)
    assert hours.pieces(done, replace(T4, capacity=7e6 + 20_000)) == 1
    assert hours.pieces(done, replace(T4, capacity=7e6)) == 2
    assert hours.pieces(done, replace(T4, capacity=1e6 + 20_000)) == 8
    with pytest.raises(ValueError, match="cannot hold 1,000 parameters"):
        hours.pieces(done, replace(T4, capacity=20_000))


def test_a_measured_machine_has_what_the_profile_found():
    found = Profile("a CPU", 1, "fp32", 12.0, 3.0, 0.5, 2.0, 0.5, 6e9, 1e9, 12e9, 2e9)
    here = Machine.measured(found)
    assert (here.matrix, here.memory, here.width, here.processes) == (12e9, 2e9, 4, 1)
    assert Machine.measured(replace(found, precision="bf16")).width == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix": 0.0}, "matrix must be above 0"),
        ({"memory": -1.0}, "memory must be above 0"),
        ({"memory": math.nan}, "memory must be above 0"),
        ({"processes": 0}, "processes must be above 0"),
        ({"processes": 2}, "2 processes need a link"),
    ],
)
def test_impossible_machines(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SIMPLE, **change)


def test_impossible_questions():
    with pytest.raises(ValueError, match="6 cannot be shared by 8 devices"):
        hours.speed_range(SMALL, H200_8)
    for audio, speed in ((1.0, (0.0, 1.0)), (1.0, (2.0, 1.0)), (-1.0, (1.0, 2.0))):
        with pytest.raises(ValueError, match="h of audio at"):
            hours.hours_range(audio, speed)


def test_times_in_words():
    said = {
        (0.31, 1.15): "19–69 min", (0.05, 4.5): "3 min – 4.5 h", (3.1, 14.2): "3.1–14 h",
        (30.0, 50.0): "30 h – 2.1 days", (2400.0, 40_000.0): "100 days – 4.6 years",
        (0.001, 0.001): "3.6 s", (5.0,): "5 h", (12.04, 12.4): "12 h", (0.02, 0.1): "72 s – 6 min",
    }  # fmt: skip
    for found, words in said.items():
        assert hours.spoken(found).replace("\u00a0", " ") == words
    briefs = {0.5: "0.5", 374: "370", 1093: "1.1 k", 92_044: "92 k", 1_690_547: "1.7 M"}
    assert [hours.brief(value).replace("\u00a0", " ") for value in briefs] == [*briefs.values()]


# Measuring here


def test_gauges_measure(monkeypatch):
    for name in ("matrix_rate", "copy_rate"):  # tests/test_profiling.py measures them
        monkeypatch.setattr(profiling, name, lambda *_: 1e9)
    found = gauges.step_here(SMALL, 2, steps=1)
    assert found.flops == work(SMALL, 2).flops and found.audio_seconds == 0.5
    assert found.speed > 0 and 0 < found.matrix_share
    pairs = se.evaluation_set("valid", size=2, seconds=1.0)
    assert gauges.shard_speed(pairs, 0.5, batches=1) > 1


def test_the_figure_has_a_roof_for_each_machine():
    works = {"one": TWO, "two": replace(TWO, operations=TWO.operations[:2])}
    fig = figures.roofline([SIMPLE, T4], works, {"here": (10.0, 50.0)})
    (ax,) = fig.axes
    labels = [line.get_label() for line in ax.lines if not line.get_label().startswith("_")]
    assert labels == ["simple", "T4", "one", "two", "here"]
    x, y = ax.lines[0].get_data()
    assert all(b == SIMPLE.roof(a) for a, b in zip(x, y, strict=True))
