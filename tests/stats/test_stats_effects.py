"""Effects of seeded screens: known answers, calibration, refusals, invariance."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import (
    Table,
    conditional_effects,
    effects_of_many,
    estimate_effects,
    level_means,
    table_from_columns,
)

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())
CASES: dict[str, Any] = {c["id"]: c for c in FACTS["cases"]}
BASE = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
HALF = np.column_stack([BASE, BASE.prod(axis=1)])


def published(budget: int | None = None) -> Table:
    """The simulated 160-row screen of case D19, or its part at one budget."""
    case = CASES["D19"]["input"]
    columns = {name: [row[i] for row in case["rows"]] for i, name in enumerate(case["columns"])}
    columns["condition"] = columns.pop("cond")
    table = table_from_columns(columns, response="y", factors="ABCDE")
    return table if budget is None else table.where(budget=str(budget))


def screen(y: np.ndarray, num_seeds: int) -> Table:
    """A balanced 2^(5-1) screen; y: (num_seeds, 16)."""
    columns: dict[str, Any] = {letter: np.tile(HALF[:, j], num_seeds) for j, letter in enumerate("ABCDE")}
    columns |= {"seed": np.repeat(np.arange(num_seeds), 16), "y": y.ravel()}
    return table_from_columns({k: list(v) for k, v in columns.items()}, response="y", factors="ABCDE")


def noisy(num_seeds: int = 3, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    return screen(HALF @ [0.05, 0.04, -0.01, 0.08, 0.0] + rng.standard_normal((num_seeds, 16)) * 0.01, num_seeds)


@pytest.mark.parametrize("budget", [5, 10])
def test_the_papers_model_has_the_known_effects_errors_and_p(budget: int) -> None:
    expected = CASES["D19"]["expected"][str(budget)]["main_model"]
    for effect in estimate_effects(published(budget), method="paper"):
        known = expected["effects"][effect.term]
        assert effect.estimate == pytest.approx(known["effect"], rel=1e-6)
        assert effect.se == pytest.approx(known["se"], rel=1e-6)
        assert effect.p == pytest.approx(known["p"], rel=1e-6)
        assert (effect.low, effect.high) == pytest.approx(known["ci"], rel=1e-6)
        assert effect.q == pytest.approx(expected["BH"][effect.term], rel=1e-6)
        assert effect.df == expected["df"] == 70


@pytest.mark.parametrize("budget", [5, 10])
def test_the_two_factor_model_has_the_known_effects_and_errors(budget: int) -> None:
    expected = CASES["D19"]["expected"][str(budget)]["twofi_model"]
    for effect in estimate_effects(published(budget), terms="main+2fi", method="paper"):
        known = {name.replace(":", ""): value for name, value in expected["effects"].items()}
        assert effect.estimate == pytest.approx(known[effect.term], rel=1e-6, abs=1e-9)
        assert effect.se == pytest.approx(expected["se_ols"], rel=1e-6)
        assert effect.df == expected["df"] == 60


def test_ols_with_interactions_reports_the_terms_asked_for_against_the_smaller_error() -> None:
    effects = estimate_effects(published(5), method="ols+2fi")
    assert [effect.term for effect in effects] == list("ABCDE")
    assert effects[0].se == pytest.approx(CASES["D19"]["expected"]["5"]["twofi_model"]["se_ols"], rel=1e-6)


@pytest.mark.parametrize("budget", [5, 10])
def test_hc3_errors_of_the_two_factor_model_match_statsmodels(budget: int) -> None:
    expected = CASES["D19"]["expected"][str(budget)]["twofi_model"]["se_hc3"]
    for effect in estimate_effects(published(budget), method="hc3+2fi"):
        assert effect.se == pytest.approx(expected[effect.term], rel=1e-6)


@pytest.mark.parametrize("budget", [5, 10])
def test_effects_per_seed_have_the_known_mean_error_t_and_p(budget: int) -> None:
    expected = CASES["D19"]["expected"][str(budget)]["per_seed"]
    for effect in estimate_effects(published(budget)):
        known = expected[effect.term]
        assert effect.method == "per_seed"
        assert effect.se is not None
        assert effect.estimate == pytest.approx(known["mean"], rel=1e-6)
        assert effect.se == pytest.approx(known["se"], rel=1e-6)
        assert effect.estimate / effect.se == pytest.approx(known["t"], rel=1e-6)
        assert effect.p == pytest.approx(known["p"], rel=1e-6)


def test_five_per_seed_effects_give_the_known_interval() -> None:
    case = CASES["D22"]
    per_seed = np.array(case["input"]["per_seed_effects"])
    y = 1.2 + 0.5 * per_seed[:, None] * HALF[:, 0][None, :]
    effect = estimate_effects(screen(y + 0.3 * HALF[:, 1], 5), terms=["A"])[0]
    assert effect.estimate == pytest.approx(case["expected"]["mean"], abs=1e-9)
    assert effect.se == pytest.approx(case["expected"]["se"], rel=1e-7)
    assert (effect.low, effect.high) == pytest.approx(case["expected"]["ci95"], rel=1e-7)


def test_equal_cells_make_satterthwaite_and_pooled_errors_agree() -> None:
    table = published(5)
    pooled = estimate_effects(table, method="satterthwaite", block=None)[0]
    y = table.y.reshape(16, 5) if table.conditions[0] == table.conditions[4] else None
    assert y is not None
    variances = y.var(axis=1, ddof=1)
    assert pooled.se == pytest.approx(2 / 16 * np.sqrt((variances / 5).sum()), rel=1e-12)
    parts = variances / 5
    assert pooled.df == pytest.approx(parts.sum() ** 2 / (parts**2 / 4).sum(), rel=1e-9)


def test_a_random_seed_gives_the_fixed_block_answer_on_complete_blocks() -> None:
    fixed, random = (estimate_effects(published(5), method=method) for method in ("paper", "mixed"))
    for one, other in zip(fixed, random, strict=True):
        assert other.estimate == pytest.approx(one.estimate, rel=1e-9)
        assert other.se == pytest.approx(one.se, rel=1e-5)
        assert other.df == pytest.approx(70, rel=1e-4)


def test_incomplete_blocks_reduce_to_per_seed_effects_when_they_are_complete() -> None:
    from foldover.stats import prepare_screen
    from foldover.stats.estimators import by_seed

    table = published(5)
    complete = prepare_screen(table)
    general = by_seed(replace(complete, balanced=False), table.y[None, :], 0.95)
    simple = by_seed(complete, table.y[None, :], 0.95)
    np.testing.assert_allclose(general.estimate, simple.estimate, rtol=1e-9)
    np.testing.assert_allclose(general.se, simple.se, rtol=1e-9)
    np.testing.assert_allclose(np.broadcast_to(general.df, simple.se.shape), 4.0, rtol=1e-9)


def test_a_lost_run_does_not_let_omitted_interactions_bias_main_effects() -> None:
    truth = 1.0 + HALF @ [0.05, 0.04, -0.01, 0.08, 0.0] + 0.03 * HALF[:, 0] * HALF[:, 3]
    table = screen(np.tile(truth, (3, 1)) + np.array([[0.0], [0.1], [0.3]]), 3)
    damaged = table.rows([i for i in range(48) if i not in (5, 17)])
    estimates = effects_of_many(damaged, damaged.y[None, :]).estimate[0]
    np.testing.assert_allclose(estimates, [0.1, 0.08, -0.02, 0.16, 0.0], atol=1e-12)


def test_missing_cells_are_named_in_the_notes() -> None:
    table = published(5)
    effect = estimate_effects(table.rows([i for i in range(80) if i != 3]))[0]
    assert "unbalanced: no run of c01 in block 4" in effect.notes


def test_lost_runs_that_leave_no_error_make_no_effect_certain() -> None:
    # Four conditions and two seeds are five parameters: all that five connected runs can give.
    columns = {
        "A": [-1, 1, -1, 1, 1, -1],
        "B": [-1, -1, -1, 1, -1, 1],
        "seed": [1, 1, 2, 2, 2, 2],
        "y": [1.0, 1.3, 1.1, 1.9, 1.5, 1.6],
    }
    table = table_from_columns(columns, response="y", factors="AB")
    assert all(effect.p is not None and effect.p > 0.0 for effect in estimate_effects(table))
    with pytest.raises(AnalysisError, match=r"too few runs are left to estimate an error.*\['A', 'B'\]"):
        estimate_effects(table.rows([0, 1, 2, 3, 5]))


@pytest.mark.parametrize("budget", ["5", "10"])
def test_default_intervals_are_calibrated_where_the_usual_ones_fail(budget: str) -> None:
    # Unequal variances and a seed effect that scales with them; doe.md case D23, coverage to 0.012.
    surface = FACTS["surface"]
    rng = np.random.default_rng(20260)
    num_studies, mean, sd = 3000, np.array(surface[budget]["mean"]), np.array(surface[budget]["sd"])
    u, v = rng.standard_normal((num_studies, 5, 1)), rng.standard_normal((num_studies, 5, 16))
    Y = mean + sd * (np.sqrt(0.5) * u + np.sqrt(0.5) * v)
    Y = (Y + surface["rerun"] * rng.standard_normal(Y.shape)).reshape(num_studies, 80)
    levels = np.array(surface["levels"], dtype=float)
    truth = 2.0 * mean @ levels / 16.0
    table = screen(Y[0].reshape(5, 16), 5)

    def coverage(method: str) -> float:
        found = effects_of_many(table, Y, method=method)
        return float(((found.low <= truth) & (truth <= found.high)).mean())

    expected = CASES["D23"]["expected"]
    tolerance = CASES["D23"]["tol"]
    assert coverage("auto") == pytest.approx(expected["per_seed_t4"][budget], abs=tolerance)
    assert coverage("paper") == pytest.approx(expected["main_effects_model"][budget], abs=tolerance)
    assert coverage("ols+2fi") == pytest.approx(expected["twofi_model_ols"][budget], abs=tolerance)
    assert coverage("hc3+2fi") == pytest.approx(expected["HC3_twofi"][budget], abs=tolerance)
    assert coverage("satterthwaite") == pytest.approx(expected["cell_welch"][budget], abs=tolerance)


@pytest.mark.parametrize("method", ["auto", "paper", "ols+2fi", "hc3", "hc3+2fi", "satterthwaite", "mixed"])
def test_many_studies_give_what_each_gives_alone(method: str) -> None:
    tables = [noisy(3, seed) for seed in range(3)]
    many = effects_of_many(tables[0], np.stack([table.y for table in tables]), method=method)
    for s, table in enumerate(tables):
        alone = estimate_effects(table, method=method)
        np.testing.assert_allclose(many.estimate[s], [effect.estimate for effect in alone], rtol=1e-12)
        np.testing.assert_allclose(many.low[s], [effect.low for effect in alone], rtol=1e-9)
        np.testing.assert_allclose(many.p[s], [effect.p for effect in alone], rtol=1e-9)


def test_a_single_seed_is_described_by_lenths_margin_without_p() -> None:
    effects = estimate_effects(published(5).where(seed=1))
    assert {effect.method for effect in effects} == {"lenth"}
    assert all(e.se is e.low is e.p is e.q is e.retained is None for e in effects)
    assert "descriptive" in effects[0].notes[0]
    assert "exceeds the margin of error" in effects[3].notes[1]


def test_two_seeds_are_warned_of_their_one_degree_of_freedom() -> None:
    effects = estimate_effects(noisy(2))
    assert effects[0].df == 1
    assert any("one degree of freedom" in note for note in effects[0].notes)


def test_replicates_without_a_block_use_each_conditions_own_variance() -> None:
    assert estimate_effects(noisy(3), block=None)[0].method == "satterthwaite"


def test_q_is_adjusted_within_main_effects_and_interactions_are_described() -> None:
    effects = {effect.term: effect for effect in estimate_effects(noisy(), terms="main+2fi")}
    assert effects["A"].q is not None
    assert effects["AB"].q is None
    assert effects["AB"].retained is None
    assert "outside the declared family: descriptive" in effects["AB"].notes


def test_a_declared_member_that_is_not_estimated_counts_in_the_family() -> None:
    alone = estimate_effects(noisy(), terms=["A"], correction="bonferroni")[0]
    five = estimate_effects(noisy(), terms=["A"], correction="bonferroni", family="ABCDE")[0]
    assert alone.p is not None
    assert five.q == pytest.approx(min(1.0, 5 * alone.p))


def test_a_family_that_names_a_term_twice_is_refused() -> None:
    with pytest.raises(AnalysisError, match="twice"):
        estimate_effects(noisy(), family=["A", "A"])


def test_aliases_are_carried_by_the_effect() -> None:
    effect = estimate_effects(noisy(), aliases={"A": ("BCDE",)})[0]
    assert effect.aliased_with == ("BCDE",)


def test_two_budgets_in_one_model_are_refused() -> None:
    with pytest.raises(AnalysisError, match="2 budgets"):
        estimate_effects(published())


def test_two_hosts_need_a_term_unless_each_seed_has_one() -> None:
    table = noisy(3)
    mixed = replace(table, hosts=tuple("ab"[i % 2] for i in range(len(table))))
    with pytest.raises(AnalysisError, match="2 hosts"):
        estimate_effects(mixed)
    nested = replace(table, hosts=tuple("ab"[seed % 2] for seed in table.seeds))
    assert estimate_effects(nested)[0].estimate == estimate_effects(table)[0].estimate


def test_a_host_shift_is_removed_when_the_model_has_a_term_for_it() -> None:
    table = noisy(4)
    hosts = np.array([i % 2 for i in range(16)] * 2 + [1 - i % 2 for i in range(16)] * 2)
    shifted = replace(table.with_response(table.y + 0.5 * hosts), hosts=tuple(f"h{h}" for h in hosts))
    plain, adjusted = estimate_effects(table), estimate_effects(shifted, adjust_for=["host"])
    assert adjusted[0].estimate == pytest.approx(plain[0].estimate, abs=0.01)
    assert adjusted[0].high is not None
    assert adjusted[0].high - adjusted[0].estimate < 0.05


def test_repeats_under_one_seed_are_refused_with_their_ids() -> None:
    table = noisy(2)
    repeated = table.rows([*range(32), 0])
    repeated = replace(repeated, run_ids=(*repeated.run_ids[:-1], "again"))
    with pytest.raises(AnalysisError, match="'again'"):
        estimate_effects(repeated)


def test_a_constant_factor_is_named() -> None:
    table = noisy(2)
    half = table.rows([i for i in range(32) if table.levels[i, 3] < 0])
    with pytest.raises(AnalysisError, match=r"D \(always -1\)"):
        estimate_effects(half)


def test_a_constant_response_is_refused() -> None:
    table = noisy(2)
    with pytest.raises(AnalysisError, match="same in all 32 runs"):
        estimate_effects(table.with_response(np.ones(32)))


def test_a_response_that_is_not_finite_is_refused() -> None:
    table = noisy(2)
    y = table.y.copy()
    y[4] = np.nan
    with pytest.raises(AnalysisError, match="not a finite number"):
        estimate_effects(table.with_response(y))


def test_interactions_of_a_resolution_iii_fraction_are_refused_with_their_aliases() -> None:
    columns = {"A": [-1, 1, -1, 1], "B": [-1, -1, 1, 1], "C": [1, -1, -1, 1], "y": [1.0, 2.0, 4.0, 3.0]}
    table = table_from_columns(columns, response="y", factors="ABC")
    with pytest.raises(AnalysisError, match="C = AB"):
        estimate_effects(table, terms=["A", "B", "C", "AB"], block=None)


def test_seeds_that_no_conditions_share_are_refused() -> None:
    y = noisy(2)
    apart = replace(y, seeds=tuple(range(32)))
    with pytest.raises(AnalysisError, match="confounded with blocks"):
        estimate_effects(apart)


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(AnalysisError, match="per_seed"):
        estimate_effects(noisy(), method="anova")


def test_left_out_runs_are_named_in_the_notes_of_every_effect() -> None:
    table = noisy(3)
    columns: dict[str, list[Any]] = {letter: list(table.levels[:, j]) for j, letter in enumerate("ABCDE")}
    columns |= {"seed": list(table.seeds), "y": list(table.y), "status": ["diverged", *[""] * 47]}
    effects = estimate_effects(table_from_columns(columns, response="y", factors="ABCDE"))
    assert all("1 of 48 runs left out: 1 diverged" in effect.notes for effect in effects)


def test_replicates_without_any_spread_are_questioned() -> None:
    effect = estimate_effects(screen(np.tile(1.0 + 0.1 * HALF[:, 0], (3, 1)), 3))[0]
    assert effect.estimate == pytest.approx(0.2)
    assert "no spread at all between replicates: does the seed act?" in effect.notes


def test_conditional_effects_are_main_effect_minus_and_plus_interaction() -> None:
    table = noisy(3)
    effects = {effect.term: effect.estimate for effect in estimate_effects(table, terms="main+2fi")}
    low, high = conditional_effects(table, "A", "D")
    assert low.estimate == pytest.approx(effects["A"] - effects["AD"], abs=1e-12)
    assert high.estimate == pytest.approx(effects["A"] + effects["AD"], abs=1e-12)
    assert low.term == "A at D low"


def test_level_means_differ_by_the_main_effect() -> None:
    table = noisy(3)
    low, high = level_means(table, ["A"])
    assert high.mean - low.mean == pytest.approx(estimate_effects(table)[0].estimate, abs=1e-12)
    assert (low.levels, low.n) == ((("A", -1.0),), 24)


@given(st.lists(st.floats(-1, 1), min_size=15, max_size=15), st.integers(2, 4))
@settings(max_examples=25)
def test_planted_effects_are_recovered_exactly_without_noise(planted: list[float], num_seeds: int) -> None:
    pairs = [HALF[:, i] * HALF[:, j] for i, j in itertools.combinations(range(5), 2)]
    truth = np.column_stack([HALF, *pairs]) @ (np.array(planted) / 2.0)
    table = screen(truth + np.arange(num_seeds)[:, None], num_seeds)
    found = effects_of_many(table, table.y[None, :], terms="main+2fi")
    np.testing.assert_allclose(found.estimate[0], planted, atol=1e-9)


@given(st.permutations(range(48)), st.sampled_from(["auto", "paper", "hc3", "satterthwaite"]))
@settings(max_examples=25)
def test_row_order_does_not_matter(order: list[int], method: str) -> None:
    table = noisy(3)
    for one, other in zip(
        estimate_effects(table, method=method), estimate_effects(table.rows(order), method=method), strict=True
    ):
        assert (one.estimate, one.se, one.p) == pytest.approx((other.estimate, other.se, other.p), rel=1e-9)


@given(st.sets(st.sampled_from("ABCDE"), min_size=1), st.sampled_from(["auto", "ols+2fi", "satterthwaite"]))
@settings(max_examples=25)
def test_reversing_a_factor_reverses_its_odd_effects_only(reversed_: set[str], method: str) -> None:
    table = noisy(3)
    signs = np.array([-1.0 if letter in reversed_ else 1.0 for letter in "ABCDE"])
    flipped = replace(table, levels=table.levels * signs)
    before = estimate_effects(table, terms="main+2fi", method=method)
    after = estimate_effects(flipped, terms="main+2fi", method=method)
    for one, other in zip(before, after, strict=True):
        sign = np.prod([-1.0 if letter in reversed_ else 1.0 for letter in one.term])
        assert other.estimate == pytest.approx(sign * one.estimate, abs=1e-12)
        assert other.se == pytest.approx(one.se, rel=1e-9)
