"""Where the next replicates go, and what a plan buys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError, ConditionSummary
from foldover.stats import DesignPlan, allocate_next, compare_plans, ocba, power_of


def summary(name: str, mean: float, sd: float | None, n: int = 3) -> ConditionSummary:
    return ConditionSummary(
        package="p", budget="b", condition=name, n=n, mean=mean, sd=sd, low=None, high=None, level=0.95, seeds=()
    )


def test_ocba_gives_close_rivals_more() -> None:
    # d = 1 and 2, equal sds: shares 1/4 to 1/16 of the rival, and the best gets sqrt(1 + 1/16).
    shares = ocba([0.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    assert shares[1] / shares[2] == pytest.approx(4.0)
    assert shares[0] / shares[1] == pytest.approx((1 + 1 / 16) ** 0.5)


@given(st.lists(st.floats(0.1, 5.0), min_size=2, max_size=6), st.floats(0.5, 4.0))
def test_ocba_shares_are_a_distribution_whatever_the_unit(gaps: list[float], unit: float) -> None:
    means = np.concatenate([[0.0], np.cumsum(gaps)])
    shares = ocba(list(means), [1.0] * len(means))
    assert sum(shares) == pytest.approx(1.0)
    assert ocba(list(unit * means), [unit] * len(means)) == pytest.approx(shares)


def test_ocba_mirrors_where_higher_is_better() -> None:
    assert ocba([0.0, -1.0, -3.0], [1.0, 2.0, 1.0], lower_is_better=False) == ocba([0.0, 1.0, 3.0], [1.0, 2.0, 1.0])


def test_ocba_finds_the_best_more_often_than_equal_shares() -> None:
    rng = np.random.default_rng(6)
    mu, sd = np.array([0.0, 0.5, 2.0, 3.0]), np.array([1.0, 1.0, 1.0, 1.0])
    shares = np.array(ocba(list(mu), list(sd)))

    def hits(n: np.ndarray) -> float:  # type: ignore[type-arg]
        return float((np.argmin(mu + sd / np.sqrt(n) * rng.standard_normal((20_000, 4)), axis=1) == 0).mean())

    assert hits(40 * shares) > hits(np.full(4, 10.0)) + 0.02


def test_two_best_conditions_are_refused() -> None:
    with pytest.raises(AnalysisError, match="share the best mean"):
        ocba([1.0, 1.0, 2.0], [1.0, 1.0, 1.0])


def test_all_runs_are_given_out() -> None:
    found = allocate_next([summary("a", 0.0, 1.0), summary("b", 0.4, 1.0), summary("c", 5.0, 1.0)], 10)
    assert sum(a.runs for a in found) == 10
    assert found[2].runs == 0


def test_runs_for_effects_go_where_the_noise_is() -> None:
    found = allocate_next([summary("quiet", 0.0, 0.1), summary("loud", 1.0, 1.0)], 5, goal="effects")
    assert [a.runs for a in found] == [0, 5]


def test_what_was_run_counts() -> None:
    few, many = summary("a", 0.0, 1.0, n=2), summary("b", 1.0, 1.0, n=8)
    found = allocate_next([few, many], 4, goal="effects")
    assert [a.runs for a in found] == [4, 0]


def test_condition_without_sd_is_refused_by_name() -> None:
    with pytest.raises(AnalysisError, match=r"got \['b'\]"):
        allocate_next([summary("a", 0.0, 1.0), summary("b", 1.0, None)], 4)


SCREEN = DesignPlan(name="2^(5-1)", runs=16, seeds=5, terms=5, cost_per_run=10.0)


def test_cost_is_of_all_runs() -> None:
    assert SCREEN.cost == 800.0


def test_comparison_names_the_plan_that_reaches_the_target_at_less_cost() -> None:
    full = DesignPlan(name="2^5", runs=32, seeds=5, terms=5, cost_per_run=10.0)
    found = compare_plans(SCREEN, full, effect=0.01, sd=0.01)
    assert found.cheaper == "2^(5-1)"
    assert found.cost_ratio < 1.0
    assert found.first.power == power_of(0.01, 0.01, 16, 5, terms=5).power


def test_plans_compare_the_same_in_either_order() -> None:
    other = replace(SCREEN, name="dear", cost_per_run=20.0)
    one, two = (compare_plans(a, b, effect=0.01, sd=0.01) for a, b in ((SCREEN, other), (other, SCREEN)))
    assert one.cheaper == two.cheaper == "2^(5-1)"
    assert one.cost_ratio == pytest.approx(1.0 / two.cost_ratio)


def test_inefficient_design_has_the_larger_error() -> None:
    damaged = replace(SCREEN, name="damaged", variance_factor=1.44)
    found = compare_plans(SCREEN, damaged, effect=0.01, sd=0.01)
    assert found.second.se / found.first.se == pytest.approx(1.2)


def test_free_runs_are_refused() -> None:
    with pytest.raises(AnalysisError, match="cost per run"):
        compare_plans(replace(SCREEN, cost_per_run=0.0), SCREEN, effect=0.01, sd=0.01)
