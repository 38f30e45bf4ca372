"""Numbers as people read them, and the scales of the drawings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from foldover.report import numbers, svg
from foldover.report.curves import MOST_POINTS, thin


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0818, "+0.0818"), (-0.0165, "\u22120.0165"), (0.0, "0.0000"), (-0.00001, "0.0000"), (None, "\u2013")],
)
def test_effects_show_their_sign(value: float | None, text: str) -> None:
    assert numbers.signed(value) == text


@pytest.mark.parametrize(
    ("errors", "decimals"), [([0.014], 3), ([0.0039, 0.014], 4), ([0.00016], 5), ([None], 4), ([], 4)]
)
def test_decimals_show_two_digits_of_the_smallest_error(errors: list[float | None], decimals: int) -> None:
    assert numbers.decimals_for(errors) == decimals


@pytest.mark.parametrize(
    ("p", "text"), [(0.454, "0.454"), (0.029, "0.029"), (9.01e-18, "9.0\u00d710\u207b\u00b9\u2078"), (None, "\u2013")]
)
def test_small_p_values_keep_their_power_of_ten(p: float | None, text: str) -> None:
    assert numbers.probability(p) == text


@pytest.mark.parametrize(
    ("value", "text"), [(524288, "524,288"), (0.04, "0.04"), (True, "true"), ("relu", "relu"), (None, "\u2013")]
)
def test_settings_are_exact(value: object, text: str) -> None:
    assert numbers.setting(value) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "text"), [(8.24, "8.2 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 05 min")])
def test_durations_are_in_their_own_unit(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


def test_unit_follows_from_the_name_of_the_response() -> None:
    assert numbers.unit_of("val_bpb") == "bits per byte"
    assert numbers.unit_of("accuracy") == ""


@given(st.integers(0, 5000))
def test_thinning_keeps_order_and_ends(count: int) -> None:
    kept = thin(count)
    assert kept == sorted(set(kept))
    assert len(kept) == min(count, MOST_POINTS)
    assert not kept or (kept[0], kept[-1]) == (0, count - 1)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_a_few_inside_the_range(low: float, width: float) -> None:
    high = low + width
    if high - low < 1e-9 * max(abs(low), abs(high)):
        return
    found = svg.ticks(low, high)
    slack = 1e-6 * (high - low)
    assert 1 <= len(found) <= 11
    assert all(low - slack <= tick <= high + slack for tick in found)


@given(st.text())
def test_words_in_a_drawing_are_escaped(words: str) -> None:
    drawn = svg.text(0, 0, words)
    assert str(escape(words)) in drawn
    assert drawn.count("<") == 2 if words else drawn.count("<") == 1


def test_scale_of_a_single_value_is_not_empty() -> None:
    scale = svg.scale_over([2.0, 2.0], 0, 100)
    assert scale(2.0) == pytest.approx(50)
