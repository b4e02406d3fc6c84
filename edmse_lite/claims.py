"""A claim with several comparisons as one card: margins before the run, effects, one verdict.

Chapter: 3 Judging an enhancement.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from .intervals import Interval, not_worse, verdict
from .studies import Row
from .tables import DIGITS, HTML_CLASS, TITLES, cell, difference, where


@dataclass(frozen=True)
class Comparison:
    """One comparison of a claim: ``ours − theirs`` on one set, in one score.

    Args:
        theirs: name of the other system.
        score: name of the score.
        margin: smallest difference that matters, set before the run, in the unit of the score.
        effect: paired interval of the difference.

    Chapter: 3.
    """

    theirs: str
    score: str
    margin: float
    effect: Interval

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``equivalent`` or ``inconclusive``."""
        return verdict(self.effect, self.margin)

    @property
    def not_worse(self) -> bool:
        """Whether the whole interval lies above minus the margin."""
        return not_worse(self.effect, self.margin)


@dataclass(frozen=True)
class Card:
    """A claim that holds only if every one of its comparisons says so.

    Args:
        hypothesis: the sentence that the run may contradict.
        comparisons: what was compared.
        command: what runs it again.
        minutes: how long that took.
        seeds: number of seeds.
        goal: ``better``: every interval lies above 0; ``not worse``: above minus the margin.

    Chapter: 3.
    """

    hypothesis: str
    comparisons: Sequence[Comparison]
    command: str
    minutes: float
    seeds: int
    goal: str = "better"

    @property
    def verdict(self) -> str:
        """``holds``, ``does not hold``, or ``inconclusive at this scale``."""
        if self.goal == "not worse":
            if all(c.not_worse for c in self.comparisons):
                return "holds"
            lost = any(c.effect.high < -c.margin for c in self.comparisons)
        else:
            if all(c.verdict == "better" for c in self.comparisons):
                return "holds"
            lost = any(c.verdict in ("worse", "equivalent") for c in self.comparisons)
        return "does not hold" if lost else "inconclusive at this scale"

    def _repr_html_(self) -> str:
        first = self.comparisons[0].effect
        # a card counts its clips once, however many seeds each has
        size = f"{first.n // self.seeds} clips × {self.seeds} seed{'s' * (self.seeds > 1)}"
        lines = [
            ("Claim", html.escape(self.hypothesis)),
            *(self._line(c) for c in self.comparisons),
            ("Evidence", f"{size}, {first.clusters} noise recordings; mean paired difference and "
             "95 % interval"),
            ("Command", f"<code>{html.escape(self.command)}</code>, {self.minutes:.0f} min for all "
             "results of this page"),
            ("Verdict", f"<strong>{self.verdict}</strong>"),
        ]  # fmt: skip
        left = ' style="text-align:left"'
        body = "".join(
            f'<tr><th scope="row"{left}>{name}</th><td{left}>{value}</td></tr>'
            for name, value in lines
        )
        return f'<table class="{HTML_CLASS}"><tbody>{body}</tbody></table>'

    def _line(self, c: Comparison) -> tuple[str, str]:
        effect = cell(c.effect, max(2, DIGITS.get(c.score, 2)), sign=True).replace("<br>", " ")
        found = c.verdict
        if self.goal == "not worse":
            found = "not worse" if c.not_worse else "not shown"
        name = f"{TITLES[c.score].split(',')[0]}, minus {html.escape(c.theirs)}"
        return name, f"{effect}; margin {c.margin:g}: {found}"


def compare_systems(
    rows: Sequence[Row],
    evaluation_set: str,
    ours: str,
    theirs: Sequence[str],
    margins: dict[str, float],
) -> list[Comparison]:
    """Compare one system with others on a set, in each score that has a margin.

    Args:
        rows: rows of an evaluation.
        evaluation_set: name of the set.
        ours: name of the system of the claim.
        theirs: names of the others.
        margins: margin by score.

    Raises:
        ValueError: no clip that both have.

    Chapter: 3.
    """
    some = where(rows, evaluation_set=evaluation_set)
    return [
        Comparison(other, score, margin, difference(some, ours, other, score))
        for score, margin in margins.items()
        for other in theirs
    ]
