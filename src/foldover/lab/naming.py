"""How many runs until the factors that matter are named: a design's effects against importance of random search.

Legend: a way is how runs are chosen and read; the declared rule is what a user would apply, the hindsight threshold
the single one that is right most often over all repetitions, which no user could know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
import numpy.typing as npt

from foldover.planning import strategies
from foldover.planning.race import best_threshold, importance_of, named
from foldover.planning.strategies import Result, Space, Trial
from foldover.planning.strategies.staged import retained, screen_effects

Array = npt.NDArray[np.float64]

SEEDS_OF_CURVE = (2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 16, 20, 24, 28, 32, 40)
ENOUGH = 0.95
RANDOM = "random search, fANOVA"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingProblem:
    """rows: of the design; budgets: of its screens; values: responses (points, seeds) at a budget."""

    space: Space
    rows: tuple[tuple[float, ...], ...]
    target: float
    budgets: tuple[float, ...]
    smallest_effect: float
    q: float
    values: Callable[[Sequence[tuple[float, ...]], float, Sequence[int]], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One repetition after so many runs. declared: the factors that the rule names, None where there is none.

    sizes: factor to what a threshold is set on: |effect|, or its share of importance.
    """

    way: str
    budget: float
    runs: int
    declared: frozenset[str] | None
    sizes: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingPoint:
    """Shares of repetitions that name exactly the true set after so many runs; declared: None without a rule."""

    runs: int
    declared: float | None
    hindsight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingCurve:
    """One way. needed: runs until 95% are right, by the declared rule or, without one, in hindsight.

    needed_in_hindsight: with the threshold chosen in hindsight. Both are interpolated between points, infinite where
    the curve does not get there.
    """

    way: str
    budget: float
    points: tuple[NamingPoint, ...]
    needed: float
    needed_in_hindsight: float


def names_of(problem: NamingProblem, repetition: int, *, first_seed: int) -> list[Named]:
    """What each way names in one repetition, at every number of runs. first_seed: of the simulator's noise."""
    most = len(problem.rows) * max(SEEDS_OF_CURVE)
    found = []
    for budget in problem.budgets:
        found += _by_screen(problem, budget, first_seed)
    points = problem.space.points()
    place = {levels: i for i, levels in enumerate(points)}
    table = problem.values(points, problem.target, range(first_seed, first_seed + most))
    moves = strategies.random_batches(problem.space, budget=problem.target, batch=len(problem.rows), seed=repetition)
    drawn = strategies.spend(
        moves, lambda trial: float(table[place[trial.levels], trial.seed - 1]), total=most * problem.target
    ).results
    for seeds in SEEDS_OF_CURVE:
        runs = len(problem.rows) * seeds
        shares = importance_of(problem.space, drawn[:runs], adaptive=False, seed=repetition)
        found.append(Named(way=RANDOM, budget=problem.target, runs=runs, declared=None, sizes=shares))
    return found


def naming_curves(found: Sequence[Named], truth: frozenset[str]) -> tuple[NamingCurve, ...]:
    """The curves of all ways, in order of first appearance."""
    return tuple(
        _curve([one for one in found if (one.way, one.budget) == key], truth)
        for key in dict.fromkeys((one.way, one.budget) for one in found)
    )


def runs_until(points: Sequence[tuple[int, float]], share: float = ENOUGH) -> float:
    """Where a curve of (runs, share) first gets to a share, linear between points; infinite if it does not."""
    if points and points[0][1] >= share:
        return float(points[0][0])
    for (before, low), (after, high) in pairwise(points):
        if high >= share:
            return before + (share - low) / (high - low) * (after - before)
    return math.inf


def _by_screen(problem: NamingProblem, budget: float, first_seed: int) -> list[Named]:
    most = max(SEEDS_OF_CURVE)
    values = problem.values(problem.rows, budget, range(first_seed, first_seed + most))
    results = [
        Result(trial=Trial(levels=row, budget=budget, seed=seed + 1), value=float(values[i, seed]))
        for seed in range(most)
        for i, row in enumerate(problem.rows)
    ]
    found = []
    for seeds in SEEDS_OF_CURVE:
        runs = len(problem.rows) * seeds
        effects = screen_effects(problem.space, results[:runs], q=problem.q)
        found.append(
            Named(
                way="screen",
                budget=budget,
                runs=runs,
                declared=frozenset(retained(effects, q=problem.q, smallest=problem.smallest_effect)),
                sizes={effect.term: abs(effect.estimate) for effect in effects},
            )
        )
    return found


def _curve(found: Sequence[Named], truth: frozenset[str]) -> NamingCurve:
    points = []
    for runs in sorted({one.runs for one in found}):
        here = [one for one in found if one.runs == runs]
        sizes = [one.sizes for one in here]
        least = best_threshold(sizes, truth)
        rule = [one.declared == truth for one in here if one.declared is not None]
        points.append(
            NamingPoint(
                runs=runs,
                declared=fmean(rule) if rule else None,
                hindsight=fmean(named(each, least) == truth for each in sizes),
            )
        )
    in_hindsight = runs_until([(point.runs, point.hindsight) for point in points])
    by_rule = [(point.runs, point.declared) for point in points if point.declared is not None]
    return NamingCurve(
        way=found[0].way,
        budget=found[0].budget,
        points=tuple(points),
        needed=runs_until(by_rule) if by_rule else in_hindsight,
        needed_in_hindsight=in_hindsight,
    )
