"""Hyperband's ladder of budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import hyperband_brackets

D16: dict[str, Any] = json.loads((Path(__file__).parent / "known_answers_claims.json").read_text(encoding="utf-8"))[
    "cases"
]["D16"]


@pytest.mark.parametrize("largest", D16["input"]["R"])
def test_d16_brackets_of_hyperband(largest: int) -> None:
    brackets, wanted = hyperband_brackets(largest, D16["input"]["eta"]), D16["expected"][f"R{largest}"]
    assert [b.s for b in brackets] == [w["s"] for w in wanted]
    for bracket, expected in zip(brackets, wanted, strict=True):
        assert [[rung.runs, rung.budget] for rung in bracket.rungs] == expected["rungs"]
        assert (bracket.rungs[0].runs, bracket.rungs[0].budget) == (expected["n"], expected["r"])
        assert bracket.cost == pytest.approx(expected["cost"], rel=D16["tol"])
    assert sum(b.cost for b in brackets) == pytest.approx(D16["expected"][f"total_R{largest}"], rel=D16["tol"])


def test_going_on_from_checkpoints_saves_what_the_rungs_below_have_trained() -> None:
    bracket = hyperband_brackets(9)[0]
    assert bracket.cost_continued == 9 * 1 + 3 * (3 - 1) + 1 * (9 - 3)


@given(st.integers(1, 2000), st.integers(2, 5))
def test_every_bracket_ends_at_the_largest_budget_with_a_run_left(largest: int, eta: int) -> None:
    brackets = hyperband_brackets(largest, eta)
    assert all(b.rungs[-1].budget == largest and b.rungs[-1].runs >= 1 for b in brackets)
    assert eta ** brackets[0].s <= largest < eta ** (brackets[0].s + 1)


@pytest.mark.parametrize(("largest", "eta", "message"), [(0, 3, "at least 1"), (9, 1, "keep fewer")])
def test_ladders_that_are_none_are_refused(largest: int, eta: int, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        hyperband_brackets(largest, eta)
