"""Failed runs: estimability, failure rates, bounds."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import (
    Table,
    estimability,
    estimate_effects,
    failure_effects,
    failures_by_factor,
    firth_logistic,
    omitted_bias,
    rank_effects,
    require_estimable,
    table_from_columns,
    worst_case_effects,
)

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}
CUBE = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))


def damaged() -> Table:
    """The simulated 5-minute screen with its five worst runs diverged."""
    rows = [row for row in CASES["D19"]["input"]["rows"] if row[1] == 5]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(CASES["D19"]["input"]["columns"])}
    columns["condition"] = columns.pop("cond")
    columns["status"] = ["diverged" if y > 1.32 else "finished" for y in columns["y"]]
    return table_from_columns(columns, response="y", factors="ABCDE")


def test_one_lost_corner_of_a_cube_leaves_main_and_two_factor_terms() -> None:
    case = CASES["P48"]
    found = estimability(np.array(case["input"]["design"], dtype=float), "ABC")
    assert (found.rank, found.residual_df) == (case["expected"]["rank_main_2fi"], case["expected"]["residual_df"])
    assert found.lost == ()
    assert found.vif["A"] == pytest.approx(case["expected"]["vif_A"])


def test_one_lost_corner_of_a_cube_takes_the_three_factor_term_with_it() -> None:
    levels = np.array(CASES["P48"]["input"]["design"], dtype=float)
    found = estimability(levels, "ABC", ["A", "B", "C", "AB", "AC", "BC", "ABC"])
    assert found.rank == CASES["P48"]["expected"]["rank_full"]
    assert found.lost == ("ABC",)
    assert found.relations == ("ABC = 1 + A - B + C - AB + AC - BC",)
    assert found.estimable == ()


def test_coefficients_after_the_loss_match_r() -> None:
    from foldover.stats import LeastSquares, resolve_terms, term_columns

    case = CASES["P48"]
    levels = np.array(case["input"]["design"], dtype=float)
    X = np.column_stack([np.ones(7), term_columns(resolve_terms("main+2fi", "ABC"), levels, "ABC")])
    found = LeastSquares(X, ["1", "A", "B", "C", "AB", "AC", "BC"]).coefficients(
        np.array(case["input"]["y"], dtype=float)
    )
    np.testing.assert_allclose(found, list(case["expected"]["coef"].values()), atol=1e-8)


def test_a_lost_term_is_refused_with_its_relation_and_what_to_keep() -> None:
    levels = np.array(CASES["P48"]["input"]["design"], dtype=float)
    with pytest.raises(AnalysisError, match=r"no longer be estimated: ABC .*Keep A, B, C, AB, AC, BC"):
        require_estimable(levels, "ABC", ["A", "B", "C", "AB", "AC", "BC", "ABC"])


@given(st.sets(st.integers(0, 7), min_size=1, max_size=3))
def test_each_lost_corner_of_a_saturated_cube_costs_one_term(lost: set[int]) -> None:
    levels = CUBE[[i for i in range(8) if i not in lost]]
    found = estimability(levels, "ABC", ["A", "B", "C", "AB", "AC", "BC", "ABC"])
    assert len(found.lost) == len(found.relations) == len(lost)


def test_omitted_interactions_bias_plackett_burman_main_effects_by_thirds() -> None:
    design = np.array(CASES["P11"]["input"]["design"], dtype=float)[:, :4]
    found = omitted_bias(design, "ABCD", "main", ["BC", "AB"])
    assert {abs(round(weight, 9)) for _, _, weight in found} == {0.333333333}
    assert ("A", "AB") not in {(term, other) for term, other, _ in found}


def test_failures_in_one_corner_are_counted_by_factor() -> None:
    found = {row.letter: row for row in failures_by_factor(damaged())}
    a = found["A"]
    assert (a.failed_low, a.other_low, a.failed_high, a.other_high) == (0, 40, 5, 35)
    assert a.p == pytest.approx(0.0547427, abs=1e-6)  # R fisher.test(matrix(c(0, 5, 40, 35), 2))
    assert a.adjusted == pytest.approx(min(1.0, 5 * a.p))


def test_runs_lost_to_the_machine_are_not_failures() -> None:
    table = damaged()
    assert sum(row.failed_high + row.failed_low for row in failures_by_factor(table, statuses=["lost"])) == 0


def test_firth_estimates_stay_finite_under_separation() -> None:
    found = {e.term: e for e in failure_effects(damaged())}
    assert 0.0 < found["A"].estimate < 10.0
    assert found["A"].p < 0.05


def test_firth_intercept_of_an_all_success_sample_has_its_closed_form() -> None:
    # One proportion: the penalty adds half a success and half a failure.
    coef, _, _ = firth_logistic(np.ones((10, 1)), np.zeros(10))
    assert coef[0] == pytest.approx(np.log(0.5 / 10.5), rel=1e-6)


@given(st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=30)
def test_firth_on_a_two_by_two_table_adds_a_half_to_each_cell(a: int, b: int) -> None:
    x = np.repeat([-1.0, 1.0], 20)
    y = np.concatenate([np.arange(20) < a, np.arange(20) < b]).astype(float)
    coef, _, _ = firth_logistic(np.column_stack([np.ones(40), x]), y)
    odds = np.log((b + 0.5) / (20 - b + 0.5)) - np.log((a + 0.5) / (20 - a + 0.5))
    assert 2.0 * coef[1] == pytest.approx(odds, abs=1e-5)


def test_worst_case_effects_exceed_those_of_survivors() -> None:
    table = damaged()
    survivors, worst = estimate_effects(table)[0], worst_case_effects(table, direction="minimize", margin=0.05)[0]
    assert worst.estimate > survivors.estimate
    assert worst.n == 80
    assert "worst case: 5 failed runs" in worst.notes[-1]


def test_ranks_tie_failures_last() -> None:
    effect = rank_effects(damaged(), direction="minimize")[3]
    assert effect.estimate > 0
    assert "5 failed runs tied last" in effect.notes[-1]


def test_ranks_of_a_response_to_maximise_point_the_other_way() -> None:
    table = damaged()
    up = rank_effects(table, direction="maximize")[3]
    assert up.estimate < rank_effects(table, direction="minimize")[3].estimate


def test_without_failures_there_is_nothing_to_bound() -> None:
    table = damaged()
    with pytest.raises(AnalysisError, match="no run failed"):
        worst_case_effects(table, direction="minimize", statuses=["timeout"])


def test_survivors_alone_carry_a_warning() -> None:
    assert any("survivors alone" in note for note in estimate_effects(damaged())[0].notes)
