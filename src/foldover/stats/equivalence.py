"""Equivalence and non-inferiority: "not significant" is never "equal", these tests can say it.

Two one-sided tests (Schuirmann 1987). Bounds are declared before data, in response units, as the largest
difference that would not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import AnalysisError
from foldover.stats._inputs import require_positive, require_probability
from foldover.stats.compare import Moments, moments, paired_difference, standard_error
from foldover.stats.tails import t_quantile, t_upper


@dataclass(frozen=True, slots=True, kw_only=True)
class TostResult:
    """Two one-sided tests of a difference against `bounds`.

    p: the larger of the two; low and high: the interval at 1 - 2 alpha, which lies inside the bounds exactly
    when `equivalent`.
    """

    difference: float
    se: float
    df: float
    bounds: tuple[float, float]
    t_lower: float
    p_lower: float
    t_upper: float
    p_upper: float
    p: float
    low: float
    high: float
    alpha: float
    equivalent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInferiorityResult:
    """One-sided test that a candidate is worse than a reference by less than `margin`.

    limit: one-sided bound of the difference candidate - reference at 1 - alpha: upper where lower is better,
    lower otherwise.
    """

    difference: float
    margin: float
    t: float
    df: float
    p: float
    limit: float
    alpha: float
    non_inferior: bool


def tost(
    a: Sequence[float] | Moments, b: Sequence[float] | Moments, *, bounds: tuple[float, float], alpha: float = 0.05
) -> TostResult:
    """Whether mean(a) - mean(b) lies within bounds (L, U), by Welch's test on both sides.

    Raises AnalysisError for L >= U, fewer than two values a side, both sds 0, and alpha outside (0, 1/2).
    """
    first, second = moments(a, "the first condition"), moments(b, "the second condition")
    se, df = standard_error(first, second)
    return _tost(first.mean - second.mean, se, df, bounds, alpha)


def tost_paired(
    y_a: Mapping[int, float], y_b: Mapping[int, float], *, bounds: tuple[float, float], alpha: float = 0.05
) -> TostResult:
    """`tost` for two conditions under the same seeds (seed -> response)."""
    paired = paired_difference(y_a, y_b)
    return _tost(paired.mean, paired.sd / math.sqrt(paired.n), paired.df, bounds, alpha)


def tost_estimate(
    estimate: float, se: float, df: float, *, bounds: tuple[float, float], alpha: float = 0.05
) -> TostResult:
    """`tost` for an estimate with a standard error, e.g. an effect: is the factor null-like?"""
    return _tost(estimate, require_positive(se, "standard error"), df, bounds, alpha)


def non_inferiority(
    candidate: Sequence[float] | Moments,
    reference: Sequence[float] | Moments,
    *,
    margin: float,
    alpha: float = 0.05,
    lower_is_better: bool = True,
) -> NonInferiorityResult:
    """Whether the candidate is worse than the reference by less than `margin` (response units, above 0)."""
    require_positive(margin, "margin")
    require_probability(alpha, "alpha")
    first, second = moments(candidate, "the candidate"), moments(reference, "the reference")
    se, df = standard_error(first, second)
    difference = first.mean - second.mean
    sign = 1.0 if lower_is_better else -1.0
    t = (sign * difference - margin) / se
    p = t_upper(-t, df)
    return NonInferiorityResult(
        difference=difference,
        margin=margin,
        t=t,
        df=df,
        p=p,
        limit=difference + sign * t_quantile(1.0 - alpha, df) * se,
        alpha=alpha,
        non_inferior=p <= alpha,
    )


def _tost(difference: float, se: float, df: float, bounds: tuple[float, float], alpha: float) -> TostResult:
    lower, upper = bounds
    if not lower < upper:
        raise AnalysisError(
            "the lower equivalence bound is not below the upper one",
            value=bounds,
            fix="Give (-d, d), d the difference that would not matter.",
        )
    if not 0.0 < alpha < 0.5:
        raise AnalysisError("alpha must lie strictly between 0 and 0.5", value=alpha, fix="Write 0.05, not 5.")
    low_t, high_t = (difference - lower) / se, (difference - upper) / se
    p_lower, p_upper = t_upper(low_t, df), t_upper(-high_t, df)
    half = t_quantile(1.0 - alpha, df) * se
    return TostResult(
        difference=difference,
        se=se,
        df=float(df),
        bounds=(lower, upper),
        t_lower=low_t,
        p_lower=p_lower,
        t_upper=high_t,
        p_upper=p_upper,
        p=max(p_lower, p_upper),
        low=difference - half,
        high=difference + half,
        alpha=alpha,
        equivalent=max(p_lower, p_upper) <= alpha,
    )
