"""What common seeds save: the arithmetic of the benchmark."""

from __future__ import annotations

import math

import pytest
from benchmarks.pairing import row_of, saving


def test_levels_that_move_together_pair_well() -> None:
    shift = [0.0, 1.0, -2.0, 0.5, 1.5]
    low = [2.0 + x for x in shift]
    high = [2.5 + x + wobble for x, wobble in zip(shift, (0.01, -0.01, 0.0, 0.02, -0.02), strict=True)]
    other = [2.5, 1.0, 3.0, 4.0, 2.0]
    found = saving(low, high, other)
    wobbles = [0.01, -0.01, 0.0, 0.02, -0.02]
    assert found.paired == pytest.approx(math.sqrt(sum(x * x for x in wobbles) / 4))
    mean = sum(shift) / 5
    variance = sum((x - mean) ** 2 for x in shift) / 4
    assert found.formula == pytest.approx(math.sqrt(2 * variance), rel=0.02)
    assert found.times > 1000
    assert found.low < found.correlation < found.high <= 1.0
    assert row_of("depth=2,3", found, 0.5)[:3] == ["depth=2,3", "+0.5000", f"{found.paired:.5f}"]
