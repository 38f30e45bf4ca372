"""How noisy a measurement is, and where the noise comes from.

Planning needs the sd over seeds of the very conditions to be compared: it differs tenfold between good and bad
regions. Components of seed, host and wall clock are estimated from balanced data by mean squares; unbalanced
data need REML (`fit_mixed`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import equal_length, require_probability, sample
from foldover.stats.tails import chi2_quantile, critical_t, f_upper, t_upper


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Spread over seeds within conditions. sd: pooled, with df and a chi-squared interval at `level`.

    cells: (condition, n, sd) of each condition with at least two seeds, quietest first; ratio: of the largest to the
    smallest sd. Above 3 the pooled sd describes no condition: plan with the sd of the compared cells.
    """

    sd: float
    df: int
    low: float
    high: float
    level: float
    cells: tuple[tuple[str, int, float], ...]
    ratio: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One source of variance. variance is truncated at 0 (a note says so); share: of the sum of all components.

    f and p test that the component is zero against the residual; None for the residual itself.
    """

    source: str
    variance: float
    sd: float
    mean_square: float
    df: int
    share: float
    f: float | None
    p: float | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTrend:
    """Change of the response per unit of time within conditions, with a Student interval at `level`."""

    slope: float
    se: float
    low: float
    high: float
    level: float
    p: float
    df: int


def measure_noise(conditions: Sequence[str], y: Sequence[float], *, level: float = 0.95) -> Noise:
    """Pooled sd within conditions, one entry a run (its replicates are seeds, or reruns under one seed).

    Never mix the two: reruns under one seed measure repeatability only, and are not an error for effects.
    Raises AnalysisError if no condition has two runs.
    """
    require_probability(level, "level")
    equal_length(conditions=conditions, y=y)
    values = sample(y, "the response", least=2)
    cells = []
    squares, df = 0.0, 0
    for name in dict.fromkeys(conditions):
        cell = values[[c == name for c in conditions]]
        if len(cell) > 1:
            variance = float(cell.var(ddof=1))
            squares += variance * (len(cell) - 1)
            df += len(cell) - 1
            cells.append((name, len(cell), math.sqrt(variance)))
    if not df:
        raise AnalysisError(
            "no condition has two runs, so noise cannot be measured",
            fix="Repeat at least one condition under another seed.",
        )
    sds = [sd for _, _, sd in cells]
    ratio = max(sds) / min(sds) if min(sds) > 0.0 else math.inf
    notes = ("the sds of the conditions differ more than threefold: plan with those of the compared conditions",)
    tail = (1.0 - level) / 2.0
    return Noise(
        sd=math.sqrt(squares / df),
        df=df,
        low=math.sqrt(squares / chi2_quantile(1.0 - tail, df)),
        high=math.sqrt(squares / chi2_quantile(tail, df)),
        level=level,
        cells=tuple(sorted(cells, key=lambda cell: (cell[2], cell[0]))),
        ratio=ratio,
        notes=notes if ratio > 3.0 else (),
    )


def variance_components(
    y: Sequence[float], random: Mapping[str, Sequence[object]], *, fixed: Mapping[str, Sequence[object]] | None = None
) -> tuple[Component, ...]:
    """Variance of each random source (seed, host, day) and of the residual, from balanced data.

    y: one response a run; random, fixed: source -> its label for each run (e.g. fixed: condition). Each source
    enters as a main effect; the component is (MS - MS_residual) / (runs per level), 0 if that is negative.
    For one source this is the REML estimate.
    Raises AnalysisError for unbalanced data (each pair of sources must be crossed with equal counts, or use
    `fit_mixed`), a source with one level, and no residual degrees of freedom.
    """
    values = sample(y, "the response", least=3)
    columns = {name: _codes(labels) for name, labels in {**(fixed or {}), **random}.items()}
    if len(columns) < len(random) + len(fixed or {}):
        raise AnalysisError("a source is named both fixed and random", value=sorted(set(random) & set(fixed or {})))
    _require_balance(columns, len(values))
    residual = float(((values - values.mean()) ** 2).sum())
    residual_df = len(values) - 1
    squares: dict[str, tuple[float, int, int]] = {}
    for name, codes in columns.items():
        means = np.bincount(codes, weights=values) / np.bincount(codes)
        per_level = len(values) // len(means)
        between = float(per_level * ((means - values.mean()) ** 2).sum())
        squares[name] = (between, len(means) - 1, per_level)
        residual -= between
        residual_df -= len(means) - 1
    if residual_df < 1:
        raise AnalysisError(
            "no degrees of freedom are left for error", value=residual_df, fix="Repeat runs, or name fewer sources."
        )
    error = max(residual, 0.0) / residual_df
    found = [_component(name, *squares[name], error, residual_df) for name in random]
    found.append(
        Component(
            source="residual",
            variance=error,
            sd=math.sqrt(error),
            mean_square=error,
            df=residual_df,
            share=0.0,
            f=None,
            p=None,
        )
    )
    total = sum(c.variance for c in found)
    return tuple(replace(c, share=c.variance / total if total > 0.0 else 0.0) for c in found)


def time_trend(
    hours: Sequence[float], conditions: Sequence[str], y: Sequence[float], *, level: float = 0.95
) -> TimeTrend:
    """Slope of the response on wall-clock time within conditions: did the machine drift while the package ran?

    hours: start of each run on one host. Least squares with a mean for each condition.
    Raises AnalysisError when too few runs are left or time does not vary within any condition.
    """
    require_probability(level, "level")
    n = equal_length(hours=hours, conditions=conditions, y=y)
    codes = _codes(conditions)
    df = n - (int(codes.max()) + 1) - 1 if n else 0
    if df < 1:
        raise AnalysisError(
            "a drift over time needs repeated conditions", value=df, fix="Replicate conditions, spread over time."
        )
    x, r = _centred(sample(hours, "the hours"), codes), _centred(sample(y, "the response"), codes)
    spread = float(x @ x)
    if spread <= 0.0:
        raise AnalysisError(
            "time does not vary within any condition", fix="Spread the replicates of a condition over time."
        )
    slope = float(x @ r) / spread
    se = math.sqrt(max(0.0, float(((r - slope * x) ** 2).sum())) / df / spread)
    half = critical_t(level, df) * se
    p = min(1.0, 2.0 * t_upper(abs(slope) / se, df)) if se > 0.0 else float(slope == 0.0)
    return TimeTrend(slope=slope, se=se, low=slope - half, high=slope + half, level=level, p=p, df=df)


def _component(name: str, between: float, df: int, per_level: int, error: float, residual_df: int) -> Component:
    mean_square = between / df
    variance = (mean_square - error) / per_level
    f = mean_square / error if error > 0.0 else math.inf
    return Component(
        source=name,
        variance=max(0.0, variance),
        sd=math.sqrt(max(0.0, variance)),
        mean_square=mean_square,
        df=df,
        share=0.0,
        f=f,
        p=f_upper(f, df, residual_df) if math.isfinite(f) else 0.0,
        notes=("on the boundary: the mean square lies below the residual's",) if variance < 0.0 else (),
    )


def _codes(labels: Sequence[object]) -> NDArray[np.intp]:
    seen = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([seen[label] for label in labels], dtype=np.intp)


def _centred(values: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    return values - (np.bincount(codes, weights=values) / np.bincount(codes))[codes]


def _require_balance(columns: Mapping[str, NDArray[np.intp]], n: int) -> None:
    names = list(columns)
    for name in names:
        if len(columns[name]) != n:
            raise AnalysisError(f"source {name} needs one label a run", value=len(columns[name]))
        if columns[name].max() == 0:
            raise AnalysisError(
                f"source {name} has one level only", fix="Its variance cannot be estimated from these runs."
            )
        if len(set(np.bincount(columns[name]).tolist())) > 1:
            raise AnalysisError(
                f"the levels of {name} have unequal numbers of runs", fix="Use REML for unbalanced data."
            )
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            levels = int(columns[second].max()) + 1
            crossed = np.bincount(
                columns[first] * levels + columns[second], minlength=levels * (int(columns[first].max()) + 1)
            )
            if len(set(crossed.tolist())) > 1:
                raise AnalysisError(
                    f"{first} and {second} are not crossed with equal counts",
                    fix="Use REML for unbalanced or nested data.",
                )
