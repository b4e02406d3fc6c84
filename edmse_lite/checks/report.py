"""What a check of a reader's code says: the properties that hold, and the first fault of each.

Chapter: 5 Denoising at one noise level, and every chapter with an exercise in code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """What a check found: one line a property, and a score.

    Args:
        check: name of the check.
        seed: seed of its hidden instance.
        findings: property and what is wrong with it; an empty text where nothing is.

    Chapter: 5 Denoising at one noise level.
    """

    check: str
    seed: int
    findings: tuple[tuple[str, str], ...]

    @property
    def score(self) -> int:
        """Number of properties that hold."""
        return sum(not fault for _, fault in self.findings)

    def json(self) -> str:
        """Return the report as JSON: check, seed, score, of, findings."""
        return json.dumps(
            {
                "check": self.check, "seed": self.seed, "score": self.score,
                "of": len(self.findings), "findings": dict(self.findings),
            },
            ensure_ascii=False,
        )  # fmt: skip

    def __str__(self) -> str:
        lines = [f"{'✗' if fault else '✓'} {name}{fault and ': ' + fault}"
                 for name, fault in self.findings]  # fmt: skip
        return "\n".join([*lines, f"{self.score} of {len(self.findings)} hold (seed {self.seed})"])
