"""Systems over evaluation sets: one row an utterance, appended to a CSV file, never lost.

A row depends on its system, its pair and its seed alone: not on the order, not on the number of
processes, not on what else is evaluated.  So an evaluation can stop and go on, and anyone can
compute a single row again.

Chapter: 3 Judging an enhancement; 15 The design space, measured.
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from . import metrics
from .corpora import Pair
from .files import write_bytes
from .systems import System

SCORES = ("pesq", "estoi", "si_sdr", "snr", "dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")
"""Columns of a row that hold scores, by their names in ``metrics``."""

METRICS = ("pesq", "estoi", "si_sdr", "snr", "dnsmos")  # other seeds go without DNSMOS
DNSMOS_WINDOWS = 1  # of 9.01 s: a clip of 4 s repeats in it twice


@dataclass(frozen=True)
class Row:
    """One utterance, enhanced by one system with one seed, and its scores.

    Args:
        system, checkpoint, schedule, preconditioning, sampler, steps, nfe: see :class:`System`.
        evaluation_set: name of the set.
        key, mixture_snr, noise_type, noise_file, voice: see :class:`edmse_lite.corpora.Pair`.
        seed: of the study; the clip's own seed also depends on its key.
        pesq, estoi, si_sdr, snr, dnsmos_ovrl, dnsmos_sig, dnsmos_bak: see ``metrics``; NaN where
            one is not defined.
        seconds: time that the system took, s, without the scores.
        reason: why scores are NaN, or what looks wrong; empty if all is well.

    Chapter: 3.
    """

    system: str
    checkpoint: str
    schedule: str
    preconditioning: str
    sampler: str
    steps: int
    nfe: int
    evaluation_set: str
    key: str
    mixture_snr: float
    noise_type: str
    noise_file: str
    voice: str
    seed: int
    pesq: float = math.nan
    estoi: float = math.nan
    si_sdr: float = math.nan
    snr: float = math.nan
    dnsmos_ovrl: float = math.nan
    dnsmos_sig: float = math.nan
    dnsmos_bak: float = math.nan
    seconds: float = 0.0
    reason: str = ""

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What must agree for two rows to be results of the same run of the same system."""
        settings = (self.system, self.checkpoint, self.schedule, self.preconditioning)
        return (*settings, self.sampler, self.steps, self.evaluation_set, self.key, self.seed)


@dataclass(frozen=True)
class Job:
    """One row that is to be computed: a system, a pair of a set, a seed.

    Args:
        system, evaluation_set, pair, seed: see :class:`Row`.
        dnsmos: whether seeds other than 0 have DNSMOS too, which takes most of the time.

    Chapter: 3.
    """

    system: System
    evaluation_set: str
    pair: Pair
    seed: int = 0
    dnsmos: bool = False

    @property
    def empty_row(self) -> Row:
        """The row before it has scores."""
        system, pair = self.system, self.pair
        return Row(
            system.name, system.checkpoint, system.schedule, system.preconditioning,
            system.sampler, system.steps, system.nfe, self.evaluation_set, pair.key, pair.snr,
            pair.noise_type, pair.noise_file, pair.voice, self.seed,
        )  # fmt: skip


def jobs(
    systems: Sequence[System], sets: Mapping[str, Sequence[Pair]], seeds: Sequence[int] = (0,)
) -> list[Job]:
    """Every system on every pair, set by set; systems that draw no noise have the first seed only.

    Args:
        systems: the systems.
        sets: name and pairs.
        seeds: seeds of systems that draw noise.

    Chapter: 3.
    """
    return [
        Job(system, name, pair, seed)
        for name, pairs in sets.items()
        for system in systems
        for seed in (seeds if system.is_random else seeds[:1])
        for pair in pairs
    ]


def clip_seed(key: str, seed: int) -> int:
    """Seed of one clip: its own diffusion noise, the same on every machine and in any order."""
    return zlib.crc32(f"{key} {seed}".encode())


