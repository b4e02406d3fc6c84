"""What the commands share: errors in one line, devices, samplers.

Chapter: 1 (A noisy recording, enhanced); the README lists the commands.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edmse_lite.enhancement import Enhancer
    from edmse_lite.samplers import Sampler

FAILED = 2  # exit code


class CommandError(ValueError):
    """A command that cannot be done as it was given."""


def complain(message: str) -> None:
    """Print an error in one line, on the standard error."""
    print(f"edmse: error: {' '.join(message.split())}", file=sys.stderr)


def reason(error: Exception) -> str:
    """What an error says; one of the system names its file first, and not its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}"
    return str(error)


def check_place(place: str | None) -> None:
    """Raise if a corpus that should lie on this machine does not exist."""
    from edmse_lite.sources import REMOTE

    if place is not None and not REMOTE.match(place) and not Path(place).exists():
        raise CommandError(
            f"--corpus {place}: does not exist — give a manifest, a folder of pairs, or shards"
        )


def sampler_of(args: Namespace) -> Sampler | None:
    """Return the sampler that the options ask for; None is the default, which may average."""
    from edmse_lite import recipes

    if args.sampler == "pc" and args.churn is not None:
        raise CommandError("--churn belongs to --sampler edm — leave it out")
    if args.spins is not None and not 1 <= args.spins <= 256:
        raise CommandError(f"--spins {args.spins} must be 1 ... 256, the samples of a hop")
    if args.limit is not None and not args.limit > 0:
        raise CommandError(f"--limit {args.limit:g} must be above 0 dB; inf is no limit")
    sampler = recipes.SAMPLER if args.sampler == "edm" else recipes.PREDICTOR_CORRECTOR
    given = {"steps": args.steps, "s_churn": args.churn}
    if args.sampler == "edm" and not any(value is not None for value in given.values()):
        return None
    try:
        return replace(sampler, **{key: value for key, value in given.items() if value is not None})
    except ValueError as error:
        raise CommandError(str(error)) from None


def load(args: Namespace, sampler: Sampler | None) -> Enhancer:
    """Return the enhancer that the options ask for."""
    from edmse_lite.checkpoints import CheckpointError
    from edmse_lite.enhancement import Enhancer

    if not 0 <= args.seed < 2**64:
        raise CommandError(f"--seed {args.seed} must be a whole number from 0 to 2^64 - 1")
    try:
        device = device_of(args.device)
        return Enhancer.from_pretrained(args.model, sampler, device, args.spins, args.limit)
    except (CheckpointError, ValueError) as error:
        raise CommandError(str(error)) from None


def device_of(name: str) -> str:
    """Return the device, if this machine has it."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    known = name.partition(":")[0] in ("cpu", "cuda", "mps")  # torch has more, such as meta
    try:
        torch.zeros(1, device=name if known else "cpu")
    except (RuntimeError, AssertionError, NotImplementedError):
        known = False
    if not known:
        raise CommandError(f"--device {name}: not on this machine — try --device cpu")
    return name


def check_sets(names: list[str]) -> None:
    """Raise unless every evaluation set exists."""
    from edmse_lite.evaluation_sets import EVALUATION_SETS

    for name in names:
        if name not in EVALUATION_SETS:
            known = ", ".join(EVALUATION_SETS)
            raise CommandError(f"--sets {name}: no such set — choose among {known}")
