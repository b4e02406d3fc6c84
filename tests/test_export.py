"""The exported network equals PyTorch's, at any number of frames, and loses nothing in storage."""

import gzip
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from conftest import ROOT
from onnx import TensorProto, numpy_helper

import edmse_lite as se
from edmse_lite import checkpoints, export
from edmse_lite.cli import main


@pytest.fixture(scope="module")
def score_model() -> se.ScoreModel:
    return checkpoints.load("compact").model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file that the built site ships; it is made here where there is none yet."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    from lab_assets import make_lab

    folder = tmp_path_factory.mktemp("assets") / "assets"
    (ROOT / "_build").mkdir(exist_ok=True)
    manifest = make_lab(folder, ROOT / "_build" / ".lab")
    return gzip.decompress((folder / manifest["model"]["file"]).read_bytes())


@pytest.fixture(scope="module")
def by_onnx(model: bytes):
    """Return the exported network in the form that a ScoreModel takes."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def network(inputs: torch.Tensor, noise_label: torch.Tensor) -> torch.Tensor:
        named = {"inputs": inputs.numpy(), "noise_label": noise_label.numpy()}
        return torch.from_numpy(session.run(["output"], named)[0])

    return network


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17, 100])
@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0])
def test_the_denoiser_is_the_same_at_any_number_of_frames(
    score_model, by_onnx, frames: int, sigma: float
) -> None:
    y = 0.1 * torch.randn(1, 1, 256, frames, dtype=torch.complex64)
    x_tilde = (0.0875**2 + sigma**2) ** 0.5 * torch.randn_like(y)
    other = se.ScoreModel(by_onnx, score_model.sde, score_model.preconditioning)
    with torch.no_grad():
        expected, found = (D(x_tilde, y, sigma) for D in (score_model, other))
    assert found.shape == (1, 1, 256, frames)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4


def test_a_network_of_another_size_keeps_what_half_precision_cannot_hold() -> None:
    config = se.UNetConfig(channels=(8, 16), embedding=16)
    network = se.CompactUNet(config).eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    model = export.to_onnx(network)
    for frames in (1, 2, 9):
        assert 0 < export.difference(network, model, frames) < 1e-4
    stored = {each.name: each.data_type for each in onnx.load_from_string(model).graph.initializer}
    assert stored["head.weight"] == TensorProto.FLOAT


def test_the_difference_that_is_printed_is_that_one(score_model, model: bytes) -> None:
    assert 0 < export.difference(score_model.network, model) < 1e-4
    loaded = onnx.load_from_string(model)
    for weight in loaded.graph.initializer:
        if weight.name == "head.weight.half":
            changed = numpy_helper.to_array(weight) * 1.01
            weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
    assert export.difference(score_model.network, loaded.SerializeToString()) > 1e-3


def test_weights_are_stored_in_half_precision_and_lose_nothing(score_model, model: bytes) -> None:
    stored = {each.name: each for each in onnx.load_from_string(model).graph.initializer}
    found = 0
    for name, weight in score_model.network.named_parameters():
        half = stored.get(f"{name}.half")
        if half is not None:
            assert half.data_type == TensorProto.FLOAT16
            same = numpy_helper.to_array(half).astype("float32") == weight.detach().numpy()
            assert same.all(), name
            found += weight.numel()
    total = sum(weight.numel() for weight in score_model.network.parameters())
    assert found > 0.9 * total
    assert len(model) < 2.2 * total


def test_what_half_precision_cannot_hold_stays_single() -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    for name, value in (("third", 1 / 3), ("half", 0.5)):
        array = torch.full((100,), value).numpy()
        graph.initializer.append(numpy_helper.from_array(array, name))
    model = onnx.helper.make_model(graph)
    export._halve(model)
    kinds = {each.name: each.data_type for each in model.graph.initializer}
    assert kinds == {"third": TensorProto.FLOAT, "half.half": TensorProto.FLOAT16}
    assert [node.output[0] for node in model.graph.node] == ["half"]


def test_the_command_writes_the_file_and_says_how_good_it_is(
    model: bytes, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(export, "to_onnx", lambda network: model)
    assert main(["export", str(tmp_path / "compact.onnx")]) == 0
    assert (tmp_path / "compact.onnx").read_bytes() == model
    said = capsys.readouterr().out
    assert f"{len(model) / 1e6:.2f} MB" in said and "e-0" in said.splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}"], "is a folder; give a file"),
        (["{folder}/none/x.onnx"], "none is no folder; give a file in a folder that exists"),
        (["{folder}/x.onnx", "--model", "nothing"], "nothing: no such folder"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, message, tmp_path: Path, capsys) -> None:
    assert main(["export", *(each.format(folder=tmp_path) for each in arguments)]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(score_model, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(export.ExportError, match=r"onnx is missing: .*edmse-lite\[export\]"):
        export.to_onnx(score_model.network)
