"""The ratio of two estimates with a delta-method error and Fieller's interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foldover.core import AnalysisError
from foldover.stats.tails import critical_t


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """long / short. se: delta method; low, high: Fieller; log, log_se: None when the ratio is not positive.

    The delta method is fair when |short| / se is 4 or more; Fieller's interval is exact under normality.
    """

    ratio: float
    se: float
    low: float
    high: float
    level: float
    log: float | None
    log_se: float | None


def ratio_of_effects(
    short: float,
    short_se: float,
    long: float,
    long_se: float,
    *,
    covariance: float = 0.0,
    df: float = math.inf,
    level: float = 0.95,
) -> Ratio:
    """long / short with its uncertainty; covariance: of the two estimates, 0 for independent fits.

    Fieller (1954): the r with (long - r short)^2 <= t^2 var(long - r short).
    Raises AnalysisError when the interval of `short` contains 0: the ratio is then unbounded.
    """
    t = critical_t(level, df)
    a = short**2 - (t * short_se) ** 2
    if a <= 0.0:
        raise AnalysisError(
            "the interval of the short-budget effect contains 0, so the ratio is unbounded",
            value=(short, short_se),
            fix="Read the difference instead.",
        )
    b = long * short - t**2 * covariance
    c = long**2 - (t * long_se) ** 2
    root = math.sqrt(max(b * b - a * c, 0.0))
    ratio = long / short
    variance = (long_se**2 + ratio**2 * short_se**2 - 2.0 * ratio * covariance) / short**2
    se = math.sqrt(max(variance, 0.0))
    return Ratio(
        ratio=ratio,
        se=se,
        low=(b - root) / a,
        high=(b + root) / a,
        level=level,
        log=math.log(ratio) if ratio > 0.0 else None,
        log_se=se / ratio if ratio > 0.0 else None,
    )
