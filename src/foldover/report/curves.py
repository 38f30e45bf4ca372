"""Training curves, thinned to what a picture can show."""

from __future__ import annotations

import math
from collections.abc import Mapping

from foldover.report.inputs import Curve

MOST_POINTS = 120


def thin(count: int, most: int = MOST_POINTS) -> list[int]:
    """Which of `count` points stay: all, or `most` evenly spread ones with the first and the last."""
    if count <= most:
        return list(range(count))
    return [i * (count - 1) // (most - 1) for i in range(most)]


def describe_curves(curves: Mapping[str, Curve]) -> dict[str, object]:
    """By run id: `of`, the number of points recorded, and `columns`, at most 120 of them each.

    A value that is not finite (a loss on its way out) is null. A run without points is left out.
    """
    described: dict[str, object] = {}
    for run_id, curve in sorted(curves.items()):
        count = min((len(column) for column in curve.values()), default=0)
        if count:
            kept = thin(count)
            columns = {name: [_finite(column[i]) for i in kept] for name, column in curve.items()}
            described[run_id] = {"of": count, "columns": columns}
    return described


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
