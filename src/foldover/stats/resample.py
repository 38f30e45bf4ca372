"""Bootstrap intervals from whole units: seeds, or runs, never rows across conditions.

Every statistic here is a function of weights: W (B, n) holds how often each of n units was drawn in each of B
replicates, so one matrix product replaces B refits. Percentile, BCa (Efron 1987) and studentised intervals.
With fewer than 8 units their coverage is poor: the result says so and carries the t interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import matched, require_probability, sample
from foldover.stats.conditions import Interval, student_interval
from foldover.stats.permutation import MIN_REPLICATES

Array = NDArray[np.float64]
IntervalKind = Literal["bca", "percentile", "studentised"]
Weighted = Callable[[Array], Array]
FEW_UNITS = 8
FEW_NOTE = "fewer than 8 units: bootstrap intervals cover too little; prefer the t interval beside it"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapResult:
    """A bootstrap interval. bias: mean of the replicates minus the estimate; t: the Student interval for means.

    num_units: what was resampled; seed: of the random stream.
    """

    estimate: float
    se: float
    bias: float
    low: float
    high: float
    level: float
    kind: IntervalKind
    replicates: int
    num_units: int
    seed: int
    t: Interval | None
    notes: tuple[str, ...]


def bootstrap_mean(
    units: Sequence[float] | Sequence[Sequence[float]],
    *,
    kind: IntervalKind = "bca",
    replicates: int = 9_999,
    seed: int = 0,
    level: float = 0.95,
) -> BootstrapResult:
    """Interval for a mean. units: one value each (seeds), or one list each (clusters, whose values stay together).

    The mean of clusters is the mean of all values in them. Raises AnalysisError for B < 199 and one unit.
    """
    clusters = [np.atleast_1d(np.asarray(unit, dtype=np.float64)) for unit in units]
    for cluster in clusters:
        sample(cluster, "a cluster", least=1)
    sums = np.array([c.sum() for c in clusters])
    sizes = np.array([len(c) for c in clusters], dtype=np.float64)

    def mean(weights: Array) -> Array:
        return np.asarray((weights @ sums) / (weights @ sizes), dtype=np.float64)

    def error(weights: Array) -> Array:
        # Ratio estimator: residuals of the clusters' sums about mean x size.
        m = mean(weights)
        squares = weights @ sums**2 - 2.0 * m * (weights @ (sums * sizes)) + m**2 * (weights @ sizes**2)
        k = len(sums)
        return np.asarray(np.sqrt(np.maximum(squares, 0.0) * k / (k - 1)) / (weights @ sizes), dtype=np.float64)

    result = bootstrap(mean, len(clusters), error=error, kind=kind, replicates=replicates, seed=seed, level=level)
    means = sums / sizes
    if len(means) < 2 or len(set(sizes.tolist())) > 1:
        return result
    t = student_interval(float(means.mean()), float(means.std(ddof=1)), len(means), level=level)
    return replace(result, t=t)


def bootstrap_paired(
    y_a: Mapping[int, float],
    y_b: Mapping[int, float],
    *,
    kind: IntervalKind = "bca",
    replicates: int = 9_999,
    seed: int = 0,
    level: float = 0.95,
) -> BootstrapResult:
    """Interval for the mean difference a - b over common seeds; seeds are resampled whole.

    y_a, y_b: seed -> response. Raises AnalysisError where a seed has no partner, and as `bootstrap`.
    """
    _, differences = matched(y_a, y_b)
    return bootstrap_mean(list(differences), kind=kind, replicates=replicates, seed=seed, level=level)


def bootstrap_difference(
    a: Sequence[float],
    b: Sequence[float],
    *,
    kind: IntervalKind = "bca",
    replicates: int = 9_999,
    seed: int = 0,
    level: float = 0.95,
) -> BootstrapResult:
    """Interval for mean(a) - mean(b) of two independent groups, each resampled on its own.

    Raises AnalysisError for fewer than two values a group, and as `bootstrap`.
    """
    x, y = sample(a, "the first group", least=2), sample(b, "the second group", least=2)
    n = len(x)

    def difference(w: Array) -> Array:
        return np.asarray((w[:, :n] @ x) / n - (w[:, n:] @ y) / len(y), dtype=np.float64)

    def error(w: Array) -> Array:
        parts = []
        for values, weights in ((x, w[:, :n]), (y, w[:, n:])):
            m = weights @ values / len(values)
            spread = np.maximum(weights @ values**2 / len(values) - m**2, 0.0)
            parts.append(spread / (len(values) - 1))
        return np.asarray(np.sqrt(parts[0] + parts[1]), dtype=np.float64)

    return bootstrap(
        difference,
        n + len(y),
        strata=(n, len(y)),
        error=error,
        kind=kind,
        replicates=replicates,
        seed=seed,
        level=level,
    )


def bootstrap(
    statistic: Weighted,
    num_units: int,
    *,
    strata: Sequence[int] | None = None,
    error: Weighted | None = None,
    kind: IntervalKind = "bca",
    replicates: int = 9_999,
    seed: int = 0,
    level: float = 0.95,
) -> BootstrapResult:
    """Interval for any statistic of weights.

    statistic, error: (B, n) weights of the units -> (B,) values (error: their standard errors, needed by
    `studentised`); strata: sizes of groups of consecutive units that are resampled separately.
    Raises AnalysisError for B < 199, a stratum of one unit, and a statistic that is not finite on a replicate.
    """
    require_probability(level, "level")
    sizes = tuple(strata) if strata is not None else (num_units,)
    if sum(sizes) != num_units or min(sizes) < 2:
        raise AnalysisError("a bootstrap needs at least 2 units a group", value=sizes, fix="Run more seeds.")
    check_replicates(replicates)
    rng = np.random.default_rng(seed)
    weights = np.concatenate([draw_weights(rng, replicates, size) for size in sizes], axis=1)
    estimate = float(statistic(np.ones((1, num_units)))[0])
    values = np.asarray(statistic(weights), dtype=np.float64)
    if not np.isfinite(values).all():
        raise AnalysisError(
            "the statistic is not finite on some replicates", fix="Resample larger groups, or use another statistic."
        )
    if kind == "studentised":
        low, high = _studentised(estimate, values, weights, error, level)
    elif kind == "bca":
        low, high = (
            float(x[0])
            for x in bca_limits(
                values[:, None], np.array([estimate]), _jackknife(statistic, sizes)[:, None], sizes, level
            )
        )
    else:
        low, high = (float(x) for x in np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]))
    return BootstrapResult(
        estimate=estimate,
        se=float(values.std(ddof=1)),
        bias=float(values.mean() - estimate),
        low=low,
        high=high,
        level=level,
        kind=kind,
        replicates=replicates,
        num_units=num_units,
        seed=seed,
        t=None,
        notes=(FEW_NOTE,) if min(sizes) < FEW_UNITS else (),
    )


def bca_limits(
    values: Array, estimate: Array, jackknife: Array, sizes: Sequence[int], level: float
) -> tuple[Array, Array]:
    """BCa limits of m statistics: values (B, m), estimate (m,), leave-one-out values (n, m).

    Bias correction from the share of replicates below the estimate, acceleration from the skewness of the
    jackknife (summed over strata of the given sizes).
    """
    from scipy.special import ndtr, ndtri  # late: 0.3 s

    B, m = values.shape
    below = (values < estimate).sum(axis=0) + 0.5 * (values == estimate).sum(axis=0)
    z0 = ndtri(np.clip(below / B, 0.5 / B, 1.0 - 0.5 / B))
    cubes, squares, start = np.zeros(m), np.zeros(m), 0
    for size in sizes:
        part = jackknife[start : start + size]
        influence = (part.mean(axis=0) - part) * (size - 1)
        cubes += (influence**3).sum(axis=0) / size**3
        squares += (influence**2).sum(axis=0) / size**2
        start += size
    acceleration = np.where(squares > 0.0, cubes / (6.0 * np.maximum(squares, 1e-300) ** 1.5), 0.0)
    ordered = np.sort(values, axis=0)
    limits = []
    for probability in ((1.0 - level) / 2.0, (1.0 + level) / 2.0):
        z = z0 + float(ndtri(probability))
        adjusted = ndtr(z0 + z / (1.0 - acceleration * z))
        # Linear interpolation between order statistics, column by column.
        position = np.clip(adjusted, 0.0, 1.0) * (B - 1)
        lower = np.floor(position).astype(np.intp)
        upper = np.minimum(lower + 1, B - 1)
        columns = np.arange(m)
        limits.append(
            ordered[lower, columns] + (position - lower) * (ordered[upper, columns] - ordered[lower, columns])
        )
    return limits[0], limits[1]


def draw_weights(rng: np.random.Generator, replicates: int, n: int) -> Array:
    """(B, n) counts of n draws with replacement from n units, each row a replicate."""
    weights = np.empty((replicates, n))
    # In chunks: the index arrays stay in cache.
    for start in range(0, replicates, 2048):
        stop = min(replicates, start + 2048)
        draws = rng.integers(0, n, (stop - start, n), dtype=np.int32 if n > 32_000 else np.int16).astype(np.intp)
        draws += (np.arange(stop - start) * n)[:, None]
        weights[start:stop] = np.bincount(draws.ravel(), minlength=(stop - start) * n).reshape(stop - start, n)
    return weights


def check_replicates(replicates: int) -> int:
    """`replicates` if there are enough for a tail. AnalysisError below 199."""
    if replicates < MIN_REPLICATES:
        raise AnalysisError("too few bootstrap replicates for an interval", value=replicates, fix="Use 9,999.")
    return replicates


def _studentised(
    estimate: float, values: Array, weights: Array, error: Weighted | None, level: float
) -> tuple[float, float]:
    if error is None:
        raise AnalysisError(
            "a studentised interval needs the statistic's standard error", fix="Give `error`, or use `bca`."
        )
    se = float(error(np.ones((1, weights.shape[1])))[0])
    errors = error(weights)
    usable = errors > 1e-12 * max(se, 1e-300)
    if usable.mean() < 0.9:
        raise AnalysisError(
            "too many replicates have no spread for a studentised interval",
            value=float(usable.mean()),
            fix="Use the t interval: there are too few units.",
        )
    t = (values[usable] - estimate) / errors[usable]
    high_t, low_t = np.quantile(t, [(1.0 + level) / 2.0, (1.0 - level) / 2.0])
    return estimate - float(high_t) * se, estimate - float(low_t) * se


def _jackknife(statistic: Weighted, sizes: Sequence[int]) -> Array:
    """Leave-one-out values. Weights of a stratum are rescaled so that its total stays what the statistic expects."""
    n = sum(sizes)
    weights = np.ones((n, n))
    start = 0
    for size in sizes:
        stop = start + size
        weights[start:stop, start:stop] = (1.0 - np.eye(size)) * (size / (size - 1))
        start = stop
    return np.asarray(statistic(weights), dtype=np.float64)
