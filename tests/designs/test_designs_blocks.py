import itertools
import math

import pytest

from foldover.core import DesignError
from foldover.designs import (
    block,
    block_generators,
    central_composite,
    fractional_factorial,
    full_factorial,
    plackett_burman,
)


def test_two_blocks_of_a_full_factorial_confound_the_highest_interaction(answers, factors):
    assert list(block(full_factorial(factors(4)), 2).block_words) == answers["D10"]["expected"]["k4_b2"]["confounded"]


def test_given_block_generators_confound_their_product_too(answers, factors):
    expected = answers["D10"]["expected"]["k5_b4"]
    blocked = block(full_factorial(factors(5)), generators=expected["generators"])
    assert list(blocked.block_words) == expected["confounded"]


def test_four_blocks_of_the_half_fraction_confound_three_interactions(answers, factors):
    blocked = block(fractional_factorial(factors(5), runs=16), 4)
    confounded = [word for word in blocked.block_words if len(word) == 2]
    assert len(confounded) == answers["D10"]["expected"]["k5_16_b4"]["min_2fi_confounded"]


def test_three_is_the_exhaustive_minimum_for_the_half_fraction(factors):
    design = fractional_factorial(factors(5), runs=16)
    fewest = 99
    for one, other in itertools.combinations(
        ["".join(p) for n in (1, 2) for p in itertools.combinations("ABCDE", n)], 2
    ):
        try:
            words = block(design, generators=[one, other]).block_words
        except DesignError:
            continue
        fewest = min(fewest, sum(len(word) == 2 for word in words))
    assert fewest == 3


def test_the_reference_choice_of_columns_confounds_what_it_says(answers, factors):
    # Columns 7 and 9 over A, B, C, D are ABC and AD.
    blocked = block(fractional_factorial(factors(5), runs=16), generators=["ABC", "AD"])
    assert (
        sorted(w for w in blocked.block_words if len(w) == 2)
        == answers["D10"]["expected"]["k5_16_b4"]["confounded_2fi"]
    )


def test_block_contrasts_are_orthogonal_to_main_effects(factors):
    blocked = block(fractional_factorial(factors(6), runs=32), 4)
    for name in {row.block for row in blocked.rows}:
        rows = [row.levels for row in blocked.rows if row.block == name]
        assert len(rows) == 8
        assert all(sum(column) == 0 for column in zip(*rows, strict=True))


def test_confounded_words_are_constant_within_a_block(factors):
    blocked = block(full_factorial(factors(5)), 4)
    for word in blocked.block_words:
        for name in "1234":
            rows = [row.levels for row in blocked.rows if row.block == name]
            assert len({math.prod(levels["ABCDE".index(x)] for x in word) for levels in rows}) == 1


def test_blocks_carry_the_names_of_hosts_and_are_run_one_after_another(factors):
    blocked = block(full_factorial(factors(3)), names=["linux", "windows"], seed=3)
    assert [row.block for row in blocked.in_run_order()] == ["linux"] * 4 + ["windows"] * 4
    assert [row.label for row in blocked.rows] == [f"c{i:02d}" for i in range(1, 9)]


def test_irregular_design_is_divided_evenly_and_main_effects_stay_estimable(factors):
    blocked = block(plackett_burman(factors(7)), 2)
    assert sorted(row.block for row in blocked.rows) == ["1"] * 6 + ["2"] * 6
    ones = [row.levels for row in blocked.rows if row.block == "1"]
    assert all(abs(sum(column)) <= 2 for column in zip(*ones, strict=True))


def test_two_sets_of_central_composite_blocks_are_refused(factors):
    with pytest.raises(DesignError, match="blocks already"):
        block(central_composite(factors(3), alpha=1.0, blocks=True), 2)


def test_number_of_blocks_that_is_no_power_of_two_is_refused(factors):
    with pytest.raises(DesignError, match="power of two"):
        block(full_factorial(factors(4)), 3)


def test_block_generator_that_confounds_a_main_effect_is_refused(factors):
    with pytest.raises(DesignError, match="confound main effect E"):
        block(fractional_factorial(factors(5), runs=16), generators=["ABCD"])


def test_dependent_block_generators_are_refused(factors):
    with pytest.raises(DesignError, match="follows from the others"):
        block(full_factorial(factors(4)), generators=["AB", "CD", "ABCD"])


def test_saturated_design_has_no_blocks_to_give(factors):
    with pytest.raises(DesignError, match="confound a main effect"):
        block_generators(fractional_factorial(factors(7), runs=8), 2)
