"""The loss, the moving average, and runs that resume exactly."""

from __future__ import annotations

import functools
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import RECIPE, small_mixer

import edmse_lite as se
from edmse_lite import checkpoints, recipes, runs, states
from edmse_lite.batches import Draws
from edmse_lite.mixing import Mixer
from edmse_lite.networks import CompactUNet, UNetConfig
from edmse_lite.parallel import Alone, Plan
from edmse_lite.training import TrainingError, denoising_loss, step_generator

TINY = replace(RECIPE, training=replace(RECIPE.training, batch_size=2))


@pytest.fixture(scope="module", autouse=True)
def no_validation():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "evaluation_set", lambda *_: ())
        yield


@pytest.fixture(scope="module")
def mixer() -> Mixer:
    return small_mixer()


def trainer(folder, mixer, plan=None, **changes):
    recipe = replace(TINY, training=replace(TINY.training, **changes))
    return runs.start(recipe, folder, batches=mixer, plan=plan)


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


def edmse_train(*runs, die_at):
    """`edmse train compact` on a small network, killed while it writes its n-th state."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "small_run.py"), *runs],
        env={**os.environ, "DIE_AT": str(die_at)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr


def test_a_killed_process_resumes_to_the_same_weights(tmp_path, mixer):
    edmse_train(f"{tmp_path}/killed --batch 2", die_at=3)
    assert checkpoints.load(tmp_path / "killed").record["steps"] == 3  # and the state is of step 2
    assert torch.load(tmp_path / "killed" / "state.pt", weights_only=True)["step"] == 2
    for name in ("killed", "whole"):  # here, in another process
        again = trainer(tmp_path / name, mixer)
        assert again.resume() == (name == "killed")
        list(again.run())
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
    with pytest.raises(TrainingError, match="another parts; use the settings"):
        trainer(tmp_path, mixer, Plan(parts=2)).resume()
    for changes, name in (
        ({"network": UNetConfig(channels=(8, 8), embedding=16)}, "network"),
        ({"preconditioning": se.Preconditioning.edm(0.2)}, "preconditioning"),
    ):
        with pytest.raises(TrainingError, match=f"made with another {name};"):
            runs.start(replace(TINY, **changes), tmp_path, batches=mixer).resume()


def test_a_state_of_an_earlier_version_goes_on(tmp_path, mixer):
    """Its settings are those that there were; what it does not say has the value of that time."""
    next(trainer(tmp_path, mixer).run())
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for key in ("parts", "design", "notes"):
        del state[key]
    torch.save(state, tmp_path / "state.pt")
    again = trainer(tmp_path, mixer)
    assert again.resume() and again.step == 1


@pytest.mark.parametrize("damage", ["cut", "text", "weights"])
def test_a_damaged_state_is_named_and_left_alone(tmp_path, mixer, damage):
    next(trainer(tmp_path, mixer).run())
    path = tmp_path / "state.pt"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("not a state")
    else:
        torch.save({"weight": torch.ones(3)}, path)
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=r"state\.pt: not readable .*--warm-start"):
        trainer(tmp_path, mixer).resume()
    assert path.read_bytes() == before
    checkpoints.load(tmp_path)  # the checkpoint beside it is whole


@contextmanager
def full_disk(free: int):
    """Let no file of this process grow beyond so many bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("free", [1000, 80_000])  # bytes: no room for weights, or for the state
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, mixer, free):
    run = trainer(tmp_path, mixer)
    steps = run.run()
    next(steps)
    good, weight = checkpoints.load(tmp_path), (tmp_path / "model.safetensors").stat().st_size
    state = (tmp_path / "state.pt").read_bytes()
    assert 1000 < weight < 80_000 < len(state)
    with full_disk(free), pytest.raises((TrainingError, OSError), match="free"):
        next(steps)
    assert (tmp_path / "state.pt").read_bytes() == state
    assert checkpoints.load(tmp_path).record["steps"] in (1, 2)  # the old or the new one, whole
    if free == 1000:
        assert checkpoints.load(tmp_path).sha256 == good.sha256
    assert not list(tmp_path.glob("*part*"))
    again = trainer(tmp_path, mixer)  # there is room again
    assert again.resume() and again.step == 1


