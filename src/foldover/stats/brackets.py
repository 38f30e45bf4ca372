"""Hyperband's brackets: how many runs at which budget, and what the ladder costs.

Planned before anything runs, so that a search by successive halving can be set beside a screen at equal cost.
Source: Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar 2018, JMLR 18, Algorithm 1. (Their table for R = 81 starts
brackets with 81, 27, 9, 6, 5 runs; the algorithm, followed here, with 81, 34, 15, 8, 5.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from foldover.core import AnalysisError
from foldover.stats._inputs import require_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """`runs` recipes that are each trained for `budget` (the unit of R: minutes, steps)."""

    runs: int
    budget: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """One run of successive halving. s: how often it halves; rungs: from the shortest budget to the longest."""

    s: int
    rungs: tuple[Rung, ...]

    @property
    def cost(self) -> float:
        """Of all runs where every rung trains from the start, as it must when the schedule is tied to the budget."""
        return sum(rung.runs * rung.budget for rung in self.rungs)

    @property
    def cost_continued(self) -> float:
        """Of all runs where survivors go on from their checkpoints."""
        first = self.rungs[0]
        steps = (after.runs * (after.budget - before.budget) for before, after in pairwise(self.rungs))
        return first.runs * first.budget + sum(steps)


def hyperband_brackets(largest: int, eta: int = 3) -> tuple[Bracket, ...]:
    """The brackets of Hyperband, from the most halvings to none.

    largest: R, the budget of a whole run in units of the smallest one; eta: one run in eta goes up a rung. Bracket s
    starts n = ceil((s_max + 1) eta^s / (s + 1)) runs at R / eta^s and keeps floor(n / eta^i) at rung i.
    Raises AnalysisError for a budget below 1 and for eta below 2.

    >>> [(b.s, b.rungs[0].runs, b.cost) for b in hyperband_brackets(9)]
    [(2, 9, 27.0), (1, 5, 24.0), (0, 3, 27.0)]
    """
    require_count(largest, "largest budget")
    if eta < 2:
        raise AnalysisError("halving must keep fewer runs than it has", value=eta, fix="Use an eta of 2, 3 or 4.")
    deepest = 0
    while eta ** (deepest + 1) <= largest:
        deepest += 1
    return tuple(_bracket(s, -(-(deepest + 1) * eta**s // (s + 1)), largest, eta) for s in range(deepest, -1, -1))


def _bracket(s: int, runs: int, largest: int, eta: int) -> Bracket:
    rungs = tuple(Rung(runs=runs // eta**i, budget=largest / eta ** (s - i)) for i in range(s + 1))
    return Bracket(s=s, rungs=rungs)
