import math

import pytest

from foldover.core import DesignError, Factor
from foldover.designs import fractional_factorial, full_factorial, parse_request


def test_rows_are_labelled_in_product_order_with_the_first_factor_slowest(factors):
    design = fractional_factorial(factors(5), generators=["E=ABCD"])
    assert [row.label for row in design.rows] == [f"c{i:02d}" for i in range(1, 17)]
    assert design.rows[0].levels == (-1, -1, -1, -1, 1)
    assert design.rows[1].levels == (-1, -1, -1, 1, -1)
    assert design.rows[15].levels == (1, 1, 1, 1, 1)


def test_half_fraction_of_five_is_found_from_the_runs(factors):
    design = fractional_factorial(factors(5), runs=16)
    assert (design.generators, design.words, design.resolution) == (("E=ABCD",), ("ABCDE",), 5)


def test_negative_generator_gives_the_other_half(factors):
    one = fractional_factorial(factors(5), generators=["E=ABCD"])
    other = fractional_factorial(factors(5), generators=["E=-ABCD"])
    assert {row.levels for row in one.rows} | {row.levels for row in other.rows} == {
        row.levels for row in full_factorial(factors(5)).rows
    }


def test_basic_factors_need_not_come_first(factors):
    design = fractional_factorial(factors(4), generators=["A=BCD"])
    assert all(row.levels[0] == math.prod(row.levels[1:]) for row in design.rows)


def test_resolution_alone_finds_the_fewest_runs(factors):
    assert len(fractional_factorial(factors(8), resolution=4).rows) == 16
    assert len(fractional_factorial(factors(8), resolution=5).rows) == 64


def test_run_order_is_a_permutation_that_the_seed_fixes(factors):
    one, same, other = (fractional_factorial(factors(5), runs=16, seed=seed) for seed in (7, 7, 8))
    assert sorted(row.order for row in one.rows) == list(range(16))
    assert one == same
    assert [row.order for row in one.rows] != [row.order for row in other.rows]


def test_standard_order_without_a_seed(factors):
    assert [row.order for row in full_factorial(factors(3)).rows] == list(range(8))


def test_run_order_of_seed_7_is_this_one_for_ever(factors):
    design = full_factorial(factors(3), seed=7)
    # Computed once; a change would reorder studies that were declared earlier.
    assert [row.label for row in design.in_run_order()] == ["c07", "c06", "c01", "c04", "c05", "c03", "c02", "c08"]


def test_listed_levels_enter_a_full_factorial_with_all_of_them(factors):
    three = Factor(
        letter="C", lever="mlp.kind", low="relu", high="silu", levels=("relu", "gelu", "silu"), kind="choice"
    )
    design = full_factorial((*factors(2), three))
    assert len(design.rows) == 12
    assert [design.decode(row)["mlp.kind"] for row in design.rows[:3]] == ["relu", "gelu", "silu"]


def test_full_factorial_beyond_the_cap_says_how_many_runs(factors):
    with pytest.raises(DesignError, match="8192 runs"):
        full_factorial(factors(13))


def test_design_without_factors_is_refused():
    with pytest.raises(DesignError, match="at least one factor"):
        full_factorial(())


def test_three_levels_do_not_enter_a_fraction(factors):
    three = Factor(letter="E", lever="mlp.kind", low="a", high="c", levels=("a", "b", "c"), kind="choice")
    with pytest.raises(DesignError, match="factor E has 3 levels"):
        fractional_factorial((*factors(4), three), runs=16)


def test_unreachable_resolution_names_the_largest_number_of_factors(factors):
    with pytest.raises(DesignError, match="at most 8 factors"):
        fractional_factorial(factors(9), runs=16, resolution=4)


def test_generators_below_the_resolution_asked_for_are_refused(factors):
    with pytest.raises(DesignError, match="give resolution III, not IV"):
        fractional_factorial(factors(6), generators=["E=AB", "F=CD"], resolution=4)


def test_runs_that_do_not_fit_the_generators_are_refused(factors):
    with pytest.raises(DesignError, match="make 16 runs, not 8"):
        fractional_factorial(factors(5), generators=["E=ABCD"], runs=8)


@pytest.mark.parametrize(
    ("text", "expected"), [("2^(5-1)", (5, 1)), ("2^5", (5, 0)), ("2**(7-3)", (7, 3)), (" 2 ^ ( 6 - 2 ) ", (6, 2))]
)
def test_requests_are_read(text, expected):
    assert parse_request(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2^(5-4)", "at least 4 runs"),
        ("2^(5-5)", "at least 4 runs"),
        ("2^0", "at least one factor"),
        ("3^4", "not readable"),
        ("2^(17-13)", "16 runs carry at most 15"),
    ],
)
def test_requests_that_are_no_design_are_refused(text, message):
    with pytest.raises(DesignError, match=message):
        parse_request(text)