def test_pieces_of_a_batch_have_the_gradient_of_the_whole(tmp_path, mixer):
    """2 x 3 mixtures make the same step as 6, and so do 3 x 2, to rounding."""
    curves = [
        [(p.loss, p.gradient_norm) for p in trainer(
            tmp_path / str(n), mixer, Plan(accumulate=n), batch_size=6, steps=4
        ).run()]
        for n in (1, 2, 3)
    ]  # fmt: skip
    for curve in curves[1:]:
        torch.testing.assert_close(torch.tensor(curve), torch.tensor(curves[0]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_resumes_exactly(tmp_path, mixer, precision):
    plan = Plan(accumulate=2)
    whole = trainer(tmp_path / "whole", mixer, plan, precision=precision, steps=3)
    losses = [progress.loss for progress in whole.run()]
    steps = trainer(tmp_path / "cut", mixer, plan, precision=precision, steps=3).run()
    next(steps)
    again = trainer(tmp_path / "cut", mixer, plan, precision=precision, steps=3)
    assert again.resume()
    assert [progress.loss for progress in again.run()] == losses[1:]
    for key, value in weights(whole).items():
        assert torch.equal(value, again.average.state_dict()[key]), key
    assert again.scaler.state_dict() == whole.scaler.state_dict()


@pytest.mark.parametrize("parts", [1, 2, 6])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_are_the_batch_whatever_the_number_of_processes(mixer, parts, size):
    config = replace(TINY.training, batch_size=6)

    def share(rank, size):
        team = Alone()
        team.rank, team.size = rank, size
        plan = Plan(parts=parts)
        return Draws(mixer, se.Spectrogram(), config, team, plan, torch.device("cpu")).of(4)

    whole, shares = share(0, 1), [share(rank, size) for rank in range(size)]
    for name in ("x0", "y", "sigma", "noise"):
        joined = torch.cat([getattr(each, name) for each in shares])
        torch.testing.assert_close(joined, getattr(whole, name), rtol=1e-5, atol=1e-6)
    assert len(whole.sigma.unique()) == 6  # no item twice
    assert sum(each.seconds for each in shares) == pytest.approx(6 * 0.5)


def test_a_source_with_shards_is_asked_for_each_share_once(mixer):
    """It has other recordings in each process, so no process draws what belongs to another."""
    asked = []

    class Sharded:
        sharded = True

        def batch(self, size, generator):
            asked.append((size, generator.initial_seed()))
            return mixer.batch(size, generator)

    config = replace(TINY.training, batch_size=6)
    for rank in range(3):
        team = Alone()
        team.rank, team.size = rank, 3
        draws = Draws(Sharded(), se.Spectrogram(), config, team, Plan(), torch.device("cpu"))
        assert len(draws.of(0).sigma) == 2
    assert [size for size, _ in asked] == [2, 2, 2]
    assert len({seed for _, seed in asked}) == 3


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path, mixer):
    with pytest.raises(TrainingError, match="a batch of 2 .* 1 processes x 4 pieces"):
        trainer(tmp_path, mixer, Plan(accumulate=4))
    with pytest.raises(ValueError, match="parts must be at least 1"):
        Plan(parts=0)


@pytest.mark.filterwarnings("ignore:.*jit.script_method. is deprecated:DeprecationWarning")
def test_a_compiled_run_resumes_exactly(tmp_path, mixer, monkeypatch):
    """With the graphs of torch.compile, but without its code generator, which takes a minute."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    plan = Plan(compile=True)
    whole = trainer(tmp_path / "whole", mixer, plan, steps=3)
    losses = [progress.loss for progress in whole.run()]
    next(trainer(tmp_path / "cut", mixer, plan, steps=3).run())
    again = trainer(tmp_path / "cut", mixer, plan, steps=3)
    assert again.resume() and again.step == 1
    assert [progress.loss for progress in again.run()] == losses[1:]
    found = [checkpoints.load(tmp_path / name).sha256 for name in ("whole", "cut")]
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:.*jit.script_method. is deprecated:DeprecationWarning")
def test_a_compiled_network_keeps_the_names_of_its_weights(tmp_path, mixer):
    """States and checkpoints of compiled and other runs are the same files."""
    compiled = trainer(tmp_path / "compiled", mixer, Plan(compile=True))
    plain = trainer(tmp_path / "plain", mixer)
    assert compiled.model.network._compiled_call_impl is not None
    assert compiled.average.network._compiled_call_impl is None  # validated and saved as it is
    assert compiled.model.state_dict().keys() == plain.model.state_dict().keys()
    compiled.save()
    plain.folder = compiled.folder
    assert plain.resume()


def test_lines_of_a_killed_run_are_not_logged_twice(tmp_path, mixer):
    states.log(tmp_path, {"step": 1, "loss": 0.5})
    next(trainer(tmp_path, mixer).run())
    for step in (2, 3):  # logged, but killed before the state was written
        states.log(tmp_path, {"step": step, "loss": 0.5})
    assert trainer(tmp_path, mixer).resume()
    assert (tmp_path / "history.csv").read_text().splitlines() == ["step,loss", "1,0.5"]


def test_the_history_of_a_long_run_keeps_every_digit_of_its_steps(tmp_path):
    states.log(tmp_path, {"step": 1_234_567, "loss": 0.123456789})
    states.forget_after(tmp_path, 1_234_567)
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "1234567,0.123457"


def test_warm_start_begins_with_the_weights_and_refuses_another_size(tmp_path, mixer):
    first = trainer(tmp_path / "first", mixer)
    list(first.run())
    warm = runs.start(TINY, tmp_path / "warm", warm_start=tmp_path / "first", batches=mixer)
    for key, value in checkpoints.load(tmp_path / "first").model.state_dict().items():
        torch.testing.assert_close(warm.model.state_dict()[key], value)
    other = replace(TINY, network=UNetConfig(channels=(16, 16), embedding=16))
    with pytest.raises(checkpoints.CheckpointError, match="same size"):
        runs.start(other, tmp_path / "other", warm_start=tmp_path / "first", batches=mixer)


def test_a_warm_start_that_was_trained_otherwise_is_told_or_refused(tmp_path, mixer):
    next(trainer(tmp_path / "first", mixer).run())
    told = []

    def begin(folder="other", **changes):
        recipe, first = replace(TINY, **changes), tmp_path / "first"
        runs.start(recipe, tmp_path / folder, "cpu", first, mixer, tell=told.append)

    begin()
    assert told == []
    begin(sde=se.OUVE())
    assert "another schedule VE(sigma_min=0.05" in told[0] and "(here OUVE(" in told[0]
    assert told[0].endswith("; the network does not see it")
    begin(preconditioning=se.Preconditioning.edm(0.2), spectrogram=se.Spectrogram(factor=0.1))
    assert "another preconditioning" in told[1] and "another spectrogram" in told[1]
    assert len(told) == 2 and "does not see" not in told[1]
    predictive = se.Preconditioning.predictive()
    with pytest.raises(checkpoints.CheckpointError, match="denoises, but the recipe's predicts"):
        begin(preconditioning=predictive)
    with pytest.raises(checkpoints.CheckpointError, match="predicts.* but the recipe's denoises"):
        next(trainer_of(replace(TINY, preconditioning=predictive), tmp_path / "second", mixer))
        runs.start(TINY, tmp_path / "third", "cpu", tmp_path / "second", mixer)


def trainer_of(recipe, folder, mixer):
    return runs.start(recipe, folder, batches=mixer).run()


def test_a_kill_within_the_first_save_loses_no_run(tmp_path, mixer):
    """The state is there and the model is not; it is neither refused nor taken for finished."""
    whole = trainer(tmp_path / "whole", mixer, steps=2, save_every=2)
    list(whole.run())

    def killed(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            list(trainer(tmp_path / "cut", mixer, steps=2, save_every=2).run())
    assert not (tmp_path / "cut" / "config.json").exists()
    again = trainer(tmp_path / "cut", mixer, steps=2, save_every=2)
    assert again.resume() and again.step == 2
    found = [checkpoints.load(tmp_path / name) for name in ("cut", "whole")]
    assert found[0].sha256 == found[1].sha256
    (tmp_path / "cut" / "state.pt").unlink()
    with pytest.raises(TrainingError, match="holds a model .*--warm-start"):
        trainer(tmp_path / "cut", mixer)


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
