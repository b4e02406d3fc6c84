"""The standard evaluation of a checkpoint: which systems, on which sets, with which seeds.

The results are a CSV file, a row an utterance, and a JSON file beside it that says how they were
made.  ``confirmation`` computes some of the rows again.

Chapter: 3 Judging an enhancement; the results page shows the tables.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from . import checkpoints, recipes, records
from .corpora import Pair
from .evaluation_sets import evaluation_set
from .files import write_bytes
from .mixing import mix
from .studies import Job, Row, evaluate, jobs, read
from .systems import BASELINES, NOISY, System, name_of, trained

RESULTS = Path(__file__).parent / "results"
"""Where the results that come with the package are."""

SETS = ("matched", "unseen-noise", "unseen-voice", "unseen")
"""The four evaluation sets: seen or unseen voice, with seen or unseen types of noise."""

FULL, PC_FULL = replace(recipes.FAST, steps=16), recipes.PREDICTOR_CORRECTOR  # 31 and 30 calls
FAST, PC_FAST = recipes.FAST, replace(PC_FULL, steps=8)  # 15 and 16 calls
PC_SPINS = 4
SPUN, PC_SPUN = recipes.SAMPLER, replace(PC_FULL, steps=1)  # 8 × 1 and 4 × 2 calls
OURS = name_of(SPUN, recipes.SPINS, recipes.LIMIT)
"""The default of the Enhancer: what the claims are about."""

CLAIMED = ("matched", "unseen")
SEEDS = (0, 1, 2)

CLEANER = {"clean-20dB": (20.0, 24), "clean": (math.inf, 48)}
"""Inputs that need little or no enhancement: mixture SNR in dB, number of pairs."""

PACKAGES = ("torch", "torchaudio", "pesq", "pystoi", "noisereduce", "pyrnnoise", "speechmos")


@dataclass(frozen=True)
class Results:
    """The rows of an evaluation and how they were made.

    Args:
        rows: the rows.
        record: command, minutes, hardware, versions, SHA-256 of the weights.

    Chapter: 3.
    """

    rows: list[Row]
    record: dict[str, Any]

    @classmethod
    def load(
        cls, name: str = "compact", folder: str | Path = RESULTS, command: str = ""
    ) -> Results:
        """Read ``<name>.csv`` and ``<name>.json``; those that come with the package by default.

        Args:
            name: of the study.
            folder: of its files.
            command: what makes them, for the message where they are missing.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged.
        """
        path = Path(folder) / f"{name}.csv"
        if not path.is_file():
            made = command or command_for(name)
            raise FileNotFoundError(f"{path}: no such file; make it by `{made}`")
        return cls(read(path), json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))


def command_for(checkpoint: str | Path) -> str:
    """Command that runs the standard evaluation of a checkpoint.

    Chapter: 3.
    """
    return f"edmse evaluate --standard --model {checkpoint}"


def systems(checkpoint: str | Path = "compact", device: str = "cpu") -> tuple[System, ...]:
    """Baselines, then EDM and PC at the nearest numbers of calls: the default first.

    Chapter: 14 EDM against PC, hands on.
    """
    averaged = [(SPUN, recipes.SPINS, recipes.LIMIT), (SPUN, recipes.SPINS), (PC_SPUN, PC_SPINS)]
    averaged.append((SPUN, 2 * recipes.SPINS, recipes.LIMIT))  # 16 calls, as many as one walk
    single = [(sampler,) for sampler in (FAST, PC_FAST, FULL, PC_FULL)]
    ours = [trained(checkpoint, *how, device=device) for how in (*averaged, *single)]
    return (*BASELINES, *ours)


def pairs_of(name: str, size: int | None = None) -> tuple[Pair, ...]:
    """Pairs of a set: one of `SETS`, or one of `CLEANER`, which is made from *matched*.

    Args:
        name: the set.
        size: number of pairs; default 48, or what `CLEANER` says.

    Raises:
        ValueError: no such set.

    Chapter: 2 The complex spectrogram as data.
    """
    if name not in CLEANER:
        return evaluation_set(name, size or 48)
    snr, usual = CLEANER[name]
    size = size or usual
    pairs = evaluation_set("matched", size * (48 // usual))[:: 48 // usual]
    return tuple(_with_snr(pair, snr, name) for pair in pairs)


def _with_snr(pair: Pair, snr: float, name: str) -> Pair:
    key = pair.key.replace("matched", name)
    if math.isinf(snr):  # no recording of noise is in it: each clip is a cluster of its own
        return replace(
            pair, key=key, noisy=pair.clean, snr=snr, noise_type="none", noise_file=pair.key
        )
    noisy = mix(pair.clean, pair.noisy - pair.clean, snr)
    return replace(pair, key=key, noisy=noisy, snr=snr)


def plan(
    checkpoint: str | Path = "compact",
    device: str = "cpu",
    size: int | None = None,
    thorough: bool = True,
) -> list[Job]:
    """All jobs of the standard evaluation, the most needed first.

    On *matched* and *unseen* every system; on the two other sets all but the samplers with many
    steps; nearly clean and clean input. A thorough evaluation has those samplers on the two other
    sets as well, and two more seeds of the default sampler for the claims, clean input included.

    Args:
        checkpoint: name or folder.
        device: where the network runs.
        size: pairs a set; default all of them. Fewer are for a quick look.
        thorough: whether it is a thorough one.

    Chapter: 3.
    """
    every = systems(checkpoint, device)
    slow = [s for s in every if s.steps > max(FAST.steps, PC_FAST.steps)]
    quick = [s for s in every if s not in slow]
    default = [s for s in every if s.name == OURS]
    first = {name: pairs_of(name, size) for name in SETS if name in CLAIMED}
    second = {name: pairs_of(name, size) for name in SETS if name not in CLAIMED}
    cleaner = {name: pairs_of(name, size) for name in CLEANER}
    work = [*jobs(every, first), *jobs([NOISY, *default], cleaner), *jobs(quick, second)]
    if thorough:
        work += [*jobs(default, first | cleaner, SEEDS[1:]), *jobs(slow, second)]
    return work


def evaluate_checkpoint(
    checkpoint: str | Path = "compact",
    out: str | Path = RESULTS,
    *,
    workers: int = 2,
    device: str = "cpu",
    size: int | None = None,
    thorough: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Run the standard evaluation, or go on with it, and write its CSV and JSON files.

    Args:
        checkpoint: name or folder.
        out: folder of the files; it is made if its parent exists.
        workers: processes.
        device: where the network runs.
        size: pairs a set; default all of them.
        thorough: see :func:`plan`; it goes on from an evaluation that was not.
        progress: called with the numbers of rows done and of all rows.

    Returns:
        The CSV file, ``<out>/<name of the checkpoint>.csv``.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
        OSError: the folder cannot be written; rows that were written before stay.

    Chapter: 3.
    """
    found = checkpoints.load(checkpoint)
    path = Path(out) / f"{found.folder.name}.csv"
    path.parent.mkdir(exist_ok=True)
    work = plan(checkpoint, device, size, thorough)

    def record(minutes: float) -> dict[str, Any]:
        return describe_run(found, minutes, workers, device, thorough)

    return carry_out(work, path, found.sha256, record, workers=workers, progress=progress)


