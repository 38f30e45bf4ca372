import itertools
import math

import numpy as np
import pytest

from foldover.core import DesignError, Factor
from foldover.designs import (
    add_optimal,
    compare_d_efficiency,
    estimability,
    evaluate_design,
    expand_model,
    fractional_factorial,
    full_factorial,
    is_allowed,
    model_columns,
    model_matrix,
    optimal_design,
    read_constraints,
)


def _determinant(design, model):
    columns = model_columns(design.factors, expand_model(model, design.factors))
    X = model_matrix(design.factors, [row.levels for row in design.rows], columns)
    return np.linalg.det(X.T @ X)


def test_best_subsets_of_the_grid_are_found(answers, factors):
    case = answers["P20"]
    for n, best in zip(case["input"]["n"], case["expected"]["max_det"], strict=True):
        design = optimal_design(factors(2), runs=n, model="quadratic", repeats=False, restarts=20)
        assert _determinant(design, "quadratic") == pytest.approx(best)


def test_constrained_optimum_reaches_the_best_known(answers, factors):
    case = answers["P21"]
    design = optimal_design(factors(3), runs=10, constraints=["A + B + C <= 1"], repeats=False, restarts=30)
    assert _determinant(design, "main+2fi") >= 0.98 * case["expected"]["best_det_found"]
    limits = read_constraints(["A+B+C<=1"])
    assert all(is_allowed(row.levels, design.factors, limits) for row in design.rows)


def test_repeats_are_better_than_none_where_they_are_allowed(factors):
    limits = ["A + B + C <= 1"]
    once = optimal_design(factors(3), runs=10, constraints=limits, repeats=False, restarts=30)
    often = optimal_design(factors(3), runs=10, constraints=limits, restarts=30)
    assert compare_d_efficiency(often, once, "main+2fi") > 1.05


def test_optimum_of_16_runs_for_five_factors_is_as_good_as_the_fraction(factors):
    design = optimal_design(factors(5), runs=16, restarts=40)
    assert evaluate_design(design, "main+2fi").d_efficiency == pytest.approx(100)


def test_value_in_the_request_is_the_log_determinant(factors):
    design = optimal_design(factors(3), runs=9, restarts=5)
    assert math.exp(design.request.number("value")) == pytest.approx(_determinant(design, "main+2fi"), rel=1e-4)


def test_i_optimal_design_predicts_better_and_d_optimal_has_the_larger_determinant(factors):
    made = {c: optimal_design(factors(2), runs=8, model="quadratic", criterion=c, restarts=30) for c in ("D", "I")}
    by_prediction = {c: evaluate_design(d, "quadratic").average_variance for c, d in made.items()}
    assert by_prediction["I"] < by_prediction["D"]
    assert _determinant(made["D"], "quadratic") > _determinant(made["I"], "quadratic")


def test_i_value_is_the_average_variance_over_the_cube(factors):
    design = optimal_design(factors(2), runs=7, model="quadratic", criterion="I", restarts=10)
    average = evaluate_design(design, "quadratic").average_variance
    assert design.request.number("value") == pytest.approx(average, rel=1e-5)


def test_i_optimum_of_a_small_grid_is_the_exhaustive_one(factors):
    # All multisets of 6 points of the 3x3 grid whose quadratic model is estimable.
    grid = list(itertools.product((-1.0, 0.0, 1.0), repeat=2))
    columns = model_columns(factors(2), expand_model("quadratic", factors(2)))
    F = model_matrix(factors(2), grid, columns)
    from foldover.designs.model import moment_matrix

    M = moment_matrix(factors(2), columns)
    best = math.inf
    for chosen in itertools.combinations_with_replacement(range(9), 6):
        information = F[list(chosen)].T @ F[list(chosen)]
        if np.linalg.matrix_rank(information) == 6:
            best = min(best, float(np.sum(np.linalg.inv(information) * M)))
    design = optimal_design(factors(2), runs=6, model="quadratic", criterion="I", restarts=40)
    assert design.request.number("value") == pytest.approx(best, rel=1e-5)


def test_a_optimum_minimises_the_summed_variances(factors):
    made = {c: optimal_design(factors(2), runs=7, model="quadratic", criterion=c, restarts=30) for c in ("A", "D")}
    summed = {c: sum(t.variance for t in evaluate_design(d, "quadratic").terms) for c, d in made.items()}
    assert summed["A"] <= summed["D"] + 1e-9