def measure(job: Job) -> Row:
    """Enhance one pair and score it; what cannot be scored is NaN and has a reason.

    Chapter: 3.
    """
    pair, row = job.pair, job.empty_row
    started = time.perf_counter()
    try:
        enhanced = job.system.enhance(pair.noisy, clip_seed(pair.key, job.seed))
    except ValueError as error:
        return Row(**{**asdict(row), "reason": f"not enhanced: {error}"})
    seconds = time.perf_counter() - started
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it stays in scores.warning
        whole = job.seed == 0 or job.dnsmos
        names = METRICS if whole else [name for name in METRICS if name != "dnsmos"]
        scores = metrics.evaluate(pair.clean, enhanced, names, max_windows=DNSMOS_WINDOWS)
    reasons = [f"{name}: {why}" for name, why in scores.reasons.items()]
    reason = "; ".join([*reasons, *([scores.warning] if scores.warning else [])])
    return Row(**{**asdict(row), **scores, "seconds": seconds, "reason": reason})


def evaluate(
    work: Sequence[Job],
    out: str | Path | None = None,
    *,
    workers: int = 1,
    progress: Callable[[Row], None] | None = None,
    keep: bool = False,
) -> list[Row]:
    """Compute the rows of all jobs, those apart that `out` already has.

    Each row is appended to `out` as soon as it is there. In the end `out` holds the rows of these
    jobs in their order, then those that it had of the same weights. Rows of older weights are gone
    unless they are to be kept.

    Args:
        work: the jobs.
        out: CSV file that is read, continued and written; None keeps nothing.
        workers: processes; each computes with one thread.
        progress: called with each new row.
        keep: whether rows of other weights stay.

    Raises:
        ValueError: `out` is no such file, or has scores of other recordings of the same names.
        OSError: `out` cannot be written; rows that were written before stay.

    Chapter: 3.
    """
    path = None if out is None else Path(out)
    known = {row.identity: row for row in read(path)} if path and path.exists() else {}
    for row in (job.empty_row for job in work):
        before = known.get(row.identity, row)
        if not math.isclose(before.mixture_snr, row.mixture_snr, rel_tol=1e-3, abs_tol=0.01):
            raise ValueError(
                f"{path}: has scores of another {row.evaluation_set}/{row.key}, of mixture SNR "
                f"{before.mixture_snr:.2f} dB and not {row.mixture_snr:.2f}; give another file"
            )
    missing = [job for job in work if job.empty_row.identity not in known]
    if path:
        write(path, known.values())
    for row in _computed(missing, workers):
        known[row.identity] = row
        if path:
            _append(path, row)
        if progress:
            progress(row)
    rows = [known.pop(job.empty_row.identity) for job in work]
    if path:
        weights = {row.checkpoint for row in rows}
        others = (row for row in known.values() if keep or row.checkpoint in weights)
        write(path, [*rows, *others])
    return rows


def _computed(work: Sequence[Job], workers: int) -> Iterator[Row]:
    if workers <= 1 or len(work) < 2:
        yield from map(measure, work)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        yield from pool.map(measure, work)


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def read(path: str | Path) -> list[Row]:
    """Rows of a CSV file; a last line that was cut short by a kill is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: other columns, or a value that does not fit its column.

    Chapter: 3.
    """
    names = [field.name for field in fields(Row)]
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    reader = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    if next(reader, None) != names and not ",".join(names).startswith(text):
        raise ValueError(f"{path}: expected the columns {', '.join(names)}; remove the file")
    kinds = [{"int": int, "float": float, "str": str}[str(field.type)] for field in fields(Row)]
    rows = []
    for line, values in enumerate(reader, 2):
        try:
            rows.append(Row(*(kind(v) for kind, v in zip(kinds, values, strict=True))))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}; remove the line") from None
    return rows


def write(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows as a CSV file, whole or not at all.

    Chapter: 3.
    """
    header = ",".join(field.name for field in fields(Row)) + "\n"
    write_bytes(Path(path), (header + "".join(_line(row) for row in rows)).encode())


def _append(path: Path, row: Row) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(_line(row))


def _line(row: Row) -> str:
    values = [f"{v:.6g}" if isinstance(v, float) else v for v in asdict(row).values()]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()
