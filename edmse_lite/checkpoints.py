"""A checkpoint is a folder: half-precision weights, and a JSON file that says what they are.

Chapter: 10 (The compact score model).

``config.json`` names the network, the schedule, the preconditioning and the spectrogram with all
their fields, and holds the SHA-256 of ``model.safetensors``.  Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from edmse_lite import sdes
from edmse_lite.denoisers import ScoreModel
from edmse_lite.files import write_bytes
from edmse_lite.networks import CompactUNet, UNetConfig
from edmse_lite.preconditioning import Preconditioning
from edmse_lite.spectrograms import REFERENCE_RMS, SAMPLE_RATE, Spectrogram

FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
NEW_WEIGHTS = ".model.new.safetensors"  # where new weights wait until the new config is in place
PRETRAINED = Path(__file__).parent / "pretrained"
HALF_MAX = torch.finfo(torch.float16).max


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: the file, what was found, what was expected, how to mend.

    Chapter: 10.
    """


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds.

    Args:
        model: the score model, in float32 and evaluation mode.
        spectrogram: the transform it was trained on.
        record: how it was trained.
        sha256: of the file of weights, 64 hexadecimal digits.
        folder: where it came from.

    Chapter: 10.
    """

    model: ScoreModel
    spectrogram: Spectrogram
    record: dict[str, Any]
    sha256: str
    folder: Path


def save(
    folder: str | Path, model: ScoreModel, spectrogram: Spectrogram, record: dict[str, Any]
) -> str:
    """Write a checkpoint folder, and return the SHA-256 of its weights.

    At every moment the folder holds the old checkpoint or the new one, also after a kill: new
    weights wait under another name until the new ``config.json`` is in place.

    Args:
        folder: made if its parent exists.
        model: a :class:`ScoreModel` around a :class:`CompactUNet`; its weights (those of the EMA,
            if there is one) are rounded to half precision.
        spectrogram: the transform it was trained on.
        record: how it was trained; anything that JSON can hold.

    Raises:
        CheckpointError: another network, a weight that half precision cannot hold.
        OSError: the folder cannot be written, or the disk is full; the last checkpoint stays.

    Chapter: 10.
    """
    from safetensors.torch import save as to_bytes

    folder = Path(folder)
    weights = _halved(folder, model)
    data = to_bytes(weights)
    sha256 = hashlib.sha256(data).hexdigest()
    config = _describe(model, spectrogram) | {"training": record}
    config["weights"] = {
        "file": WEIGHTS,
        "sha256": sha256,
        "dtype": "float16",
        "parameters": sum(weight.numel() for weight in weights.values()),
    }
    text = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(exist_ok=True)
        write_bytes(folder / NEW_WEIGHTS, data)
        write_bytes(folder / CONFIG, text.encode())
        os.replace(folder / NEW_WEIGHTS, folder / WEIGHTS)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{folder}: the checkpoint was not written ({error.strerror}); an earlier one there is "
            f"unharmed; free {len(data) / 1e6:.0f} MB or choose a folder that can be written",
        ) from error
    return sha256


def load(folder_or_name: str | Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint and check it.

    Args:
        folder_or_name: a folder, or the name of a checkpoint that comes with the package.
        device: where the model goes.

    Raises:
        CheckpointError: no such checkpoint; a file that is missing, cut short or changed; fields
            or weights that this version does not know. The message names the file and the mend.

    Chapter: 10.
    """
    folder = find(folder_or_name)
    config = _read_config(folder / CONFIG)
    path = folder / CONFIG
    shape = _build(UNetConfig, config["network"], path, "network")
    try:
        network = CompactUNet(shape)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: network: {error}; copy the checkpoint again") from None
    weights, sha256 = _read_weights(folder, config["weights"])
    _fill(network, weights, folder / WEIGHTS)
    try:
        model = ScoreModel(
            network,
            _build(_schedule(config["sde"], path), config["sde"], path, "sde"),
            _build(Preconditioning, config["preconditioning"], path, "preconditioning"),
            config["sigma_range"] and tuple(config["sigma_range"]),
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    spectrogram = _build(Spectrogram, config["spectrogram"], path, "spectrogram")
    return Checkpoint(
        model.to(device).eval(), spectrogram, config.get("training", {}), sha256, folder
    )


def names() -> list[str]:
    """Names of the checkpoints that come with the package, as ``compact`` or ``study/edm-cosine``.

    Chapter: 10.
    """
    found = PRETRAINED.rglob(CONFIG)
    return sorted(path.parent.relative_to(PRETRAINED).as_posix() for path in found)


def find(folder_or_name: str | Path) -> Path:
    """Folder of a checkpoint, given as a folder or as a name.

    Raises:
        CheckpointError: there is none.

    Chapter: 10.
    """
    if str(folder_or_name) in names():
        return PRETRAINED / str(folder_or_name)
    folder = Path(folder_or_name)
    if (folder / CONFIG).is_file():
        return folder
    found = "a folder without config.json" if folder.is_dir() else "no such folder"
    known = ", ".join(dict.fromkeys(_shown(name) for name in names())) or "none"
    raise CheckpointError(
        f"{folder}: {found}; give a folder that `edmse train` wrote, or a name: {known}"
    )


def _shown(name: str) -> str:
    """The many models of the study as one word, for a message of one line."""
    return "study/… (see edmse_lite.designs)" if name.startswith("study/") else name


def _halved(folder: Path, model: ScoreModel) -> dict[str, torch.Tensor]:
    if not isinstance(model.network, CompactUNet):
        kind = type(model.network).__name__
        raise CheckpointError(f"{folder}: the network is a {kind}, expected a CompactUNet")
    weights = {}
    for name, weight in model.network.state_dict().items():
        if not bool((weight.abs() <= HALF_MAX).all()):  # also false for NaN
            raise CheckpointError(
                f"{folder}: weight {name} holds NaN or a number beyond {HALF_MAX:.0f}; "
                "training has diverged: go back to the last good checkpoint"
            )
        weights[name] = weight.detach().to("cpu", torch.float16).contiguous()
    return weights


def _describe(model: ScoreModel, spectrogram: Spectrogram) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "network": _fields(model.network.config),
        "sde": {"name": type(model.sde).__name__} | _fields(model.sde),
        "preconditioning": _fields(model.preconditioning),
        "sigma_range": model.sigma_range and list(model.sigma_range),
        "spectrogram": _fields(spectrogram),
        "sample_rate": SAMPLE_RATE,
        "reference_rms": REFERENCE_RMS,
    }


