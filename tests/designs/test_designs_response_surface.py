import math

import pytest

from foldover.core import DesignError, Factor
from foldover.designs import axial_distance, box_behnken, central_composite, estimability, evaluate_design

DEPTH = Factor(letter="A", lever="model.depth", low=6, high=8, kind="int")
KIND = Factor(letter="A", lever="optimizer.name", low="adamw", high="muon", kind="choice")


def test_axial_distances_are_the_tabulated_ones(answers):
    case = answers["D26"]
    for i, k in enumerate(case["input"]["k"]):
        assert axial_distance("rotatable", k, 2**k) == pytest.approx(case["expected"]["rotatable_full"][i], abs=1e-6)
        assert axial_distance("spherical", k, 2**k) == pytest.approx(case["expected"]["spherical"][i], abs=1e-5)
    assert axial_distance("rotatable", 5, 16) == case["expected"]["rotatable_half_k5"]
    assert axial_distance("rotatable", 6, 32) == pytest.approx(case["expected"]["rotatable_half_k6"], abs=1e-6)
    orthogonal = axial_distance("orthogonal", 2, 4, (5, 0))
    assert orthogonal == pytest.approx(case["expected"]["orthogonal_alpha_k2_n0_5"], abs=1e-6)


def test_numbers_of_runs_are_the_tabulated_ones(answers, factors):
    expected = answers["D26"]["expected"]
    assert len(central_composite(factors(2), centers=(5, 0)).rows) == expected["runs_k2_n0_5"]
    assert len(central_composite(factors(3), centers=(6, 0)).rows) == expected["runs_k3_n0_6"]


def test_orthogonal_blocks_have_the_distance_of_the_textbook(factors):
    # Box and Hunter 1957: k = 3, F = 8, 4 and 2 centres give 1.633.
    design = central_composite(factors(3), alpha="orthogonal_blocks", blocks=True, centers=(4, 2))
    assert design.request["alpha"] == pytest.approx(1.633, abs=5e-4)


def test_orthogonal_blocks_have_equal_mean_squares(factors):
    design = central_composite(factors(3), alpha="orthogonal_blocks", blocks=True, centers=(4, 2))
    means = []
    for name in ("factorial", "axial"):
        rows = [row.levels for row in design.rows if row.block == name]
        means.append(sum(row[0] ** 2 for row in rows) / len(rows))
    assert means[0] == pytest.approx(means[1])


def test_orthogonal_distance_makes_squares_uncorrelated(factors):
    design = central_composite(factors(2), alpha="orthogonal", centers=(5, 0))
    evaluation = evaluate_design(design, "quadratic")
    assert not [c for c in evaluation.correlations if {c.one, c.other} == {"A^2", "B^2"}]


def test_faced_design_stays_inside_the_cube(factors):
    design = central_composite(factors(3), shape="faced")
    assert max(abs(x) for row in design.rows for x in row.levels) == 1


def test_inscribed_design_has_its_axial_runs_at_the_levels(factors):
    design = central_composite(factors(3), shape="inscribed")
    assert {max(map(abs, row.levels)) for row in design.rows if row.kind == "axial"} == {1.0}
    corner = next(row for row in design.rows if row.kind == "factorial")
    assert abs(corner.levels[0]) == pytest.approx(8**-0.25)


def test_five_factors_take_the_half_fraction(factors):
    design = central_composite(factors(5))
    assert (design.request["factorial_runs"], design.words) == (16, ("ABCDE",))


def test_full_factorial_part_may_be_asked_for(factors):
    design = central_composite(factors(5), factorial_runs=32)
    assert design.request["alpha"] == pytest.approx(32**0.25)


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_composite_designs_carry_the_second_order_model(factors, k):
    assert not estimability(central_composite(factors(k), alpha=1.2), "quadratic").lost


def test_box_behnken_plans_have_the_published_sizes(answers, factors):
    case = answers["P17"]
    sizes = [sum(row.kind == "edge" for row in box_behnken(factors(k)).rows) for k in case["input"]["k"]]
    assert sizes == case["expected"]["non_centre_runs"]


def test_box_behnken_for_three_factors_has_the_known_sums(answers, factors):
    expected = answers["P17"]["expected"]
    rows = [row.levels for row in box_behnken(factors(3)).rows]
    assert sum(a * a for a, _, _ in rows) == expected["k3_linear_ss"]
    assert sum((a * b) ** 2 for a, b, _ in rows) == expected["k3_interaction_ss"]
    assert sum(a**4 for a, _, _ in rows) == expected["k3_quadratic_raw_ss"]
    assert sum(a**2 * b**2 for a, b, _ in rows) == expected["k3_quadratic_cross"]


@pytest.mark.parametrize("k", [3, 4, 5, 6, 7])
def test_box_behnken_plans_carry_the_second_order_model(factors, k):
    assert not estimability(box_behnken(factors(k)), "quadratic").lost


@pytest.mark.parametrize("k", [2, 8])
def test_other_box_behnken_sizes_are_refused(factors, k):
    with pytest.raises(DesignError, match="3 to 7 factors"):
        box_behnken(factors(k))


def test_axial_level_that_rounds_to_a_corner_is_refused(factors):
    with pytest.raises(DesignError, match=r"factor A .* are both realised as 6"):
        central_composite((DEPTH, *factors(3)[1:]), alpha=1.2)


def test_axial_level_below_zero_is_refused(factors):
    narrow = Factor(letter="A", lever="optimizer.lr", low=0.1, high=1.0)
    with pytest.raises(DesignError, match="not positive"):
        central_composite((narrow, *factors(3)[1:]))


def test_axial_level_on_a_log_scale_stays_positive(factors):
    rate = Factor(letter="A", lever="optimizer.lr", low=0.1, high=1.0, scale="log")
    design = central_composite((rate, *factors(2)[1:]))
    lowest = min(design.decode(row).number("optimizer.lr") for row in design.rows)
    assert lowest == pytest.approx(10 ** (-0.5 - 0.5 * math.sqrt(2)))


def test_choices_are_refused(factors):
    with pytest.raises(DesignError, match="is a choice"):
        central_composite((KIND, *factors(3)[1:]))
    with pytest.raises(DesignError, match="is a choice"):
        box_behnken((KIND, *factors(3)[1:]))


def test_design_without_centres_is_refused(factors):
    with pytest.raises(DesignError, match="centre runs"):
        central_composite(factors(3), centers=(0, 0))
