"""A curve is packed without loss."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import LedgerError
from foldover.ledger.curves import PackedCurve, columns_of, pack_curve, unpack_curve

VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(max_size=3),
    st.booleans(),
    st.none(),
)
POINTS = st.lists(st.dictionaries(st.sampled_from(["step", "loss", "lr", "phase"]), VALUES), max_size=8)


def exact(points):
    return [{name: (type(value), repr(value)) for name, value in point.items()} for point in points]


@given(POINTS)
def test_unpacking_gives_what_was_packed(points):
    assert exact(unpack_curve(pack_curve(points))) == exact(points)


def test_floats_of_single_precision_take_four_bytes():
    assert len(pack_curve([{"loss": 0.5}] * 100).data) == 400


def test_floats_of_double_precision_take_eight_bytes():
    assert len(pack_curve([{"loss": 0.1}] * 100).data) == 800


def test_two_hundred_points_of_three_numbers_fit_in_five_kilobytes():
    points = [{"step": step, "loss": 4.0 / (step + 1), "lr": 0.04} for step in range(200)]
    packed = pack_curve(points)
    assert len(packed.data) + len(packed.header) < 5000


def test_a_column_that_lacks_points_is_none_there():
    columns = columns_of(pack_curve([{"step": 0, "loss": 4.0}, {"step": 1}, {"step": 2, "loss": 3.0}]))
    assert columns == {"loss": (4.0, None, 3.0), "step": (0, 1, 2)}


def test_what_is_not_a_number_is_no_column():
    assert columns_of(pack_curve([{"step": 0, "phase": "warm-down"}])) == {"step": (0,)}


def test_an_empty_curve_has_no_columns():
    assert columns_of(pack_curve([])) == {}


def test_a_blob_cut_short_is_an_error():
    packed = pack_curve([{"loss": 0.5}] * 3)
    with pytest.raises(LedgerError, match="cut short"):
        unpack_curve(PackedCurve(header=packed.header, data=packed.data[:-1]))


def test_the_header_says_what_the_columns_are():
    header = json.loads(pack_curve([{"step": 2**40, "loss": 0.5}]).header)
    assert header == {
        "rows": 1,
        "columns": [{"name": "loss", "type": "f", "count": 1}, {"name": "step", "type": "q", "count": 1}],
    }
