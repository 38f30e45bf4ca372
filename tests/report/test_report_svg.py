"""Scales and ticks of pictures."""

from __future__ import annotations

from foldover.report.svg import scale_over, tick_decimals, ticks


def test_values_that_differ_by_rounding_alone_have_ticks() -> None:
    scale = scale_over([2.0, 2.0 + 4e-16], 0.0, 100.0)
    marks = ticks(scale.low, scale.high)
    assert len(set(marks)) == len(marks) > 1
    assert tick_decimals(marks) < 6
