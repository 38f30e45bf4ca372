"""How far a preparation is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Gets the phase and the fraction of the whole done, from 0 to 1."""


def part_of(report: Progress, phase: str, low: float, high: float) -> Callable[[float], None]:
    """A report of the fraction of one phase, which takes the whole from low to high."""
    return lambda fraction: report(phase, low + (high - low) * fraction)
