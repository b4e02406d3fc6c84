"""The loss, the moving average, and runs that resume exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import edmse_lite as se
from edmse_lite import checkpoints, recipes, runs
from edmse_lite.mixing import Mixer, MixingConfig
from edmse_lite.networks import CompactUNet, UNetConfig
from edmse_lite.training import TrainingError, denoising_loss, step_generator

TINY = replace(
    recipes.COMPACT,
    network=UNetConfig(channels=(8, 16), embedding=16),
    mixing=MixingConfig(seconds=0.5),
    training=recipes.TrainingConfig(
        steps=6, batch_size=2, warmup=2, save_every=1, validate_every=100
    ),
)


@pytest.fixture(scope="module")
def mixer() -> Mixer:
    speech = se.Corpus.bundled().where(kind="speech", split="valid", language="fr").audio()
    noises = se.Corpus.bundled().where(kind="noise", split="valid").audio()
    return Mixer(speech, noises, TINY.mixing)


def trainer(folder, mixer, **changes):
    recipe = replace(TINY, training=replace(TINY.training, **changes))
    made = runs.start(recipe, folder, batches=mixer)
    made.valid = ()
    return made


def weights(run):
    return {k: v.clone() for k, v in run.average.state_dict().items()}


def test_loss_is_the_weighted_error_of_the_denoiser():
    model = se.ScoreModel(CompactUNet(TINY.network), TINY.sde, TINY.preconditioning)
    generator = torch.Generator().manual_seed(0)
    shape = (3, 1, 256, 9)
    x0, y, noise = (torch.randn(shape, dtype=torch.complex64, generator=generator) for _ in "abc")
    sigma = torch.tensor([0.02, 0.3, 1.1])
    found = denoising_loss(model, x0, y, sigma, noise)
    for b in range(3):  # one item, one formula, no broadcasting
        level, data = float(sigma[b]), TINY.preconditioning.sigma_data
        r = (x0 - y)[b : b + 1]
        error = model(r + level * noise[b : b + 1], y[b : b + 1], level) - r
        weight = (level**2 + data**2) / (level * data) ** 2
        expected = weight * torch.mean(error.real**2 + error.imag**2)
        torch.testing.assert_close(found[b], expected, rtol=1e-5, atol=1e-6)


def test_untrained_loss_is_one_at_every_sigma():
    """EDM preconditioning: the target of the network has unit variance (chapter 9)."""
    network = CompactUNet(TINY.network)  # its last layer starts at zero, so F = 0
    model = se.ScoreModel(network, TINY.sde, TINY.preconditioning)
    generator = torch.Generator().manual_seed(1)
    shape = (8, 1, 256, 40)
    r = TINY.preconditioning.sigma_data * torch.randn(
        shape, dtype=torch.complex64, generator=generator
    )
    noise = torch.randn(shape, dtype=torch.complex64, generator=generator)
    for sigma in (0.01, 0.1, 1.0):
        loss = denoising_loss(model, r, torch.zeros_like(r), torch.full((8,), sigma), noise)
        torch.testing.assert_close(loss.mean(), torch.tensor(1.0), rtol=0.01, atol=0)


def test_a_resumed_run_equals_an_unbroken_one(tmp_path, mixer):
    whole = trainer(tmp_path / "whole", mixer)
    losses = [progress.loss for progress in whole.run()]
    first = trainer(tmp_path / "broken", mixer)
    for progress in first.run():
        if progress.step == 3:
            break  # as after a kill: what is not in the folder is gone
    second = trainer(tmp_path / "broken", mixer)
    assert second.resume() and second.step == 3
    rest = [progress.loss for progress in second.run()]
    assert rest == losses[3:]
    for key, value in weights(whole).items():
        assert torch.equal(value, second.average.state_dict()[key]), key
    hashes = {checkpoints.load(tmp_path / name).sha256 for name in ("whole", "broken")}
    assert len(hashes) == 1


SMALL_RUN = """
import os, signal, sys
from dataclasses import replace
import edmse_lite.recipes as recipes
from edmse_lite import mixing, runs, training
from edmse_lite.networks import UNetConfig

class Valid(mixing.Mixer):
    @classmethod
    def bundled(cls, config, device):
        clips = mixing.Corpus.bundled().where(split="valid")
        speech = clips.where(kind="speech", language="fr").audio()
        return cls(speech[:20], clips.where(kind="noise").audio()[:4], config, device)

saves = []

def save_or_die(state, path, save=training.torch.save):
    saves.append(save(state, path))
    if len(saves) == int(os.environ.get("DIE_AT", 0)):
        os.kill(os.getpid(), signal.SIGKILL)  # before the state has its name

training.torch.save = save_or_die
runs.Mixer, runs.evaluation_set = Valid, lambda *of: ()
recipes.COMPACT = replace(
    recipes.COMPACT,
    network=UNetConfig(channels=(8, 16), embedding=16),
    mixing=mixing.MixingConfig(seconds=0.5),
    training=replace(recipes.COMPACT.training, save_every=1),
)
recipes.RECIPES["compact"] = recipes.COMPACT
from edmse_lite.cli import main
for out in sys.argv[1:]:
    words = "train compact --steps 6 --batch 1 --device cpu --out".split()
    assert main([*words, out]) == 0
