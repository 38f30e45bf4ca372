"""Equal penalties are read off between settings; what was not measured meets no goal."""

from __future__ import annotations

import math

import pytest
from benchmarks.export_points import Point, bytes_at
from benchmarks.export_table import equal_loss


def points(*pairs: tuple[int, float], label: str = "int8") -> list[Point]:
    return [Point(label=label, num_bytes=size, penalty=penalty, error=0.0) for size, penalty in pairs]


def test_bytes_go_as_the_logarithm_of_the_penalty():
    found = points((1000, 0.0016), (2000, 0.0001))
    assert bytes_at(found, 0.0016) == pytest.approx(1000)
    assert bytes_at(found, 0.0004) == pytest.approx(1500)
    assert bytes_at(found, 0.0001) == pytest.approx(2000)


def test_outside_of_the_settings_there_is_no_figure():
    found = points((1000, 0.0016), (2000, 0.0001))
    assert bytes_at(found, 0.01) is None
    assert bytes_at(found, 0.00001) is None


def test_a_penalty_of_zero_or_below_is_the_smallest():
    found = points((1000, 0.01), (2000, -0.0001))
    assert 1000 < (bytes_at(found, 0.001) or 0) < 2000


def test_a_peer_whose_finest_setting_is_worse_needs_at_least_its_bytes():
    families = {
        "int8 rows, zlib-9": points((2000, 0.0003), (1800, 0.004)),
        "int6 rows, brotli-11": points((2100, 0.0008)) + points((1500, 0.014), label="int6"),
        "ours, under a cap": points((900, 0.0001), (400, 0.02)),
    }
    checks = {check.name: check for check in equal_loss(families)}
    own = bytes_at(families["ours, under a cap"], 0.0005) or math.nan
    check = checks["fewer bytes than int6 rows, brotli-11 at +0.0005, %"]
    assert check.value == pytest.approx(100 * (1 - own / 2100))
    assert check.is_kept


def test_a_goal_without_our_own_figure_is_missed():
    families = {
        "int8 rows, zlib-9": points((2000, 0.0003), (1800, 0.004)),
        "int6 rows, brotli-11": points((2100, 0.0002)) + points((1500, 0.014), label="int6"),
        "ours, under a cap": points((900, 0.002), (400, 0.02)),
    }
    assert not any(check.is_kept for check in equal_loss(families) if "+0.0005" in check.name)
