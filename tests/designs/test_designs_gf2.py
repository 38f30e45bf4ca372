import pytest

from foldover.core import DesignError
from foldover.designs import (
    Word,
    alias_chain,
    alias_groups,
    alias_sets,
    clear_effects,
    defining_relation,
    resolution,
    wordlength_pattern,
    wordlength_pattern_of_columns,
)
from foldover.designs.alias import refuse_aliased_terms
from foldover.designs.gf2 import columns_of


@pytest.mark.parametrize("case", ["D01", "D02", "D03"])
def test_defining_relation_is_the_published_one(answers, case):
    given, expected = answers[case]["input"], answers[case]["expected"]
    words = defining_relation(given["generators"])
    assert list(words) == expected["words"]
    assert list(wordlength_pattern(words, given["k"])) == expected["wlp_from_A3"]
    assert resolution(words) == expected["resolution"]


def test_2_to_6_minus_2_has_the_textbook_alias_sets_of_interactions(answers):
    case = answers["D02"]
    groups = alias_groups("ABCDEF", case["input"]["generators"])
    assert sorted(list(g) for g in groups) == sorted(sorted(g) for g in case["expected"]["alias_sets_2fi"])


def test_half_fraction_of_five_lists_long_aliases(answers):
    case = answers["D03"]
    aliases = dict(alias_sets("ABCDE", case["input"]["generators"]))
    assert {effect: aliases[effect] for effect in case["expected"]["alias_of"]} == {
        effect: (alias,) for effect, alias in case["expected"]["alias_of"].items()
    }


def test_half_fraction_of_five_has_all_main_effects_and_interactions_clear(answers):
    case = answers["D03"]
    clear = clear_effects("ABCDE", case["input"]["generators"])
    assert len(clear.main) == case["expected"]["clear_main"]
    assert len(clear.two_factor) == case["expected"]["clear_2fi"]
    assert len(clear.strongly_clear) == 5  # the interactions are aliased with three-factor ones


def test_sign_of_a_product_word_is_the_product_of_signs(answers):
    case = answers["D04"]
    words = defining_relation(case["input"]["generators"])
    assert [w if w.startswith("-") else f"+{w}" for w in words] == case["expected"]["words_signed"]


@pytest.mark.parametrize("effect", ["A", "D"])
def test_contrast_of_a_signed_fraction_estimates_the_signed_chain(answers, effect):
    case = answers["D04"]
    assert alias_chain(effect, "ABCDE", case["input"]["generators"]) == case["expected"][f"estimate_{effect}"]


@pytest.mark.parametrize("case", ["D05_alias_8_5", "D05_alias_16_6", "D05_alias_16_7", "D05_alias_32_8"])
def test_alias_structure_is_that_of_the_r_catalogue(answers, case):
    given, expected = answers[case]["input"]["generators"], answers[case]["expected"]
    k = int(case.rpartition("_")[2])
    groups = {frozenset(g) for g in alias_groups("ABCDEFGH"[:k], given)}
    assert groups == {frozenset(text.split("=")) for text in [*expected["main"], *expected["fi2"]]}


def test_short_aliases_only_are_listed_with_many_generators():
    aliases = dict(alias_sets("ABCDEFG", ["D=AB", "E=AC", "F=BC", "G=ABC"]))
    assert aliases["A"][:3] == ("BD", "CE", "FG")
    assert {len(word) for word in aliases["A"]} == {2, 3}


def test_aliases_of_a_negative_half_are_subtracted():
    assert dict(alias_sets("ABCDE", ["E=-ABCD"]))["AB"] == ("-CDE",)


def test_generated_factor_may_stand_in_another_generator():
    assert defining_relation(["D=AB", "E=CD"]) == ("ABD", "CDE", "ABCE")
    assert columns_of("ABCDE", ["D=AB", "E=CD"])["E"].mask == 0b111


def test_negative_word_survives_reading():
    assert str(Word.parse("-DBA")) == "-ABD"


def test_pattern_from_runs_equals_pattern_from_words():
    words = defining_relation(["F=ABC", "G=ABD", "H=ACDE"])
    masks = [word.mask for word in columns_of("ABCDEFGH", ["F=ABC", "G=ABD", "H=ACDE"]).values()]
    assert wordlength_pattern_of_columns(masks, 5) == wordlength_pattern(words, 8)


@pytest.mark.parametrize(
    ("generators", "message"),
    [
        (["D=AB", "E=AB"], r"D=AB and E=AB alias D with E \(resolution II\)"),
        (["E=ABQ"], "no factor Q"),
        (["D=D"], "stands in its own generator"),
        (["D=AB", "ABD"], "ABD follows from D=AB"),
        (["D=AB", "D=AC"], "factor D is generated twice"),
        (["D=AA"], "a letter stands twice"),
        (["D=A"], "alias A with D"),
        (["D:ABC"], "not readable"),
    ],
)
def test_impossible_generators_are_refused_with_the_cause(generators, message):
    with pytest.raises(DesignError, match=message):
        columns_of("ABCDE", generators)


def test_model_with_two_terms_of_one_column_is_refused_with_the_alias_set():
    with pytest.raises(DesignError, match="C:D cannot be told from A:B") as caught:
        refuse_aliased_terms(["A", "B", "C", "D", "A:B", "C:D"], "ABCD", ["D=ABC"])
    assert caught.value.value == ("AB", "CD")


def test_interactions_of_a_resolution_iii_fraction_are_refused_with_the_main_effect():
    with pytest.raises(DesignError, match="AB cannot be told from D"):
        refuse_aliased_terms(["A", "B", "C", "D", "E", "AB"], "ABCDE", ["D=AB", "E=AC"])


def test_term_in_the_identity_set_is_refused():
    with pytest.raises(DesignError, match="ABCD cannot be told from the mean"):
        refuse_aliased_terms(["ABCD"], "ABCD", ["D=ABC"])
