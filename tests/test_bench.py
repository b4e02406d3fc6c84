"""The benchmark measures what it says, on a small model, and fails where a limit is passed."""

import math

import bench
import pytest
import torch
from tiny import tiny_model

from edmse_lite import checkpoints
from edmse_lite.spectrograms import Spectrogram


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    checkpoints.save(folder, tiny_model(), Spectrogram(), {"steps": 0})
    return str(folder)


@pytest.fixture(scope="module", autouse=True)
def short_recording() -> object:
    """Hiss in place of the evaluation set, which takes seconds to make."""
    with pytest.MonkeyPatch.context() as patch:
        hiss = lambda seconds: 0.1 * torch.randn(round(16_000 * seconds))  # noqa: E731
        patch.setattr(bench, "recording", hiss)
        yield


def test_a_limit_is_kept_up_to_equality_and_by_no_nan() -> None:
    assert bench.Line("x", 0.3, 0.3).passed and not bench.Line("x", 0.31, 0.3).passed
    assert not bench.Line("x", math.nan, 0.3).passed
    assert "FAIL" in str(bench.Line("x", 1.0, 0.3)) and "pass" in str(bench.Line("x", 0.1, 0.3))


def test_calls_are_timed_one_by_one() -> None:
    network = tiny_model().network
    inputs = torch.randn(1, 4, 256, 8)
    with bench.timed_calls(network) as calls:
        for _ in range(3):
            network(inputs, torch.zeros(1))
    network(inputs, torch.zeros(1))  # no longer timed
    assert len(calls) == 3 and all(0 < seconds < 60 for seconds in calls)


def test_speed_is_that_of_the_whole_and_of_its_15_calls(model: str) -> None:
    whole, usual, share = bench.speed(model, runs=1, seconds=1.0)
    assert (whole.limit, usual.limit, share.limit) == (0.35, 0.35, 1.1)
    assert 0 < whole.found < 60 and 0 < usual.found < 60
    assert share.found > 1  # the calls are part of the whole


def test_size_counts_multiplications_and_additions(model: str) -> None:
    parameters, flops = bench.size(model, seconds=1.0)
    network = tiny_model().network
    assert parameters.found == sum(p.numel() for p in network.parameters()) / 1e6
    longer = bench.size(model, seconds=2.0)[1]
    assert longer.found == pytest.approx(flops.found, rel=0.05)  # a second of audio, whatever long
    assert (parameters.limit, flops.limit) == (1.25, 2.1)


def test_memory_is_the_difference_of_two_processes(model: str, monkeypatch) -> None:
    real, asked = bench.python, []

    def watched(code: str, *arguments: str) -> float:
        asked.append(real(code, *arguments) if not asked else 1_000.0 + asked[0])
        return asked[-1]

    monkeypatch.setattr(bench, "python", watched)
    (line,) = bench.memory(model, (0.5, 0.5))
    assert asked[0] > 50  # MB: at least that of torch
    assert line.found == pytest.approx(1_000.0) and line.limit == 200.0 and not line.passed


def test_importing_adds_little_to_torch() -> None:
    (line,) = bench.imports(1)
    assert line.limit == 0.3 and 0 < line.found < 30


@pytest.mark.parametrize(("found", "code"), [(0.2, 0), (0.4, 1)])
def test_a_broken_limit_is_an_exit_code_and_a_line(found, code, monkeypatch, capsys) -> None:
    lines = [bench.Line("real-time factor", found, 0.35)]
    monkeypatch.setattr(bench, "take_cores", lambda: None)
    monkeypatch.setattr(bench, "speed", lambda model: lines)
    for part in ("size", "imports", "memory"):
        monkeypatch.setattr(bench, part, lambda *model: [])
    monkeypatch.setattr("sys.argv", ["bench.py"])
    assert bench.main() == code
    assert ("over the limit: real-time factor" in capsys.readouterr().err) == bool(code)

