"""Values: sorted, hashable, finite."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import EMPTY, Values

named = st.dictionaries(
    st.text(max_size=8), st.integers() | st.booleans() | st.text(max_size=8) | st.none(), max_size=8
)


@given(named)
def test_values_do_not_depend_on_the_order_they_were_given_in(items):
    backwards = dict(reversed(items.items()))
    assert (Values(backwards), hash(Values(backwards))) == (Values(items), hash(Values(items)))


@given(named)
def test_names_come_out_sorted(items):
    assert list(Values(items)) == sorted(items)


@given(named, named)
def test_with_replaces_and_adds_and_leaves_the_original(items, more):
    original = Values(items)
    assert (dict(original.with_(more)), dict(original)) == ({**items, **more}, items)


@given(named)
def test_values_survive_pickling(items):
    assert pickle.loads(pickle.dumps(Values(items))) == Values(items)  # noqa: S301


def test_names_that_are_no_identifiers_and_keywords_mix():
    assert dict(Values({"model.depth": 2}, seed=1)) == {"model.depth": 2, "seed": 1}


def test_values_cannot_be_changed():
    with pytest.raises(TypeError):
        Values(a=1)["a"] = 2  # type: ignore[index]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused_by_name(number):
    with pytest.raises(ValueError, match="loss is not a finite number"):
        Values(loss=number)


def test_values_are_not_equal_to_a_dict():
    assert Values(a=1) != {"a": 1}


def test_the_repr_shows_the_content():
    assert repr(Values(b=2, a=1)) == "Values({'a': 1, 'b': 2})"


def test_empty_values_have_no_names():
    assert (len(EMPTY), list(EMPTY)) == (0, [])


def test_a_number_is_read_as_a_float():
    assert Values(a=1).number("a") == 1.0


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        ("number", "1", "a is not a number"),
        ("number", True, "a is not a number"),
        ("number", None, "a is not a number"),
        ("integer", 1.0, "a is not a whole number"),
        ("integer", True, "a is not a whole number"),
        ("text", 1, "a is not a text"),
    ],
)
def test_reading_as_another_type_names_the_value(read, value, message):
    with pytest.raises(TypeError, match=message):
        getattr(Values(a=value), read)("a")


@pytest.mark.parametrize("read", ["number", "integer", "text"])
def test_reading_what_is_not_there_is_a_key_error(read):
    with pytest.raises(KeyError, match="missing"):
        getattr(EMPTY, read)("missing")
