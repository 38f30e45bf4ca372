import itertools

import pytest

from foldover.core import DesignError
from foldover.designs import clear_effects, fractional_factorial
from foldover.designs.alias import column_of
from foldover.designs.gf2 import columns_of


def test_known_requirement_sets_are_met(answers, factors):
    for case in answers["D28"]["input"]["cases"]:
        letters = "ABCDEFG"[: case["k"]]
        everything = ["".join(pair) for pair in itertools.combinations(letters, 2)]
        need = everything if case["need"] == "all 2fi" else case["need"]
        design = fractional_factorial(
            factors(case["k"]), runs=case["runs"], clear=need, requirement="clear" if case["clear"] else "distinct"
        )
        columns = columns_of(letters, design.generators)
        masks = [columns[x].mask for x in letters] + [column_of(pair, columns).mask for pair in need]
        assert len(design.rows) == case["runs"]
        assert len(set(masks)) == len(masks), case
        if case["clear"]:
            assert set(need) <= set(clear_effects(letters, design.generators).two_factor), case


def test_clear_interactions_find_their_own_number_of_runs(factors):
    design = fractional_factorial(factors(5), clear=["AB"])
    assert "AB" in clear_effects("ABCDE", design.generators).two_factor


def test_requirement_at_64_runs_is_met_by_search(factors):
    need = ["AB", "CD", "EF", "GH"]
    design = fractional_factorial(factors(13), runs=64, clear=need)
    assert set(need) <= set(clear_effects(design.letters, design.generators).two_factor)


def test_impossible_requirement_names_the_runs_that_do_and_what_can_be_kept(factors):
    with pytest.raises(DesignError, match=r"32 runs do; 16 runs can keep") as caught:
        fractional_factorial(factors(7), runs=16, clear=["AB", "AC", "BC", "DE", "FG"])
    assert "none" not in caught.value.fix


def test_requirement_that_is_no_interaction_is_refused(factors):
    with pytest.raises(DesignError, match="two-factor interaction"):
        fractional_factorial(factors(5), runs=16, clear=["ABC"])


def test_requirement_of_an_unknown_letter_is_refused(factors):
    with pytest.raises(DesignError, match="no factor Q"):
        fractional_factorial(factors(5), runs=16, clear=["AQ"])
