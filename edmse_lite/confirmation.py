"""Are stored results still true?  Compare them with the weights, and compute some rows again.

Chapter: 3 Judging an enhancement; the results page does it each time it is built.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from . import checkpoints
from .evaluation import SETS, Results, command_for, pairs_of, systems
from .studies import SCORES, Job, Row, measure
from .systems import HASH_DIGITS
from .tables import where

TOLERANCES = {
    "pesq": 0.02, "estoi": 0.005, "si_sdr": 0.05, "snr": 0.05,
    "dnsmos_ovrl": 0.05, "dnsmos_sig": 0.05, "dnsmos_bak": 0.05,
}  # fmt: skip
"""How far a row may be off when another machine computes it again, in the unit of the score."""

NEEDS = {"Spectral gating": "noisereduce", "RNNoise": "pyrnnoise"}  # else it is not confirmed


class Disagreement(ValueError):
    """Results that are not those of the weights and the code at hand."""


@dataclass(frozen=True)
class Confirmation:
    """A row that was computed again: the largest difference, as a share of its tolerance.

    Args:
        row: the row as it was stored.
        score: the score that differs most.
        difference: new minus stored, in the unit of the score.

    Chapter: 3.
    """

    row: Row
    score: str
    difference: float


def check_weights(results: Results, checkpoint: str | Path = "compact") -> None:
    """Check that the results are those of these weights.

    Raises:
        Disagreement: other weights, or no row of theirs.
        CheckpointError: no such checkpoint.

    Chapter: 3.
    """
    sha256 = checkpoints.load(checkpoint).sha256
    stored = {row.checkpoint for row in results.rows if row.checkpoint}
    if stored != {sha256[:HASH_DIGITS]} or results.record.get("sha256") != sha256:
        raise Disagreement(
            f"the results are those of the weights {', '.join(sorted(stored)) or 'none'}, the "
            f"checkpoint has {sha256[:HASH_DIGITS]}; run `{command_for(checkpoint)}`"
        )


def confirm(
    results: Results, checkpoint: str | Path = "compact", sets: int = 2
) -> list[Confirmation]:
    """Compute a row of every system again, on some of the four sets, and compare.

    Which rows depends on the hash of the weights: on no clock, and on nobody's choice.

    Args:
        results: rows to confirm.
        checkpoint: weights to confirm them with.
        sets: number of sets to draw.

    Returns:
        One confirmation a row. Baselines whose package is not installed have none.

    Raises:
        Disagreement: other weights, or a score beyond its tolerance in `TOLERANCES`.

    Chapter: 3.
    """
    check_weights(results, checkpoint)
    able = [s for s in systems(checkpoint) if find_spec(NEEDS.get(s.name, "torch")) is not None]
    draw = random.Random(results.record["sha256"])
    found = []
    for name in sorted(draw.sample(sorted(SETS), sets)):
        pairs = {pair.key: pair for pair in pairs_of(name)}
        for system in able:
            of_system = where(results.rows, system=system.name)
            if not of_system:
                raise Disagreement(f"no row of {system.name}; run the evaluation again")
            here = where(of_system, evaluation_set=name)
            if not here:
                continue  # only a thorough evaluation has every system on every set
            row = draw.choice(here)
            found.append(compare(row, measure(Job(system, name, pairs[row.key], row.seed))))
    return found


def compare(stored: Row, new: Row, scores: Sequence[str] = SCORES) -> Confirmation:
    """Compare two rows score by score; infinity equals itself, and NaN too.

    Raises:
        Disagreement: a difference beyond its tolerance.

    Chapter: 3.
    """
    worst = Confirmation(stored, scores[0], 0.0)
    for score in scores:
        old, found = getattr(stored, score), getattr(new, score)
        if old == found or (math.isnan(old) and math.isnan(found)):
            continue
        difference = found - old
        if not abs(difference) <= TOLERANCES[score]:
            raise Disagreement(
                f"{stored.system} on {stored.key}: {score} is {found:.4f}, the results say "
                f"{old:.4f}, tolerance {TOLERANCES[score]}; run the evaluation again, or mend "
                "what has changed"
            )
        if abs(difference) / TOLERANCES[score] > abs(worst.difference) / TOLERANCES[worst.score]:
            worst = Confirmation(stored, score, difference)
    return worst
