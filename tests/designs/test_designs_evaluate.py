import math

import pytest

from foldover.core import DesignError, Factor
from foldover.designs import (
    add_centers,
    alias_matrix,
    central_composite,
    estimability,
    evaluate_design,
    expand_model,
    explicit_design,
    fractional_factorial,
    full_factorial,
    plackett_burman,
    prediction_variance,
    require_estimable,
)


def test_orthogonal_design_has_full_efficiency(factors):
    evaluation = evaluate_design(fractional_factorial(factors(5), runs=16), "main+2fi")
    assert evaluation.d_efficiency == pytest.approx(100)
    assert evaluation.a_efficiency == pytest.approx(100)
    assert evaluation.g_efficiency == pytest.approx(100)
    assert all(term.vif == pytest.approx(1) and term.variance == pytest.approx(1 / 16) for term in evaluation.terms)
    assert evaluation.correlations == ()


def test_scaled_variance_at_a_corner_is_the_number_of_coefficients(factors):
    design = full_factorial(factors(3))
    assert prediction_variance(design, "main", [(1, 1, 1), (0, 0, 0)]) == pytest.approx((4, 1))


def test_average_variance_of_a_factorial_over_the_cube(factors):
    # Mean of 1 + 3 E(x^2) = 2 in units of sigma^2 / N.
    assert evaluate_design(full_factorial(factors(3)), "main").average_variance == pytest.approx(2 / 8)


def test_rotatable_design_predicts_equally_well_at_equal_distance(factors):
    design = central_composite(factors(2))
    near, far = prediction_variance(design, "quadratic", [(0.7, 0), (0.7 / math.sqrt(2), 0.7 / math.sqrt(2))])
    assert near == pytest.approx(far)


def test_fraction_of_design_space_rises_to_the_maximum(factors):
    evaluation = evaluate_design(central_composite(factors(2), shape="faced"), "quadratic")
    values = [v for _, v in evaluation.design_space]
    assert values == sorted(values)
    assert values[-1] <= evaluation.largest_scaled_variance + 1e-9


def test_alias_matrix_of_a_half_fraction_has_coefficient_one(factors):
    entries = alias_matrix(fractional_factorial(factors(3), runs=4))
    assert {(e.term, e.omitted, e.coefficient) for e in entries} == {("A", "BC", 1), ("B", "AC", 1), ("C", "AB", 1)}


def test_negative_half_has_negative_alias_coefficients(factors):
    entries = alias_matrix(fractional_factorial(factors(3), generators=["C=-AB"]))
    assert {e.coefficient for e in entries} == {-1.0}


def test_alias_matrix_names_the_squares_that_bias_the_mean(factors):
    entries = alias_matrix(central_composite(factors(2)), "main+2fi")
    assert {e.omitted for e in entries if e.term == "1"} == {"A^2", "B^2"}


def test_lost_run_of_2_cubed_leaves_the_interactions_saturated(answers, factors):
    expected = answers["P48"]["expected"]
    # Run 6 of the Yates order is A+, B-, C+, which is c06 in product order too.
    design = full_factorial(factors(3))
    lost = next(row.label for row in design.rows if row.levels == (1, -1, 1))
    found = estimability(design, "main+2fi", failed=[lost])
    assert (found.rank, found.residual_df, found.lost) == (expected["rank_main_2fi"], expected["residual_df"], ())
    vif = {t.name: t.vif for t in evaluate_design(design, "main+2fi", failed=[lost]).terms}
    assert vif["A"] == pytest.approx(expected["vif_A"])


def test_three_factor_interaction_is_lost_with_a_reason_in_words(answers, factors):
    design = full_factorial(factors(3))
    full = ["A", "B", "C", "AB", "AC", "BC", "ABC"]
    found = estimability(design, full, failed=["c06"])
    assert found.rank == answers["P48"]["expected"]["rank_full"]
    assert any(item.term == "ABC" and item.reason.startswith("ABC = 1 + A - B + C") for item in found.lost)


