"""An effect at equal seconds splits into steps and speed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import Curve, decompose_by_speed


def curve(rate: float, gain: float = 0.0, noise: float = 0.0, seconds: float = 600.0) -> Curve:
    """Loss 4 - 0.3 ln(steps) - gain at `rate` steps a second: linear in log steps, so interpolation is exact."""
    times = [seconds * i / 100 for i in range(1, 121)]
    steps = [rate * t for t in times]
    return Curve(
        seconds=tuple(times), steps=tuple(steps), values=tuple(4 - 0.3 * math.log(s) - gain + noise for s in steps)
    )


def test_change_of_speed_alone_has_no_per_step_part() -> None:
    found = decompose_by_speed({1: curve(2.0)}, {1: curve(4.0)}, seconds=600)
    assert found.per_step.estimate == pytest.approx(0.0, abs=1e-12)
    assert found.speed.estimate == pytest.approx(-0.3 * math.log(2.0))
    assert found.slower == "low"


def test_change_per_step_alone_has_no_speed_part() -> None:
    found = decompose_by_speed({1: curve(2.0)}, {1: curve(2.0, gain=0.1)}, seconds=600)
    assert (found.per_step.estimate, found.speed.estimate) == pytest.approx((-0.1, 0.0))
    assert found.slower == "neither"


@given(st.floats(0.5, 5.0), st.floats(0.5, 5.0), st.floats(-0.5, 0.5))
def test_parts_add_up_to_the_total(rate_low: float, rate_high: float, gain: float) -> None:
    found = decompose_by_speed({1: curve(rate_low)}, {1: curve(rate_high, gain=gain)}, seconds=300)
    assert found.total.estimate == pytest.approx(found.per_step.estimate + found.speed.estimate, abs=1e-12)
    assert found.per_step.estimate == pytest.approx(-gain, abs=1e-9)


def test_slower_high_level_pays_for_its_lost_steps() -> None:
    found = decompose_by_speed({1: curve(4.0)}, {1: curve(2.0, gain=0.1)}, seconds=600)
    assert found.speed.estimate == pytest.approx(0.3 * math.log(2.0))
    assert found.total.estimate > 0 > found.per_step.estimate


def test_seeds_give_intervals() -> None:
    low = {s: curve(2.0, noise=0.01 * s) for s in (1, 2, 3)}
    high = {s: curve(2.0, gain=0.1, noise=0.012 * s) for s in (1, 2, 3)}
    found = decompose_by_speed(low, high, seconds=600)
    assert found.seeds == (1, 2, 3)
    assert found.per_step.low is not None
    assert found.per_step.low < found.per_step.estimate


def test_one_seed_is_called_descriptive() -> None:
    found = decompose_by_speed({1: curve(2.0)}, {1: curve(2.0)}, seconds=600)
    assert found.total.low is None
    assert "descriptive" in found.notes[-1]


def test_schedule_tied_to_the_budget_is_pointed_out() -> None:
    assert "schedule" in decompose_by_speed({1: curve(2.0)}, {1: curve(2.0)}, seconds=600).notes[0]


def test_budget_outside_a_curve_is_refused() -> None:
    with pytest.raises(AnalysisError, match="does not reach 9000"):
        decompose_by_speed({1: curve(2.0)}, {1: curve(2.0)}, seconds=9000)


def test_unmatched_seeds_are_refused() -> None:
    with pytest.raises(AnalysisError, match="each seed on both sides"):
        decompose_by_speed({1: curve(2.0)}, {2: curve(2.0)}, seconds=600)


@pytest.mark.parametrize("steps", [(2.0, 1.0), (0.0, 1.0)])
def test_curve_whose_steps_do_not_rise_is_refused(steps: tuple[float, float]) -> None:
    with pytest.raises(AnalysisError, match="must be positive and rise"):
        Curve(seconds=(1.0, 2.0), steps=steps, values=(1.0, 1.0))
