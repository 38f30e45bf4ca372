"""Tail areas and quantiles against scipy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from foldover.stats.tails import (
    chi2_quantile,
    chi2_upper,
    f_quantile,
    f_upper,
    normal_quantile,
    normal_upper,
    t_quantile,
    t_quantiles,
    t_two_sided,
    t_upper,
)

T = np.array([0.0, 1e-3, 0.1, 0.5, 1.0, 1.5, 2.0, 2.776, 4.0, 8.0, 12.7, 30.0, 100.0])


@pytest.mark.parametrize("df", [1.0, 1.3, 2.0, 2.5, 3.0, 4.0, 7.7, 10.9, 11.1, 30.0, 70.0, 119.0, 121.0, 1000.0])
def test_t_tail_matches_scipy_relatively_also_far_out(df: float) -> None:
    np.testing.assert_allclose(t_two_sided(T, df), 2.0 * special.stdtr(df, -T), rtol=1e-11, atol=1e-300)


def test_t_tail_below_one_degree_of_freedom_is_still_good_to_seven_digits() -> None:
    np.testing.assert_allclose(t_two_sided(T, 0.5), 2.0 * special.stdtr(0.5, -T), rtol=2e-8)


def test_t_tail_with_an_array_of_df_matches_the_scalar_one() -> None:
    df = np.array([1.0, 2.5, 4.0, 12.0, 70.0])
    found = t_two_sided(np.full(5, 2.3), df)
    np.testing.assert_allclose(found, [t_two_sided(np.array([2.3]), d)[0] for d in df], rtol=1e-13)


def test_one_degree_of_freedom_is_the_cauchy_law() -> None:
    t = np.array([1e-8, 0.3, 5.0])
    np.testing.assert_allclose(t_two_sided(t, 1.0), 1.0 - 2.0 * np.arctan(t) / np.pi, rtol=1e-14)


def test_infinite_df_is_the_normal_law() -> None:
    np.testing.assert_allclose(t_two_sided(T[:10], np.inf), 2.0 * special.ndtr(-T[:10]), rtol=1e-12)


def test_an_infinite_t_has_no_tail() -> None:
    assert t_two_sided(np.array([np.inf]), 4.0)[0] == t_two_sided(np.array([np.inf]), 40.0)[0] == 0.0


@pytest.mark.parametrize("df", [1.0, 1.7, 2.0, 4.0, 13.2, 70.0, 1000.0, np.inf])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.9, 0.975, 0.9995, 1 - 1e-9])
def test_t_quantile_matches_scipy(probability: float, df: float) -> None:
    expected = special.ndtri(probability) if df == np.inf else special.stdtrit(df, probability)
    assert t_quantile(probability, df) == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_quantiles_quoted_with_the_published_intervals() -> None:
    assert t_quantiles(0.975, np.array([1.0, 3.0, 4.0])) == pytest.approx([12.70620474, 3.182446305, 2.776445105])


@given(st.floats(-20, 20), st.floats(1.0, 500))
def test_the_two_one_sided_tails_add_up_to_one(t: float, df: float) -> None:
    assert t_upper(t, df) + t_upper(-t, df) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("df1", [1, 2, 4, 10, 60])
@pytest.mark.parametrize("df2", [1, 3, 10, 68, 500])
@pytest.mark.parametrize("f", [0.0, 1e-3, 0.3, 1.0, 4.0, 60.0])
def test_f_tail_matches_scipy(f: float, df1: int, df2: int) -> None:
    assert f_upper(f, df1, df2) == pytest.approx(special.fdtrc(df1, df2, f), rel=1e-11)


def test_f_with_one_numerator_df_is_t_squared() -> None:
    assert f_upper(2.3**2, 1, 17) == pytest.approx(float(t_two_sided(np.array([2.3]), 17.0)[0]), rel=1e-12)


@pytest.mark.parametrize("df", [1, 2, 3, 10, 44])
@pytest.mark.parametrize("x", [0.0, 1e-3, 0.5, 3.0, 10.0, 44.0, 400.0])
def test_chi_squared_tail_matches_scipy(x: float, df: int) -> None:
    assert chi2_upper(x, df) == pytest.approx(special.chdtrc(df, x), rel=1e-11)


def test_quantiles_invert_their_tails() -> None:
    assert f_upper(f_quantile(0.9, 3, 20), 3, 20) == pytest.approx(0.1)
    assert chi2_upper(chi2_quantile(0.95, 1.0), 1) == pytest.approx(0.05)
    assert chi2_upper(chi2_quantile(0.95, 5.0), 5) == pytest.approx(0.05)
    assert normal_upper(float(normal_quantile(np.array([0.975]))[0])) == pytest.approx(0.025)


def test_estimating_effects_imports_no_scipy() -> None:
    code = (
        "import sys; from foldover.stats import estimate_effects, table_from_columns as t;"
        "c = {'A': [-1, 1] * 3, 'seed': [1, 1, 2, 2, 3, 3], 'y': [1.0, 2.0, 1.1, 2.3, 0.9, 2.2]};"
        "print(estimate_effects(t(c, response='y', factors='A'))[0].p);"
        "print([m for m in sys.modules if m.split('.')[0] in ('scipy', 'statsmodels', 'pandas', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"
