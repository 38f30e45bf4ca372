"""The Shapiro-Wilk test without scipy, against scipy's (algorithm AS R94, Royston 1995)."""

from __future__ import annotations

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats.normality import shapiro_wilk_statistic


@pytest.mark.parametrize("n", [12, 13, 20, 50, 160, 1000])
@pytest.mark.parametrize("law", ["normal", "exponential", "uniform"])
def test_statistic_and_p_are_those_of_scipy(n, law):
    from scipy.stats import shapiro

    values = getattr(np.random.default_rng(n), law)(size=n)
    found, expected = shapiro_wilk_statistic(values), shapiro(values)
    assert found == pytest.approx((expected.statistic, expected.pvalue), rel=1e-5, abs=1e-7)


def test_order_location_and_scale_do_not_matter():
    values = np.random.default_rng(0).normal(size=40)
    moved = 3.0 - 2.0 * np.random.default_rng(1).permutation(values)
    assert shapiro_wilk_statistic(moved) == pytest.approx(shapiro_wilk_statistic(values))


@pytest.mark.parametrize("values", [np.zeros(20), np.arange(11.0), np.arange(5001.0)])
def test_values_that_carry_no_test_are_refused(values):
    with pytest.raises(AnalysisError):
        shapiro_wilk_statistic(values)
