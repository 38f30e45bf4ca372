"""Second-order surfaces, canonical analysis, optimum in the region, steepest path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import (
    SurfaceFit,
    canonical_analysis,
    constrained_optimum,
    fit_surface,
    fit_surface_to,
    path_should_stop,
    ridge_path,
    steepest_path,
    table_from_columns,
)

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}
CCD = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1), (-1.4, 0), (1.4, 0), (0, -1.4), (0, 1.4), (0, 0), (0, 0), (0, 0.0)])


def chemical() -> SurfaceFit:
    data = CASES["P12"]["input"]
    return fit_surface_to(np.column_stack([data["x1"], data["x2"]]), np.array(data["y"]), "AB")


def helicopter() -> SurfaceFit:
    data = CASES["P13"]["input"]
    blocks = [str(block) for block in data["block"]]
    return fit_surface_to(np.array(data["x"], dtype=float), np.array(data["ave"], dtype=float), "ABCD", blocks=blocks)


def planted(b: list[float], B: list[list[float]]) -> SurfaceFit:
    noise = 1e-9 * np.random.default_rng(0).standard_normal(len(CCD))
    y = 1.0 + CCD @ np.array(b) + np.einsum("ni,ij,nj->n", CCD, np.array(B), CCD) + noise
    return fit_surface_to(CCD, y, "AB")


def test_chemical_process_coefficients() -> None:
    expected = CASES["P12"]["expected"]["coef"]
    names = {"b0": "1", "b1": "A", "b2": "B", "b12": "AB", "b11": "A^2", "b22": "B^2"}
    fit = chemical()
    assert {key: fit.coefficient(name) for key, name in names.items()} == pytest.approx(expected, rel=1e-5)


def test_chemical_process_canonical_analysis() -> None:
    found, expected = canonical_analysis(chemical()), CASES["P12"]["expected"]
    assert found.stationary == pytest.approx(expected["stationary_coded"], rel=1e-5)
    assert found.eigenvalues == pytest.approx(expected["eigenvalues"], rel=1e-5)
    assert found.value == pytest.approx(expected["y_at_stationary"], rel=1e-5)
    assert (found.nature, found.inside) == ("maximum", True)


def test_blocked_helicopter_fit_and_saddle() -> None:
    fit, expected = helicopter(), CASES["P13"]["expected"]
    order = ["1", "block 2", "A", "B", "C", "D", "AB", "AC", "AD", "BC", "BD", "CD", "A^2", "B^2", "C^2", "D^2"]
    np.testing.assert_allclose([fit.coefficient(n) for n in order], list(expected["coef"].values()), rtol=1e-5)
    assert (fit.r2, fit.sigma) == pytest.approx((expected["R2"], expected["sigma"]), rel=1e-5)
    found = canonical_analysis(fit)
    assert found.stationary == pytest.approx(expected["stationary_coded"], rel=1e-5)
    assert found.eigenvalues == pytest.approx(expected["eigenvalues"], rel=1e-5)
    assert found.nature == "saddle"


def test_trebuchet_box_behnken_fit() -> None:
    case = CASES["P18"]
    fit = fit_surface_to(np.array(case["input"]["x"], dtype=float), np.array(case["input"]["y"], dtype=float), "ABC")
    order = ["1", "A", "B", "C", "A^2", "B^2", "C^2", "AB", "AC", "BC"]
    np.testing.assert_allclose([fit.coefficient(n) for n in order], list(case["expected"]["coef"].values()), rtol=1e-6)
    assert (fit.sigma, fit.df) == pytest.approx((case["expected"]["sigma"], case["expected"]["df"]), rel=1e-6)
    assert fit.r2 == pytest.approx(case["expected"]["R2"], rel=1e-6)


def test_path_of_steepest_ascent() -> None:
    case = CASES["P14"]
    levels = np.column_stack([case["input"]["x1"], case["input"]["x2"]]).astype(float)
    path = steepest_path(levels, np.array(case["input"]["y"]), case["input"]["dist"], direction="maximize")
    assert [p.x[0] for p in path] == pytest.approx(case["expected"]["path_x1"], abs=0.002)
    assert [p.x[1] for p in path] == pytest.approx(case["expected"]["path_x2"], abs=0.002)
    assert [p.predicted for p in path] == pytest.approx(case["expected"]["yhat"], abs=0.002)
    assert path[1].x == pytest.approx(case["expected"]["unit_direction"], abs=1e-8)


def test_steepest_descent_goes_the_other_way() -> None:
    case = CASES["P14"]
    levels = np.column_stack([case["input"]["x1"], case["input"]["x2"]]).astype(float)
    up, down = (
        steepest_path(levels, np.array(case["input"]["y"]), [1.0], direction=d)[0] for d in ("maximize", "minimize")
    )
    assert up.x == pytest.approx([-x for x in down.x])


def test_the_stationary_point_has_an_interval_that_contains_it() -> None:
    found = canonical_analysis(chemical(), draws=4000, seed=1)
    assert found.low is not None
    assert found.high is not None
    assert all(lo < x < hi for lo, x, hi in zip(found.low, found.stationary, found.high, strict=True))


def test_two_level_factors_have_no_quadratic_term() -> None:
    table = table_from_columns(
        {"A": [-1, 1, -1, 1], "B": [-1, -1, 1, 1], "y": [1, 2, 3, 5]}, response="y", factors="AB"
    )
    with pytest.raises(AnalysisError, match=r"fewer than three levels .*\['A', 'B'\]"):
        fit_surface(table)


def test_too_few_distinct_conditions_are_refused() -> None:
    levels = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0), (0, 0), (0, 0.0)])
    with pytest.raises(AnalysisError, match="fewer distinct conditions"):
        fit_surface_to(levels, np.arange(7.0), "AB")


def test_a_ridge_has_no_stationary_point() -> None:
    fit = planted([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    flat = SurfaceFit(
        letters=fit.letters, names=fit.names, coef=fit.coef, se=fit.se, covariance=fit.covariance, sigma=fit.sigma,
        df=fit.df, r2=fit.r2, intercept=1.0, b=fit.b, B=np.array([[1.0, 1.0], [1.0, 1.0]]), radius=1.0,
    )  # fmt: skip
    with pytest.raises(AnalysisError, match="ridge"):
        canonical_analysis(flat)


def test_a_stationary_point_outside_the_region_is_noted() -> None:
    found = canonical_analysis(planted([10.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]))
    assert not found.inside
    assert found.notes


def test_an_inner_minimum_is_its_own_constrained_optimum() -> None:
    fit = planted([-1.0, 0.5], [[1.0, 0.0], [0.0, 1.0]])
    assert constrained_optimum(fit).x == pytest.approx((0.5, -0.25), abs=1e-6)


def test_the_hard_case_of_ridge_analysis_leaves_along_the_flattest_axis() -> None:
    fit = planted([0.0, 0.0], [[-1.0, 0.0], [0.0, 1.0]])
    best = constrained_optimum(fit, radius=1.0)
    assert abs(best.x[0]) == pytest.approx(1.0, abs=1e-3)


@given(
    st.lists(st.floats(-3, 3), min_size=2, max_size=2),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.sampled_from(["minimize", "maximize"]),
)
@settings(max_examples=40)
def test_no_point_of_the_region_beats_the_constrained_optimum(b: list[float], q: list[float], direction: str) -> None:
    fit = planted(b, [[q[0], q[1] / 2], [q[1] / 2, q[2]]])
    best = constrained_optimum(fit, direction=direction, radius=1.0)  # type: ignore[arg-type]
    angles, radii = np.meshgrid(np.linspace(0, 2 * np.pi, 73), np.linspace(0, 1, 11))
    values = fit.predict(np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1))
    assert best.distance <= 1.0 + 1e-6
    sign = 1.0 if direction == "minimize" else -1.0
    assert sign * best.predicted <= (sign * values).min() + 1e-6


def test_the_ridge_path_improves_with_the_radius() -> None:
    path = ridge_path(helicopter(), [0.5, 1.0, 1.5], direction="maximize")
    assert [p.distance for p in path] == pytest.approx([0.5, 1.0, 1.5])
    assert path[0].predicted < path[1].predicted < path[2].predicted


def test_a_path_stops_after_two_results_without_improvement() -> None:
    assert path_should_stop([3.0, 2.0, 2.5, 2.1])
    assert not path_should_stop([3.0, 2.0, 2.5, 1.9])
    assert not path_should_stop([3.0, 3.1])
