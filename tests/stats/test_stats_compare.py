"""Two conditions: agreement with scipy, symmetry, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foldover.core import AnalysisError
from foldover.stats import (
    Moments,
    moments,
    non_inferiority,
    paired_difference,
    tost,
    tost_estimate,
    tost_paired,
    welch,
)

X, Y = [1.09, 1.08, 1.10, 1.12], [1.11, 1.15, 1.09, 1.13, 1.2]
SAMPLES = st.lists(st.integers(-1000, 1000).map(float), min_size=3, max_size=8, unique=True)


def test_welch_agrees_with_scipy() -> None:
    found, wanted = welch(X, Y), stats.ttest_ind(X, Y, equal_var=False)
    assert (found.t, found.p) == pytest.approx((wanted.statistic, wanted.pvalue), rel=1e-10)
    assert (found.low, found.high) == pytest.approx(wanted.confidence_interval(), rel=1e-10)


@pytest.mark.parametrize("alternative", ["less", "greater"])
def test_one_sided_welch_agrees_with_scipy(alternative: str) -> None:
    found = welch(X, Y, alternative=alternative)  # type: ignore[arg-type]
    assert found.p == pytest.approx(stats.ttest_ind(X, Y, equal_var=False, alternative=alternative).pvalue, rel=1e-10)


@given(SAMPLES, SAMPLES)
def test_swapping_sides_changes_the_sign_only(a: list[float], b: list[float]) -> None:
    one, two = welch(a, b), welch(b, a)
    assert (one.t, one.p, one.low) == pytest.approx((-two.t, two.p, -two.high), abs=1e-9)


@given(SAMPLES, SAMPLES)
def test_moments_give_the_same_as_values(a: list[float], b: list[float]) -> None:
    assert welch(moments(a), moments(b)) == welch(a, b)


@given(SAMPLES, SAMPLES, st.floats(1.0, 500.0))
def test_equivalence_is_the_short_interval_within_bounds(a: list[float], b: list[float], bound: float) -> None:
    found = tost(a, b, bounds=(-bound, bound))
    inside = -bound < found.low and found.high < bound
    assert found.equivalent == inside or abs(found.p - 0.05) < 1e-9


def test_paired_agrees_with_scipy() -> None:
    found = paired_difference({3: 1.0, 1: 1.2, 2: 1.1}, {1: 1.3, 2: 1.15, 3: 1.4})
    wanted = stats.ttest_rel([1.2, 1.1, 1.0], [1.3, 1.15, 1.4])
    assert (found.p, found.seeds, found.df) == (pytest.approx(wanted.pvalue, rel=1e-10), (1, 2, 3), 2)


def test_seed_without_partner_is_refused_by_name() -> None:
    with pytest.raises(AnalysisError, match=r"each seed on both sides \(got \[3\]\)"):
        paired_difference({1: 1.0, 2: 1.1, 3: 1.2}, {1: 1.0, 2: 1.1})


def test_one_seed_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least 2 values"):
        paired_difference({1: 1.0}, {1: 1.1})


def test_equal_differences_are_refused() -> None:
    with pytest.raises(AnalysisError, match="all paired differences are equal"):
        paired_difference({1: 1.0, 2: 2.0}, {1: 0.5, 2: 1.5})


def test_one_run_a_side_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least 2"):
        welch([1.0], [1.0, 2.0])


def test_both_sds_zero_is_refused() -> None:
    with pytest.raises(AnalysisError, match="both conditions have sd 0"):
        welch([1.0, 1.0], [2.0, 2.0])


def test_one_sd_zero_is_allowed() -> None:
    assert welch([1.0, 1.0], [2.0, 2.1]).df == pytest.approx(1.0)


@pytest.mark.parametrize("bounds", [(0.1, 0.1), (0.2, -0.2)])
def test_bounds_in_wrong_order_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(AnalysisError, match="not below the upper"):
        tost(X, Y, bounds=bounds)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 5.0])
def test_tost_refuses_alpha_outside_its_range(alpha: float) -> None:
    with pytest.raises(AnalysisError, match="alpha must lie"):
        tost(X, Y, bounds=(-1, 1), alpha=alpha)


def test_paired_equivalence_uses_the_paired_error() -> None:
    a, b = {1: 1.0, 2: 2.0, 3: 3.0}, {1: 1.01, 2: 2.0, 3: 3.005}
    assert tost_paired(a, b, bounds=(-0.1, 0.1)).equivalent
    assert not tost(list(a.values()), list(b.values()), bounds=(-0.1, 0.1)).equivalent


def test_null_like_effect_needs_its_interval_inside_the_bounds() -> None:
    assert tost_estimate(0.001, 0.001, 60, bounds=(-0.005, 0.005)).equivalent
    assert not tost_estimate(0.001, 0.004, 60, bounds=(-0.005, 0.005)).equivalent


def test_estimate_without_error_is_refused() -> None:
    with pytest.raises(AnalysisError, match="standard error must be a positive"):
        tost_estimate(0.001, 0.0, 60, bounds=(-0.005, 0.005))


def test_non_inferiority_is_one_side_of_tost() -> None:
    found, both = non_inferiority(X, Y, margin=0.02), tost(X, Y, bounds=(-0.02, 0.02))
    assert found.p == pytest.approx(both.p_upper)
    assert found.non_inferior == (found.limit < 0.02)


def test_non_inferiority_where_higher_is_better() -> None:
    found, both = non_inferiority(X, Y, margin=0.1, lower_is_better=False), tost(X, Y, bounds=(-0.1, 0.1))
    assert found.p == pytest.approx(both.p_lower)


def test_sd_below_zero_is_refused() -> None:
    with pytest.raises(AnalysisError, match="sd not negative"):
        Moments(n=3, mean=1.0, sd=-1.0)