def test_large_regions_are_searched_by_coordinates(factors):
    design = optimal_design(factors(9), runs=12, model="main", levels=3, restarts=3)
    assert evaluate_design(design, "main").d_efficiency > 90


def test_choices_with_several_levels_are_balanced(factors):
    kind = Factor(letter="C", lever="mlp.kind", low="a", high="c", levels=("a", "b", "c"), kind="choice")
    design = optimal_design((*factors(2), kind), runs=12, model="main", restarts=10)
    counts = [sum(row.levels[2] == level for row in design.rows) for level in kind.coded_levels()]
    assert counts == [4, 4, 4]


def test_candidates_may_be_given(factors):
    corners = [(-1, -1), (1, 1), (-1, 1)]
    design = optimal_design(factors(2), runs=3, model="main", candidates=corners, restarts=5)
    assert sorted(row.levels for row in design.rows) == sorted(tuple(map(float, c)) for c in corners)


def test_forced_rows_are_in_the_design(factors):
    design = optimal_design(factors(3), runs=8, model="main", forced=[(0.5, 0.5, 0.5)], restarts=5)
    assert design.rows[0].levels == (0.5, 0.5, 0.5)
    assert len(design.rows) == 8


def test_potential_terms_may_exceed_the_runs(factors):
    squares = [f"{x}^2" for x in "ABC"]
    design = optimal_design(factors(3), runs=6, model="main", potential=squares, levels=3, restarts=10)
    assert any(0.0 in row.levels for row in design.rows)


def test_same_seed_gives_the_same_design(factors):
    one, other = (optimal_design(factors(3), runs=7, restarts=4, seed=5) for _ in range(2))
    assert one == other


def test_augmentation_makes_all_interactions_estimable(factors):
    base = fractional_factorial(factors(6), runs=16, seed=1)
    design = add_optimal(base, 10, restarts=10)
    assert [row.levels for row in design.rows[:16]] == [row.levels for row in base.rows]
    assert not estimability(design, "main+2fi").lost
    assert [row.block for row in design.in_run_order()] == ["original"] * 16 + ["added"] * 10


def test_augmentation_that_cannot_reach_the_model_says_how_many_rows_do(factors):
    with pytest.raises(DesignError, match="at least 9 rows"):
        add_optimal(fractional_factorial(factors(6), runs=16), 8)


def test_fewer_runs_than_coefficients_are_refused(factors):
    with pytest.raises(DesignError, match="5 runs cannot estimate 6 coefficients"):
        optimal_design(factors(2), runs=5, model="quadratic")


def test_candidates_that_cannot_support_a_term_name_it(factors):
    with pytest.raises(DesignError, match=r"Leave out B\^2"):
        optimal_design(factors(2), runs=8, model="quadratic", levels=2)


def test_forbidden_forced_row_is_refused(factors):
    with pytest.raises(DesignError, match="forced row is forbidden"):
        optimal_design(factors(2), runs=5, model="main", forced=[(1, 1)], constraints=["A=+1 & B=+1"])


def test_empty_region_is_refused(factors):
    with pytest.raises(DesignError, match="leave no point"):
        optimal_design(factors(2), runs=5, model="main", constraints=["A <= -2"])


def test_predicate_on_rows_is_kept(factors):
    design = optimal_design(factors(2), runs=6, model="main", allowed=lambda row: row[0] + row[1] < 1.5, restarts=5)
    assert (1.0, 1.0) not in {row.levels for row in design.rows}


def test_optimal_design_for_main_effects_equals_the_fraction_in_efficiency(factors):
    optimum = optimal_design(factors(3), runs=4, model="main", restarts=10)
    assert compare_d_efficiency(optimum, fractional_factorial(factors(3), runs=4), "main") == pytest.approx(1)


def test_lattice_of_a_factor_is_kept():
    batch = Factor(letter="A", lever="data.batch", low=8, high=64, kind="int", scale="pow2")
    other = Factor(letter="B", lever="x", low=0.0, high=1.0)
    design = optimal_design((batch, other), runs=8, model="quadratic", restarts=5)
    assert {design.decode(row)["data.batch"] for row in design.rows} <= {8, 16, 32, 64}
    assert all(design.realised(row) == row.levels for row in design.rows)


def test_full_factorial_is_its_own_optimum(factors):
    design = optimal_design(factors(3), runs=8, restarts=10)
    assert {row.levels for row in design.rows} == {row.levels for row in full_factorial(factors(3)).rows}
