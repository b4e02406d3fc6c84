"""What a checkpoint says of its making: one record a stage, the latest first, and their totals.

A run that begins with the weights of another carries that run's record under ``before``. Nobody
has to remember how many steps the weights have seen in all. The record of a study, the JSON file
beside its CSV file, says the rest of a row: :func:`provenance` joins the two.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .mixing import MixingConfig
from .recipes import TrainingConfig

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


def changes(stage: Record, before: Record) -> dict[str, tuple[Any, Any]]:
    """Settings of training and mixtures that a run changed: by name, the value before and now.

    A record that was written before a setting existed has that setting's default.

    Args:
        stage, before: a run and the one that it began from, as :func:`stages` gives them. Settings
            that one of them does not hold at all, ``config`` or ``mixing``, are not compared.

    Chapter: 10.
    """
    found = {}
    for part, usual in (("config", TrainingConfig()), ("mixing", MixingConfig())):
        if part in stage and part in before:
            one, two = (asdict(usual) | record[part] for record in (before, stage))
            found |= {key: (one.get(key), now) for key, now in two.items() if one.get(key) != now}
    return found


@dataclass(frozen=True)
class Provenance:
    """How a row of an evaluation was made, as far as the row does not say it.

    Args:
        command: makes it again.
        hardware: that it was computed on; None where nobody wrote that down.
        training_steps: that its weights have seen, all stages together; 0 of what has no weights.

    Chapter: 3 Judging an enhancement.
    """

    command: str
    hardware: str | None
    training_steps: int


def provenance(checkpoint: str, study: Record) -> Provenance:
    """Join a row of a CSV file with the JSON file beside it.

    Args:
        checkpoint: of the row: the first digits of the SHA-256 of its weights; empty for none.
        study: the JSON file, ``Results.load(name).record``.

    Raises:
        ValueError: the study has no such weights.

    Chapter: 3 Judging an enhancement.
    """
    every = (study, *study.get("models", ()))
    known = [each for each in every if each["sha256"].startswith(checkpoint)]
    if not known:
        raise ValueError(f"no weights {checkpoint} in the record of `{study['command']}`")
    made = known[0]
    steps = made.get("training_steps", made.get("steps")) if checkpoint else 0
    return Provenance(study["command"], made.get("evaluated_on", study["hardware"]), steps)
