"""Curvature by centre points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import Table, contrasts, curvature_of_table, curvature_test, table_from_columns

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}
SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize("name", ["P15", "P16"])
def test_textbook_curvature(name: str) -> None:
    case = CASES[name]
    found, expected = curvature_test(case["input"]["factorial"], case["input"]["centre"]), case["expected"]
    assert found.difference == pytest.approx(expected["difference"], abs=1e-8)
    assert found.sum_squares == pytest.approx(expected["SS_curvature"], abs=1e-8)
    assert found.pure_error == pytest.approx(expected["pure_error_ms"], abs=1e-8)
    assert (found.f, found.p) == pytest.approx((expected["F"], expected["p"]), abs=1e-8)


def test_textbook_curvature_has_the_pure_error_of_the_centre_points_and_its_sign() -> None:
    square, filtration = (
        curvature_test(CASES[name]["input"]["factorial"], CASES[name]["input"]["centre"]) for name in ("P15", "P16")
    )
    assert (1, square.df) == (CASES["P15"]["expected"]["df1"], CASES["P15"]["expected"]["df2"])
    assert filtration.t == pytest.approx(CASES["P16"]["expected"]["t"], abs=1e-8)


def test_effects_of_the_square_with_centre_points() -> None:
    case = CASES["P15"]
    found = contrasts(SQUARE, np.array(case["input"]["factorial"]), "AB")
    assert found == pytest.approx({t: case["expected"][f"effect_{t}"] for t in ("A", "B", "AB")}, abs=1e-8)


def square_with_centre(*, seeds: bool) -> Table:
    corners = [(-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0)]
    shift = {1: 0.0, 2: 0.5, 3: 0.2}
    rows = [(a, b, s, 3.0 + a + (a == 0) * (-1.0 - 0.1 * s) + shift[s]) for s in shift for a, b in corners]
    columns: dict[str, list[Any]] = {name: [row[i] for row in rows] for i, name in enumerate(("A", "B", "seed", "y"))}
    if not seeds:
        columns.pop("seed")
    return table_from_columns(columns, response="y", factors="AB")


def test_with_a_block_the_difference_is_taken_within_each_seed() -> None:
    found = curvature_of_table(square_with_centre(seeds=True))
    assert found.difference == pytest.approx(1.2)
    assert (found.df, found.method) == (2, "per_seed")
    assert found.se == pytest.approx(0.1 / np.sqrt(3))


def test_without_a_block_pure_error_comes_from_all_replicated_cells() -> None:
    found = curvature_of_table(square_with_centre(seeds=False), block=None)
    assert found.df == 5 * 2
    assert found.difference == pytest.approx(1.2)


def test_a_single_centre_point_without_replicates_has_no_pure_error() -> None:
    with pytest.raises(AnalysisError, match="no pure error"):
        curvature_test([1.0, 2.0, 3.0, 4.0], [2.5])


def test_no_centre_points_are_refused() -> None:
    with pytest.raises(AnalysisError, match="corners and centre points"):
        curvature_test([1.0, 2.0], [])


def test_a_centre_realised_elsewhere_is_pointed_out() -> None:
    columns = {"A": [-1, 1, 0.33, 0.33], "B": [-1, 1, 0, 0], "y": [1.0, 2.0, 3.0, 3.1]}
    table = table_from_columns(columns, response="y", factors="AB")
    with pytest.raises(AnalysisError, match="near but not at the centre"):
        curvature_of_table(table, block=None)


def test_a_block_without_centre_points_is_named() -> None:
    table = square_with_centre(seeds=True)
    damaged = table.rows([i for i in range(15) if i != 9])
    with pytest.raises(AnalysisError, match="block 2 lacks centre points"):
        curvature_of_table(damaged)
