"""The second-order analysis of a table: what blocks explain is no error of its fit."""

from __future__ import annotations

import itertools

import numpy as np

from foldover.lab.surface_analysis import lack_of_second_order
from foldover.stats import table_from_columns

FACED = list(itertools.product((-1.0, 0.0, 1.0), repeat=2))


def a_table(*, cubic: float):
    rng = np.random.default_rng(3)
    shift = 5.0 * rng.standard_normal(4)
    rows = [(a, b, s) for s in range(4) for a, b in FACED]
    y = [a + b * b + cubic * a * b * b + shift[s] + 0.05 * rng.standard_normal() for a, b, s in rows]
    columns = {"A": [r[0] for r in rows], "B": [r[1] for r in rows], "seed": [r[2] for r in rows], "y": y}
    return table_from_columns(columns, response="y", factors=["A", "B"], block="seed")


def test_a_third_order_is_seen_beside_blocks_that_differ_by_far_more():
    with_blocks = lack_of_second_order(a_table(cubic=0.5), "AB", "seed")
    without = lack_of_second_order(a_table(cubic=0.5), "AB", None)
    assert with_blocks is not None
    assert without is not None
    assert (with_blocks.df_lack, with_blocks.df_error) == (9 - 6, 36 - 9 - 3)
    assert with_blocks.p < 1e-6
    assert without.p > 0.5


def test_a_second_order_fits():
    found = lack_of_second_order(a_table(cubic=0.0), "AB", "seed")
    assert found is not None
    assert found.p > 0.05


def test_single_runs_cannot_tell():
    columns = {"A": [a for a, _ in FACED], "B": [b for _, b in FACED], "y": [a + b for a, b in FACED]}
    assert lack_of_second_order(table_from_columns(columns, response="y", factors=["A", "B"]), "AB", None) is None
