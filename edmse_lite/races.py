"""Two samplers at different prices: paired differences of points of a curve, and the claim.

Chapter: 14 EDM against PC, hands on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .curves import WHOLE, Point
from .intervals import Interval, paired_interval, verdict
from .pages import Claim
from .tables import DIGITS, TITLES, Table, cell

NEAR = 0.35
"""How far the ratio of two numbers of calls may be from the wanted one, as a share of it."""


def paired(first: Point, second: Point, score: str) -> Interval:
    """Mean of ``first − second`` on the same clips and seeds, with its interval.

    Clips without a score in either are left out for both.

    Args:
        first, second: points.
        score: name of a score.

    Raises:
        ValueError: they share no clip with this score.

    Chapter: 14.
    """
    others = {(row.key, row.seed): getattr(row, score) for row in second.rows}
    kept = [
        (getattr(row, score), others[row.key, row.seed], row.noise_file)
        for row in first.rows
        if math.isfinite(getattr(row, score))
        and math.isfinite(others.get((row.key, row.seed), math.nan))
    ]
    if not kept:
        raise ValueError(f"{first.name} and {second.name} share no clip with {score}")
    return paired_interval(*zip(*kept, strict=True))


def matches(found: Sequence[Point], factor: float = 4.0) -> list[tuple[Point, Point]]:
    """Pairs of an EDM point and the PC point of the same walk with `factor` times its calls.

    The nearest ratio counts, if it is within a share `NEAR` of the wanted one.

    Args:
        found: points.
        factor: calls of PC over calls of EDM.

    Chapter: 14.
    """
    pairs = []
    for first in (p for p in found if p.kind == "EDM"):
        rivals = [p for p in found if p.kind == "PC" and p.walk == first.walk]
        off = {p.name: abs(math.log(p.nfe / first.nfe / factor)) for p in rivals}
        near = [p for p in rivals if off[p.name] <= math.log1p(NEAR)]
        if near:
            pairs.append((first, min(near, key=lambda p: off[p.name])))
    return pairs


def curve(found: Sequence[Point], score: str) -> Mapping[str, Mapping[int, Interval]]:
    """Means by curve and number of calls, for a picture.

    Args:
        found: points.
        score: name of a score.

    Chapter: 14.
    """
    lines: dict[str, dict[int, Interval]] = {}
    for point in found:
        name = point.kind if point.walk == "default" else f"{point.kind}, {point.walk}"
        lines.setdefault(name, {})[point.nfe] = point.mean(score)
    return lines


def claim(
    first: Point, second: Point, record: Mapping[str, Any], score: str = "pesq",
    margin: float = 0.05,
) -> Claim:  # fmt: skip
    """Card: the same network, one sampler against another with more calls.

    Args:
        first, second: points.
        record: of the study.
        score: name of a score.
        margin: smallest difference that matters, set before the run.

    Chapter: 14.
    """
    effect = paired(first, second, score)
    seeds = len(set(first.seeds) & set(second.seeds))
    return Claim(
        f"The same network over its {_levels(first)}: {first.kind} reaches with {first.nfe} calls "
        f"what {second.kind} reaches with {second.nfe}",
        TITLES[score].split(",")[0], margin, effect, seeds, record["command"], record["minutes"],
        sample=f"{effect.n // seeds} clips × {seeds} seeds, {effect.clusters} noise recordings",
    )  # fmt: skip


def _levels(point: Point) -> str:
    return "whole range of levels" if point.walk == WHOLE else "default levels"


def differences_table(
    pairs: Sequence[tuple[Point, Point]], scores: Sequence[str], margins: Mapping[str, float]
) -> Table:
    """A row a pair: calls of both, paired differences, and the verdict where there is a margin.

    Args:
        pairs: points to compare, first minus second.
        scores: names of scores.
        margins: margin by score.

    Chapter: 14.
    """
    body = []
    for first, second in pairs:
        line = [f"{_short(first)}<br>minus {_short(second)}"]
        for score in scores:
            effect = paired(first, second, score)
            text = cell(effect, max(2, DIGITS.get(score, 2)) + 1, sign=True)
            if score in margins:
                text += f"<br><small>{_verdict(effect, margins[score])}</small>"
            line.append(text)
        body.append(line)
    return Table(["calls", *(TITLES[score] for score in scores)], body)


def _verdict(effect: Interval, margin: float) -> str:
    small = effect.excludes_zero and effect.inside(margin)
    return verdict(effect, margin) + (", by less than the margin" if small else "")


def points_table(found: Sequence[Point], scores: Sequence[str]) -> Table:
    """A row a point: steps, calls, seeds, seconds of a clip of 4 s, and means with intervals.

    Args:
        found: points.
        scores: names of scores.

    Chapter: 14.
    """
    body = [
        [_short(p) + f"<br><small>N = {p.steps}, {len(p.seeds)} seed{'s' * (len(p.seeds) > 1)}, "
         f"{p.seconds:.2g} s</small>",
         *(cell(p.mean(score), DIGITS.get(score, 2)) for score in scores)]
        for p in found
    ]  # fmt: skip
    return Table(["calls", *(TITLES[s] for s in scores)], body)


def _short(point: Point) -> str:
    walk = ", whole" if point.walk == WHOLE else ""
    return f"{point.kind}{walk}, {point.nfe}"