def carry_out(
    work: Sequence[Job],
    path: Path,
    sha256: str,
    describe: Callable[[float], dict[str, Any]],
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Compute the rows that `path` lacks, and write the record beside it, also when stopped.

    Args:
        work: the jobs.
        path: CSV file.
        sha256: of the weights.
        describe: maps the minutes that all runs took to the record of the study.
        workers: processes.
        progress: called with the numbers of rows done and of all rows.

    Raises:
        OSError: a file cannot be written; rows that were written before stay.

    Chapter: 3.
    """
    known = {row.identity for row in read(path)} if path.exists() else set()
    missing = sum(job.empty_row.identity not in known for job in work)
    before = _minutes_so_far(path, sha256)
    done, started = len(work) - missing, time.monotonic()

    def tell(row: Row) -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, len(work))

    try:
        evaluate(work, path, workers=workers, progress=tell)
    finally:  # also after Ctrl-C, so that the minutes of a run in parts add up
        if missing or not path.with_suffix(".json").exists():
            record = describe(before + (time.monotonic() - started) / 60)
            record["rows"] = len(read(path))
            text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
            write_bytes(path.with_suffix(".json"), text.encode())
    return path


def _minutes_so_far(path: Path, sha256: str) -> float:
    """Minutes that earlier runs on the same weights took."""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
    return float(record["minutes"]) if record.get("sha256") == sha256 else 0.0


def describe_run(
    found: checkpoints.Checkpoint, minutes: float, workers: int, device: str, thorough: bool
) -> dict[str, Any]:
    """Record of an evaluation: what a reader needs to make it again.

    Chapter: 3.
    """
    name = found.folder.name
    shown = name if found.folder.parent == checkpoints.PRETRAINED else str(found.folder)
    versions = {p: metadata.version(p) for p in PACKAGES if find_spec(p) is not None}
    return {
        "command": command_for(shown) + " --thorough" * thorough, "checkpoint": name,
        "sha256": found.sha256, "training_steps": records.total(found.record)["steps"],
        "minutes": round(minutes, 1),
        "hardware": hardware(device), "workers": workers,
        "python": platform.python_version(), "packages": versions,
    }  # fmt: skip


def hardware(device: str) -> str:
    """Name of the GPU, or of the processor and the number of its cores.

    Chapter: 10 The compact score model, trained on a GPU.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{named[0] if named else platform.machine()}, {os.cpu_count()} cores"
