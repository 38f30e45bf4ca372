"""Unreplicated designs: published contrasts, Lenth's margin, half-normal scores, Yates' algorithm."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import (
    LeastSquares,
    combine_foldover,
    contrasts,
    half_normal,
    half_normal_quantiles,
    lenth,
    yates,
)

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}


def standard_order(k: int) -> np.ndarray:
    return np.array(list(itertools.product([-1.0, 1.0], repeat=k)))[:, ::-1]


def test_filtration_effects_and_sums_of_squares() -> None:
    case = CASES["P01"]
    found = contrasts(standard_order(4), np.array(case["input"]["y"], dtype=float), "ABCD")
    assert found == pytest.approx(case["expected"]["effects"], abs=1e-8)
    sums = {t: 16 * e**2 / 4 for t, e in found.items()}
    assert sums == pytest.approx(case["expected"]["SS"], abs=1e-8)
    assert sum(sums.values()) == pytest.approx(case["expected"]["SS_total"], abs=1e-8)


def test_filtration_margins_and_active_effects() -> None:
    case = CASES["P02"]
    found, expected = lenth(case["input"]["effects"]), case["expected"]
    assert (found.s0, found.pse, found.df) == pytest.approx((expected["s0"], expected["PSE"], expected["df"]))
    assert found.margin == pytest.approx(expected["ME"], rel=1e-8)
    assert found.simultaneous == pytest.approx(expected["SME"], rel=1e-8)
    assert list(found.active) == expected["active_ME"]
    assert list(found.active_simultaneous) == expected["active_SME"]


def test_yates_columns() -> None:
    case = CASES["P03"]
    found = yates(case["input"]["y"]).tolist()
    assert found == case["expected"]["columns"]
    assert found[-1] == case["expected"]["contrast_last"]


def test_yates_needs_a_power_of_two() -> None:
    with pytest.raises(AnalysisError, match="2\\^k responses"):
        yates([1.0, 2.0, 3.0])


def test_half_fraction_of_filtration_gives_the_alias_chains() -> None:
    case = CASES["P04"]
    found = contrasts(np.array(case["input"]["design"], dtype=float), np.array(case["input"]["y"], dtype=float), "ABCD")
    expected = {chain.split("+")[0]: value for chain, value in case["expected"]["effects"].items()}
    assert found == pytest.approx(expected, abs=1e-8)


def test_process_yield_half_fraction() -> None:
    case = CASES["P05"]
    labels = case["input"]["run_labels"]
    levels = np.array([[1.0 if letter.lower() in label else -1.0 for letter in "ABCDE"] for label in labels])
    found = contrasts(levels, np.array(case["input"]["y"], dtype=float), "ABCDE")
    assert found == pytest.approx(case["expected"]["effects"], abs=1e-8)
    assert lenth(found).pse == pytest.approx(case["expected"]["PSE"])


def test_process_yield_reduced_model() -> None:
    case = CASES["P05"]
    expected, y = case["expected"]["reduced_model"], np.array(case["input"]["y"], dtype=float)
    A, B, C = (
        np.array([1.0 if letter in label else -1.0 for label in case["input"]["run_labels"]]) for letter in "abc"
    )
    fit = LeastSquares(np.column_stack([np.ones(16), A, B, C, A * B]), ["1", *expected["terms"]]).fit(y)
    np.testing.assert_allclose(fit.coef, list(expected["coef"].values()), atol=1e-8)
    assert (math.sqrt(fit.rss / fit.df), fit.df) == pytest.approx((expected["sigma"], expected["df"]), abs=1e-8)
    r2 = 1.0 - fit.rss / float(((y - y.mean()) ** 2).sum())
    assert (r2, 1.0 - (1.0 - r2) * 15 / fit.df) == pytest.approx((expected["R2"], expected["R2_adj"]), abs=1e-8)


def test_reactor_effects_and_pseudo_standard_error() -> None:
    case = CASES["P06"]
    found = contrasts(
        np.array(case["input"]["design"], dtype=float), np.array(case["input"]["y"], dtype=float), "ABCDE"
    )
    assert found == pytest.approx(case["expected"]["effects"], abs=1e-8)
    assert lenth(found).pse == pytest.approx(case["expected"]["PSE"])
    assert sorted(found, key=lambda t: -abs(found[t]))[:5] == case["expected"]["top"]


def test_reactor_half_fraction() -> None:
    case = CASES["P07"]
    found = contrasts(
        np.array(case["input"]["design"], dtype=float), np.array(case["input"]["y"], dtype=float), "ABCDE"
    )
    assert found == pytest.approx(case["expected"]["effects"], abs=1e-8)
    full = CASES["P06"]["expected"]["effects"]
    differences = {name: found[name] - full[name] for name in found}
    assert differences == pytest.approx(case["expected"]["difference_from_full"], abs=1e-8)


def test_eye_focus_fold_over_separates_main_effects_from_chains() -> None:
    case = CASES["P08"]
    first, second = (
        contrasts(np.array(case["input"][f"fraction{i}"], dtype=float), np.array(case["input"][f"y{i}"]), "ABCDEFG")
        for i in (1, 2)
    )
    assert first == pytest.approx(case["expected"]["first"], abs=1e-6)
    assert second == pytest.approx(case["expected"]["second"], abs=1e-6)
    both = combine_foldover(first, second)
    assert both.main == pytest.approx(case["expected"]["main_effects"], abs=1e-6)
    assert both.chains == pytest.approx(case["expected"]["two_factor_chains"], abs=1e-6)


def test_saturated_bicycle_example() -> None:
    case = CASES["P09"]
    found = contrasts(
        np.array(case["input"]["design"], dtype=float), np.array(case["input"]["y"], dtype=float), "ABCDEFG"
    )
    assert found == pytest.approx(case["expected"]["effects"], abs=1e-8)


def test_plackett_burman_main_effects_of_cast_fatigue() -> None:
    case = CASES["P11"]
    design, y = np.array(case["input"]["design"], dtype=float), np.array(case["input"]["y"])
    found = contrasts(design, y, case["input"]["columns"])
    assert found == pytest.approx(case["expected"]["effects"], abs=1e-6)


def test_half_normal_plotting_positions() -> None:
    case = CASES["P51"]
    np.testing.assert_allclose(half_normal_quantiles(15), case["expected"]["quantile"], rtol=1e-8)


def test_half_normal_points_are_sorted_by_size_and_keep_signs() -> None:
    points = half_normal({"A": -3.0, "B": 1.0, "C": 2.0})
    assert [(p.name, p.effect, p.rank) for p in points] == [("B", 1.0, 1), ("C", 2.0, 2), ("A", -3.0, 3)]


def test_lenth_needs_three_effects() -> None:
    with pytest.raises(AnalysisError, match="at least 3"):
        lenth({"A": 1.0, "B": 2.0})


def test_lenth_refuses_a_pseudo_standard_error_of_zero() -> None:
    with pytest.raises(AnalysisError, match="half of the contrasts are exactly zero"):
        lenth({"A": 1.0, "B": 0.0, "C": 0.0, "D": 0.0})


def test_lenth_warns_below_seven_effects() -> None:
    assert lenth({"A": 1.0, "B": 2.0, "C": 0.5}).notes


@given(st.dictionaries(st.sampled_from("ABCDEFGH"), st.floats(0.1, 10), min_size=3), st.floats(0.01, 100))
def test_lenths_margin_scales_with_the_effects(effects: dict[str, float], scale: float) -> None:
    scaled = lenth({name: -scale * value for name, value in effects.items()})
    assert scaled.margin == pytest.approx(scale * lenth(effects).margin, rel=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=8, max_size=8))
def test_yates_contrasts_are_least_squares_effects(y: list[float]) -> None:
    found = contrasts(standard_order(3), np.array(y), "ABC")
    in_order = ["A", "B", "AB", "C", "AC", "BC", "ABC"]
    np.testing.assert_allclose(yates(y)[-1][1:] / 4.0, [found[name] for name in in_order], atol=1e-9)
