"""Means of conditions over seeds, with Student intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError, ConditionSummary
from foldover.stats._inputs import equal_length, require_probability, sample
from foldover.stats.table import RERUN, Table
from foldover.stats.tails import critical_t


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """low and high at `level`, in response units."""

    low: float
    high: float
    level: float


def student_interval(mean: float, sd: float, n: int, *, level: float = 0.95) -> Interval | None:
    """The interval mean +- t(n - 1) sd / sqrt(n); None for n = 1, where nothing is known of the error.

    n = 2 uses 12.706 at 95%: right, and so wide that orderings on two seeds are descriptive.
    """
    require_probability(level, "level")
    if n < 2:
        return None
    half = critical_t(level, n - 1) * sd / math.sqrt(n)
    return Interval(low=mean - half, high=mean + half, level=level)


def sd_from_interval(low: float, high: float, n: int, *, level: float = 0.95) -> float:
    """The sample sd that a printed Student interval of n values implies (its inversion).

    Raises AnalysisError for low >= high, fewer than two values, and a level outside (0, 1).
    """
    if n < 2 or not low < high:
        raise AnalysisError("an sd needs an interval low < high of at least 2 values", value=(low, high, n))
    return (high - low) / 2.0 * math.sqrt(n) / critical_t(level, n - 1)


def prediction_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Where one run under a new seed will fall: mean +- t(n - 1) sd sqrt(1 + 1/n), under normal noise.

    For a reader who will train once. Raises AnalysisError for fewer than two values.
    """
    vector = sample(values, "the condition", least=2)
    n = len(vector)
    require_probability(level, "level")
    half = critical_t(level, n - 1) * float(vector.std(ddof=1)) * math.sqrt(1.0 + 1.0 / n)
    return Interval(low=float(vector.mean()) - half, high=float(vector.mean()) + half, level=level)


def summarize_conditions(
    conditions: Sequence[str],
    seeds: Sequence[int | str],
    y: Sequence[float] | NDArray[np.float64],
    *,
    package: str,
    budget: str,
    level: float = 0.95,
    reruns: Sequence[str] | None = None,
) -> tuple[ConditionSummary, ...]:
    """Mean, sd and Student interval of each condition of one package at one budget, sorted by mean.

    conditions, seeds, y: one entry a run; seeds are numbers, or labels of numbers as a Table has them (labels
    that are no numbers are numbered from 1 in sorted order; an empty label is a run without a named seed).
    A condition with one run gets no sd and no interval. reruns: the number of each run under its seed, where runs were
    repeated so; sd and interval are then those of the machine, not of seeds.
    Raises AnalysisError for a value that is not finite and for a run that occurs twice in a condition: a
    rerun under the same seed measures repeatability, not the spread over seeds.
    """
    equal_length(conditions=conditions, seeds=seeds, y=y)
    values = sample(y, "the response")
    numbers = _seed_numbers(seeds)
    cells: dict[str, list[int]] = {}
    for i, condition in enumerate(conditions):
        cells.setdefault(condition, []).append(i)
    summaries = []
    for condition, rows in cells.items():
        known = [i for i in rows if str(seeds[i])]
        named = sorted({numbers[str(seeds[i])] for i in known})
        runs = Counter((numbers[str(seeds[i])], reruns[i] if reruns is not None else "") for i in known)
        twice = sorted(seed for (seed, _), count in runs.items() if count > 1)
        if twice:
            raise AnalysisError(
                f"condition {condition} of package {package} at {budget} has a seed more than once",
                value=twice,
                fix="Exclude one run with a reason, or analyse the reruns as repeatability.",
            )
        summaries.append(_summary(condition, values[rows], named, package, budget, level))
    return tuple(sorted(summaries, key=lambda s: (s.mean, s.condition)))


def summarize_table(table: Table, *, level: float = 0.95) -> tuple[ConditionSummary, ...]:
    """`summarize_conditions` for each package and budget of an analysis table, in order of first appearance."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(table.packages, table.budgets, strict=True)):
        groups.setdefault(key, []).append(i)
    summaries: list[ConditionSummary] = []
    for (package, budget), rows in groups.items():
        summaries += summarize_conditions(
            [table.conditions[i] for i in rows],
            [table.seeds[i] for i in rows],
            table.y[rows],
            package=package,
            budget=budget,
            level=level,
            reruns=[table.others[RERUN][i] for i in rows] if RERUN in table.others else None,
        )
    return tuple(summaries)


def _seed_numbers(seeds: Sequence[int | str]) -> dict[str, int]:
    labels = sorted({str(seed) for seed in seeds} - {""})
    try:
        return {label: int(label) for label in labels}
    except ValueError:
        return {label: i + 1 for i, label in enumerate(labels)}


def _summary(
    name: str, values: NDArray[np.float64], seeds: list[int], package: str, budget: str, level: float
) -> ConditionSummary:
    n, mean = len(values), float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else None
    interval = None if sd is None else student_interval(mean, sd, n, level=level)
    return ConditionSummary(
        package=package,
        budget=budget,
        condition=name,
        n=n,
        mean=mean,
        sd=sd,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        level=level,
        seeds=tuple(seeds),
    )
