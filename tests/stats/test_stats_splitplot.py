"""Split plots: which terms carry whole-plot error, and tests against it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import (
    Table,
    estimate_effects,
    split_plot_anova,
    split_plot_effects,
    table_from_columns,
    whole_plot_terms,
)

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}


def half_fraction() -> tuple[Table, list[str]]:
    """2^(5-1) with E=ABCD, whole plots by A and B."""
    base = np.array(list(itertools.product([-1, 1], repeat=4)))
    levels = np.column_stack([base, base.prod(axis=1)])
    columns: dict[str, Any] = {letter: levels[:, j].tolist() for j, letter in enumerate("ABCDE")}
    columns["y"] = np.random.default_rng(1).standard_normal(16).tolist()
    plots = [f"{a}{b}" for a, b in levels[:, :2].tolist()]
    return table_from_columns(columns, response="y", factors="ABCDE"), plots


def exports(num_seeds: int = 4) -> tuple[Table, list[str]]:
    """Models trained at A and B under seeds; each is exported at C = -1 and +1."""
    rng = np.random.default_rng(2)
    columns: dict[str, list[Any]] = {name: [] for name in (*"ABC", "seed", "y")}
    plots = []
    for seed, a, b in itertools.product(range(num_seeds), (-1, 1), (-1, 1)):
        trained = 1.0 + 0.1 * a - 0.05 * b + 0.05 * rng.standard_normal()
        for c in (-1, 1):
            row = (a, b, c, seed, trained + 0.01 * c + 0.004 * a * c + 0.001 * rng.standard_normal())
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            plots.append(f"{a} {b} {seed}")
    return table_from_columns(columns, response="y", factors="ABC"), plots


def test_oats_is_tested_in_its_strata() -> None:
    data, expected = CASES["P39"]["input"], CASES["P39"]["expected"]
    rows = split_plot_anova(
        np.array(data["Y"], dtype=float),
        {name: data[name] for name in "BVN"},
        strata=[("B",), ("B", "V")],
        terms=[("V",), ("N",), ("V", "N")],
    )
    for row, name in zip(rows, ("variety", "nitrogen", "interaction"), strict=True):
        assert row.f == pytest.approx(expected[f"{name}_F"], rel=1e-6)
        assert [row.df, row.error_df] == expected[f"{name}_df"]
        assert row.p == pytest.approx(expected[f"{name}_p"], rel=1e-6)
    assert [row.stratum for row in rows] == ["B:V", "residual", "residual"]


def test_whole_plot_stratum_of_a_half_fraction() -> None:
    table, plots = half_fraction()
    assert list(whole_plot_terms(table, ["A", "B", "AB", "C", "D", "E"], plots)) == ["A", "B", "AB"]
    expected = CASES["D13"]["expected"]
    assert list(whole_plot_terms(table, ["A", "B", "C", "D", "E", "CDE"], plots)) == ["A", "B", "CDE"]
    assert whole_plot_terms(table, expected["sub_plot_stratum_2fi"], plots) == ()


def test_a_single_whole_plot_a_setting_has_no_error() -> None:
    table, plots = half_fraction()
    with pytest.raises(AnalysisError, match="no degree of freedom for whole-plot error"):
        split_plot_effects(table, whole_plots=plots, terms=["A", "B", "AB", "C"])


def test_training_effects_are_tested_between_trained_models() -> None:
    table, plots = exports()
    effects = {
        e.term: e for e in split_plot_effects(table, whole_plots=plots, terms=["A", "B", "C", "AC"], block="seed")
    }
    means = table.y.reshape(-1, 2).mean(axis=1)
    whole = table.rows(range(0, 32, 2)).with_response(means)
    plain = estimate_effects(whole, terms=["A", "B"], method="paper")[0]
    assert (effects["A"].estimate, effects["A"].se, effects["A"].df) == pytest.approx(
        (plain.estimate, plain.se, plain.df), rel=1e-9
    )
    assert effects["A"].n == 16


def test_export_effects_are_far_more_certain_than_training_effects() -> None:
    table, plots = exports()
    effects = {e.term: e for e in split_plot_effects(table, whole_plots=plots, terms=["A", "B", "C", "AC"])}
    assert effects["A"].se > 10 * effects["C"].se  # type: ignore[operator]
    assert effects["C"].estimate == pytest.approx(0.02, abs=0.002)
    assert effects["AC"].notes == ("sub-plot stratum",)


def test_several_levels_against_one_reference_are_tested_within_trainings() -> None:
    """A reference and three alternatives in each of four trainings: differences by hand, in a two-way layout."""
    rng = np.random.default_rng(5)
    y = rng.normal(size=(4, 1)) + np.array([0.0, 0.3, -0.2, 0.0]) + 0.05 * rng.normal(size=(4, 4))
    columns: dict[str, Any] = {
        letter: [1 if i == j else -1 for _ in range(4) for i in range(4)] for j, letter in enumerate("ABC", start=1)
    }
    columns |= {"seed": [seed for seed in range(4) for _ in range(4)], "y": y.ravel().tolist()}
    table = table_from_columns(columns, response="y", factors="ABC")
    effects = split_plot_effects(table, whole_plots=[str(seed) for seed in columns["seed"]])
    rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    error = np.sqrt(2 * np.square(rest).sum() / 9 / 4)
    for effect, j in zip(effects, (1, 2, 3), strict=True):
        assert effect.method == "split_plot"
        assert effect.estimate == pytest.approx((y[:, j] - y[:, 0]).mean(), rel=1e-9)
        assert (effect.se, effect.df) == (pytest.approx(error, rel=1e-9), 9)
        assert "sub-plot stratum" in effect.notes


def test_incomplete_whole_plots_go_to_reml() -> None:
    table, plots = exports()
    keep = list(range(31))
    effects = split_plot_effects(table.rows(keep), whole_plots=plots[:31], terms=["A", "B", "C"])
    assert {e.method for e in effects} == {"split_plot_reml"}
    assert effects[2].estimate == pytest.approx(0.02, abs=0.002)


def test_every_run_its_own_whole_plot_is_refused() -> None:
    table, _ = half_fraction()
    with pytest.raises(AnalysisError, match="whole plot of its own"):
        split_plot_effects(table, whole_plots=[str(i) for i in range(16)])


def test_a_term_in_two_strata_is_refused() -> None:
    columns = {"B": list("aabbcc"), "T": list("xyxyxx")}
    with pytest.raises(AnalysisError, match="several strata"):
        split_plot_anova(np.arange(6.0), columns, strata=[("B",)], terms=[("T",)])
