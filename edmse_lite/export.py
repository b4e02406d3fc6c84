"""The score network as an ONNX file, which runs without Python: in a browser, on a phone.

Chapter: 10 (The compact score model); the page "Enhance it in your browser" runs the file.

Only the real-valued network is exported. What surrounds it (spectrogram, preconditioning, sampler)
is a few lines in any language.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from edmse_lite.files import write_bytes

if TYPE_CHECKING:
    import onnx

INPUTS, OUTPUT = ("inputs", "noise_label"), "output"
OPSET = 18
SMALLEST = 64  # numbers; a smaller array is not worth a Cast


class ExportError(ValueError):
    """An export that cannot be done: what was found, what was expected, how to mend.

    Chapter: 10.
    """


def to_onnx(network: nn.Module) -> bytes:
    """Return a network as an ONNX model that computes in single precision.

    Inputs are ``inputs`` (1, 4, F, L), real and imaginary parts of the scaled state and of y, and
    ``noise_label`` (1,), which is c_noise(sigma); ``output`` is F of shape (1, 2, F, L). The
    number L of frames is free. What half precision holds exactly is stored so: all weights of a
    checkpoint, which were rounded when it was saved.

    Args:
        network: such as ``checkpoints.load("compact").model.network``.

    Raises:
        ExportError: onnx or onnxscript is missing.

    Chapter: 10.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"{error.name} is missing: python -m pip install 'edmse-lite[export]'"
        ) from None
    model = onnx.load_from_string(_graph(network))
    _halve(model)
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def write(network: nn.Module, path: str | Path) -> int:
    """Write a network as an ONNX file, whole or not at all; return its size in bytes.

    Args:
        network: see :func:`to_onnx`.
        path: of the file; its folder must exist.

    Raises:
        ExportError: see :func:`to_onnx`, or the file cannot be written.

    Chapter: 10.
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        found = "is a folder" if path.is_dir() else f"{path.parent} is no folder"
        raise ExportError(f"{path}: {found}; give a file in a folder that exists")
    data = to_onnx(network)
    try:
        write_bytes(path, data)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written ({error.strerror})") from None
    return len(data)


def difference(network: nn.Module, model: bytes, frames: int = 37) -> float:
    """Run an ONNX model beside its network; return the largest difference, relative to the output.

    Args:
        network: the PyTorch original.
        model: what :func:`to_onnx` returned.
        frames: L of the random input.

    Returns:
        The largest absolute difference over the root mean square of the output, at three levels.

    Raises:
        ExportError: onnxruntime is missing.

    Chapter: 10.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ExportError("onnxruntime is missing: pip install 'edmse-lite[export]'") from None
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for label in (-1.0, -0.3, 0.15):
        inputs = torch.randn(1, 4, 256, frames, generator=generator)
        inputs[:, 2:] *= 0.1  # y is about this large
        noise_label = torch.tensor([label])
        with torch.no_grad():
            expected = network(inputs, noise_label)
        named = dict(zip(INPUTS, (inputs.numpy(), noise_label.numpy()), strict=True))
        found = torch.from_numpy(session.run(None, named)[0])
        rms = expected.square().mean().sqrt()
        worst = max(worst, float((found - expected).abs().max() / rms))
    return worst


def _graph(network: nn.Module) -> bytes:
    """Trace the network with a free number of frames."""
    example = (torch.zeros(1, 4, 256, 32), torch.zeros(1))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter uses parts of torch that will go
            program = torch.onnx.export(
                network.eval(), example, dynamo=True, external_data=False, opset_version=OPSET,
                input_names=list(INPUTS), output_names=[OUTPUT], verbose=False,
                dynamic_shapes=({3: torch.export.Dim.DYNAMIC}, None),
            )  # fmt: skip
    finally:
        logger.setLevel(level)
    return program.model_proto.SerializeToString()


def _halve(model: onnx.ModelProto) -> None:
    """Store large arrays that half precision holds exactly; a Cast brings them back at loading."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    casts = []
    for weight in graph.initializer:
        array = numpy_helper.to_array(weight)
        half = array.astype("float16") if array.dtype == "float32" else array
        if half is array or array.size < SMALLEST or (half != array).any():
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _strip(model: onnx.ModelProto) -> None:
    """Drop what only the exporter needs, such as the source line of every node."""
    graph = model.graph
    del graph.value_info[:], model.metadata_props[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    model.producer_name, model.producer_version = "edmse_lite", ""
