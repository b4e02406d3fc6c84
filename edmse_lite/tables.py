"""Tables of an evaluation: means and paired differences, with intervals over noise recordings.

Chapter: 3 Judging an enhancement; the results page shows them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .intervals import Interval, mean_interval, paired_interval
from .studies import Row

TITLES = {
    "pesq": "PESQ", "estoi": "ESTOI", "si_sdr": "SI-SDR, dB", "snr": "SNR, dB",
    "dnsmos_ovrl": "DNSMOS overall", "dnsmos_sig": "DNSMOS speech",
    "dnsmos_bak": "DNSMOS background",
}  # fmt: skip
"""Heading of each score."""

DIGITS = {"pesq": 2, "estoi": 3, "si_sdr": 1, "snr": 1}
"""Decimals of each score; two where none are given."""

HTML_CLASS = "dataframe"
"""What the book's theme and Jupyter draw as a table, on light and on dark pages."""

SMALL = '<small style="white-space:nowrap">'


@dataclass(frozen=True)
class Table:
    """A table that a page shows as HTML: its first column names the rows.

    Args:
        header: title of each column.
        rows: cells, HTML.
        caption: what to see in it, one line.

    Chapter: 3.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{title}</th>' for title in self.header)
        body = "".join(
            f'<tr><th scope="row" style="text-align:left;min-width:6em">{name}</th>'
            + "".join(f'<td style="text-align:right;padding:.2em .5em">{c}</td>' for c in cells)
            + "</tr>"
            for name, *cells in self.rows
        )
        caption = f"<caption>{self.caption}</caption>" if self.caption else ""
        page = f"{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        return f'<table class="{HTML_CLASS}">{page}</table>'

    def markdown(self) -> str:
        """The same table in Markdown, for a file that is read as text."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _plain(cell: str) -> str:
    for tag in (SMALL, "<small>", "</small>", "<strong>", "</strong>"):
        cell = cell.replace(tag, "")
    return html.unescape(cell.replace("<br>", " "))


def cell(interval: Interval, digits: int = 2, sign: bool = False) -> str:
    """Mean above, interval below in small type: narrow enough for a phone.

    Chapter: 3.
    """
    form = f"{'+' if sign else ''}.{digits}f"
    ends = f"{_number(interval.low, form)}, {_number(interval.high, form)}"
    return f"{_number(interval.mean, form)}<br>{SMALL}[{ends}]</small>"


