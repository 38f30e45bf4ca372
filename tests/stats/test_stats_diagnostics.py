"""Diagnostics against R: lmtest, car, MASS, sandwich."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import (
    LeastSquares,
    Table,
    bartlett,
    box_cox,
    breusch_pagan,
    brown_forsythe,
    diagnose,
    diagnose_model,
    dispersion_effects,
    durbin_watson,
    shapiro_wilk,
    table_from_columns,
)

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}


def cars() -> tuple[LeastSquares, np.ndarray]:
    data = CASES["P35"]["input"]
    return LeastSquares(np.column_stack([np.ones(32), data["wt"], data["hp"]]), ["1", "wt", "hp"]), np.array(
        data["mpg"]
    )


def screen() -> Table:
    rows = [row for row in CASES["D19"]["input"]["rows"] if row[1] == 5]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(CASES["D19"]["input"]["columns"])}
    columns["condition"] = columns.pop("cond")
    return table_from_columns(columns, response="y", factors="ABCDE")


def test_leverage_and_cooks_distance_of_the_cars() -> None:
    model, y = cars()
    runs, expected = diagnose_model(model, y).runs, CASES["P35"]["expected"]
    leverage, cook = [r.leverage for r in runs], [r.cook or 0.0 for r in runs]
    assert (max(leverage), int(np.argmax(leverage)) + 1) == pytest.approx(
        (expected["max_leverage"], expected["max_leverage_row"])
    )
    assert (max(cook), int(np.argmax(cook)) + 1) == pytest.approx((expected["max_cook"], expected["max_cook_row"]))


def test_external_residuals_and_press_of_the_cars() -> None:
    model, y = cars()
    found, expected = diagnose_model(model, y), CASES["P35"]["expected"]
    assert max(abs(r.external or 0.0) for r in found.runs) == pytest.approx(expected["max_abs_rstudent"])
    assert found.press == pytest.approx(expected["press"])


def test_leave_one_out_fits_confirm_press_and_external_residuals() -> None:
    model, y = cars()
    found = diagnose_model(model, y)
    errors, external = [], []
    for i in range(32):
        keep = [j for j in range(32) if j != i]
        fit = LeastSquares(model.X[keep], model.names).fit(y[keep])
        errors.append(y[i] - model.X[i] @ fit.coef)
        external.append(found.runs[i].residual / (fit.sigma * np.sqrt(1 - found.runs[i].leverage)))
    assert found.press == pytest.approx(np.square(errors).sum())
    np.testing.assert_allclose([r.external or 0.0 for r in found.runs], external, rtol=1e-8)


def test_breusch_pagan_and_shapiro_wilk_of_the_cars() -> None:
    model, y = cars()
    expected = CASES["P35"]["expected"]
    found = breusch_pagan(model, y)
    assert (found.statistic, found.p) == pytest.approx(
        (expected["bp_studentized"]["stat"], expected["bp_studentized"]["p"]), rel=1e-6
    )
    normal = shapiro_wilk(model.fit(y).residuals)
    assert (normal.statistic, normal.p) == pytest.approx((expected["shapiro"]["W"], expected["shapiro"]["p"]), rel=1e-6)


def test_brown_forsythe_and_bartlett_of_the_insect_sprays() -> None:
    data, expected = CASES["P36"]["input"], CASES["P36"]["expected"]
    y = np.array(data["count"], dtype=float)
    found = brown_forsythe(y, data["spray"])
    assert (found.statistic, found.p) == pytest.approx(
        (expected["brown_forsythe"]["F"], expected["brown_forsythe"]["p"]), rel=1e-6
    )
    assert list(found.df) == expected["brown_forsythe"]["df"]
    other = bartlett(y, data["spray"])
    assert (other.statistic, other.p) == pytest.approx(
        (expected["bartlett"]["K2"], expected["bartlett"]["p"]), rel=1e-6
    )


def test_box_cox_of_filtration() -> None:
    case = CASES["P53"]
    levels = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))[:, ::-1]
    found = box_cox(np.column_stack([np.ones(16), levels]), np.array(case["input"]["y"], dtype=float))
    assert found.best == pytest.approx(case["expected"]["lambda"], abs=case["tol"])
    assert found.low < found.best < found.high


def test_box_cox_at_one_is_the_untransformed_fit_and_at_zero_the_log() -> None:
    rng = np.random.default_rng(1)
    y = np.exp(rng.standard_normal(200) * 0.5)
    found = box_cox(np.ones((200, 1)), y)
    assert found.low < 0.0 < found.high
    assert found.high < 1.0


def test_box_cox_refuses_responses_that_are_not_positive() -> None:
    with pytest.raises(AnalysisError, match="positive"):
        box_cox(np.ones((3, 1)), np.array([1.0, 0.0, 2.0]))


def test_durbin_watson_of_alternating_residuals_is_near_four() -> None:
    found = durbin_watson(np.array([1.0, -1.0] * 20))
    assert found.statistic == pytest.approx(4 * 39 / 40)
    assert found.p < 1e-5


def test_the_seeded_screen_shows_unequal_variances() -> None:
    tests = {test.name: test for test in diagnose(screen()).tests}
    assert tests["brown_forsythe"].p < 0.05
    assert tests["breusch_pagan"].p < 0.01


def test_a_planted_outlier_is_flagged_not_removed() -> None:
    table = screen()
    y = table.y.copy()
    y[7] += 0.3
    found = diagnose(table.with_response(y))
    assert "outlier" in found.runs[7].flags
    assert len(found.runs) == 80


def test_a_run_that_alone_determines_a_coefficient_is_said_so() -> None:
    X = np.column_stack([np.ones(6), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    found = diagnose_model(LeastSquares(X, ["1", "A"]), np.array([1.0, 2.0, 1.5, 1.2, 0.9, 5.0]))
    assert found.runs[5].flags == ("alone determines a coefficient",)
    assert found.press is found.runs[5].cook is None


def test_dispersion_effects_find_the_factor_that_makes_runs_fragile() -> None:
    rng = np.random.default_rng(4)
    base = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
    levels = np.tile(base, (30, 1))
    y = rng.standard_normal(240) * np.exp(levels[:, 1])
    columns: dict[str, Any] = {letter: levels[:, j].tolist() for j, letter in enumerate("ABC")} | {"y": y.tolist()}
    found = {e.term: e for e in dispersion_effects(table_from_columns(columns, response="y", factors="ABC"))}
    assert found["B"].estimate == pytest.approx(4.0, abs=0.5)
    assert found["B"].p < 1e-10
    assert found["A"].p > 0.01


def test_dispersion_effects_need_replicates() -> None:
    columns = {"A": [-1, 1], "y": [1.0, 2.0]}
    with pytest.raises(AnalysisError, match="no spread"):
        dispersion_effects(table_from_columns(columns, response="y", factors="A"))