def test_aliased_terms_are_refused_as_equal_columns(factors):
    with pytest.raises(DesignError, match="CD = AB in all 8 runs"):
        require_estimable(fractional_factorial(factors(4), runs=8), ["A", "AB", "CD"])


def test_factor_whose_low_runs_all_failed_is_named(factors):
    design = full_factorial(factors(2))
    found = estimability(design, "main", failed=["c01", "c02"])
    assert [item.reason for item in found.lost if item.term == "A"] == ["A has one level in all 2 runs"]


def test_what_is_not_involved_stays_estimable(factors):
    found = estimability(full_factorial(factors(2)), "main", failed=["c01", "c02"])
    assert found.estimable == ("B",)


def test_fewer_runs_than_terms_are_refused(factors):
    with pytest.raises(DesignError, match="rank 4"):
        evaluate_design(fractional_factorial(factors(3), runs=4), "main+2fi")


def test_squares_need_a_third_level(factors):
    with pytest.raises(DesignError, match=r"A\^2 = 1 in all 4 runs|A\^2 has one level"):
        require_estimable(full_factorial(factors(2)), ["A", "A^2"])


def test_centre_runs_tell_only_the_sum_of_squares(factors):
    found = estimability(add_centers(full_factorial(factors(2)), 3), ["A", "B", "A^2", "B^2"])
    assert {item.term for item in found.lost} == {"A^2", "B^2"}
    assert found.lost[0].reason == "B^2 = A^2 in all 7 runs"


def test_unknown_failed_row_is_refused(factors):
    with pytest.raises(DesignError, match="no such rows"):
        estimability(full_factorial(factors(2)), failed=["c99"])


def test_all_rows_failed_is_refused(factors):
    with pytest.raises(DesignError, match="no run has a result"):
        estimability(full_factorial(factors(2)), failed=["c01", "c02", "c03", "c04"])


def test_realised_levels_are_what_is_evaluated():
    depth = Factor(letter="A", lever="model.depth", low=6, high=8, center=8 - 1, kind="int")
    other = Factor(letter="B", lever="x", low=0.0, high=1.0)
    design = explicit_design((depth, other), [(-1, -1), (0.9, 1), (1, -1), (-1, 1)])
    assert evaluate_design(design, "main").d_efficiency == pytest.approx(100)


def test_projection_of_plackett_burman_on_four_factors_carries_their_interactions(factors):
    design = plackett_burman(factors(11))
    four = [*"ABCD", "AB", "AC", "AD", "BC", "BD", "CD"]
    assert not estimability(design, four).lost


def test_several_levels_of_a_choice_make_contrast_columns(factors):
    kind = Factor(letter="C", lever="mlp.kind", low="a", high="c", levels=("a", "b", "c"), kind="choice")
    evaluation = evaluate_design(full_factorial((*factors(2), kind)), "main")
    assert [term.name for term in evaluation.terms] == ["1", "A", "B", "C[a]", "C[b]"]


@pytest.mark.parametrize(
    ("model", "terms"),
    [
        ("main", ("A", "B")),
        ("main+2fi", ("A", "B", "AB")),
        ("quadratic", ("A", "B", "AB", "A^2", "B^2")),
        ("1 + B + A + B:A + AA", ("B", "A", "AB", "A^2")),
    ],
)
def test_models_are_read(factors, model, terms):
    assert expand_model(model, factors(2)) == terms


@pytest.mark.parametrize("model", ["A + Q", ["A*"], "A^^2"])
def test_unreadable_models_are_refused(factors, model):
    with pytest.raises(DesignError, match="not readable"):
        expand_model(model, factors(2))


def test_square_of_a_choice_is_refused(factors):
    kind = Factor(letter="C", lever="mlp.kind", low="a", high="b", kind="choice")
    with pytest.raises(DesignError, match="has no square"):
        expand_model(["C^2"], (*factors(2), kind))