def _number(value: float, form: str) -> str:
    if math.isnan(value):
        return "–"
    text = format(value, form)
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def where(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """Rows whose fields have these values, e.g. ``where(rows, evaluation_set="matched")``.

    Chapter: 3.
    """
    return [r for r in rows if all(getattr(r, name) == value for name, value in wanted.items())]


def shared(rows: Sequence[Row], score: str) -> list[Row]:
    """Rows of the clips for which every system has a score: systems are compared on equal clips.

    A seed of a system that was not scored at all, on no clip, is left out and costs no clip.

    Chapter: 3.
    """
    scored = {(r.system, r.seed) for r in rows if math.isfinite(getattr(r, score))}
    rows = [row for row in rows if (row.system, row.seed) in scored]
    having: dict[tuple[str, str], set[str]] = {}
    lost = set()
    for row in rows:
        clip = (row.evaluation_set, row.key)
        having.setdefault(clip, set()).add(row.system)
        if not math.isfinite(getattr(row, score)):
            lost.add(clip)
    every = set(names(rows))
    kept = {clip for clip, systems in having.items() if systems == every} - lost
    return [row for row in rows if (row.evaluation_set, row.key) in kept]


def mean(rows: Sequence[Row], score: str) -> Interval:
    """Mean of a score over rows of one system, with its interval over noise recordings.

    Raises:
        ValueError: no rows, or a score that is not finite.

    Chapter: 3.
    """
    return mean_interval([getattr(r, score) for r in rows], [r.noise_file for r in rows])


def difference(rows: Sequence[Row], first: str, second: str, score: str) -> Interval:
    """Mean of ``first - second`` over the clips that both have, paired clip by clip.

    A row of `first` is paired with that of `second` of the same seed, or of its only seed.

    Args:
        rows: rows of both systems.
        first, second: names of systems.
        score: name of a score.

    Raises:
        ValueError: no clip that both have.

    Chapter: 3.
    """
    pairs = pair_up(shared([r for r in rows if r.system in (first, second)], score), first, second)
    if not pairs:
        raise ValueError(f"{first} and {second} share no clip: evaluate both on one set")
    one, two = ([getattr(pair[i], score) for pair in pairs] for i in (0, 1))
    return paired_interval(one, two, [pair[0].noise_file for pair in pairs])


def pair_up(rows: Sequence[Row], first: str, second: str) -> list[tuple[Row, Row]]:
    """Pairs of rows of two systems on the same clip; see :func:`difference`.

    Chapter: 3.
    """
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for row in where(rows, system=second):
        found.setdefault((row.evaluation_set, row.key), {})[row.seed] = row
    pairs = []
    for row in where(rows, system=first):
        others = found.get((row.evaluation_set, row.key), {})
        other = others.get(row.seed) if len(others) > 1 else next(iter(others.values()), None)
        if other is not None:
            pairs.append((row, other))
    return pairs


def names(rows: Iterable[Row]) -> list[str]:
    """Names of the systems, in the order in which they come.

    Chapter: 3.
    """
    return list(dict.fromkeys(row.system for row in rows))


def means_table(rows: Sequence[Row], scores: Sequence[str], seed: int = 0) -> Table:
    """A row a system, a column a score; the best mean of each column in bold.

    Args:
        rows: of one set.
        scores: names of scores.
        seed: only rows with this seed, so that every system has as many.

    Chapter: 3.
    """
    rows = where(rows, seed=seed)
    columns = {
        score: {n: mean(where(shared(rows, score), system=n), score) for n in names(rows)}
        for score in scores
    }
    best = {s: max(found, key=lambda n: found[n].mean) for s, found in columns.items()}
    body = []
    for name in names(rows):
        cells = []
        for score, found in columns.items():
            text = cell(found[name], DIGITS.get(score, 2))
            value, ends = text.split("<br>")
            cells.append(f"<strong>{value}</strong><br>{ends}" if best[score] == name else text)
        nfe = where(rows, system=name)[0].nfe
        calls = f"<br><small>{nfe} call{'s' * (nfe > 1)}</small>" if nfe else ""
        body.append([html.escape(name) + calls, *cells])
    return Table(["System", *(TITLES[score] for score in scores)], body)


def differences_table(
    rows: Sequence[Row], first: str, seconds: Sequence[str], scores: Sequence[str]
) -> Table:
    """Paired differences ``first − second``: a row a set and system; a star: it excludes 0.

    Args:
        rows: rows of both systems; sets that `first` has no row of are left out.
        first: name of a system.
        seconds: names of the others.
        scores: names of scores.

    Chapter: 3.
    """
    body = []
    for name in dict.fromkeys(row.evaluation_set for row in where(rows, system=first)):
        some = where(rows, evaluation_set=name)
        for second in seconds:
            found = {score: difference(some, first, second, score) for score in scores}
            body.append([f"<small>{name}</small><br>minus {html.escape(second)}",
                         *(_starred(interval, score) for score, interval in found.items())])
    return Table([html.escape(first), *(TITLES[score] for score in scores)], body)


def _starred(interval: Interval, score: str) -> str:
    digits = DIGITS.get(score, 2)
    nearest = min(abs(interval.low), abs(interval.high))
    if interval.excludes_zero and round(nearest, digits) == 0:
        digits += 1  # else an interval that excludes 0 would end in 0.00
    mean, ends = cell(interval, digits, sign=True).split("<br>")
    return f"{mean}{'&nbsp;*' if interval.excludes_zero else ''}<br>{ends}"


def by_group(
    rows: Sequence[Row], score: str, group: Callable[[Row], object]
) -> dict[str, dict[object, Interval]]:
    """Mean of a score of each system in each group, e.g. ``group=lambda row: row.noise_type``.

    Chapter: 3.
    """
    rows = shared(rows, score)
    groups = sorted({group(row) for row in rows}, key=str)
    if all(isinstance(value, int | float) for value in groups):
        groups = sorted(groups)
    return {
        name: {g: mean([r for r in where(rows, system=name) if group(r) == g], score)
               for g in groups}
        for name in names(rows)
    }  # fmt: skip


def groups_table(
    found: dict[str, dict[object, Interval]],
    score: str,
    title: str,
    unit: str = "",
    across: bool = False,
) -> Table:
    """Table of what :func:`by_group` gives: a row a group, a column a system.

    Args:
        found: intervals by system and group.
        score: name of the score.
        title: what the groups are.
        unit: after the name of each group.
        across: a row a system and a column a group, which is narrower where systems are many.

    Chapter: 3.
    """
    groups = [html.escape(f"{_name(g)}{unit}") for g in next(iter(found.values()))]
    systems = [html.escape(name) for name in found]
    cells = [[cell(each, DIGITS.get(score, 2)) for each in by.values()] for by in found.values()]
    if across:
        return Table([title, *groups], [[n, *row] for n, row in zip(systems, cells, strict=True)])
    columns = zip(groups, *cells, strict=True)
    return Table([title, *systems], [list(row) for row in columns])


def _name(group: object) -> str:
    return f"{group:g}" if isinstance(group, float) else str(group).replace("-", " ")
