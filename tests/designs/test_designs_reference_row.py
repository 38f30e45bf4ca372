from __future__ import annotations

import pytest

from foldover.core import DesignError, Factor
from foldover.designs import one_at_a_time


def factor(letter: str, *, lever: str = "", low: int = 0, high: int = 1) -> Factor:
    return Factor(letter=letter, lever=lever or letter, low=low, high=high)


def test_every_row_but_the_first_has_one_factor_high() -> None:
    design = one_at_a_time([factor(letter) for letter in "ABCD"])
    rows = [row.levels for row in design.rows]
    assert rows[0] == (-1.0,) * 4
    assert rows[1:] == [tuple(1.0 if i == j else -1.0 for j in range(4)) for i in range(4)]
    assert [row.label for row in design.rows] == ["c01", "c02", "c03", "c04", "c05"]
    assert design.kind == "one_at_a_time"


def test_several_levels_of_one_lever_are_factors_with_one_reference() -> None:
    design = one_at_a_time([factor("A", lever="x", high=2), factor("B", lever="x", high=3)])
    assert [design.decode(row)["x"] for row in design.rows] == [0, 2, 3]
    with pytest.raises(DesignError, match="factors A and B of `x` have different low levels"):
        one_at_a_time([factor("A", lever="x", high=2), factor("B", lever="x", low=1, high=3)])


def test_the_run_order_comes_from_the_seed() -> None:
    factors = [factor(letter) for letter in "ABCDEFG"]
    orders = [[row.order for row in one_at_a_time(factors, seed=seed).rows] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(8))


def test_no_factor_is_no_design() -> None:
    with pytest.raises(DesignError, match="at least one factor"):
        one_at_a_time([])
