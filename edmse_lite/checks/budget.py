"""Check of the steps that a number of calls pays for.

Chapter: 14 EDM against PC, hands on.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ..samplers import EDM, PC
from ..systems import count_calls
from .report import Report, guarded

Steps = Callable[[int, int], tuple[int, int]]


@guarded
def check_budget(my_steps: Steps, seed: int = 0) -> Report:
    """Check ``my_steps(calls, corrector_steps)``: the most steps of EDM and PC for so many calls.

    It names the property that fails: EDM's count, PC's count, budgets that are overdrawn or left
    unspent, and budgets that do not pay for a single step (0 is expected there). The calls are
    counted in a run of the library's samplers.

    Args:
        my_steps: returns N of EDM and N of PC.
        seed: of the hidden budgets.

    Chapter: 14.
    """
    draw = random.Random(seed)
    budgets = [(draw.randint(8, 60), draw.randint(0, 3)) for _ in range(12)]
    budgets += [(draw.randrange(21, 60, 2), 1), (draw.randrange(20, 60, 2), 1)]
    faults = {"calls of EDM": "", "calls of PC": "", "whole numbers": "", "too few calls": ""}
    for calls, moves in budgets:
        found = my_steps(calls, moves)
        if len(found) != 2 or any(n != int(n) for n in found):
            faults["whole numbers"] = f"found {found}, expected two whole numbers"
            break
        edm, pc = (int(n) for n in found)
        faults["calls of EDM"] = faults["calls of EDM"] or _edm(edm, calls)
        faults["calls of PC"] = faults["calls of PC"] or _pc(pc, calls, moves)
    else:
        faults["too few calls"] = _few(my_steps)
    return Report("budget", seed, tuple(faults.items()))


def _edm(steps: int, calls: int) -> str:
    if steps < 1:
        return f"{steps} steps for {calls} calls; they pay for one and more"
    spent, more = count_calls(EDM(steps)), count_calls(EDM(steps + 1))
    if spent > calls:
        return f"N = {steps} makes {spent} calls, {calls} were allowed"
    if more <= calls:
        hint = "; the last step costs one call, not two" if more == calls else ""
        return f"N = {steps} leaves calls unspent: {calls} pay for {steps + 1}{hint}"
    return ""


def _pc(steps: int, calls: int, moves: int) -> str:
    if steps < 1:
        return f"{steps} steps for {calls} calls; they pay for one and more"
    spent, more = (count_calls(PC(n, moves)) for n in (steps, steps + 1))
    if spent > calls:
        return (f"N = {steps} with {moves} corrector moves makes {spent} calls, {calls} were "
                "allowed; the predictor costs one, and each corrector move one")  # fmt: skip
    if more <= calls:
        return f"N = {steps} leaves calls unspent: {calls} pay for {steps + 1}, {moves} moves each"
    return ""


def _few(my_steps: Steps) -> str:
    for calls, moves, expected in ((0, 1, (0, 0)), (1, 1, (1, 0)), (1, 0, (1, 1)), (3, 3, (2, 0))):
        found = tuple(my_steps(calls, moves))
        if found != expected:
            return f"{calls} calls with {moves} corrector moves: found {found}, expected {expected}"
    return ""
