"""Condition means: order, intervals, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import (
    prediction_interval,
    sd_from_interval,
    student_interval,
    summarize_conditions,
    summarize_table,
    table_from_columns,
)


def test_conditions_are_sorted_by_mean() -> None:
    found = summarize_conditions(["b", "a", "b", "a"], [1, 1, 2, 2], [1.0, 2.0, 1.2, 2.2], package="p", budget="5 min")
    assert [(s.condition, s.n, s.seeds) for s in found] == [("b", 2, (1, 2)), ("a", 2, (1, 2))]


def test_single_run_has_no_interval() -> None:
    (found,) = summarize_conditions(["a"], [1], [1.0], package="p", budget="5 min")
    assert (found.sd, found.low, found.high) == (None, None, None)


def test_two_runs_use_the_quantile_12_706() -> None:
    (found,) = summarize_conditions(["a", "a"], [1, 2], [1.0, 2.0], package="p", budget="5 min")
    assert found.high is not None
    assert (found.high - found.mean) / 0.5 == pytest.approx(12.7062047, rel=1e-8)


def test_seed_twice_in_a_condition_is_refused() -> None:
    with pytest.raises(AnalysisError, match="seed more than once"):
        summarize_conditions(["a", "a"], [1, 1], [1.0, 2.0], package="p", budget="5 min")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_response_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(AnalysisError, match="not a finite number at position 1"):
        summarize_conditions(["a", "a"], [1, 2], [1.0, bad], package="p", budget="5 min")


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(AnalysisError, match="differ in length"):
        summarize_conditions(["a"], [1, 2], [1.0, 2.0], package="p", budget="5 min")


def test_table_is_summarized_by_package_and_budget() -> None:
    columns = {
        "A": [-1, 1] * 4,
        "budget": ["5"] * 4 + ["10"] * 4,
        "seed": ["1", "1", "2", "2"] * 2,
        "y": [1.0, 2.0, 1.1, 2.1, 0.5, 0.4, 0.6, 0.5],
    }
    table = table_from_columns({k: [str(x) for x in v] for k, v in columns.items()}, response="y", factors="A")
    found = summarize_table(table)
    assert [s.budget for s in found] == ["5", "5", "10", "10"]
    assert [s.mean for s in found] == pytest.approx([1.05, 2.05, 0.45, 0.55])


def test_interval_agrees_with_scipy() -> None:
    from scipy import stats

    values = [1.0, 1.4, 0.7, 1.9]
    sem = float(np.std(values, ddof=1)) / 2.0
    found = student_interval(float(np.mean(values)), 2.0 * sem, 4)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), sem), rel=1e-10)


@given(st.floats(-10, 10), st.floats(0.001, 10), st.integers(2, 50), st.sampled_from([0.9, 0.95, 0.99]))
def test_sd_of_an_interval_is_recovered(mean: float, sd: float, n: int, level: float) -> None:
    found = student_interval(mean, sd, n, level=level)
    assert found is not None
    assert sd_from_interval(found.low, found.high, n, level=level) == pytest.approx(sd, rel=1e-6)


def test_an_interval_at_level_95_instead_of_0_95_is_refused() -> None:
    with pytest.raises(AnalysisError, match="strictly between 0 and 1"):
        sd_from_interval(0.0, 1.0, 3, level=95)


def test_prediction_interval_is_wider_than_the_mean_by_sqrt_n_plus_1() -> None:
    values = [1.0, 1.1, 1.3, 0.9]
    mean = student_interval(float(np.mean(values)), float(np.std(values, ddof=1)), 4)
    run = prediction_interval(values)
    assert mean is not None
    assert (run.high - run.low) / (mean.high - mean.low) == pytest.approx(math.sqrt(5.0))


def test_level_outside_the_unit_interval_is_refused() -> None:
    with pytest.raises(AnalysisError, match="strictly between 0 and 1"):
        student_interval(1.0, 1.0, 3, level=95)


def test_reruns_of_one_seed_are_told_apart_by_their_number() -> None:
    found = summarize_conditions(
        ["c1"] * 3, [7, 7, 7], [1.0, 2.0, 3.0], package="p", budget="2 min", reruns=["0", "1", "2"]
    )[0]
    assert (found.n, found.seeds, found.mean, found.sd) == (3, (7,), 2.0, 1.0)
    with pytest.raises(AnalysisError, match="more than once"):
        summarize_conditions(["c1"] * 2, [7, 7], [1.0, 2.0], package="p", budget="2 min", reruns=["1", "1"])
