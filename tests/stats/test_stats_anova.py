"""ANOVA tables and lack of fit against R and statsmodels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import (
    Table,
    anova_of_columns,
    anova_of_table,
    lack_of_fit,
    pure_error_lack_of_fit,
    table_from_columns,
)

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}


def targeted() -> Table:
    """The simulated 90-row confirmation of case D20 (6 conditions x 3 budgets x 5 seeds)."""
    case = CASES["D20"]["input"]
    columns = {name: [row[i] for row in case["rows"]] for i, name in enumerate(case["columns"])}
    names = sorted(set(columns["condition"]))
    columns["x"] = [names.index(name) for name in columns["condition"]]
    return table_from_columns(columns, response="y", factors=["x"])


def screen(budget: int) -> Table:
    case = CASES["D19"]["input"]
    rows = [row for row in case["rows"] if row[1] == budget]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(case["columns"])}
    columns["condition"] = columns.pop("cond")
    return table_from_columns(columns, response="y", factors="ABCDE")


@pytest.mark.parametrize("quantity", ["SS", "df", "F", "p", "eta_sq", "partial_eta_sq"])
def test_type_ii_of_an_unbalanced_table_matches_r_car(quantity: str) -> None:
    case = CASES["P34"]
    columns = {name: case["input"][name] for name in ("wool", "tension")}
    found = anova_of_columns(
        np.array(case["input"]["breaks"], dtype=float), columns, terms=[("wool",), ("tension",), ("wool", "tension")]
    )
    field = {"SS": "sum_squares", "F": "f"}.get(quantity, quantity)
    for row in found.rows:
        assert getattr(row, field) == pytest.approx(case["expected"][quantity][row.term], rel=1e-6)


def test_type_ii_sums_of_an_unbalanced_table_do_not_add_up() -> None:
    case = CASES["P34"]
    columns = {name: case["input"][name] for name in ("wool", "tension")}
    found = anova_of_columns(
        np.array(case["input"]["breaks"], dtype=float), columns, terms=[("wool",), ("tension",), ("wool", "tension")]
    )
    assert found.total_sum_squares == pytest.approx(case["expected"]["SS_total"])
    total = sum(row.sum_squares for row in found.rows) + found.residual_sum_squares
    assert total == pytest.approx(case["expected"]["sum_of_type2_SS"])


@pytest.mark.parametrize("kind", [1, 3])
def test_types_i_and_iii_match_statsmodels(kind: int) -> None:
    import pandas as pd
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    data = CASES["P34"]["input"]
    model = smf.ols("breaks ~ C(wool, Sum) * C(tension, Sum)", pd.DataFrame(data)).fit()
    theirs = sm.stats.anova_lm(model, typ=kind)["sum_sq"].to_numpy()
    theirs = theirs[1:4] if kind == 3 else theirs[:3]
    columns = {name: data[name] for name in ("wool", "tension")}
    ours = anova_of_columns(
        np.array(data["breaks"], dtype=float),
        columns,
        terms=[("wool",), ("tension",), ("wool", "tension")],
        kind=kind,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose([row.sum_squares for row in ours.rows], theirs, rtol=1e-10)


def test_eta_squared_of_the_targeted_confirmation() -> None:
    expected = CASES["D20"]["expected"]
    found = anova_of_table(targeted(), terms=["budget", "condition", "budget:condition", "seed"])
    shares = {row.term: row.eta_sq for row in found.rows} | {"residual": found.residual_share}
    known = expected["eta_sq"]
    known = {"budget:condition" if name == "interaction" else name: value for name, value in known.items()}
    assert shares == pytest.approx(known, rel=1e-8)
    assert found.residual_df == expected["df_resid"]
    assert found.row("seed").f == pytest.approx(expected["seed_F"])


def test_balanced_shares_add_up_to_one() -> None:
    found = anova_of_table(targeted(), terms=["budget", "condition", "budget:condition", "seed"])
    assert sum(row.eta_sq for row in found.rows) + found.residual_share == pytest.approx(1.0)


def test_factors_named_c_are_numbers_not_categories() -> None:
    found = anova_of_table(screen(5), terms=["A", "B", "C", "D", "E", "seed"])
    assert [row.df for row in found.rows] == [1, 1, 1, 1, 1, 4]


def test_an_effects_sum_of_squares_is_n_effect_squared_over_four() -> None:
    effect = CASES["D19"]["expected"]["5"]["main_model"]["effects"]["A"]["effect"]
    found = anova_of_table(screen(5), terms=["A", "B", "C", "D", "E", "seed"])
    assert found.row("A").sum_squares == pytest.approx(80 * effect**2 / 4, rel=1e-6)


def test_an_empty_cell_of_an_interaction_is_named() -> None:
    columns = {"u": ["a", "a", "b", "b"], "v": ["x", "y", "x", "x"]}
    with pytest.raises(AnalysisError, match="u=b, v=y"):
        anova_of_columns(np.arange(4.0), columns, terms=[("u",), ("v",), ("u", "v")])


def test_a_term_that_repeats_another_is_refused() -> None:
    columns = {"u": ["a", "a", "b", "b"], "w": ["p", "p", "q", "q"]}
    with pytest.raises(AnalysisError, match="cannot be told from"):
        anova_of_columns(np.array([1.0, 2.0, 4.0, 3.0]), columns, terms=[("u",), ("w",)])


def test_without_error_degrees_of_freedom_there_is_no_f() -> None:
    found = anova_of_columns(np.array([1.0, 2.0]), {"u": ["a", "b"]}, terms=[("u",)])
    assert found.rows[0].f is None
    assert found.notes


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(AnalysisError, match="no such column"):
        anova_of_table(screen(5), terms=["day"])


@pytest.mark.parametrize("budget", [5, 10])
def test_main_effects_alone_fit_the_seeded_screen_badly(budget: int) -> None:
    expected = CASES["D19"]["expected"][str(budget)]["lack_of_fit"]
    found = lack_of_fit(screen(budget))
    assert found.f == pytest.approx(expected["F"], rel=1e-6)
    assert [found.df_lack, found.df_error] == expected["df"]
    assert found.p == pytest.approx(expected["p"], rel=1e-6)


def test_pure_error_lack_of_fit_of_the_chemical_process() -> None:
    case = CASES["P12"]
    x1, x2 = np.array(case["input"]["x1"]), np.array(case["input"]["x2"])
    X = np.column_stack([np.ones(13), x1, x2, x1 * x2, x1**2, x2**2])
    found, expected = pure_error_lack_of_fit(X, np.array(case["input"]["y"])), case["expected"]["lof"]
    assert (found.df_lack, found.df_error) == (expected["df"], expected["pure_error_df"])
    assert found.sum_squares_lack == pytest.approx(expected["SS"], rel=1e-5)
    assert found.sum_squares_error == pytest.approx(expected["pure_error_SS"], rel=1e-5)
    assert (found.f, found.p) == pytest.approx((expected["F"], expected["p"]), rel=1e-5)


def test_lack_of_fit_without_replicates_is_refused() -> None:
    with pytest.raises(AnalysisError, match="no pure error"):
        pure_error_lack_of_fit(np.column_stack([np.ones(4), np.arange(4.0)]), np.arange(4.0))
