"""Power of comparisons: arms, pairs, records, equivalence, anchors."""

from __future__ import annotations

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import (
    anchors_power,
    paired_power,
    record_power,
    record_seeds,
    tost_power,
    tost_seeds,
    two_arm_power,
    two_arm_seeds,
)


def test_two_arms_agree_with_statsmodels() -> None:
    from statsmodels.stats.power import TTestIndPower

    assert two_arm_power(0.8, 1.0, 12) == pytest.approx(TTestIndPower().power(0.8, 12, 0.05), rel=1e-6)


def test_unequal_sds_agree_with_simulated_welch_tests() -> None:
    from scipy import stats

    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, (6000, 8)), rng.normal(1.5, 2, (6000, 8))
    simulated = (stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue < 0.05).mean()
    assert two_arm_power(1.5, 1.0, 8, sd_b=2.0) == pytest.approx(simulated, abs=0.02)


def test_one_sided_test_needs_fewer_seeds() -> None:
    assert two_arm_seeds(0.005, 0.005, sides=1).n < two_arm_seeds(0.005, 0.005).n


def test_pairing_by_seed_needs_the_sd_of_differences() -> None:
    assert paired_power(0.5, 0.5, 8) > two_arm_power(0.5, 0.5, 8)


def test_record_power_at_the_boundary_is_alpha() -> None:
    assert record_power(0.005, 0.005, 0.002, 6) == pytest.approx(0.01)


def test_record_power_agrees_with_simulation() -> None:
    from scipy import stats

    rng = np.random.default_rng(4)
    new = rng.normal(-0.008, 0.002, (20_000, 4))
    t = (new.mean(axis=1) + 0.005) / (new.std(axis=1, ddof=1) / 2.0)
    simulated = (stats.t.cdf(t, 3) <= 0.01).mean()
    assert record_power(0.008, 0.005, 0.002, 4) == pytest.approx(simulated, abs=0.01)


def test_incumbent_with_runs_costs_power() -> None:
    assert record_power(0.008, 0.005, 0.002, 5, incumbent_runs=3) < record_power(0.008, 0.005, 0.002, 5)


def test_record_plan_is_the_smallest() -> None:
    plan = record_seeds(0.008, 0.005, 0.002)
    assert plan.power >= 0.9 > record_power(0.008, 0.005, 0.002, plan.n - 1)
    assert plan.n - 1 < plan.n_exact <= plan.n


def test_gain_within_the_margin_is_refused() -> None:
    with pytest.raises(AnalysisError, match="only by luck"):
        record_seeds(0.005, 0.005, 0.002)


def test_exact_equivalence_power_agrees_with_simulation() -> None:
    from scipy import stats

    rng = np.random.default_rng(8)
    n, bound = 6, 1.5
    a, b = rng.standard_normal((20_000, n)), rng.standard_normal((20_000, n))
    se = np.sqrt((a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)) / n)
    d = a.mean(axis=1) - b.mean(axis=1)
    t = stats.t.ppf(0.95, 2 * n - 2)
    simulated = ((d + bound > t * se) & (d - bound < -t * se)).mean()
    assert tost_power(bound, 1.0, n) == pytest.approx(simulated, abs=0.01)


def test_planning_formula_is_below_zero_nowhere() -> None:
    assert tost_power(0.1, 1.0, 3, exact=False) == 0.0


def test_equivalence_plan_is_the_smallest() -> None:
    plan = tost_seeds(0.004, 0.003)
    assert plan.power >= 0.9 > tost_power(0.004, 0.003, plan.n - 1)


def test_true_difference_at_the_bound_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at the bound"):
        tost_seeds(0.004, 0.003, true_difference=0.004)


def test_anchors_agree_with_statsmodels() -> None:
    from statsmodels.stats.power import FTestAnovaPower

    means = [0.0, 0.5, 1.0]
    f = float(np.std(means))
    assert anchors_power(means, 1.0, 6) == pytest.approx(FTestAnovaPower().power(f, 18, 0.05, 3), rel=1e-5)


def test_equal_anchors_are_refused() -> None:
    with pytest.raises(AnalysisError, match="all equal"):
        anchors_power([1.0, 1.0], 1.0, 5)


@pytest.mark.parametrize("call", [lambda: two_arm_power(1.0, 1.0, 1), lambda: paired_power(1.0, 1.0, 1)])
def test_one_seed_an_arm_is_refused(call: object) -> None:
    with pytest.raises(AnalysisError, match="at least 2 seeds"):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(("delta", "sd"), [(0.0, 1.0), (1.0, 0.0)])
def test_no_difference_or_no_noise_is_refused(delta: float, sd: float) -> None:
    with pytest.raises(AnalysisError):
        two_arm_seeds(delta, sd)
