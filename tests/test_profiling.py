"""Profiles count what they say they count, and bad recordings are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_run import RECIPE, small_mixer
from torch import nn

from edmse_lite import Mixer, MixingConfig, compact, intake, runs
from edmse_lite.cli import main
from edmse_lite.profiling import Profile, profile
from edmse_lite.states import TrainingError
from edmse_lite.workloads import Ledger

COLUMNS = "path,kind,split,label,language,seconds,text,author,source,licence"


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """The small recipe, in an empty folder."""
    monkeypatch.setattr(runs, "evaluation_set", lambda *_: ())
    monkeypatch.setitem(compact.RECIPES, "compact", RECIPE)
    monkeypatch.chdir(tmp_path)


def test_traffic_is_what_operations_read_and_write():
    a, b = torch.ones(10, 20), torch.ones(20, 30)
    with Ledger() as product:
        a @ b
    assert product.moved == 4 * (200 + 600 + 300)
    with Ledger() as views:
        a.t().reshape(2, 100)[0:1].expand(5, 100)  # the reshape of a transpose copies
    assert views.moved == 4 * (200 + 200)
    with Ledger() as repeated:
        torch.ones(1, 20).expand(10, 20) + a
    assert repeated.moved == 4 * (20 + 20 + 200 + 200)  # ones, then the sum


def test_shares_are_rates_over_rates():
    found = Profile("a device", 2, "fp32", 12.0, 3.0, 0.5, 2.0, 0.5, 6e9, 1e9, 12e9, 2e9)
    assert (found.speed, found.matrix_share, found.memory_share) == (4.0, 0.25, 0.25)
    table = found.table()
    for words in ("4.0 audio-seconds a second", "67% of the time", "3 GFLOP/s, 25% of the 12 GF"):
        assert words in table


def forward_flops(trainer) -> float:
    """Multiplications and additions of a pass forward, counted layer by layer."""
    total = []

    def count(layer, inputs, output):
        each = layer.weight.numel()  # products for one position, and for one row of a batch
        positions = output.numel() // output.shape[1]
        total.append(2 * each * positions)

    layers = [m for m in trainer.model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    trainer.backward(trainer.draws.of(0))
    for hook in hooks:
        hook.remove()
    return sum(total)


def test_a_profile_of_a_small_run(tmp_path):
    trainer = runs.start(RECIPE, tmp_path / "run", batches=small_mixer())
    found = profile(trainer, 2)
    assert found.audio_seconds == 6 * 0.5
    forward = forward_flops(trainer)
    assert 2.5 * forward < found.flops <= 3 * forward  # the stem needs no gradient of its input
    weights = 4 * sum(p.numel() for p in trainer.model.parameters())
    assert found.moved > 3 * weights
    assert 0 < found.step and 0 < found.data and found.rest < found.network
    assert found.peak_flops > 1e8 and found.peak_bytes > 1e8
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == []


def test_the_command_prints_the_table_and_keeps_nothing(monkeypatch, capsys):
    bundled = classmethod(lambda cls, config, device: small_mixer(config, device))
    monkeypatch.setattr(Mixer, "bundled", bundled)
    assert main("train compact --profile --steps 1 --device cpu --accumulate 2".split()) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == "device speed step data network rest arithmetic memory".split()
    assert not Path("runs").exists()


# Recordings of your own


def corpus(folder: Path, bad: tuple[str, ...] = ()) -> Path:
    """Write two voices, a noise and some bad files, with their manifest."""
    rng = np.random.default_rng(0)
    rows = [COLUMNS]
    for name in ("voice-1", "voice-2", "noise-1", *bad):
        wave = 0.1 * rng.standard_normal(24_000)
        if name == "silent":
            wave = np.zeros(24_000)
        if name != "missing":
            soundfile.write(folder / f"{name}.wav", wave, 16_000)
        if name == "damaged":
            (folder / "damaged.wav").write_bytes(b"RIFF, and no more")
        if name == "empty":
            soundfile.write(folder / "empty.wav", wave[:0], 16_000)
        kind = "noise" if name.startswith("noise") else "speech"
        rows.append(f"{name}.wav,{kind},train,{name},en,1.5,words,me,here,CC0")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


BAD = ("missing", "damaged", "silent", "empty")


def test_bad_recordings_are_all_named_and_refused(tmp_path):
    with pytest.raises(TrainingError, match="4 bad recordings: .*--bad-audio skip") as caught:
        intake.take(corpus(tmp_path, BAD), MixingConfig(seconds=0.5))
    for name in BAD:
        assert f"{name}.wav" in str(caught.value)


def test_skipped_recordings_change_nothing_else(tmp_path):
    clean, dirty = tmp_path / "clean", tmp_path / "dirty"
    clean.mkdir(), dirty.mkdir()
    config = replace(MixingConfig(seconds=0.5), babble=0.0)
    good = intake.take(corpus(clean), config)
    some = intake.take(corpus(dirty, BAD), config, bad_audio="skip")
    assert good.skipped == () and len(some.skipped) == 4
    assert good.name != some.name and good.name == intake.take(clean, config).name
    for one, other in zip(
        *(taken.mixer.batch(4, torch.Generator().manual_seed(1)) for taken in (good, some)),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_corpus_without_a_good_voice_is_refused(tmp_path):
    manifest = corpus(tmp_path)
    lines = [line for line in manifest.read_text().splitlines() if "voice" not in line]
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(TrainingError, match="0 good recordings of speech and 1 of noise"):
        intake.take(manifest, MixingConfig())
    with pytest.raises(ValueError, match="bad_audio must be refuse or skip"):
        intake.take(manifest, MixingConfig(), bad_audio="ignore")


def test_the_command_names_what_it_skips_and_keeps_to_its_corpus(tmp_path, capfd):
    manifest = corpus(tmp_path, ("silent",))
    words = ["train", "compact", "--device", "cpu", "--steps", "2", "--corpus", str(manifest)]
    assert main(words) == 2
    assert "1 bad recordings" in capfd.readouterr().err
    assert main([*words, "--bad-audio", "skip"]) == 0
    assert f"edmse: skipped: {tmp_path / 'silent.wav'}: silent" in capfd.readouterr().err
    (tmp_path / "other").mkdir()
    words[-1] = str(corpus(tmp_path / "other"))
    assert main(words) == 2
    assert "made with another corpus, skipped; use the settings" in capfd.readouterr().err
