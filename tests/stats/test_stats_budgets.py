"""Effects over budgets: the pooled model, relaxation, ratios."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError, Effect
from foldover.stats import Table, pooled_budgets, ratio_of_effects, relaxation, relaxation_step, table_from_columns

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}


def pooled_case() -> Table:
    data = CASES["P49"]["input"]
    columns = {name: data[name] for name in ("A", "B", "C", "y")}
    columns["budget"] = ["10 min" if later else "5 min" for later in data["budget10"]]
    return table_from_columns(columns, response="y", factors="ABC")


def screens() -> Table:
    case = CASES["D19"]["input"]
    columns = {name: [row[i] for row in case["rows"]] for i, name in enumerate(case["columns"])}
    columns["condition"] = columns.pop("cond")
    return table_from_columns(columns, response="y", factors="ABCDE")


def effect(budget: str, estimate: float, se: float | None, df: float | None = math.inf) -> Effect:
    return Effect(
        term="A", package="", budget=budget, estimate=estimate, se=se, low=None, high=None, level=0.95, p=None, q=None,
        retained=None, df=df, n=80, aliased_with=(), method="paper",
    )  # fmt: skip


def test_pooled_model_matches_r_lm() -> None:
    expected = CASES["P49"]["expected"]
    found = pooled_budgets(pooled_case(), terms=["A", "B", "C", "AB"])
    at = {(e.term, e.budget): e for e in found.effects}
    assert {term: at[term, "5 min"].estimate for term in expected["effects_5"]} == pytest.approx(expected["effects_5"])
    later, known = at["A", "10 min"], expected["effect10_A"]
    assert (later.estimate, later.se) == pytest.approx((known["est"], known["se"]), rel=1e-8)
    assert (later.low, later.high) == pytest.approx(known["ci95"], rel=1e-8)
    assert (found.df, found.sigma) == pytest.approx((expected["df"], expected["sigma"]))


def test_budget_deltas_match_r_lm() -> None:
    expected = CASES["P49"]["expected"]
    deltas = {delta.term: delta for delta in pooled_budgets(pooled_case(), terms=["A", "B", "C", "AB"]).deltas}
    assert deltas["A"].estimate == pytest.approx(expected["delta_A"]["est"])
    assert deltas["A"].se == pytest.approx(expected["delta_A"]["se"])
    assert deltas["A"].p == pytest.approx(expected["delta_A"]["p"], rel=1e-6)
    assert deltas["AB"].p == pytest.approx(expected["delta_AB"]["p"], rel=1e-6)


def test_joint_interaction_test_is_the_f_of_the_larger_model() -> None:
    import statsmodels.api as sm

    table = pooled_case()
    X = np.column_stack([np.ones(32), np.array(table.budgets) == "10 min", table.levels]).astype(float)
    both = np.column_stack([X, table.levels * X[:, [1]]])
    theirs = sm.OLS(table.y, both).fit().compare_f_test(sm.OLS(table.y, X).fit())
    found = pooled_budgets(table, terms="main")
    assert (found.interaction_f, found.interaction_p) == pytest.approx(theirs[:2], rel=1e-9)


def test_a_pooled_error_over_unlike_budgets_is_called_untenable() -> None:
    found = pooled_budgets(screens(), block="seed")
    assert any("not tenable" in note for note in found.notes)


def test_robust_errors_differ_by_budget_where_the_pooled_one_cannot() -> None:
    pooled, robust = (pooled_budgets(screens(), terms="main", block="seed", errors=e) for e in ("ols", "hc3"))
    short = [e.se for e in robust.effects if e.budget == "5"]
    long = [e.se for e in robust.effects if e.budget == "10"]
    assert short[0] > 2 * long[0]  # type: ignore[operator]
    assert len({round(e.se or 0.0, 12) for e in pooled.effects[:5]}) == 1


def test_ratio_difference_and_half_life_of_the_published_a_effect() -> None:
    case = CASES["P50"]
    data, expected = case["input"], case["expected"]
    step = relaxation_step(
        effect("5 min", data["e5"], data["se5"]), effect("10 min", data["e10"], data["se10"]), span=5.0
    )
    assert step.ratio is not None
    assert (step.ratio.ratio, step.ratio.se) == pytest.approx((expected["ratio"], expected["ratio_se_delta"]))
    assert (step.ratio.log, step.ratio.log_se) == pytest.approx((expected["log_ratio"], expected["log_ratio_se"]))
    assert (step.shrinkage, step.se) == pytest.approx((expected["difference"], expected["difference_se"]))
    assert step.shrinkage / step.se == pytest.approx(expected["z"], rel=1e-8)
    assert step.p == pytest.approx(expected["p_one_sided"], rel=1e-6)
    assert step.half_life == pytest.approx(expected["half_life_min"])


def test_fieller_ends_solve_the_defining_equation() -> None:
    found = ratio_of_effects(0.0568, 0.007119, 0.018, 0.001939, df=70)
    from scipy.stats import t as student

    quantile = student.ppf(0.975, 70)
    for r in (found.low, found.high):
        left = (0.018 - r * 0.0568) ** 2
        assert left == pytest.approx(quantile**2 * (0.001939**2 + (r * 0.007119) ** 2), rel=1e-9)


def test_a_short_effect_whose_interval_contains_zero_has_no_ratio() -> None:
    with pytest.raises(AnalysisError, match="unbounded"):
        ratio_of_effects(0.01, 0.02, 0.005, 0.001)


def test_relaxation_pairs_by_seed_when_both_budgets_ran_the_same_seeds() -> None:
    per_seed = {b: CASES["D19"]["expected"][b]["per_seed"]["A"]["per_seed"] for b in ("5", "10")}
    difference = np.array(per_seed["5"]) - np.array(per_seed["10"])
    step = relaxation(screens()).steps[0]
    assert step.paired
    assert (step.term, step.short, step.long, step.df) == ("A", "5", "10", 4)
    assert step.shrinkage == pytest.approx(difference.mean(), rel=1e-5)
    assert step.se == pytest.approx(difference.std(ddof=1) / np.sqrt(5), rel=1e-4)


def test_relaxation_without_common_seeds_takes_the_budgets_as_independent() -> None:
    table = screens()
    other = replace(table, seeds=tuple(s + 10 * (b == "10") for s, b in zip(table.seeds, table.budgets, strict=True)))
    step = relaxation(other).steps[0]
    assert not step.paired
    effects = {e.budget: e for e in relaxation(other).curve("A")}
    assert step.se == pytest.approx(math.hypot(effects["5"].se or 0, effects["10"].se or 0))


def test_a_budget_with_a_single_seed_is_described_only() -> None:
    table = screens()
    keep = [i for i in range(160) if table.budgets[i] == "10" or table.seeds[i] == 1]
    step = relaxation(table.rows(keep)).steps[0]
    assert step.p is step.se is step.ratio is None
    assert "descriptive: a budget has no error" in step.notes


def test_a_change_of_sign_is_marked() -> None:
    step = relaxation_step(effect("5 min", 0.02, 0.001), effect("10 min", -0.005, 0.001), span=5.0)
    assert step.changes_sign
    assert step.half_life is None


def test_three_budgets_give_consecutive_steps_and_first_to_last() -> None:
    data = CASES["D20"]["input"]["rows"]
    rows = [row for row in data if row[0] in ("best1", "worst1")]
    columns = {"A": [1 if r[0] == "worst1" else -1 for r in rows], "budget": [f"{r[1]} min" for r in rows]}
    columns |= {"seed": [r[2] for r in rows], "y": [r[3] for r in rows]}
    found = relaxation(table_from_columns(columns, response="y", factors="A"))
    assert found.budgets == ("2 min", "5 min", "10 min")
    assert [(s.short, s.long) for s in found.steps] == [("2 min", "5 min"), ("5 min", "10 min"), ("2 min", "10 min")]
    assert [e.budget for e in found.curve("A")] == list(found.budgets)


def test_one_budget_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least two budgets"):
        relaxation(screens().where(budget="5"))


def test_seconds_and_minutes_mixed_are_refused() -> None:
    table = screens()
    mixed = replace(
        table,
        budgets=tuple("300" if b == "10" else b for b in table.budgets),
        amounts=tuple(300.0 if b == "10" else 5.0 for b in table.budgets),
    )
    with pytest.raises(AnalysisError, match="seconds and minutes"):
        relaxation(mixed)


def test_budgets_in_steps_and_minutes_are_refused() -> None:
    table = screens()
    mixed = replace(table, budgets=tuple("300 steps" if b == "10" else "5 min" for b in table.budgets))
    with pytest.raises(AnalysisError, match="different units"):
        relaxation(mixed)


@given(st.floats(0.01, 1), st.floats(-1, 1), st.floats(1e-4, 1e-3), st.floats(1e-4, 1e-3))
def test_fieller_contains_the_ratio(short: float, long: float, se_short: float, se_long: float) -> None:
    found = ratio_of_effects(short, se_short, long, se_long)
    assert found.low <= found.ratio <= found.high
