"""Two conditions compared: paired by seed, or by Welch's test.

Pair when both sides ran under the same seeds: what the seed does to both cancels. Differences are first minus
second, in response units; with a lower-is-better response a negative difference favours the first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from foldover.core import AnalysisError
from foldover.stats._inputs import matched, require_probability, sample
from foldover.stats.tails import critical_t, t_upper

Alternative = Literal["two_sided", "less", "greater"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What a table prints of a condition: number of runs, mean and sample sd."""

    n: int
    mean: float
    sd: float

    def __post_init__(self) -> None:
        if self.n < 2:
            raise AnalysisError("a comparison needs at least 2 runs a side", value=self.n, fix="Run more seeds.")
        if not (math.isfinite(self.mean) and math.isfinite(self.sd) and self.sd >= 0.0):
            raise AnalysisError("mean and sd must be finite and the sd not negative", value=(self.mean, self.sd))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Mean difference over seeds that both sides share, with its Student interval at `level`; p is two-sided."""

    mean: float
    sd: float
    low: float
    high: float
    level: float
    p: float
    n: int
    seeds: tuple[int, ...]
    df: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WelchResult:
    """Difference of two means under unequal variances; low and high are the two-sided interval at `level`."""

    difference: float
    se: float
    t: float
    df: float
    p: float
    low: float
    high: float
    level: float
    alternative: Alternative
    n_a: int
    n_b: int


def moments(values: Sequence[float] | Moments, name: str = "a condition") -> Moments:
    """n, mean and sd of the values. Raises AnalysisError for fewer than two."""
    if isinstance(values, Moments):
        return values
    vector = sample(values, name, least=2)
    return Moments(n=len(vector), mean=float(vector.mean()), sd=float(vector.std(ddof=1)))


def paired_difference(y_a: Mapping[int, float], y_b: Mapping[int, float], *, level: float = 0.95) -> PairedDifference:
    """First minus second over common seeds with a one-sample t test of the differences.

    y_a, y_b: seed -> response. Raises AnalysisError where a seed has no partner, for fewer than two seeds, and
    where all differences are equal (no error can be estimated).
    """
    require_probability(level, "level")
    seeds, d = matched(y_a, y_b)
    n = len(d)
    mean, sd = float(d.mean()), float(d.std(ddof=1))
    if sd <= 1e-12 * max(1.0, abs(mean)):
        raise AnalysisError(
            "all paired differences are equal, so their error cannot be estimated",
            value=mean,
            fix="Check that the two sides are different runs.",
        )
    se = sd / math.sqrt(n)
    half = critical_t(level, n - 1) * se
    return PairedDifference(
        mean=mean,
        sd=sd,
        low=mean - half,
        high=mean + half,
        level=level,
        p=tail(mean / se, n - 1),
        n=n,
        seeds=seeds,
        df=n - 1,
    )


def welch(
    a: Sequence[float] | Moments,
    b: Sequence[float] | Moments,
    *,
    level: float = 0.95,
    alternative: Alternative = "two_sided",
    null: float = 0.0,
) -> WelchResult:
    """Welch's t test of mean(a) - mean(b) against `null`, with Satterthwaite degrees of freedom (Welch 1947).

    a, b: values, or their Moments. `less` tests that the difference is below `null`.
    Raises AnalysisError for fewer than two values a side and where both sds are 0.
    """
    require_probability(level, "level")
    first, second = moments(a, "the first condition"), moments(b, "the second condition")
    se, df = standard_error(first, second)
    difference = first.mean - second.mean
    t = (difference - null) / se
    half = critical_t(level, df) * se
    return WelchResult(
        difference=difference,
        se=se,
        t=t,
        df=df,
        p=tail(t, df, alternative),
        low=difference - half,
        high=difference + half,
        level=level,
        alternative=alternative,
        n_a=first.n,
        n_b=second.n,
    )


def pooled_t(a: Sequence[float] | Moments, b: Sequence[float] | Moments, *, level: float = 0.95) -> WelchResult:
    """Student's two-sample t test, which assumes equal variances. Prefer `welch`; this is for reproducing tables.

    Raises AnalysisError as `welch`.
    """
    first, second = moments(a, "the first condition"), moments(b, "the second condition")
    standard_error(first, second)
    df = first.n + second.n - 2
    pooled = ((first.n - 1) * first.sd**2 + (second.n - 1) * second.sd**2) / df
    se = math.sqrt(pooled * (1.0 / first.n + 1.0 / second.n))
    difference = first.mean - second.mean
    half = critical_t(level, df) * se
    return WelchResult(
        difference=difference,
        se=se,
        t=difference / se,
        df=float(df),
        p=tail(difference / se, df),
        low=difference - half,
        high=difference + half,
        level=level,
        alternative="two_sided",
        n_a=first.n,
        n_b=second.n,
    )


def standard_error(a: Moments, b: Moments) -> tuple[float, float]:
    """Standard error of the difference of two means and its Satterthwaite degrees of freedom."""
    v_a, v_b = a.sd**2 / a.n, b.sd**2 / b.n
    total = v_a + v_b
    scale = max(abs(a.mean), abs(b.mean), 1e-300)
    if math.sqrt(total) <= 1e-14 * scale:
        raise AnalysisError(
            "both conditions have sd 0, so the difference has no error",
            value=(a.sd, b.sd),
            fix="Check that the seeds reached the runs: equal responses under different seeds are suspicious.",
        )
    # Fractions before squaring: variances of 1e-9 squared twice would lose digits.
    f_a, f_b = v_a / total, v_b / total
    return math.sqrt(total), 1.0 / (f_a**2 / (a.n - 1) + f_b**2 / (b.n - 1))


def tail(t: float, df: float, alternative: Alternative = "two_sided") -> float:
    """The p-value of t under Student's t for the given alternative."""
    if alternative == "less":
        return t_upper(-t, df)
    if alternative == "greater":
        return t_upper(t, df)
    return min(1.0, 2.0 * t_upper(abs(t), df))
