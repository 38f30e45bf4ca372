"""Terms in words and their columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import parse_term, resolve_terms, term_columns, term_text


@pytest.mark.parametrize("text", ["AB", "A:B", "B*A", "ba".upper()])
def test_spellings_of_an_interaction_agree(text: str) -> None:
    assert term_text(parse_term(text, "ABC")) == "AB"


def test_powers_are_written_with_a_caret() -> None:
    assert term_text(parse_term("A:A", "AB")) == "A^2"
    assert parse_term("A^2", "AB") == ("A", "A")


def test_long_names_are_joined_by_colons() -> None:
    assert term_text(parse_term("lr:depth", ["depth", "lr"])) == "depth:lr"


def test_factors_named_c_q_and_i_are_ordinary() -> None:
    assert parse_term("CQI", "CIQ") == ("C", "I", "Q")


def test_an_unknown_factor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AnalysisError, match="Factors are A, B"):
        parse_term("AZ", "AB")


def test_a_term_listed_twice_is_refused() -> None:
    with pytest.raises(AnalysisError, match="twice"):
        resolve_terms(["A", "AB", "B:A"], "AB")


def test_named_models_have_the_expected_terms() -> None:
    assert [term_text(t) for t in resolve_terms("main+2fi", "ABC")] == ["A", "B", "C", "AB", "AC", "BC"]
    assert [term_text(t) for t in resolve_terms("quadratic", "AB")] == ["A", "B", "AB", "A^2", "B^2"]


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(AnalysisError, match="unknown model"):
        resolve_terms("everything", "AB")


@given(st.sets(st.sampled_from("ABCDE"), min_size=1))
def test_a_term_round_trips_through_its_text(names: set[str]) -> None:
    term = tuple(sorted(names))
    assert parse_term(term_text(term), "ABCDE") == term


def test_columns_are_products_of_levels() -> None:
    levels = np.array([[-1.0, 1.0], [1.0, 1.0], [0.5, -2.0]])
    assert term_columns([("A", "B"), ("A", "A")], levels, "AB").tolist() == [[-1.0, 1.0], [1.0, 1.0], [-1.0, 0.25]]