"""


def edmse_train(*folders, die_at=0):
    """`edmse train compact` on a small network, killed while it writes its n-th state."""
    done = subprocess.run(
        [sys.executable, "-c", SMALL_RUN, *map(str, folders)],
        env={**os.environ, "DIE_AT": str(die_at)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == (-9 if die_at else 0), done.stderr


def test_a_killed_process_resumes_to_the_same_weights(tmp_path):
    edmse_train(tmp_path / "killed", die_at=3)
    assert checkpoints.load(tmp_path / "killed").record["steps"] == 3  # and the state is of step 2
    assert torch.load(tmp_path / "killed" / "state.pt", weights_only=True)["step"] == 2
    edmse_train(tmp_path / "killed", tmp_path / "whole")
    found = [checkpoints.load(tmp_path / name) for name in ("killed", "whole")]
    assert found[0].sha256 == found[1].sha256
    assert found[0].record["steps"] == found[1].record["steps"] == 6


def test_a_loss_that_is_not_finite_stops_and_keeps_the_state(tmp_path, mixer):
    run = trainer(tmp_path, mixer)
    steps = run.run()
    next(steps)
    with torch.no_grad():
        run.model.network.head.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="loss is nan at step 2"):
        next(steps)
    again = trainer(tmp_path, mixer)
    assert again.resume() and again.step == 1
    assert all(value.isfinite().all() for value in again.model.state_dict().values())


def test_a_validation_scores_the_moving_average_and_is_logged(tmp_path, mixer):
    run = trainer(tmp_path, mixer, steps=2, validate_every=2, validation_steps=1)
    run.valid = se.evaluation_set("valid", 2, 2.0)
    steps = list(run.run())
    assert steps[0].validation == {}
    found = steps[1].validation
    noisy = [se.metrics.evaluate(p.clean, p.noisy, names=("pesq", "si_sdr")) for p in run.valid]
    for name in ("pesq", "si_sdr"):  # a network after two steps says about zero: nothing changes
        mean = sum(score[name] for score in noisy) / 2
        assert found[name] == pytest.approx(mean, abs=0.5)
    header, row = (tmp_path / "history.csv").read_text().splitlines()
    assert header == "step,hours,loss,pesq,si_sdr"
    assert float(row.split(",")[3]) == pytest.approx(found["pesq"], rel=1e-4)


def test_another_configuration_is_refused_by_name(tmp_path, mixer):
    next(trainer(tmp_path, mixer).run())
    with pytest.raises(TrainingError, match="another learning_rate, seed"):
        trainer(tmp_path, mixer, learning_rate=0.1, seed=3).resume()


def test_warm_start_begins_with_the_weights_and_refuses_another_size(tmp_path, mixer):
    first = trainer(tmp_path / "first", mixer)
    list(first.run())
    warm = runs.start(TINY, tmp_path / "warm", warm_start=tmp_path / "first", batches=mixer)
    for key, value in checkpoints.load(tmp_path / "first").model.state_dict().items():
        torch.testing.assert_close(warm.model.state_dict()[key], value)
    other = replace(TINY, network=UNetConfig(channels=(16, 16), embedding=16))
    with pytest.raises(checkpoints.CheckpointError, match="same size"):
        runs.start(other, tmp_path / "other", warm_start=tmp_path / "first", batches=mixer)


def test_training_lowers_the_loss(tmp_path, mixer):
    run = trainer(tmp_path, mixer, steps=40, batch_size=4, learning_rate=5e-3, save_every=40)
    losses = [progress.loss for progress in run.run()]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_mixed_precision_stays_close(tmp_path, mixer):
    full, mixed = (
        [progress.loss for progress in trainer(tmp_path / name, mixer, precision=name).run()]
        for name in ("fp32", "bf16")
    )
    assert mixed == pytest.approx(full, rel=0.05)
    assert mixed[1:] != full[1:]  # the first loss is that of F = 0, in any precision


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 10_000), st.data())
def test_learning_rate_and_decay_stay_in_range(steps, data):
    config = recipes.TrainingConfig(steps=steps)
    step = data.draw(st.integers(0, steps - 1))
    assert 0 <= config.rate(step) <= config.learning_rate
    assert 0 < config.decay(step) <= config.ema


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"precision": "int8"}, {"ema": 1.0}, {"p_std": -1.0}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        recipes.TrainingConfig(**wrong)


def test_sigma_is_log_normal():
    config = recipes.TrainingConfig(p_mean=-1.0, p_std=0.7)
    logs = config.draw_sigma(200_000, torch.Generator().manual_seed(0)).log()
    assert logs.mean().item() == pytest.approx(-1.0, abs=0.01)
    assert logs.std().item() == pytest.approx(0.7, abs=0.01)


def test_steps_do_not_share_randomness():
    drawn = {
        torch.randn(1, generator=step_generator(seed, step)).item()
        for seed in range(3)
        for step in range(100)
    }
    assert len(drawn) == 300
