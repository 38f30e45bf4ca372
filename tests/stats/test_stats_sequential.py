"""Group-sequential boundaries against published constants and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import lan_demets, obrien_fleming, pocock, sequential_power, stein_two_stage, unplanned_alpha


def test_five_unplanned_looks_err_in_14_percent() -> None:
    # Armitage, McPherson and Rowe (1969), table 2: 0.142 for five looks at 0.05.
    assert unplanned_alpha(5) == pytest.approx(0.142, abs=5e-4)


def test_one_look_is_the_fixed_sample_test() -> None:
    assert pocock(1).z == pytest.approx((1.959964,), abs=1e-5)
    assert unplanned_alpha(1) == pytest.approx(0.05)


@pytest.mark.parametrize("boundaries", [pocock(4), obrien_fleming(4), lan_demets([0.2, 0.5, 1.0])])
def test_boundaries_spend_alpha_in_all(boundaries: object) -> None:
    spent = boundaries.spent  # type: ignore[attr-defined]
    assert spent[-1] == pytest.approx(0.05, abs=1e-9)
    assert list(spent) == sorted(spent)


def test_boundaries_keep_alpha_in_simulation() -> None:
    rng = np.random.default_rng(9)
    b = obrien_fleming(3)
    z = rng.standard_normal((200_000, 3)).cumsum(axis=1) / np.sqrt([1, 2, 3])
    assert (np.abs(z) >= b.z).any(axis=1).mean() == pytest.approx(0.05, abs=0.0015)


def test_power_agrees_with_simulation() -> None:
    rng = np.random.default_rng(9)
    b, ncp = pocock(3), 3.0
    steps = rng.standard_normal((100_000, 3)) / math.sqrt(3) + ncp / 3
    z = steps.cumsum(axis=1) / np.sqrt(np.array([1, 2, 3]) / 3)
    crossed = np.maximum.accumulate(np.abs(z) >= b.z, axis=1).mean(axis=0)
    assert sequential_power(b, ncp) == pytest.approx(crossed, abs=0.005)


def test_obrien_fleming_is_hard_at_first() -> None:
    z = obrien_fleming(4).z
    assert z[0] / z[-1] == pytest.approx(2.0)


def test_spending_at_equal_looks_is_close_to_the_classical_boundary() -> None:
    # Jennison and Turnbull (2000), and R's ldbounds, for three equal looks: 3.710, 2.511, 1.993.
    assert lan_demets([1 / 3, 2 / 3, 1.0]).z == pytest.approx((3.710, 2.511, 1.993), abs=2e-3)


def test_pocock_type_spending_at_two_looks() -> None:
    # R's ldbounds: 2.157, 2.201.
    assert lan_demets([0.5, 1.0], shape="pocock").z == pytest.approx((2.157, 2.201), abs=1e-3)


def test_nominal_levels_are_the_boundaries_as_p_values() -> None:
    assert pocock(2).nominal == pytest.approx((0.0294, 0.0294), abs=1e-4)


@pytest.mark.parametrize("times", [[], [0.0, 1.0], [0.5, 0.5], [0.5, 1.2], [1.0, 0.5]])
def test_information_that_does_not_rise_to_at_most_one_is_refused(times: list[float]) -> None:
    with pytest.raises(AnalysisError):
        lan_demets(times)


@pytest.mark.parametrize("looks", [0, 21])
def test_number_of_looks_is_bounded(looks: int) -> None:
    with pytest.raises(AnalysisError, match="number of looks"):
        pocock(looks)


def test_unknown_spending_function_is_refused() -> None:
    with pytest.raises(AnalysisError, match="spending function"):
        lan_demets([1.0], shape="haybittle")  # type: ignore[arg-type]


def test_stein_total_is_the_rule_of_the_pilot() -> None:
    # s = 1, n0 = 3, t = 4.303: (4.303 / 0.5)^2 = 74.05, so 75 runs.
    assert stein_two_stage([1.0, 2.0, 3.0], 0.5) == 75


def test_stein_never_asks_for_fewer_than_the_pilot() -> None:
    assert stein_two_stage([1.0, 2.0, 3.0], 100.0) == 3


@settings(max_examples=20)
@given(st.floats(0.05, 2.0))
def test_stein_asks_for_more_where_the_interval_is_narrower(half_width: float) -> None:
    assert stein_two_stage([1.0, 2.0, 4.0], half_width) >= stein_two_stage([1.0, 2.0, 4.0], 2 * half_width)


def test_pilot_of_one_is_refused() -> None:
    with pytest.raises(AnalysisError, match="pilot needs at least 2"):
        stein_two_stage([1.0], 0.1)


def test_power_for_an_effect_that_is_no_number_is_refused() -> None:
    with pytest.raises(AnalysisError, match="must be a number"):
        sequential_power(pocock(2), float("nan"))
