"""Arrays as whole numbers in the order of their values, split into a symbol and low bits that are as good as random."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# More symbols than this are not worth their table: low bits are split off until they are fewer. Of codes most are
# near zero, where a low bit is far from even, so that splitting costs more; readers take no more than 2**11 symbols.
_MOST_SYMBOLS = 1 << 10
_MOST_CODES = 1 << 11
# Bits of a stored table a symbol, for the choice of the split.
_BITS_PER_SYMBOL = 4.5


def to_integers(array: np.ndarray) -> NDArray[np.integer]:
    """int8 and int16 as they are; float16 as int16 of the same order: its bits, those of negative numbers inverted.

    Every float16 has its own number, NaN and negative zero too.
    """
    if array.dtype.kind == "i":
        return array
    bits = np.ascontiguousarray(array, dtype="<f2").view("<i2")
    return np.where(bits < 0, ~(bits & np.int16(0x7FFF)), bits)


def from_integers(values: NDArray[np.int64], dtype: str) -> np.ndarray:
    """The inverse, of numbers in range, (n,)."""
    if dtype != "float16":
        return values.astype(dtype)
    bits = np.where(values < 0, -1 - values + 0x8000, values)
    return bits.astype("<u2").view("<f2").astype(np.float16, copy=False)


def choose_split(values: NDArray[np.integer], *, is_float: bool) -> tuple[int, int]:
    """(center, shift): symbols are `(values - center) >> shift`; the low `shift` bits are coded evenly.

    Codes keep all bits where their range allows; of float16 the last bits are noise, and the split that makes
    symbols, their table and the bits smallest is taken.
    """
    if not values.size:
        return 0, 0
    low, high = int(values.min()), int(values.max())
    if not is_float:
        return 0, next(s for s in range(16) if 2 * max(-(low >> s), high >> s) < _MOST_CODES)
    ordered = np.sort(values, axis=None).astype(np.int64)
    center = int((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)  # the median, towards 0
    flat = ordered - center
    options = range(_least_shift(high - low + 2), 10, 2)
    costs = {shift: _split_bits(flat, shift) for shift in options}
    shift = min(options, key=lambda s: costs[s])
    return center - (1 << shift >> 1), shift


def _least_shift(extent: int) -> int:
    return max(math.ceil(math.log2(extent / _MOST_SYMBOLS)), 0)


def _split_bits(flat: NDArray[np.int64], shift: int) -> float:
    symbols = (flat + (1 << shift >> 1)) >> shift
    counts = np.bincount(symbols - symbols.min())
    counts = counts[counts > 0]
    entropy = float(-(counts * np.log2(counts / len(flat))).sum())
    return entropy + shift * len(flat) + _BITS_PER_SYMBOL * len(counts)
