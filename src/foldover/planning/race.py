"""Strategies against each other at equal cost, many times, where the truth is known.

Legend: a repetition is one strategy spending the whole budget once; regret is the true mean of what it would
recommend less that of the best point of the space, at the budget that counts.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from foldover.core import AnalysisError
from foldover.planning.strategies import Moves, Result, Space, Trial, incumbent, spend
from foldover.planning.strategies.staged import retained, screen_effects
from foldover.stats import importance_of_log

FANOVA_TREES = 32


class Value(Protocol):
    """The response of a trial."""

    def __call__(self, trial: Trial, repetition: int) -> float | None:
        """In this repetition; None for a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is raced on.

    value: the response of (trial, repetition), None for a failure; truth: the mean of a point at the target;
    is_good: whether a point lies in the region that should be found.
    """

    space: Space
    target: float
    value: Value
    truth: Callable[[tuple[float, ...]], float]
    is_good: Callable[[tuple[float, ...]], bool]

    def best(self) -> tuple[float, ...]:
        """The point of the lowest truth."""
        return min(self.space.points(), key=lambda levels: (self.truth(levels), levels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One repetition. regrets: at each checkpoint, infinite before anything could be recommended.

    runs_to_region, cost_to_region: until a run in the region ended at the target or beyond, None if none did.
    """

    runs: int
    regrets: tuple[float, ...]
    runs_to_region: int | None
    cost_to_region: float | None
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Regret at one cost: mean and 5%, 50% and 95% quantiles over repetitions."""

    cost: float
    mean: float
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a strategy did over all repetitions.

    runs: mean number; reached: share of repetitions that reached the region; runs_to_region, cost_to_region: medians
    over all repetitions, infinite where fewer than half reached it.
    """

    name: str
    repetitions: int
    runs: float
    bands: tuple[Band, ...]
    reached: float
    runs_to_region: float
    cost_to_region: float


def run_course(
    problem: Problem, moves: Moves, *, repetition: int, total: float, checkpoints: Sequence[float]
) -> Course:
    """One repetition of one strategy."""
    spent = spend(moves, partial(problem.value, repetition=repetition), total=total)
    floor = problem.truth(problem.best())
    regrets = []
    for cost in checkpoints:
        known = [result for result, at in zip(spent.results, spent.costs, strict=True) if at <= cost + 1e-9]
        found = incumbent(known, least_runs=_runs_of_finalists(known))
        regrets.append(math.inf if found is None else problem.truth(found.levels) - floor)
    hit = next(
        (
            i
            for i, result in enumerate(spent.results)
            if result.value is not None
            and result.trial.budget >= problem.target
            and problem.is_good(result.trial.levels)
        ),
        None,
    )
    return Course(
        runs=len(spent.results),
        regrets=tuple(regrets),
        runs_to_region=None if hit is None else hit + 1,
        cost_to_region=None if hit is None else spent.costs[hit],
        results=spent.results,
    )


def standing(name: str, courses: Sequence[Course], checkpoints: Sequence[float]) -> Standing:
    """The summary of a strategy's repetitions."""
    bands = []
    for i, cost in enumerate(checkpoints):
        regrets = sorted(course.regrets[i] for course in courses)
        bands.append(
            Band(
                cost=cost,
                mean=statistics.fmean(regrets),
                low=_quantile(regrets, 0.05),
                median=_quantile(regrets, 0.5),
                high=_quantile(regrets, 0.95),
            )
        )
    reached = [course for course in courses if course.runs_to_region is not None]
    return Standing(
        name=name,
        repetitions=len(courses),
        runs=statistics.fmean(course.runs for course in courses),
        bands=tuple(bands),
        reached=len(reached) / len(courses),
        runs_to_region=_median_with_misses(course.runs_to_region for course in courses),
        cost_to_region=_median_with_misses(course.cost_to_region for course in courses),
    )


def named_by_screen(
    space: Space, results: Sequence[Result], *, q: float, smallest: float = 0.0, method: str = "auto"
) -> frozenset[str]:
    """The factors whose effects a screen retains: within the family's rate and large enough to matter."""
    return frozenset(retained(screen_effects(space, results, q=q, method=method), q=q, smallest=smallest))


def importance_of(space: Space, results: Sequence[Result], *, adaptive: bool, seed: int = 0) -> Mapping[str, float]:
    """Main-effect shares of the results at the budget that has most: factor to their 5th percentile over trees.

    Functional ANOVA of a forest (`stats.importance_of_log`). {} where there are too few results for it.
    """
    amounts = [result.trial.budget for result in results if result.value is not None]
    if not amounts:
        return {}
    budget = max(set(amounts), key=lambda amount: (amounts.count(amount), amount))
    kept = [r for r in results if r.value is not None and r.trial.budget == budget]
    levels = {letter: [r.trial.levels[i] for r in kept] for i, letter in enumerate(space.letters)}
    values = [r.value for r in kept if r.value is not None]
    try:
        found = importance_of_log(
            levels,
            values,
            space=space.levels,
            sampling="adaptive" if adaptive else "random",
            num_trees=FANOVA_TREES,
            seed=seed,
        )
    except AnalysisError:
        return {}
    return {share.factors[0]: share.low for share in found.shares if len(share.factors) == 1}


def best_threshold(shares: Sequence[Mapping[str, float]], truth: frozenset[str]) -> float:
    """The share above which naming a factor is right most often, in hindsight over these repetitions.

    No user could know it: it is the most that importance could do.
    """
    right = [found for each in shares if (found := _right_between(each, truth)) is not None]
    lows, highs = sorted(low for low, _ in right), sorted(high for _, high in right)
    candidates = sorted({share for found in shares for share in found.values()} | {0.0})
    # Right at `least` are those whose interval has begun and has not ended.
    return max(candidates, key=lambda least: (bisect_right(lows, least) - bisect_right(highs, least), -least))


def _right_between(shares: Mapping[str, float], truth: frozenset[str]) -> tuple[float, float] | None:
    """The thresholds low <= least < high by which exactly `truth` is named; None where there are none."""
    inside = [shares[letter] for letter in truth if letter in shares]
    low = max((share for letter, share in shares.items() if letter not in truth), default=0.0)
    high = min(inside, default=math.inf)
    return (low, high) if len(inside) == len(truth) and low < high else None


def named(shares: Mapping[str, float], least: float) -> frozenset[str]:
    """The factors whose share exceeds a threshold."""
    return frozenset(letter for letter, share in shares.items() if share > least)


def _runs_of_finalists(results: Sequence[Result]) -> int:
    """Half of the most runs that a point has at the largest budget: what was confirmed outranks what was tried once."""
    done = [r for r in results if r.value is not None]
    if not done:
        return 1
    largest = max(r.trial.budget for r in done)
    at = [r.trial.levels for r in done if r.trial.budget == largest]
    return max(1, max(at.count(levels) for levels in set(at)) // 2)


def _quantile(ascending: Sequence[float], probability: float) -> float:
    return ascending[min(len(ascending) - 1, math.floor(probability * len(ascending)))]


def _median_with_misses(values: Iterable[float | None]) -> float:
    return float(statistics.median([math.inf if value is None else value for value in values]))
