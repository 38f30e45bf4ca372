"""Power agrees with simulation within two points, and plans are the smallest that do."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import (
    bh_power,
    detectable_effect,
    effects_of_many,
    error_df,
    lenth_power,
    planned_analysis,
    power_curve,
    power_of,
    seeds_needed,
    t_test_power,
    table_from_columns,
)
from foldover.stats.power import Analysis
from foldover.stats.screen_power import _satterthwaite_margins

BASE = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
ANALYSES: tuple[Analysis, ...] = ("auto", "residual")
HALF = np.column_stack([BASE, BASE.prod(axis=1)])


def simulated(effect: float, seeds: int, method: str, block: str | None, studies: int = 4000) -> float:
    """Share of studies (sd 1, A active, seeds shift all runs) whose A is found by the estimators themselves."""
    rng = np.random.default_rng(11)
    rows = [(row, s) for s in range(seeds) for row in HALF]
    columns = {letter: [f"{row[j]:+.0f}" for row, _ in rows] for j, letter in enumerate("ABCDE")}
    columns |= {"seed": [str(s + 1) for _, s in rows], "y": [str(i) for i in range(len(rows))]}
    table = table_from_columns(columns, response="y", factors="ABCDE")
    shift = rng.standard_normal((studies, seeds)).repeat(16, axis=1) if block else 0.0
    Y = effect / 2 * table.levels[:, 0] + shift + rng.standard_normal((studies, len(rows)))
    found = effects_of_many(table, Y, method=method, block=block)
    return float(((found.low > 0) | (found.high < 0))[:, 0].mean())


@pytest.mark.parametrize(
    ("effect", "seeds", "analysis", "method", "block"),
    [
        (0.6, 5, "auto", "auto", True),
        (1.0, 3, "auto", "auto", True),
        (0.8, 4, "auto", "auto", False),
        (0.5, 2, "auto", "auto", False),
        (0.9, 2, "auto", "auto", False),
        (0.6, 5, "residual", "paper", True),
        (2.0, 1, "auto", "auto", False),
    ],
)
def test_power_agrees_with_simulation_of_the_estimators(
    effect: float, seeds: int, analysis: Analysis, method: str, block: bool
) -> None:
    planned = power_of(effect, 1.0, 16, seeds, terms=5, block=block, analysis=analysis).power
    assert abs(planned - simulated(effect, seeds, method, "seed" if block else None)) < 0.02 + 0.008


@pytest.mark.parametrize(
    ("seeds", "block", "expected"), [(1, True, "lenth"), (5, True, "per_seed"), (5, False, "satterthwaite")]
)
def test_auto_is_the_default_analysis(seeds: int, block: bool, expected: str) -> None:
    assert planned_analysis(seeds=seeds, block=block) == expected
    assert power_of(1.0, 1.0, 16, seeds, block=block).analysis == expected


def test_error_df_of_the_seeded_screen_of_the_paper() -> None:
    assert error_df(runs=16, seeds=5, terms=5, analysis="residual") == 70
    assert error_df(runs=16, seeds=5, terms=15, analysis="residual") == 60
    assert error_df(runs=16, seeds=5, terms=5) == 4


def test_given_df_stands_for_least_squares_on_these() -> None:
    planned = power_of(1.0, 2.0, 16, 5, df=12.5)
    assert (planned.df, planned.analysis) == (12.5, "residual")
    assert planned.power == t_test_power(planned.ncp, 12.5)


def test_with_many_runs_a_condition_own_variances_cost_nothing() -> None:
    own, pooled = (power_of(0.2, 1.0, 16, 60, terms=5, block=False, analysis=a) for a in ANALYSES)
    assert own.analysis == "satterthwaite"
    assert own.power == pytest.approx(pooled.power, abs=1e-3)


def test_with_two_runs_a_condition_own_variances_cost_more_than_their_expected_df_say() -> None:
    planned = power_of(0.5, 1.0, 16, 2, block=False)
    assert planned.power < t_test_power(planned.ncp, planned.df) - 0.02


def test_power_from_simulated_variances_is_the_same_every_time() -> None:
    first = power_of(0.5, 1.0, 16, 2, block=False)
    _satterthwaite_margins.cache_clear()
    assert power_of(0.5, 1.0, 16, 2, block=False) == first


@settings(max_examples=30)
@given(st.floats(0.1, 2.0), st.integers(2, 10), st.floats(0.2, 3.0))
def test_power_rises_with_effect_and_seeds_and_falls_with_noise(effect: float, seeds: int, sd: float) -> None:
    power = power_of(effect, sd, 16, seeds).power
    assert power_of(1.2 * effect, sd, 16, seeds).power >= power - 1e-12
    assert power_of(effect, sd, 16, seeds + 1).power >= power - 1e-12
    assert power_of(effect, 1.2 * sd, 16, seeds).power <= power + 1e-12


def test_sign_of_the_effect_does_not_matter() -> None:
    assert power_of(-0.5, 1.0, 16, 5).power == pytest.approx(power_of(0.5, 1.0, 16, 5).power)


@settings(max_examples=20)
@given(st.floats(0.3, 2.0), st.sampled_from([0.5, 0.8, 0.9]))
def test_seeds_needed_is_the_smallest_number(effect: float, target: float) -> None:
    found = seeds_needed(effect, 1.0, 16, terms=5, power=target)
    assert found.power >= target
    assert found.power_below is None or found.power_below < target


@pytest.mark.parametrize("seeds", [1, 5])
def test_detectable_effect_has_the_target_power(seeds: int) -> None:
    effect = detectable_effect(1.0, runs=16, seeds=seeds, terms=5, power=0.9)
    assert power_of(effect, 1.0, 16, seeds, terms=5).power == pytest.approx(0.9, abs=2e-3)


def test_power_curve_over_seeds_and_over_effects() -> None:
    over_seeds = power_curve(1.0, runs=16, seeds=[2, 4, 8], effects=[0.5])
    over_effects = power_curve(1.0, runs=16, seeds=[4], effects=[0.2, 0.5])
    assert (over_seeds.quantity, over_seeds.x, over_effects.quantity) == ("seeds", (2, 4, 8), "effect")
    assert over_seeds.power[1] == over_effects.power[1]


def test_power_curve_over_both_is_refused() -> None:
    with pytest.raises(AnalysisError, match="varies either"):
        power_curve(1.0, runs=16, seeds=[2, 3], effects=[0.1, 0.2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sd": 0.0}, "sd must be a positive"),
        ({"sd": -1.0}, "sd must be a positive"),
        ({"effect": 0.0}, "effect other than 0"),
        ({"effect": math.nan}, "effect other than 0"),
        ({"level": 1.0}, "strictly between 0 and 1"),
        ({"df": 0.5}, "at least one degree of freedom"),
        ({"terms": 16}, "cannot carry 16 effects"),
        ({"seeds": 1, "terms": 15, "analysis": "residual"}, "no degrees of freedom"),
        ({"seeds": 1, "analysis": "per_seed"}, "no degrees of freedom"),
    ],
)
def test_bad_plans_are_refused(changes: dict[str, object], message: str) -> None:
    plan = {"effect": 1.0, "sd": 1.0, "runs": 16, "seeds": 5, "terms": 5} | changes
    with pytest.raises(AnalysisError, match=message):
        power_of(**plan)  # type: ignore[arg-type]


@pytest.mark.parametrize("power", [0.0, 1.0, 90])
def test_target_power_outside_the_unit_interval_is_refused(power: float) -> None:
    with pytest.raises(AnalysisError, match="power must lie strictly"):
        seeds_needed(1.0, 1.0, 16, power=power)


def test_effect_too_small_for_any_plan_is_refused() -> None:
    with pytest.raises(AnalysisError, match="more than 100000"):
        seeds_needed(1e-6, 1.0, 16)


def test_t_power_agrees_with_statsmodels() -> None:
    from statsmodels.stats.power import TTestPower

    wanted = TTestPower().power(0.5, 10, 0.05)
    assert t_test_power(0.5 * math.sqrt(10), 9) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("ncp", "df"), [(1e4, 5), (300.0, 1), (60.0, 1000)])
def test_t_power_far_out_is_one(ncp: float, df: float) -> None:
    assert t_test_power(ncp, df) == pytest.approx(1.0, abs=0.05)


def test_power_at_the_null_is_alpha() -> None:
    assert t_test_power(0.0, 7, alpha=0.03) == pytest.approx(0.03)


def test_bh_keeps_its_rate_and_finds_large_effects() -> None:
    found = bh_power([1.0, 1.0, 0.0, 0.0, 0.0], 1.0, runs=16, seeds=5, df=60)
    assert found.false_discovery_rate <= 0.05 + 0.005
    assert found.average > 0.95


def test_bh_under_the_complete_null_has_q_as_its_error() -> None:
    found = bh_power([0.0] * 5, 1.0, runs=16, seeds=5, df=60)
    assert found.false_discovery_rate == pytest.approx(0.05, abs=0.007)


def test_lenth_power_is_reproducible_and_bounded_by_runs() -> None:
    assert lenth_power([1.0], 0.3, runs=16) == lenth_power([1.0], 0.3, runs=16)
    with pytest.raises(AnalysisError, match="16 runs carry 15 effects"):
        lenth_power([1.0] * 16, 0.3, runs=16)
