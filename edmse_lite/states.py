"""The state of a run: all that it needs to go on as if it had never stopped.

A state is replaced whole or not at all, and is refused by name where it belongs to another run.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

import csv
import os
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .checkpoints import CONFIG, WEIGHTS
from .files import write_bytes
from .mixing import MixingConfig
from .recipes import TrainingConfig

STATE = "state.pt"
HISTORY = "history.csv"
NEEDED = {"config", "step", "seconds", "audio_seconds", "model", "average", "optimizer", "scaler"}


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do.

    Chapter: 10.
    """


def begin(folder: Path) -> None:
    """Make the folder of a run, unless it is there.

    Raises:
        TrainingError: it holds a model that no state there belongs to; a run would replace it.
        OSError: it cannot be made.

    Chapter: 10.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = [each for each in (CONFIG, WEIGHTS) if (folder / each).exists()]
    if models and not (folder / STATE).exists():
        raise TrainingError(
            f"{folder}: holds a model ({models[0]}), but no state of this run to go on from; give "
            f"another --out, or begin with it: --warm-start {folder} and another --out"
        )


def write(folder: Path, state: dict[str, Any]) -> None:
    """Replace the state of a run.

    Args:
        folder: of the run.
        state: what :func:`read` shall return.

    Raises:
        TrainingError: the disk is full, or the folder cannot be written; the last state stays.

    Chapter: 10.
    """
    temporary = folder / f"{STATE}.part"
    try:
        torch.save(state, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # on the disk before it gets its name
        os.replace(temporary, folder / STATE)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"{temporary}: cannot be written ({error}); free some space and run the same "
            "command again, it goes on from the last state"
        ) from None


def read(folder: Path) -> dict[str, Any] | None:
    """State of a run, its tensors on the CPU; None if there is none yet.

    Raises:
        TrainingError: the file is damaged, or is no state.

    Chapter: 10.
    """
    path = folder / STATE
    if not path.exists():
        return None
    found: Any = None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        fault = "it is no training state"
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        fault = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(found, dict) and found.keys() >= NEEDED:
        return found
    raise TrainingError(
        f"{path}: not readable ({fault}); the checkpoint beside it can begin a new run in another "
        f"folder: --warm-start {folder}"
    )


def differences(made: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Names of the settings in which two runs differ.

    A setting that a state does not know has the value that it had before there was a choice.

    Args:
        made: a state.
        wanted: another; only its ``config``, ``notes``, ``parts`` and ``design`` are needed.

    Chapter: 10.
    """
    before, now = _settings(made), _settings(wanted)
    return [key for key in now if key in before and before[key] != now[key]]


def check_same(path: Path, made: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise unless a state belongs to a run.

    Args:
        path: of the state.
        made, wanted: as for :func:`differences`.

    Raises:
        TrainingError: it was made with other settings.

    Chapter: 10.
    """
    changed = differences(made, wanted)
    if changed:
        raise TrainingError(
            f"{path}: made with another {', '.join(changed)}; use the settings it was started "
            "with, or another folder"
        )


def check_told(rank: int, first: dict[str, Any], mine: dict[str, Any]) -> None:
    """Raise unless a process was told the same as the first one.

    Args:
        rank: its number.
        first, mine: settings of both, as for :func:`differences`.

    Raises:
        TrainingError: they differ.

    Chapter: 10.
    """
    changed = differences(first, mine)
    if changed:
        raise TrainingError(
            f"process {rank} was started with another {', '.join(changed)} than process 0; give "
            "all of them one command line"
        )


def _settings(state: dict[str, Any]) -> dict[str, Any]:
    """What must not change in a run: training, mixtures, parts of a batch, the model's design."""
    found = {"parts": 1} | asdict(TrainingConfig()) | state["config"] | state.get("design", {})
    if "parts" in state:
        found["parts"] = state["parts"]
    notes = state.get("notes", {})  # states of early versions have none
    if "mixing" in notes:
        found |= asdict(MixingConfig()) | notes["mixing"]
    corpus = {"corpus": notes.get("corpus", "bundled"), "skipped": notes.get("skipped", [])}
    return found | corpus


def log(folder: Path, row: dict[str, float]) -> None:
    """Add a line to the history of a run.

    Args:
        folder: of the run.
        row: column to value; the columns of the first line stay.

    Chapter: 10.
    """
    path = folder / HISTORY
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if fresh:
            writer.writeheader()
        shown = {key: f"{value:.6g}" for key, value in row.items()}
        writer.writerow(shown | {"step": f"{row['step']:.0f}"})


def forget_after(folder: Path, step: int) -> None:
    """Drop the lines of the history that a killed run wrote after its last state.

    Args:
        folder: of the run.
        step: of the state.

    Chapter: 10.
    """
    path = folder / HISTORY
    if not path.exists():
        return
    header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if float(line.split(",")[0]) <= step]
    if len(kept) < len(lines):
        write_bytes(path, "".join([header, *kept]).encode())
