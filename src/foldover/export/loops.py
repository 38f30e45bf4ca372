"""The hot loops of writing, in numpy: the lanes of the coder, and slots of symbols with their histogram.

`coder.c` computes the same to the last bit, at a multiple of the speed; `native.loops` chooses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foldover.export.frequencies import PRECISION, TOTAL

# Steps whose table look-ups are done at once.
_BATCH = 128


class Loops:
    """The loops in numpy. note: why there are none in C."""

    def __init__(self, note: str = "") -> None:
        self.note = note

    def encode_lanes(
        self, slots: NDArray[np.integer], packed: NDArray[np.uint32], state: NDArray[np.uint32]
    ) -> NDArray[np.uint16]:
        """Words of symbols given as slots, (n,), from the states (lanes,), which are changed in place. See `ans`."""
        count, lanes = len(slots), len(state)
        whole = count // lanes * lanes
        pieces = [_encode_steps(packed.take(slots[None, whole:]), state[: count - whole])]
        batch = lanes * _BATCH
        for start in range((whole - 1) // batch * batch, -1, -batch):
            both = packed.take(slots[start : min(start + batch, whole)])
            pieces.append(_encode_steps(both.reshape(-1, lanes), state))
        return np.concatenate(pieces[::-1])

    def place_symbols(
        self,
        symbols: NDArray[np.integer],
        by_row: NDArray[np.int32],
        by_column: NDArray[np.int32],
        places: range,
        out: NDArray[np.int32],
    ) -> NDArray[np.int64]:
        """How often each slot occurs, (len(places),), of symbols (r, c); each one's slot goes to `out`, (r * c,).

        Counted from the first of `places`, it is the sum of the symbol, of its row's (r,) and of its column's (c,)
        number.
        """
        keys = symbols + by_column
        keys += by_row[:, None]
        np.add(keys.ravel(), np.int32(places.start), out=out)
        return np.bincount(keys.ravel(), minlength=len(places))


def _encode_steps(both: NDArray[np.uint32], x: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Words of steps (steps, lanes) of packed frequencies, taken from the last to the first, of states x (lanes,)."""
    frequencies = both & np.uint32(0xFFFF)
    limits = frequencies << np.uint32(32 - PRECISION)
    # x (1 / f), made a little larger, reaches every whole number that x / f reaches, and no other since x < 2**32: its
    # floor is x // f, at a third of the time that integers take.
    inverses = (1.0 + 2.0**-48) / frequencies
    missing = (np.uint32(TOTAL) - frequencies).view(np.int32)
    both >>= np.uint32(16)
    # x // f < 2**18, so signed numbers hold it, which are converted faster.
    signed, cumulated = x.view(np.int32), both.view(np.int32)
    quotient, whole = np.empty(len(x), dtype=np.float64), np.empty(len(x), dtype=np.int32)
    is_full, sixteen = np.empty(len(x), dtype=bool), np.array([16], dtype=np.uint32)
    spilled = [x[:0]]
    for limit, inverse, rest, before in zip(limits[::-1], inverses[::-1], missing[::-1], cumulated[::-1], strict=True):
        full = np.greater_equal(x, limit, is_full).nonzero()[0]
        large = x.take(full)
        spilled.append(large)
        x[full] = large >> sixteen
        quotient[:] = x  # as a step of its own, since arithmetic of two types is slow
        np.multiply(quotient, inverse, quotient)
        whole[:] = quotient
        # x // f * TOTAL + x % f  =  x + x // f * (TOTAL - f)
        np.multiply(whole, rest, whole)
        np.add(signed, whole, signed)
        np.add(signed, before, signed)
    return np.concatenate(spilled[::-1]).astype(np.uint16)  # the low 16 bits
