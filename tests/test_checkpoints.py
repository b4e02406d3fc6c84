"""Checkpoints: what is saved comes back, damage is found, and a kill harms nothing."""

import hashlib
import json
import os
import resource
from pathlib import Path

import pytest
import torch
from tiny import tiny_model

import edmse_lite as se
from edmse_lite import checkpoints
from edmse_lite.spectrograms import Spectrogram

RECORD = {"command": "edmse train compact", "steps": 3, "hours": 0.5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoints.save(tmp_path / "run", tiny_model(), Spectrogram(hop=128), RECORD)
    return tmp_path / "run"


def denoised(model: se.ScoreModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 1, 1, 256, 16, dtype=torch.complex64, generator=generator)
    with torch.no_grad():
        return model(x, y, 0.3)


def test_a_checkpoint_comes_back(folder: Path) -> None:
    model = tiny_model()
    loaded = checkpoints.load(folder)
    for name, weight in model.network.state_dict().items():
        torch.testing.assert_close(
            loaded.model.network.state_dict()[name], weight.half().float(), rtol=0, atol=0
        )
    assert loaded.model.sde == model.sde
    assert loaded.model.preconditioning == model.preconditioning
    assert loaded.model.sigma_range == model.sigma_range
    assert loaded.model.network.config == model.network.config
    assert loaded.spectrogram == Spectrogram(hop=128)
    assert loaded.record == RECORD
    assert not loaded.model.training
    model.load_state_dict({k: w.half().float() for k, w in model.state_dict().items()})
    torch.testing.assert_close(denoised(loaded.model), denoised(model), rtol=0, atol=0)


def test_the_hash_is_that_of_the_file(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    assert checkpoints.load(folder).sha256 == hashlib.sha256(data).hexdigest()
    parameters = sum(p.numel() for p in tiny_model().parameters())
    described = json.loads((folder / "config.json").read_text())["weights"]
    assert described["parameters"] == parameters
    assert len(data) < 2 * parameters + 10_000  # half precision


@pytest.mark.parametrize(
    "sde",
    [se.OUVE(), se.RichterOUVE(), se.OUVP(), se.VP(), se.Cosine(), se.BBED(), se.BBCD(), se.BBLS()],
)
def test_every_schedule_comes_back(sde: se.SDE, tmp_path: Path) -> None:
    model = se.ScoreModel(tiny_model().network, sde, se.Preconditioning.richter())
    checkpoints.save(tmp_path / "run", model, Spectrogram(), {})
    loaded = checkpoints.load(tmp_path / "run").model
    assert loaded.sde == sde and type(loaded.sde) is type(sde)
    assert loaded.preconditioning == se.Preconditioning.richter()
    assert loaded.sigma_range == model.sigma_range


def edit(folder: Path, change) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


DAMAGE = {
    "cut short": lambda f: os.truncate(f / "model.safetensors", 5_000),
    "changed": lambda f: (f / "model.safetensors").write_bytes(
        (f / "model.safetensors").read_bytes()[:-1] + b"\x7f"
    ),
    "weights missing": lambda f: (f / "model.safetensors").unlink(),
    "shape": lambda f: edit(f, lambda c: c["network"].update(channels=[8, 16])),
    "fewer levels": lambda f: edit(f, lambda c: c["network"].update(channels=[8])),
    "unknown field": lambda f: edit(f, lambda c: c["network"].update(colour="red")),
    "unknown schedule": lambda f: edit(f, lambda c: c["sde"].update(name="ScoreModel")),
    "bad schedule": lambda f: edit(f, lambda c: c["sde"].update(sigma_min=-1)),
    "bad transform": lambda f: edit(f, lambda c: c["spectrogram"].update(hop=1_000)),
    "bad range": lambda f: edit(f, lambda c: c.update(sigma_range=[1, 0])),
    "no range": lambda f: edit(f, lambda c: c.update(sigma_range=[1])),
    "table missing": lambda f: edit(f, lambda c: c.pop("sde")),
    "table is a number": lambda f: edit(f, lambda c: c.update(preconditioning=3)),
    "other format": lambda f: edit(f, lambda c: c.update(format=99)),
    "other rate": lambda f: edit(f, lambda c: c.update(sample_rate=8_000)),
    "other level": lambda f: edit(f, lambda c: c.update(reference_rms=1.0)),
    "no JSON": lambda f: (f / "config.json").write_text("{"),
    "JSON list": lambda f: (f / "config.json").write_text("[]"),
}
WORDS = {
    "cut short": "of 5000 bytes, expected SHA-256",
    "changed": "expected SHA-256",
    "weights missing": "found no such file",
    "shape": "has the shape (8,",
    "unknown field": "'colour', expected blocks, channels",
    "unknown schedule": "sde is 'ScoreModel', expected one of BBCD",
    "table missing": "no sde",
    "other format": "format is 99, expected 1",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(kind: str, folder: Path) -> None:
    DAMAGE[kind](folder)
    with pytest.raises(checkpoints.CheckpointError) as caught:
        checkpoints.load(folder)
    message = str(caught.value)
    assert str(folder) in message and "\n" not in message
    assert WORDS.get(kind, "") in message


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(checkpoints.CheckpointError, match="no such folder.*or a name: "):
        checkpoints.load("nobody")
    with pytest.raises(checkpoints.CheckpointError, match="a folder without config.json"):
        checkpoints.load(tmp_path)


def test_a_checkpoint_of_the_package_has_a_name(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "PRETRAINED", folder.parent)
    assert checkpoints.names() == ["run"]
    assert checkpoints.load("run").record == RECORD


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(3))
def test_a_kill_leaves_the_old_or_the_new(step: int, folder: Path, monkeypatch) -> None:
    """Three renames make a save; a kill before any of them leaves a checkpoint that loads."""
    done, rename = 0, os.replace

    def replace(source, target) -> None:
        nonlocal done
        if done == step:
            raise Killed
        done += 1
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Killed):
        checkpoints.save(folder, tiny_model(seed=1), Spectrogram(), {"steps": 4})
    monkeypatch.undo()
    loaded = checkpoints.load(folder)
    seed, record = (0, RECORD) if step < 2 else (1, {"steps": 4})
    assert loaded.record == record
    expected = tiny_model(seed).network.head.weight.half().float()
    torch.testing.assert_close(loaded.model.network.head.weight, expected, rtol=0, atol=0)
    checkpoints.save(folder, tiny_model(seed=2), Spectrogram(), {"steps": 5})  # and goes on
    assert checkpoints.load(folder).record == {"steps": 5}
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_full_disk_harms_nothing(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))  # as a disk that is full
        with pytest.raises(OSError, match="an earlier one there is unharmed; free"):
            checkpoints.save(folder, tiny_model(seed=1), Spectrogram(), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoints.load(folder).record == RECORD
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e5])
def test_diverged_weights_are_not_saved(bad: float, folder: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.network.head.bias[0] = bad
    with pytest.raises(checkpoints.CheckpointError, match="head.bias holds NaN or a number beyond"):
        checkpoints.save(folder, model, Spectrogram(), {})
    assert checkpoints.load(folder).record == RECORD


def test_another_network_is_refused(tmp_path: Path) -> None:
    model = se.ScoreModel(torch.nn.Identity(), se.VE())
    with pytest.raises(checkpoints.CheckpointError, match="is a Identity, expected a CompactUNet"):
        checkpoints.save(tmp_path / "run", model, Spectrogram(), {})


def test_what_is_no_network_and_what_are_no_weights_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    checkpoints.save(folder, tiny_model(), Spectrogram(), {})
    config = json.loads((folder / "config.json").read_text())
    wrong = json.loads(json.dumps(config))
    wrong["network"]["channels"] = "abc"
    (folder / "config.json").write_text(json.dumps(wrong))
    with pytest.raises(checkpoints.CheckpointError, match="network"):
        checkpoints.load(folder)
    junk = b"no weights at all, and eight bytes more"
    (folder / "model.safetensors").write_bytes(junk)
    config["weights"]["sha256"] = hashlib.sha256(junk).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(checkpoints.CheckpointError, match="holds no weights"):
        checkpoints.load(folder)
