import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import DesignError, Factor

KINDS = ("relu", "gelu", "silu", "relu2")
CHOICE = Factor(letter="K", lever="mlp.kind", low="relu", high="relu2", levels=KINDS, kind="choice")
BATCH = Factor(letter="D", lever="data.batch", low=2**18, high=2**19, kind="int", scale="pow2")
RATE = Factor(letter="C", lever="optimizer.lr", low=0.01, high=0.16, scale="log")


def test_linear_levels_of_the_paper_decode_as_tabulated():
    # D14 of the known answers: (0, 1/3) on depth 6..8, aspect 48..72.
    aspect = Factor(letter="B", lever="model.aspect", low=48, high=72, kind="int")
    assert [aspect.decode(x) for x in (-1, 0, 1 / 3, 1)] == [48, 60, 64, 72]
    assert aspect.encode(64) == pytest.approx(1 / 3)


def test_aspect_on_a_log_scale_is_elsewhere():
    # ln(64 / 58.79) over ln(72 / 48) / 2: 64 between 48 and 72 is +0.419 on a log scale.
    assert Factor(letter="B", lever="a", low=48.0, high=72.0, scale="log").encode(64.0) == pytest.approx(
        0.419, abs=5e-4
    )


def test_log_centre_is_the_geometric_mean_without_rounding_dust():
    assert RATE.decode(0) == 0.04


def test_log_batch_between_powers_of_two_is_the_tabulated_one():
    batch = Factor(letter="D", lever="data.batch", low=262144.0, high=524288.0, scale="log")
    assert batch.decode(0) == pytest.approx(370727.6, abs=0.1)


def test_power_of_two_without_a_middle_is_realised_at_an_end():
    assert BATCH.decode(0) in (2**18, 2**19)
    assert abs(BATCH.realised(0)) == 1


def test_power_of_two_below_one_stays_on_its_lattice():
    gain = Factor(letter="G", lever="gain", low=0.125, high=2.0, scale="pow2")
    assert [gain.decode(x) for x in (-1, -0.5, 0, 0.5, 1)] == [0.125, 0.25, 0.5, 1.0, 2.0]


def test_lattice_that_may_not_round_refuses_its_missing_centre():
    strict = Factor(letter="A", lever="model.depth", low=6, high=9, kind="int", may_round=False)
    with pytest.raises(DesignError, match=r"coded 0 is 7\.5, which is not on its lattice"):
        strict.decode(0)
    assert strict.decode(1 / 3) == 8


def test_multiples_are_kept_and_realised_tells_the_move():
    width = Factor(letter="W", lever="model.width", low=256, high=768, kind="int", multiple_of=128)
    assert width.decode(0.3) == 640
    assert width.realised(0.3) == pytest.approx(0.5)


def test_whole_numbers_on_a_log_scale_do_not_fall_to_zero():
    steps = Factor(letter="S", lever="steps", low=128, high=1024, kind="int", scale="log", multiple_of=128)
    assert steps.decode(-3) == 128


def test_large_whole_numbers_keep_every_digit():
    tokens = Factor(letter="T", lever="tokens", low=10**14 + 1, high=10**14 + 3, kind="int")
    assert tokens.decode(0) == 10**14 + 2


def test_choices_are_coded_at_equal_distances():
    assert CHOICE.coded_levels() == pytest.approx((-1, -1 / 3, 1 / 3, 1))
    assert [CHOICE.decode(x) for x in CHOICE.coded_levels()] == list(KINDS)


def test_choice_between_its_levels_is_refused_with_the_known_ones():
    with pytest.raises(DesignError, match=r"-1, -0\.333333, 0\.333333, 1"):
        CHOICE.decode(0)


def test_two_level_choice_has_no_centre():
    with pytest.raises(DesignError, match="only the coded levels -1, 1"):
        Factor(letter="K", lever="k", low="a", high="b", kind="choice").decode(0)


def test_listed_numbers_are_a_lattice():
    heads = Factor(letter="H", lever="heads", low=2, high=16, levels=(2, 4, 6, 16), kind="int")
    assert heads.decode(0) == 6
    assert heads.num_levels == 4


def test_declared_centre_decodes_at_zero_and_encodes_where_it_is():
    aspect = Factor(letter="B", lever="a", low=48, high=72, center=64, kind="int")
    assert aspect.decode(0) == 64
    assert aspect.realised(0) == pytest.approx(1 / 3)


def test_unknown_choice_is_refused_with_the_known_ones():
    with pytest.raises(DesignError, match="There are 'relu', 'gelu'"):
        CHOICE.encode("tanh")


def test_negative_value_has_no_place_on_a_log_scale():
    with pytest.raises(DesignError, match="must be positive"):
        RATE.encode(-1.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"letter": "I"}, "needs one letter"),
        ({"letter": "AB"}, "needs one letter"),
        ({"high": 1}, "low and high are the same"),
        ({"low": 3, "high": 2}, "low is above high"),
        ({"low": 0, "scale": "log"}, "must be positive"),
        ({"low": "a"}, "not a number"),
        ({"low": float("nan")}, "not a number"),
        ({"low": 1.5, "high": 3, "kind": "int"}, "not a whole number"),
        ({"low": 100, "high": 256, "kind": "int", "multiple_of": 64}, "not a multiple of 64"),
        ({"levels": (1, 3)}, "begin with low and end with high"),
        ({"levels": (1, 1, 2)}, "listed twice"),
        ({"levels": (1, 9, 2)}, "low is above high"),
        ({"low": "a", "high": "b", "kind": "choice", "center": "c"}, "a choice has no centre"),
    ],
)
def test_impossible_factors_are_refused(fields, message):
    with pytest.raises(DesignError, match=message):
        Factor(**{"letter": "A", "lever": "x", "low": 1, "high": 2, **fields})


@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e3), st.floats(-2, 2), st.sampled_from(["linear", "log"]))
def test_numbers_survive_decoding_and_encoding(low, ratio, coded, scale):
    factor = Factor(letter="A", lever="x", low=low, high=low * ratio, scale=scale)
    natural = factor.decode(coded)
    assert factor.decode(factor.encode(natural)) == pytest.approx(natural, rel=1e-9, abs=1e-12 * low)


@given(st.integers(-200, 200), st.integers(1, 300), st.floats(-1, 1))
def test_whole_numbers_survive_exactly(low, span, coded):
    factor = Factor(letter="A", lever="x", low=low, high=low + span, kind="int")
    natural = factor.decode(coded)
    assert isinstance(natural, int)
    assert factor.decode(factor.encode(natural)) == natural


@given(st.integers(0, 20), st.integers(1, 10), st.floats(-1, 1))
def test_powers_of_two_survive_exactly(low, span, coded):
    factor = Factor(letter="A", lever="x", low=2**low, high=2 ** (low + span), kind="int", scale="pow2")
    natural = factor.decode(coded)
    assert math.log2(natural).is_integer()
    assert factor.decode(factor.encode(natural)) == natural
    assert factor.realised(factor.realised(coded)) == pytest.approx(factor.realised(coded))
