"""``edmse evaluate``: a model on the evaluation sets, with intervals.

Chapter: 1 (A noisy recording, enhanced); the README lists the commands.
"""

from __future__ import annotations

import math
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .common import CommandError, check_sets, device_of, reason, sampler_of

if TYPE_CHECKING:
    from edmse_lite.corpora import Pair
    from edmse_lite.studies import Row
    from edmse_lite.systems import System

EXTRAS = {"dnsmos": ("speechmos", "onnxruntime"), "baselines": ("noisereduce", "pyrnnoise")}
"""What the package's extras bring."""


def evaluate(args: Namespace) -> int:
    """Score a model on evaluation sets; print means with intervals."""
    from tqdm import tqdm

    from edmse_lite import studies

    _check(args)
    if args.standard or args.thorough:
        return _evaluate_all(args)
    if args.curve:
        return _curve(args)
    systems = _systems(args)  # first: a wrong name should not cost the time of mixing
    jobs = studies.jobs(systems, _sets(args), _seeds(args.seeds or 1))
    try:
        with tqdm(total=len(jobs), unit="clip", disable=None) as bar:
            rows = studies.evaluate(
                jobs, args.out, workers=args.workers, progress=lambda row: bar.update(), keep=True
            )
    except (OSError, ValueError, ImportError) as error:
        raise CommandError(reason(error)) from None
    print(f"{'set':14} {'system':22} {'PESQ':>22} {'ESTOI':>22} {'SI-SDR, dB':>22}")
    for name, system in dict.fromkeys((row.evaluation_set, row.system) for row in rows):
        some = [row for row in rows if (row.evaluation_set, row.system) == (name, system)]
        cells = [_mean(some, score) for score in ("pesq", "estoi", "si_sdr")]
        print(f"{name:14} {system:22} " + " ".join(f"{cell:>22}" for cell in cells))
    return 0


def _check(args: Namespace) -> None:
    """Raise for options that do not go together, or cannot be."""
    whole = args.standard or args.thorough
    for name, least in (("seeds", 1), ("workers", 1), ("size", 1), ("minutes", 0)):
        value = getattr(args, name)
        if value is not None and not value >= least:
            raise CommandError(f"--{name} {value} must be at least {least}")
    if whole and args.curve:
        raise CommandError("--curve and --standard are two studies — choose one")
    if (whole or args.curve) and args.pairs:
        raise CommandError("--standard and --curve have their own recordings — leave --pairs out")
    usual = {args.steps, args.churn, args.spins, args.limit} == {None} and args.sampler == "edm"
    if (whole or args.curve) and not usual:
        raise CommandError("--standard and --curve have their own samplers — leave yours out")
    if (whole or args.curve) and (args.sets or args.seeds is not None or args.baselines):
        raise CommandError(
            "--standard and --curve have their own sets, seeds and systems — "
            "leave --sets, --seeds and --baselines out"
        )
    if args.bad != "refuse" and not args.pairs:
        raise CommandError(f"--bad {args.bad} belongs to --pairs — leave it out")
    if args.pairs and args.sets:
        raise CommandError("--pairs stands in place of --sets — choose one")
    if not args.curve and (args.size is not None or args.minutes != math.inf):
        raise CommandError("--size and --minutes belong to --curve — leave them out")
    if args.out and not (whole or args.curve):
        if args.out.is_dir():
            raise CommandError(f"--out {args.out}: is a folder — name a CSV file in it")
        if not args.out.resolve().parent.is_dir():
            raise CommandError(f"--out {args.out}: no such folder — make it first")
    check_sets(args.sets or [])
    for extra, asked in (("dnsmos", whole or args.curve), ("baselines", whole or args.baselines)):
        lacks = asked and _lacking(extra)
        if lacks:
            option = "--baselines" if args.baselines else "--curve" if args.curve else "--standard"
            raise CommandError(f"{option} needs {lacks}")


