import pytest

from foldover.core import DesignError
from foldover.designs import (
    ALPHABET,
    clear_effects,
    defining_relation,
    fractional_factorial,
    generators_for,
    minimum_aberration,
    most_factors,
    resolution_chart,
    wordlength_pattern_of_columns,
)
from foldover.designs.aberration import fractions
from foldover.designs.catalogue import generators_from_columns, shortest_word
from foldover.designs.gf2 import columns_of


def _pattern(columns, runs):
    num_basic = runs.bit_length() - 1
    return wordlength_pattern_of_columns([*(1 << i for i in range(num_basic)), *columns], num_basic)


def test_stored_generators_have_the_patterns_of_the_known_minimum_aberration_designs(catalogue_rows):
    assert len(catalogue_rows) == 85
    for row in catalogue_rows:
        letters = ALPHABET[: row["factors"]]
        masks = [w.mask for w in columns_of(letters, generators_for(row["factors"], row["runs"])).values()]
        pattern = wordlength_pattern_of_columns(masks, row["runs"].bit_length() - 1)
        assert list(pattern[: len(row["wlp_from_A3"])]) == row["wlp_from_A3"], row


def test_search_tells_apart_as_many_fractions_as_are_known():
    # Numbers of non-isomorphic fractions: Chen, Sun and Wu 1993, Int. Stat. Review 61.
    assert [len(fractions(k, 4)) for k in range(5, 12)] == [3, 4, 5, 6, 5, 4, 3]
    assert [len(fractions(k, 5)) for k in range(6, 13)] == [4, 8, 15, 29, 46, 64, 89]


def test_search_finds_the_known_patterns_up_to_32_runs(catalogue_rows):
    rows = [row for row in catalogue_rows if 8 <= row["runs"] <= 32 and row["factors"] <= 11]
    assert len(rows) > 15
    for row in rows:
        assert list(_pattern(minimum_aberration(row["factors"], row["runs"]), row["runs"])) == row["wlp_from_A3"], row


@pytest.mark.parametrize(("factors", "runs"), [(7, 64), (8, 64), (9, 64), (10, 64), (8, 128), (9, 128), (10, 128)])
def test_search_finds_the_known_patterns_of_few_generators_at_64_and_128_runs(catalogue_rows, factors, runs):
    row = next(r for r in catalogue_rows if (r["factors"], r["runs"]) == (factors, runs))
    assert list(_pattern(minimum_aberration(factors, runs), runs)) == row["wlp_from_A3"]


def test_every_number_of_factors_up_to_11_is_stored_from_8_to_128_runs():
    for runs in (8, 16, 32, 64, 128):
        for factors in range(runs.bit_length(), min(11, runs - 1) + 1):
            assert len(generators_for(factors, runs)) == factors - (runs.bit_length() - 1)


def test_stored_designs_have_the_listed_numbers_of_clear_interactions(catalogue_rows):
    for row in catalogue_rows:
        if row["factors"] <= 16:
            letters = ALPHABET[: row["factors"]]
            clear = clear_effects(letters, generators_for(row["factors"], row["runs"]))
            assert len(clear.two_factor) == row["clear_2fi"], row


def test_most_clear_designs_beat_minimum_aberration_as_known(answers):
    for case in answers["D06"]["expected"]["cases"]:
        letters = ALPHABET[: case["factors"]]
        least = generators_for(case["factors"], case["runs"])
        most = generators_for(case["factors"], case["runs"], criterion="clear")
        assert len(clear_effects(letters, least).two_factor) == case["ma_clear"]
        assert len(clear_effects(letters, most).two_factor) == case["max_clear"]


def test_reachable_resolutions_are_the_known_ones():
    # Known: the largest k for resolution V is 5, 6, 8, 11 and for IV 8, 16, 32, 64 at 16 to 128 runs.
    assert [most_factors(runs, 5) for runs in (16, 32, 64, 128)] == [5, 6, 8, 11]
    assert [most_factors(runs, 4) for runs in (16, 32, 64, 128)] == [8, 16, 32, 64]
    assert most_factors(16, 3) == 15


def test_resolution_from_columns_agrees_with_the_words(catalogue_rows):
    for row in catalogue_rows:
        assert shortest_word(row["generator_columns"]) == row["resolution"], row


def test_chart_shows_what_a_number_of_runs_gives():
    chart = {(runs, k): r for runs, k, r in resolution_chart()}
    assert (chart[16, 4], chart[16, 5], chart[16, 8], chart[16, 9], chart[32, 6]) == (None, 5, 4, 3, 6)
    assert (16, 16) not in chart


def test_generators_use_the_given_letters():
    assert generators_for(5, 16, letters="PQRST") == ("T=PQRS",)


def test_column_becomes_a_product_of_basic_letters():
    assert generators_from_columns((7, 11), "ABCDEF", 4) == ("E=ABC", "F=ABD")


def test_nine_factors_in_16_runs_have_the_pattern_4_14(factors):
    design = fractional_factorial(factors(9), runs=16)
    assert design.resolution == 3
    assert sum(len(word) == 3 for word in design.words) == 4
    assert sum(len(word) == 4 for word in design.words) == 14
    assert design.words == defining_relation(design.generators)


@pytest.mark.parametrize(
    ("factors_and_runs", "message"),
    [((5, 12), "power of two"), ((16, 16), "at most 15 factors"), ((5, 64), "32 combinations"), ((40, 128), "stored")],
)
def test_fractions_that_do_not_exist_are_refused(factors_and_runs, message):
    with pytest.raises(DesignError, match=message):
        generators_for(*factors_and_runs)
