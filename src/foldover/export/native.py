"""The hot loops of writing in C: built on first use, believed only where they agree with numpy, or done without."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foldover.export.frequencies import TOTAL
from foldover.export.loops import Loops
from foldover.native import Absent, open_library

SOURCE = Path(__file__).with_name("coder.c")
OPTIONS = ("-O3", "-fno-math-errno", "-fno-trapping-math")
_ITEM_SIZES = (1, 2, 4)


@cache
def loops() -> Loops:
    """The checked loops in C of this process, built in half a second the first time on this machine; else numpy's."""
    from foldover.data.places import cache_folder  # late: readers do without

    try:
        found = NativeLoops(open_library(cache_folder() / "loops", SOURCE, OPTIONS))
    except (Absent, AttributeError) as error:
        return Loops(str(error))
    difference = first_difference(found)
    return Loops(f"loops in C differ from numpy: {difference}") if difference else found


class NativeLoops(Loops):
    """See `Loops`. library: `coder.c`, compiled."""

    def __init__(self, library: ctypes.CDLL) -> None:
        super().__init__()
        self._encode = library.encode
        self._encode.argtypes = [c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_int64, c_void_p]
        self._encode.restype = c_int64
        self._place = {size: getattr(library, f"place_{size}") for size in _ITEM_SIZES}
        for place in self._place.values():
            place.argtypes = [c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_int32, c_void_p, c_void_p]
            place.restype = None

    def encode_lanes(
        self, slots: NDArray[np.integer], packed: NDArray[np.uint32], state: NDArray[np.uint32]
    ) -> NDArray[np.uint16]:
        """See `Loops`. Raises IndexError for a slot that is not there."""
        slots, packed = _dense(slots, np.int32), _dense(packed, np.uint32)
        assert len(state), "no lanes"
        assert _is_dense(state, np.uint32, len(state)), "states"
        words = np.empty(len(slots), dtype=np.uint16)
        count = self._encode(_at(slots), len(slots), _at(packed), len(packed), _at(state), len(state), _at(words))
        if count < 0:
            raise IndexError(f"slots from {slots.min()} to {slots.max()} of {len(packed)}")
        return words[len(words) - count :]

    def place_symbols(
        self,
        symbols: NDArray[np.integer],
        by_row: NDArray[np.int32],
        by_column: NDArray[np.int32],
        places: range,
        out: NDArray[np.int32],
    ) -> NDArray[np.int64]:
        """See `Loops`."""
        symbols = np.ascontiguousarray(symbols)
        rows, columns = symbols.shape
        by_row, by_column = _dense(by_row, np.int32), _dense(by_column, np.int32)
        assert symbols.dtype.kind == "i" and symbols.itemsize in _ITEM_SIZES, symbols.dtype  # noqa: PT018
        assert (by_row.shape, by_column.shape) == ((rows,), (columns,)), "a number for each row and each column"
        assert _is_dense(out, np.int32, rows * columns), "slots"
        if symbols.size:
            least, most = (sum(int(f(each)) for each in (symbols, by_row, by_column)) for f in (np.min, np.max))
            assert least >= 0 and most < len(places), (least, most, places)  # noqa: PT018
        counts = np.zeros(len(places), dtype=np.int64)
        self._place[symbols.itemsize](
            _at(symbols), rows, columns, _at(by_row), _at(by_column), places.start, _at(out), _at(counts)
        )
        return counts


def first_difference(found: Loops) -> str:
    """The first result that is not numpy's, in words; empty where all agree. Sizes are odd: no tail is forgotten."""
    reference, rng = Loops(), np.random.default_rng(0)
    by_row = (15 * rng.integers(0, 3, size=13)).astype(np.int32)
    by_column = (7 + 15 * rng.integers(0, 3, size=37)).astype(np.int32)
    for size in _ITEM_SIZES:
        symbols = rng.integers(-7, 8, size=(13, 37)).astype(f"i{size}")
        out, expected = np.zeros((2, symbols.size), dtype=np.int32)
        counts = found.place_symbols(symbols, by_row, by_column, range(5, 80), out)
        expected_counts = reference.place_symbols(symbols, by_row, by_column, range(5, 80), expected)
        if not np.array_equal(out, expected) or not np.array_equal(counts, expected_counts):
            return f"slots of {symbols.dtype.name}"
    frequencies = np.array([1, 2, 3, 7, 100, 1021, 5000, TOTAL - 6134, 1, TOTAL - 1, 1 << 13, 1 << 13], dtype=np.uint32)
    before = np.array([0, 1, 3, 6, 13, 113, 1134, 6134, 0, 1, 0, 1 << 13], dtype=np.uint32)
    packed = (before << np.uint32(16)) | frequencies
    for lanes, count in ((1, 50), (8, 3), (600, 5 * 600 + 77)):
        slots = rng.integers(0, len(packed), size=count).astype(np.int32)
        state, expected_state = np.full((2, lanes), 1 << 16, dtype=np.uint32)
        words = found.encode_lanes(slots, packed, state)
        expected_words = reference.encode_lanes(slots, packed, expected_state)
        if not np.array_equal(state, expected_state) or not np.array_equal(words, expected_words):
            return f"words of {lanes} lanes"
    return ""


def _dense(array: np.ndarray, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=dtype)


def _is_dense(array: np.ndarray, dtype: type, count: int) -> bool:
    return array.dtype == dtype and array.shape == (count,) and array.flags.c_contiguous and array.flags.writeable


def _at(array: np.ndarray) -> int:
    return array.ctypes.data
