"""Least squares: agreement with statsmodels, textbook answers, refusals that name the terms."""

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
from foldover.stats import LeastSquares, resolve_terms, robust_errors, term_columns, vifs

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}
BASE = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
HALF = np.column_stack([BASE, BASE.prod(axis=1)])


def screen_matrix() -> np.ndarray:
    """The 160 x 10 matrix of a seeded screen: mean, five factors, four seed dummies."""
    seeds = np.eye(5)[np.repeat(np.arange(5), 32)][:, 1:]
    return np.column_stack([np.ones(160), np.tile(HALF, (10, 1)), seeds])


def test_a_seeded_screen_agrees_with_statsmodels() -> None:
    import statsmodels.api as sm

    X = screen_matrix()
    y = np.random.default_rng(3).standard_normal(160) + X[:, 1]
    ours, theirs = LeastSquares(X, [str(i) for i in range(10)]).fit(y), sm.OLS(y, X).fit()
    for mine, his in (
        (ours.coef, theirs.params),
        (ours.se, theirs.bse),
        (ours.t, theirs.tvalues),
        (ours.p, theirs.pvalues),
    ):
        np.testing.assert_allclose(mine, his, atol=1e-10, rtol=1e-10)
    np.testing.assert_allclose(np.column_stack(ours.interval()), theirs.conf_int(), atol=1e-10)


def test_tiny_p_values_keep_their_relative_accuracy() -> None:
    import statsmodels.api as sm

    X = screen_matrix()
    y = np.random.default_rng(3).standard_normal(160) + 6.0 * X[:, 1]
    ours, theirs = LeastSquares(X, [str(i) for i in range(10)]).fit(y), sm.OLS(y, X).fit()
    assert theirs.pvalues[1] < 1e-80
    assert ours.p[1] == pytest.approx(theirs.pvalues[1], rel=1e-9)


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
def test_robust_errors_match_r_sandwich(kind: str) -> None:
    case = CASES["P35"]
    data = case["input"]
    model = LeastSquares(np.column_stack([np.ones(32), data["wt"], data["hp"]]), ["(Intercept)", "wt", "hp"])
    found = robust_errors(model, model.fit(np.array(data["mpg"])).residuals, kind.lower())
    np.testing.assert_allclose(found, list(case["expected"][f"se_{kind}"].values()), rtol=case["tol"])


def test_coefficients_and_errors_match_r_lm() -> None:
    case = CASES["P35"]
    data = case["input"]
    model = LeastSquares(np.column_stack([np.ones(32), data["wt"], data["hp"]]), ["(Intercept)", "wt", "hp"])
    fit = model.fit(np.array(data["mpg"]))
    np.testing.assert_allclose(fit.coef, list(case["expected"]["coef"].values()), rtol=case["tol"])
    np.testing.assert_allclose(fit.se, list(case["expected"]["se_ols"].values()), rtol=case["tol"])


def test_robust_errors_refuse_a_row_that_alone_determines_a_coefficient() -> None:
    X = np.column_stack([np.ones(5), [0.0, 0.0, 0.0, 0.0, 1.0]])
    model = LeastSquares(X, ["1", "A"])
    with pytest.raises(AnalysisError, match=r"\[4\]"):
        robust_errors(model, model.fit(np.arange(5.0)).residuals)


def test_aliased_terms_are_named_with_their_sign() -> None:
    levels = np.column_stack([BASE[:8, 1:], BASE[:8, 1:].prod(axis=1)])
    X = np.column_stack([np.ones(8), term_columns(resolve_terms(["A", "AB", "CD"], "ABCD"), levels, "ABCD")])
    with pytest.raises(AnalysisError, match="AB = CD"):
        LeastSquares(X, ["1", "A", "AB", "CD"])


def test_a_dependent_combination_is_named_in_words() -> None:
    x = np.array([1.0, 2.0, 4.0, 3.0])
    z = np.array([1.0, -1.0, 0.0, 2.0])
    with pytest.raises(AnalysisError, match="S = A \\+ 2 B"):
        LeastSquares(np.column_stack([x, z, x + 2 * z]), ["A", "B", "S"])


def test_more_coefficients_than_runs_are_refused_with_their_names() -> None:
    with pytest.raises(AnalysisError, match=r"2 runs cannot carry 3 coefficients \(1, A, B\)"):
        LeastSquares(np.array([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]), ["1", "A", "B"])


def test_a_fit_without_error_degrees_of_freedom_is_refused() -> None:
    with pytest.raises(AnalysisError, match="no degree of freedom"):
        LeastSquares(np.array([[1.0, -1.0], [1.0, 1.0]]), ["1", "A"]).fit(np.array([1.0, 2.0]))


def test_orthogonal_columns_have_variance_inflation_one() -> None:
    assert vifs(HALF, "ABCDE") == pytest.approx(dict.fromkeys("ABCDE", 1.0))


def test_a_lost_run_of_a_cube_inflates_variances_as_in_r() -> None:
    case = CASES["P48"]
    X = term_columns(resolve_terms("main+2fi", "ABC"), np.array(case["input"]["design"], dtype=float), "ABC")
    found = vifs(X, ["A", "B", "C", "AB", "AC", "BC"])
    assert found["A"] == pytest.approx(case["expected"]["vif_A"], rel=case["tol"])


def test_an_f_test_of_the_cast_fatigue_models_has_the_published_r2() -> None:
    case = CASES["P11"]
    design, y = np.array(case["input"]["design"], dtype=float), np.array(case["input"]["y"])
    F, G = design[:, 5], design[:, 6]
    total = ((y - y.mean()) ** 2).sum()
    alone = LeastSquares(np.column_stack([np.ones(12), F]), ["1", "F"]).fit(y)
    both = LeastSquares(np.column_stack([np.ones(12), F, F * G]), ["1", "F", "FG"]).fit(y)
    assert 1 - alone.rss / total == pytest.approx(case["expected"]["R2_F"], rel=1e-6)
    assert 1 - both.rss / total == pytest.approx(case["expected"]["R2_F_FG"], rel=1e-6)
    np.testing.assert_allclose(both.coef, case["expected"]["coef_F_FG"], rtol=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6), st.permutations(range(16)))
@settings(max_examples=30)
def test_planted_coefficients_are_recovered_whatever_the_row_order(planted: list[float], order: list[int]) -> None:
    X = np.column_stack([np.ones(16), HALF])
    y = X @ np.array(planted)
    model = LeastSquares(X[order], ["1", *"ABCDE"])
    np.testing.assert_allclose(model.coefficients(y[order]), planted, atol=1e-12)
