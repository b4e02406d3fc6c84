"""Exercises of chapters 3 to 14: their metadata, and their solutions put to their own checks."""

import importlib
import inspect
import json
import re
import textwrap
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import ROOT

import edmse_lite as se
from edmse_lite import checks

CHAPTERS = {p.name[:2]: p for p in ROOT.glob("notebooks/*_*.ipynb") if "03" <= p.name[:2] <= "14"}
LAYERS = {"paper", "ear", "code", "fault", "open"}
WORDS = {"paper": "paper", "ear": "ear", "code": "code", "fault": "planted fault", "open": "open"}


def exercises(chapter: str) -> list[tuple[dict, str]]:
    cells = json.loads(CHAPTERS[chapter].read_text(encoding="utf-8"))["cells"]
    return [
        (cell["metadata"]["exercise"], "".join(cell["source"]))
        for cell in cells
        if "exercise" in cell["metadata"]
    ]


def outcomes(chapter: str) -> int:
    cells = json.loads(CHAPTERS[chapter].read_text(encoding="utf-8"))["cells"]
    listed = "".join(cells[0]["source"]).split("you will be able to")[1]
    return len(re.findall(r"(?m)^\d\. ", listed))


@pytest.mark.parametrize("chapter", sorted(CHAPTERS))
def test_a_chapter_has_an_exercise_for_each_outcome_and_layer(chapter: str) -> None:
    found = [meta for meta, _ in exercises(chapter)]
    assert 4 <= len(found) <= 6
    assert {n for meta in found for n in meta["outcomes"]} == set(range(1, outcomes(chapter) + 1))
    assert {layer for meta in found for layer in meta["layer"]} == LAYERS
    assert 45 <= sum(meta["minutes"] for meta in found) <= 60


@pytest.mark.parametrize("chapter", sorted(CHAPTERS))
def test_what_an_exercise_says_is_its_metadata(chapter: str) -> None:
    for number, (meta, text) in enumerate(exercises(chapter), 1):
        assert set(meta) == {"id", "outcomes", "layer", "minutes", "hardware", "points"}
        assert meta["id"] == f"{int(chapter)}.{number}"
        title, said = re.match(r"\*\*(.+?)\*\* \((.+?)\)\.", text).groups()
        assert title.startswith(meta["id"])
        assert {WORDS[layer] in title.lower() for layer in meta["layer"]} == {True}
        points = f"{meta['points']} point{'s' * (meta['points'] > 1)}"
        assert f"{meta['minutes']} min, {meta['hardware']}, {points}" in said
        assert [int(n) for n in re.findall(r"\d", said.split(";")[0])] == meta["outcomes"]
        folds = re.findall(r"<details><summary>(\w+)</summary>", text)
        assert folds == ["Hint", "Solution"], f"{meta['id']}: {folds}"


CHECKED = [
    (meta["id"], text)
    for chapter in sorted(CHAPTERS)
    for meta, text in exercises(chapter)
    if "edmse_lite.checks" in text
]


@pytest.mark.parametrize(("name", "text"), CHECKED, ids=[name for name, _ in CHECKED])
def test_a_starter_as_it_is_printed_says_that_something_is_missing(
    name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (starter,) = re.findall(r"(?s)```python\n(.*?)```", text.split("<details>")[0])
    exec(starter, {"torch": torch, "se": se, "np": np})
    assert "✗" in capsys.readouterr().out


def test_a_fault_in_the_readers_code_is_named_with_its_line() -> None:
    def my_kl(x0, y, s, sigma):
        difference = x0 - y
        return difference.absolute_value()

    report = checks.check_kl(my_kl)
    assert (report.score, len(report.findings)) == (0, 1)
    assert "line 3 of it: AttributeError: " in str(report) and "absolute_value" in str(report)
    assert "give the function itself, not Tensor" in str(checks.check_kl(torch.zeros(3)))


@pytest.mark.parametrize(("name", "text"), CHECKED, ids=[name for name, _ in CHECKED])
def test_a_solution_passes_the_check_of_its_exercise(name: str, text: str) -> None:
    task, solution = text.split("<summary>Solution</summary>")
    code = "\n".join(re.findall(r"(?s)```python\n(.*?)```", solution))
    names: dict[str, object] = {"torch": torch, "se": se, "np": np}
    exec(textwrap.dedent(code), names)  # the book's own text
    calls = re.findall(r"(check_\w+)\((my_\w+), seed=(\d)\)", task)
    assert calls
    for check, mine, seed in calls:
        report = getattr(checks, check)(names[mine], seed=int(seed))
        assert report.score == len(report.findings), f"{name}, {check}:\n{report}"
        said = json.loads(report.json())
        assert (said["seed"], said["score"]) == (int(seed), said["of"]) and said["check"] in check


def test_every_exercise_in_code_has_a_check() -> None:
    for chapter in CHAPTERS:
        for meta, text in exercises(chapter):
            if "code" in meta["layer"]:
                assert "from edmse_lite.checks import check_" in text, meta["id"]


# The checks themselves


def known_wrong(name: str, check: str) -> list[object]:
    """Return the wrong answers that the tests of one module put to a check, with messages."""
    found = []
    for test in vars(importlib.import_module(name)).values():
        if not callable(test) or not getattr(test, "__name__", "").startswith("test_"):
            continue
        source = inspect.getsource(test)
        if f"{check}(" not in source or "in str(report)" not in source:
            continue
        marks = [each.args for each in test.pytestmark if each.name == "parametrize"]
        found += [value for names, values in marks if names != "seed" for value in values]
    return found


@pytest.mark.parametrize("chapter", sorted(CHAPTERS))
def test_a_check_has_a_seed_and_three_known_wrong_answers(chapter: str) -> None:
    text = "".join(text for _, text in exercises(chapter))
    named = sorted(set(re.findall(r"check_\w+", text)))
    assert named
    for check in named:
        wrong = known_wrong(f"test_chapter_{chapter}", check)
        assert len(wrong) >= 3, f"{check}: {len(wrong)} known wrong answers are tested"
        function: Callable = getattr(checks, check)
        assert "seed" in inspect.signature(function).parameters
