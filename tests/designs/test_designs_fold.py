import pytest

from foldover.core import DesignError
from foldover.designs import (
    best_fold_over,
    clear_effects,
    estimability,
    fold_over,
    fold_over_options,
    fractional_factorial,
    full_factorial,
    plackett_burman,
    resolution,
    semifold,
    semifold_options,
)


@pytest.fixture(scope="module")
def seventh(answers, factors):
    return fractional_factorial(factors(7), generators=answers["D08"]["input"]["generators"], seed=4)


def test_full_fold_over_keeps_the_even_words(answers, seventh):
    folded = fold_over(seventh)
    assert list(folded.words) == answers["D08"]["expected"]["full"]["words"]
    assert folded.resolution == 4


def test_fold_over_on_one_factor_keeps_the_words_without_it(answers, seventh):
    folded = fold_over(seventh, "A")
    assert list(folded.words) == answers["D08"]["expected"]["single_A"]["words"]
    assert folded.resolution == 3


def test_fold_over_on_one_factor_clears_it_and_its_interactions(seventh):
    clear = clear_effects(seventh.letters, fold_over(seventh, "A").generators)
    assert "A" in clear.main
    assert {f"A{other}" for other in "BCDEFG"} <= set(clear.two_factor)


def test_words_of_the_whole_hold_in_every_row(seventh):
    folded = fold_over(seventh, "AC")
    place = {letter: i for i, letter in enumerate(folded.letters)}
    for word in folded.words:
        products = set()
        for row in folded.rows:
            product = 1.0
            for letter in word.lstrip("-"):
                product *= row.levels[place[letter]]
            products.add(product)
        assert products == {-1.0 if word.startswith("-") else 1.0}, word


def test_rows_of_the_eye_focus_fold_over_are_the_published_ones(answers, factors):
    case = answers["P08"]["input"]
    design = fractional_factorial(factors(7), generators=case["generators"])
    folded = fold_over(design)
    original = [list(row.levels) for row in folded.rows if row.block == "original"]
    added = [list(row.levels) for row in folded.rows if row.block == "foldover"]
    assert sorted(original) == sorted(case["fraction1"])
    assert sorted(added) == sorted(case["fraction2"])


def test_new_half_is_run_after_the_old_one_as_a_block(seventh):
    folded = fold_over(seventh)
    assert [row.block for row in folded.in_run_order()] == ["original"] * 8 + ["foldover"] * 8
    assert [row.order for row in folded.rows[:8]] == [row.order for row in seventh.rows]


def test_half_fraction_folded_on_its_generated_factor_is_the_full_factorial(factors):
    folded = fold_over(fractional_factorial(factors(5), runs=16), "E")
    assert (folded.generators, folded.words, folded.resolution) == ((), (), None)
    assert {row.levels for row in folded.rows} == {row.levels for row in full_factorial(factors(5)).rows}


def test_full_fold_over_of_an_even_design_is_refused_with_a_proposal(factors):
    with pytest.raises(DesignError, match=r"Reverse a single factor, e\.g\. A"):
        fold_over(fractional_factorial(factors(8), runs=16))


def test_full_factorial_has_nothing_to_fold(factors):
    with pytest.raises(DesignError, match="no aliases"):
        fold_over(full_factorial(factors(3)))


def test_plackett_burman_folded_over_frees_main_effects_of_interactions(factors):
    folded = fold_over(plackett_burman(factors(11)))
    rows = [row.levels for row in folded.rows]
    assert len(rows) == 24
    assert all(
        sum(row[i] * row[j] * row[m] for row in rows) == 0 for i in range(11) for j in range(i) for m in range(j)
    )


def test_options_are_all_classes_best_first(factors):
    design = fractional_factorial(factors(6), runs=16)
    options = fold_over_options(design)
    assert len(options) == 3
    assert options[0].pattern == (0, 1, 0, 0)
    assert options[0].clear_two_factor == 9


def test_best_fold_over_of_the_saturated_eighth_is_the_full_one(seventh):
    assert fold_over_options(seventh)[0].reverse == "all"
    assert best_fold_over(seventh).resolution == 4


def test_semifolds_of_2_to_6_minus_2_have_the_known_ranks(answers, factors):
    case = answers["D09"]
    options = semifold_options(fractional_factorial(factors(6), generators=case["input"]["generators"]))
    assert len(options) == case["expected"]["semifolds"]
    assert {o.base_rank for o in options} == {case["expected"]["base_rank"]}
    assert {o.rank for o in options} == {case["expected"]["semifold_rank"]}
    assert {o.full_rank for o in options} == {case["expected"]["full_foldover_rank"]}


def test_semifold_adds_half_the_rows_with_one_letter_reversed(factors):
    design = semifold(fractional_factorial(factors(6), runs=16), "A", subset="B", level=-1)
    added = [row for row in design.rows if row.block == "foldover"]
    assert len(added) == 8
    assert {row.levels[1] for row in added} == {-1.0}
    assert estimability(design, "main+2fi").rank == 19


def test_semifold_claims_no_words(factors):
    design = semifold(fractional_factorial(factors(6), runs=16), "A", subset="B")
    assert (design.words, design.resolution, resolution(design.words)) == ((), None, None)


@pytest.mark.parametrize("reverse", ["", "AA", "Q"])
def test_reversals_that_mean_nothing_are_refused(factors, reverse):
    with pytest.raises(DesignError):
        fold_over(fractional_factorial(factors(6), runs=16), reverse)
