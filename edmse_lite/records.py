"""What a checkpoint says of its making: one record a stage, the latest first, and their totals.

A run that begins with the weights of another carries that run's record under ``before``. Nobody
has to remember how many steps the weights have seen in all.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]
"""How one run was made: command, settings, steps, hours, hardware; anything that JSON can hold."""

COUNTED = ("steps", "hours", "audio_hours")
"""What adds up over the stages."""


def follow(record: Record, before: Record) -> Record:
    """Record of a run that began with the weights of another.

    Args:
        record: of the run itself, without what came before.
        before: of the run that it began from, with the ``sha256`` of its weights; it may have a
            ``before`` of its own.

    Returns:
        A new record with ``before`` and ``total``: steps, hours, hours of mixtures.

    Chapter: 10.
    """
    joined = record | {"before": before}
    return joined | {"total": total(joined)}


def stages(record: Record) -> list[Record]:
    """Split a record into its runs, the first one first, each without ``before`` and ``total``.

    Args:
        record: of a checkpoint.

    Chapter: 10.
    """
    own = {key: value for key, value in record.items() if key not in ("before", "total")}
    return [*(stages(record["before"]) if record.get("before") else []), own]


def total(record: Record) -> dict[str, float | None]:
    """Sum each of :data:`COUNTED` over the stages; None where a stage does not say.

    Args:
        record: of a checkpoint.

    Chapter: 10.
    """
    found = {key: [stage.get(key) for stage in stages(record)] for key in COUNTED}
    return {key: None if None in each else round(sum(each), 3) for key, each in found.items()}