def _lacking(extra: str) -> str:
    """Packages of an extra that are not installed, and the mend; empty if all are there."""
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    mend = f': install the extra with pip install "edmse-lite[{extra}]"'
    return " and ".join(missing) + mend if missing else ""


def _seeds(count: int) -> range:
    """Seeds of the runs: from 0, or from 1, which go without DNSMOS, where it is not installed."""
    lacks = _lacking("dnsmos")
    if lacks:
        why = f"which needs {lacks}; seeds count from 1, since rows of seed 0 have it"
        print(f"edmse: left out: DNSMOS, {why}", file=sys.stderr)
    return range(1, count + 1) if lacks else range(count)


def _sets(args: Namespace) -> dict[str, Sequence[Pair]]:
    """Fixed evaluation sets, or the pairs of a folder under its name."""
    from edmse_lite.evaluation_sets import evaluation_set
    from edmse_lite.folders import folder_pairs

    if not args.pairs:
        return {name: evaluation_set(name) for name in args.sets or ("matched", "unseen")}

    def tell(line: str) -> None:
        print(f"edmse: left out: {line}", file=sys.stderr)

    try:
        return {args.pairs.resolve().name: folder_pairs(args.pairs, args.bad, tell)}
    except (OSError, ValueError) as error:
        raise CommandError(reason(error)) from None


def _systems(args: Namespace) -> list[System]:
    from edmse_lite import checkpoints, recipes, systems

    try:
        levels = checkpoints.load(args.model).model.sigma_range
        asked = sampler_of(args)
        sampler = recipes.fitted(asked, levels)
        spins, limit = recipes.averaging(asked, sampler, args.spins, args.limit)
        device = device_of(args.device)
        ours = systems.trained(args.model, sampler, spins, limit, device=device)
    except checkpoints.CheckpointError as error:
        raise CommandError(str(error)) from None
    others = systems.BASELINES if args.baselines else [systems.NOISY]
    return [*others, ours]


def _evaluate_all(args: Namespace) -> int:
    """Run the standard evaluation; write its CSV, its record and the model card."""
    from tqdm import tqdm

    from edmse_lite import cards, evaluation

    out = args.out or Path("results")
    try:
        with tqdm(bar_format="{postfix} rows, {elapsed}", disable=None) as bar:
            path = evaluation.evaluate_checkpoint(
                args.model, out, workers=args.workers, device=device_of(args.device),
                thorough=args.thorough,
                progress=lambda done, total: bar.set_postfix_str(f"{done} of {total}"),
            )  # fmt: skip
        print(path, path.with_suffix(".json"), cards.write_card(args.model, out), sep="\n")
    except (OSError, ValueError, ImportError) as error:
        raise CommandError(reason(error)) from None
    return 0


def _curve(args: Namespace) -> int:
    """Run the study of quality against calls, or go on with it; write its CSV and its record."""
    from tqdm import tqdm

    from edmse_lite import curves

    try:
        with tqdm(bar_format="{postfix} rows, {elapsed}", disable=None) as bar:
            path = curves.run(
                args.model, args.out or Path("results"), workers=args.workers,
                device=device_of(args.device), minutes=args.minutes, size=args.size,
                progress=lambda done, total: bar.set_postfix_str(f"{done} of {total}"),
            )  # fmt: skip
    except (OSError, ValueError, ImportError) as error:
        raise CommandError(reason(error)) from None
    print(path, path.with_suffix(".json"), sep="\n")
    return 0


def _mean(rows: list[Row], score: str) -> str:
    """Mean with its interval, in words; clips without a score are left out and counted."""
    from edmse_lite.intervals import mean_interval

    kept = [row for row in rows if math.isfinite(getattr(row, score))]
    if not kept:
        return "-"
    interval = mean_interval([getattr(row, score) for row in kept], [r.noise_file for r in kept])
    left_out = f" (-{len(rows) - len(kept)})" if len(kept) < len(rows) else ""
    return f"{interval:.2f}{left_out}"
