"""Several conditions at once: agreement with scipy, error kept over the family, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from foldover.core import AnalysisError
from foldover.stats import all_pairs, compare_with_best, versus_control, welch
from foldover.stats.pairwise import dunnett_quantile, dunnett_tail
from foldover.stats.tails import t_upper

RNG = np.random.default_rng(0)
GROUPS = {name: list(RNG.normal(m, 0.5, 5)) for name, m in zip("abcd", [1.0, 1.2, 2.0, 3.0], strict=True)}


def test_games_howell_agrees_with_scipy() -> None:
    three = {name: GROUPS[name] for name in "acd"}  # scipy takes a second a pair
    wanted = stats.tukey_hsd(*three.values(), equal_var=False)
    interval = wanted.confidence_interval()
    for pair, (i, j) in zip(all_pairs(three).pairs, [(0, 1), (0, 2), (1, 2)], strict=True):
        assert pair.p == pytest.approx(wanted.pvalue[i, j], abs=1e-8)
        assert (pair.low, pair.high) == pytest.approx((interval.low[i, j], interval.high[i, j]))


def test_two_conditions_by_games_howell_are_welch() -> None:
    two = {"a": GROUPS["a"], "c": GROUPS["c"]}
    assert all_pairs(two).pairs[0].p == pytest.approx(welch(two["a"], two["c"]).p, rel=1e-5)


def test_holm_welch_adjusts_over_all_pairs() -> None:
    pairs = all_pairs(GROUPS, method="holm_welch").pairs
    raw = [welch(GROUPS[p.a], GROUPS[p.b]).p for p in pairs]
    assert len(pairs) == 6
    assert min(p.p for p in pairs) == pytest.approx(6 * min(raw))


def test_dunnett_agrees_with_scipy() -> None:
    found = versus_control(GROUPS, "a", method="dunnett")
    wanted = stats.dunnett(GROUPS["b"], GROUPS["c"], GROUPS["d"], control=GROUPS["a"], rng=1)
    interval = wanted.confidence_interval()
    # scipy integrates by quasi-Monte Carlo, to about 1e-4.
    assert [p.p for p in found.pairs] == pytest.approx(wanted.pvalue, abs=1e-3)
    assert [p.low for p in found.pairs] == pytest.approx(interval.low, abs=2e-3)


def test_dunnett_quantile_of_the_published_table() -> None:
    # Dunnett (1964), two-sided 5%: 3 treatments, 20 df: 2.54; 2 treatments, 10 df: 2.57.
    half = 0.5**0.5
    assert dunnett_quantile(0.05, [half] * 3, 20) == pytest.approx(2.54, abs=0.005)
    assert dunnett_quantile(0.05, [half] * 2, 10) == pytest.approx(2.57, abs=0.005)


@pytest.mark.parametrize("t", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("df", [2, 16, 200])
def test_dunnett_against_one_treatment_is_student(t: float, df: int) -> None:
    assert dunnett_tail(t, [0.6], df) == pytest.approx(2 * t_upper(t, df), abs=1e-9)
    assert dunnett_tail(t, [0.6], df, sides=1) == pytest.approx(t_upper(t, df), abs=1e-9)


def test_control_outside_the_conditions_is_refused() -> None:
    with pytest.raises(AnalysisError, match="control is not among"):
        versus_control(GROUPS, "z")


def test_holm_against_a_control_has_one_test_a_treatment() -> None:
    assert len(versus_control(GROUPS, "a").pairs) == 3


def test_far_condition_cannot_be_best() -> None:
    found = {w.condition: w for w in compare_with_best(GROUPS)}
    assert not found["d"].may_be_best
    assert found["a"].may_be_best


def test_single_candidate_is_called_best() -> None:
    groups = {"a": [1.0, 1.01, 1.02], "b": [2.0, 2.01, 2.02], "c": [3.0, 3.01, 3.02]}
    found = compare_with_best(groups)
    assert [w.condition for w in found if w.is_best] == ["a"]
    assert found[0].high == 0.0


def test_best_where_higher_is_better_is_the_mirror() -> None:
    low = {w.condition: w for w in compare_with_best({n: [-x for x in v] for n, v in GROUPS.items()})}
    high = {w.condition: w for w in compare_with_best(GROUPS, lower_is_better=False)}
    for name in GROUPS:
        assert (high[name].low, high[name].high) == pytest.approx((-low[name].high, -low[name].low))
        assert high[name].may_be_best == low[name].may_be_best


def test_true_best_is_excluded_in_at_most_5_percent() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        groups = {str(i): list(rng.normal(0.0 if i == 0 else 0.3, 1.0, 4)) for i in range(3)}
        wrong += not next(w for w in compare_with_best(groups) if w.condition == "0").may_be_best
    assert wrong / 400 < 0.05 + 0.02


def test_one_condition_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least two conditions"):
        all_pairs({"a": [1.0, 2.0]})


def test_single_run_is_refused_by_name() -> None:
    with pytest.raises(AnalysisError, match="condition b needs at least 2"):
        all_pairs({"a": [1.0, 2.0], "b": [1.0]})
