"""What a check of a reader's code says: the properties that hold, and the first fault of each.

Chapter: 5 Denoising at one noise level, and every chapter with an exercise in code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any


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


Check = Callable[..., Report]


def guarded(check: Check) -> Check:
    """Let a check report what the reader's code raises, instead of a traceback of our own rooms."""

    @wraps(check)
    def run(mine: Callable[..., Any], seed: int = 0) -> Report:
        try:
            return check(mine, seed)
        except Exception as error:
            name = check.__name__.removeprefix("check_")
            return Report(name, seed, (("it runs", _told(error, mine)),))

    return run


def _told(error: Exception, mine: Callable[..., Any]) -> str:
    said = str(error) or "no message"
    if not callable(mine):
        return f"give the function itself, not {type(mine).__name__}"
    if "ellipsis" in said.lower() or "NoneType" in said:
        return f"nothing is returned yet ({said})"
    code, line, trace = getattr(mine, "__code__", None), 0, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code is code else line
        trace = trace.tb_next
    where = f"line {line - code.co_firstlineno + 1} of it: " if code and line else ""
    return f"{where}{type(error).__name__}: {said}"
