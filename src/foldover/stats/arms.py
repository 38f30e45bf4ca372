"""Power and sample size of comparisons between conditions: two arms, equivalence, records, several anchors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from foldover.core import AnalysisError
from foldover.stats._chi import sd_quadrature
from foldover.stats._inputs import require_count, require_effect, require_positive, require_probability, sample
from foldover.stats._search import smallest_count
from foldover.stats.power import t_test_power
from foldover.stats.tails import f_quantile, t_quantile, t_upper


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPlan:
    """Seeds an arm. n_exact solves for the target as if n were continuous; power is at the whole number n."""

    n: int
    n_exact: float
    power: float


def two_arm_power(
    delta: float, sd: float, n: int | float, *, sd_b: float | None = None, alpha: float = 0.05, sides: int = 2
) -> float:
    """Power of the t test of two arms of n seeds each, whose means differ by `delta`.

    delta, sd, sd_b: in response units; sd_b: of the second arm (sd by default). With unequal sds the degrees of freedom
    are Welch's. Raises AnalysisError for delta = 0, an sd that is not positive, alpha outside (0, 1), and n <= 1.
    """
    require_effect(delta)
    require_probability(alpha, "alpha")
    v_a = require_positive(sd, "sd") ** 2
    v_b = v_a if sd_b is None else require_positive(sd_b, "sd_b") ** 2
    if n <= 1:
        raise AnalysisError("an arm needs at least 2 seeds", value=n, fix="Plan more seeds.")
    df = (n - 1) * (v_a + v_b) ** 2 / (v_a**2 + v_b**2)
    return t_test_power(abs(delta) / math.sqrt((v_a + v_b) / n), df, alpha=alpha, sides=1 if sides == 1 else 2)


def two_arm_seeds(
    delta: float, sd: float, *, sd_b: float | None = None, power: float = 0.9, alpha: float = 0.05, sides: int = 2
) -> ArmPlan:
    """Seeds an arm at which two means that differ by `delta` are told apart with the given power.

    Raises AnalysisError as `two_arm_power`, for a power outside (0, 1), and where 100,000 seeds are not enough.
    """
    require_probability(power, "power")

    def at(n: float) -> float:
        return two_arm_power(delta, sd, n, sd_b=sd_b, alpha=alpha, sides=sides)

    return _plan(at, power, least=2)


def paired_power(delta: float, sd_difference: float, n: int | float, *, alpha: float = 0.05) -> float:
    """Power of the paired t test over n common seeds. sd_difference: of the differences between the arms.

    Raises AnalysisError as `two_arm_power`.
    """
    require_effect(delta)
    require_probability(alpha, "alpha")
    if n <= 1:
        raise AnalysisError("a paired comparison needs at least 2 seeds", value=n, fix="Plan more seeds.")
    return t_test_power(abs(delta) / (require_positive(sd_difference, "sd") / math.sqrt(n)), n - 1, alpha=alpha)


def record_power(
    gain: float, margin: float, sd: float, n: int | float, *, alpha: float = 0.01, incumbent_runs: int = 0
) -> float:
    """Power of `record_test` when the true improvement is `gain` (same unit as margin and sd).

    incumbent_runs: of the incumbent, with the same sd; 0 takes it as exact. gain = margin is the boundary, where
    the power is alpha. Raises AnalysisError for an sd that is not positive, n <= 1, and one incumbent run.
    """
    require_probability(alpha, "alpha")
    require_positive(sd, "sd")
    if n <= 1:
        raise AnalysisError("a record needs at least 2 seeds", value=n, fix="Plan more seeds.")
    if not incumbent_runs:
        return t_test_power((gain - margin) / (sd / math.sqrt(n)), n - 1, alpha=alpha, sides=1)
    v_a, v_b = 1.0 / n, 1.0 / require_count(incumbent_runs, "incumbent_runs", least=2)
    df = (v_a + v_b) ** 2 / (v_a**2 / (n - 1) + v_b**2 / (incumbent_runs - 1))
    return t_test_power((gain - margin) / (sd * math.sqrt(v_a + v_b)), df, alpha=alpha, sides=1)


def record_seeds(gain: float, margin: float, sd: float, *, power: float = 0.9, alpha: float = 0.01) -> ArmPlan:
    """Seeds at which a recipe that is truly better by `gain` passes the record test. Raises for gain <= margin."""
    require_probability(power, "power")
    if not gain > margin:
        raise AnalysisError(
            "an improvement no larger than the margin passes only by luck",
            value=(gain, margin),
            fix="Plan for a larger gain.",
        )
    return _plan(lambda n: record_power(gain, margin, sd, n, alpha=alpha), power, least=2)


def tost_power(
    bound: float, sd: float, n: int, *, true_difference: float = 0.0, alpha: float = 0.05, exact: bool = True
) -> float:
    """Power of the equivalence test of two arms of n seeds (pooled sd) with bounds (-bound, bound).

    exact: the probability that both one-sided tests reject, integrated over the sample sd (Owen 1965).
    Otherwise the planning formula P(T <= (bound - d)/se - t) + P(T <= (bound + d)/se - t) - 1 with a central t,
    which at d = 0 is 2 T(bound/se - t) - 1.
    Raises AnalysisError for a bound or sd that is not positive, alpha outside (0, 1), and n < 2.
    """
    require_positive(bound, "bound")
    require_probability(alpha, "alpha")
    require_count(n, "number of seeds an arm", least=2)
    df = 2 * n - 2
    se = require_positive(sd, "sd") * math.sqrt(2.0 / n)
    critical = t_quantile(1.0 - alpha, df)
    up, down = (bound - true_difference) / se, (bound + true_difference) / se
    if not exact:
        return max(0.0, 1.0 - t_upper(up - critical, df) - t_upper(down - critical, df))
    from scipy.special import ndtr  # late: 0.3 s

    s, mass = sd_quadrature(float(df))
    return float(mass @ np.maximum(0.0, ndtr(up - critical * s) - ndtr(critical * s - down)))


def tost_seeds(
    bound: float,
    sd: float,
    *,
    true_difference: float = 0.0,
    power: float = 0.9,
    alpha: float = 0.05,
    exact: bool = True,
) -> ArmPlan:
    """Seeds an arm at which `tost_power` reaches `power`. n_exact is the whole number too.

    Raises AnalysisError as `tost_power`, and for a true difference at or beyond the bound.
    """
    require_probability(power, "power")
    if abs(true_difference) >= bound:
        raise AnalysisError("a true difference at the bound is not equivalent", value=(true_difference, bound))

    def at(n: int) -> float:
        return tost_power(bound, sd, n, true_difference=true_difference, alpha=alpha, exact=exact)

    n = smallest_count(lambda k: at(k) >= power, 2, "seeds an arm")
    return ArmPlan(n=n, n_exact=float(n), power=at(n))


def anchors_power(means: Sequence[float], sd: float, n: int, *, alpha: float = 0.05) -> float:
    """Power of the one-way F test that all anchors have one mean; lambda = sum n (mean - grand mean)^2 / sd^2.

    Noncentral F with k - 1 and k (n - 1) degrees of freedom. means, sd: response units; n: runs an anchor.
    Raises AnalysisError for fewer than two anchors, equal means, an sd that is not positive, and n < 2.
    """
    from scipy.special import ncfdtr  # late: 0.3 s

    mu = sample(means, "the anchors' means", least=2)
    require_positive(sd, "sd")
    require_probability(alpha, "alpha")
    require_count(n, "number of seeds", least=2)
    k = len(mu)
    ncp = n * float(((mu - mu.mean()) ** 2).sum()) / sd**2
    if ncp == 0.0:
        raise AnalysisError("the anchors' means are all equal", value=tuple(means), fix="Give means that differ.")
    critical = f_quantile(1.0 - alpha, k - 1, k * (n - 1))
    return 1.0 - float(ncfdtr(k - 1, k * (n - 1), ncp, critical))


def _plan(at: Callable[[float], float], power: float, *, least: int) -> ArmPlan:
    n = smallest_count(lambda k: at(k) >= power, least, "seeds an arm")
    low, high = max(1.0 + 1e-6, n - 1.0), float(n)
    for _ in range(60):
        middle = 0.5 * (low + high)
        if at(middle) >= power:
            high = middle
        else:
            low = middle
    return ArmPlan(n=n, n_exact=high, power=at(n))