def _fields(settings: Any) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields(settings) if field.init}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        message = f"{path}: not readable ({error}); copy the checkpoint again"
        raise CheckpointError(message) from None
    expected = {"network", "sde", "preconditioning", "sigma_range", "spectrogram", "weights"}
    missing = expected - set(config) if isinstance(config, dict) else expected
    if missing:
        raise CheckpointError(f"{path}: no {', '.join(sorted(missing))}; copy the checkpoint again")
    fixed = {"format": FORMAT, "sample_rate": SAMPLE_RATE, "reference_rms": REFERENCE_RMS}
    for name, value in fixed.items():
        if config.get(name) != value:
            raise CheckpointError(
                f"{path}: {name} is {config.get(name)}, expected {value}; "
                "use the version of edmse_lite that wrote it"
            )
    return config


def _schedule(described: dict[str, Any], path: Path) -> type:
    name = described.get("name") if isinstance(described, dict) else None
    if name not in sdes.__all__ or name == "SDE":
        known = ", ".join(sorted(set(sdes.__all__) - {"SDE"}))
        raise CheckpointError(f"{path}: sde is {name!r}, expected one of {known}")
    return getattr(sdes, name)


def _build(kind: type, described: Any, path: Path, where: str) -> Any:
    """Make a dataclass from its JSON; a field that is missing takes its default."""
    if not isinstance(described, dict):
        raise CheckpointError(f"{path}: {where} is {described!r}, expected a table of fields")
    known = {field.name for field in fields(kind) if field.init}
    given = {key: value for key, value in described.items() if not (where, key) == ("sde", "name")}
    unknown = sorted(set(given) - known)
    if unknown:
        raise CheckpointError(
            f"{path}: {where} has the unknown field {unknown[0]!r}, expected "
            f"{', '.join(sorted(known))}; use the version of edmse_lite that wrote it"
        )
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {where}: {error}") from None


def _read_weights(folder: Path, described: Any) -> tuple[dict[str, torch.Tensor], str]:
    """Weights whose SHA-256 is the one in the config; after a kill they may still be waiting."""
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    expected = described.get("sha256") if isinstance(described, dict) else None
    found = "no such file"
    for path in (folder / WEIGHTS, folder / NEW_WEIGHTS):
        if not path.is_file():
            continue
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 == expected:
            try:
                return from_bytes(data), sha256
            except SafetensorError as error:
                raise CheckpointError(f"{path}: holds no weights ({error})") from None
        if path.name == WEIGHTS:
            found = f"SHA-256 {sha256[:12]}… of {len(data)} bytes"
    raise CheckpointError(
        f"{folder / WEIGHTS}: found {found}, expected SHA-256 {str(expected)[:12]}…; "
        "the file is cut short or changed: copy the checkpoint again"
    )


def _fill(network: CompactUNet, weights: dict[str, torch.Tensor], path: Path) -> None:
    wanted = network.state_dict()
    for name in [*wanted, *weights]:
        found = tuple(weights[name].shape) if name in weights else "nothing"
        expected = tuple(wanted[name].shape) if name in wanted else "nothing"
        if found != expected:
            raise CheckpointError(
                f"{path}: weight {name} has the shape {found}, expected {expected}; "
                f"config.json describes another network: copy the checkpoint again"
            )
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
