"""Interleaved rANS: the entropy coder, many lanes at once, without any library.

Lane l holds an integer state x with 2**16 <= x < 2**32 and takes symbols l, l + L, l + 2L, ... of the array. A symbol
of frequency f and cumulated frequency c (of TOTAL = 2**14) takes x to (x // f) * TOTAL + c + x % f; beforehand a
state that would grow too large gives its low 16 bits to the stream. Decoding is the inverse, in integers only.

A lane costs three bytes, since it begins at 2**16 and knows nothing. So the last symbols, the tail, are coded first
and by few lanes, and the lanes of all others begin with the tail's words in their low 16 bits: that gives two of the
three bytes back, and many lanes, which are fast in numpy, cost little.

A stream: states of the L lanes, then of the tail's, as little-endian uint32; then 16-bit words in the order in which
decoding needs them (step by step, in a step by lane), first of the lanes, then those of the tail from the L-th on.
Asymmetric numeral systems: Duda, arXiv 1311.2540; interleaving: Giesen, arXiv 1402.3392.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldover.core import ArtifactError
from foldover.export.frequencies import PRECISION, TOTAL
from foldover.export.native import loops

LOWEST = 1 << 16
# A lane costs one byte, a step some ten microseconds: few lanes for small arrays, many for large ones.
_SYMBOLS_PER_LANE = 1 << 11
_MOST_LANES = 1 << 11
_FEWEST_LANES = 1 << 3
_LANES_PER_TAIL_LANE = 1 << 6
# Symbols of the tail for each lane: six of 2.7 bits fill a word.
_TAIL = 6
# Steps whose table look-ups are done at once.
_BATCH = 32

_DAMAGED = "The file is damaged: export again."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tables:
    """Frequency tables, one behind the other.

    frequencies: of all symbols of all tables, (slots,), each table adding up to TOTAL; starts: first slot of each
    table and, last, the number of slots, (tables + 1,).
    """

    frequencies: NDArray[np.uint32]
    starts: NDArray[np.intp]

    def cumulated(self) -> NDArray[np.uint32]:
        """Sum of the frequencies before each slot in its table."""
        before = np.cumsum(self.frequencies, dtype=np.uint32) - self.frequencies
        return before - np.repeat(before[self.starts[:-1]], np.diff(self.starts))

    def packed(self) -> NDArray[np.uint32]:
        """Cumulated frequency in the high, frequency in the low 16 bits of each slot."""
        return (self.cumulated() << np.uint32(16)) | self.frequencies

    def symbols(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The symbol at each of the TOTAL positions of each table, (tables * TOTAL,)."""
        widest = int(np.diff(self.starts).max())
        kind = np.uint8 if widest <= 256 else np.uint16
        index = np.arange(len(self.frequencies)) - np.repeat(self.starts[:-1], np.diff(self.starts))
        return np.repeat(index.astype(kind), self.frequencies)


def lanes_of(count: int) -> int:
    """Number of lanes of a stream of so many symbols: a power of two."""
    return min(max(1 << max((count // _SYMBOLS_PER_LANE).bit_length() - 1, 0), _FEWEST_LANES), _MOST_LANES)


def encode(slots: NDArray[np.integer], packed: NDArray[np.uint32]) -> bytes:
    """The stream of symbols given as slots, (n,), of `packed` tables.

    Each slot must have a frequency above 0 and below TOTAL.
    """
    lanes, (tail, tail_lanes) = lanes_of(len(slots)), tail_of(len(slots))
    tail_state = np.full(tail_lanes, LOWEST, dtype=np.uint32)
    encode_lanes = loops().encode_lanes
    tail_words = encode_lanes(slots[len(slots) - tail :], packed, tail_state)
    state = np.full(lanes, LOWEST, dtype=np.uint32)
    state[: len(tail_words)] += tail_words[:lanes]
    words = encode_lanes(slots[: len(slots) - tail], packed, state)
    states = [each.astype("<u4", copy=False) for each in (state, tail_state)]
    return b"".join(
        each.data for each in (*states, *(w.astype("<u2", copy=False) for w in (words, tail_words[lanes:])))
    )


def tail_of(count: int) -> tuple[int, int]:
    """How many of so many symbols are the tail, and its number of lanes."""
    lanes = lanes_of(count)
    return min(_TAIL * lanes, count), max(lanes // _LANES_PER_TAIL_LANE, 1)


def overhead_of(count: int) -> float:
    """Bytes of a stream of so many symbols beyond what the symbols cost, on average."""
    return 1.3 * lanes_of(count) + 3.2 * tail_of(count)[1]


def decode(stream: bytes, tables: Tables, table_of: NDArray[np.integer]) -> NDArray[np.uint16]:
    """The symbols, (n,), of which the i-th was coded with table `table_of[i]`.

    Raises ArtifactError if the stream is too short, too long, or does not end in the states that encoding begins with.
    """
    count = len(table_of)
    lanes, (tail, tail_lanes) = lanes_of(count), tail_of(count)
    if len(stream) < 4 * (lanes + tail_lanes) or len(stream) % 2:
        raise ArtifactError("a coded stream is cut short", value=len(stream), fix=_DAMAGED)
    states = np.frombuffer(stream, dtype="<u4", count=lanes + tail_lanes).astype(np.uint32)
    words = np.frombuffer(stream, dtype="<u2", offset=states.nbytes).astype(np.uint16)
    symbols, packed = tables.symbols(), tables.packed()
    out = np.empty(count, dtype=symbols.dtype)
    state, tail_state = states[:lanes], states[lanes:]
    at = _decode(state, words, (symbols, packed), tables.starts, table_of[: count - tail], out[: count - tail])
    carried = state - np.uint32(LOWEST)
    if (state < LOWEST).any() or (carried >= 1 << 16).any():
        raise ArtifactError("a coded stream does not end where its symbols end", fix=_DAMAGED)
    tail_words = np.concatenate((carried.astype(np.uint16), words[at:]))
    at = _decode(
        tail_state, tail_words, (symbols, packed), tables.starts, table_of[count - tail :], out[count - tail :]
    )
    if max(at, lanes) != len(tail_words) or tail_words[at:].any() or (tail_state != LOWEST).any():
        raise ArtifactError("a coded stream does not end where its symbols end", fix=_DAMAGED)
    return out.astype(np.uint16, copy=False)


def _decode(
    state: NDArray[np.uint32],
    words: NDArray[np.uint16],
    tables: tuple[NDArray[np.integer], NDArray[np.uint32]],
    starts: NDArray[np.intp],
    table_of: NDArray[np.integer],
    out: NDArray[np.integer],
) -> int:
    """All symbols into `out`; gives how many words are used up. tables: symbol of each position, and packed."""
    at, count, lanes = 0, len(out), len(state)
    whole, batch = count // lanes * lanes, lanes * _BATCH
    for start in range(0, whole, batch):
        part = slice(start, min(start + batch, whole))
        which = table_of[part].astype(np.intp).reshape(-1, lanes)
        at = _decode_steps(state, words, at, *tables, which, starts[which], out[part].reshape(-1, lanes))
    last = table_of[None, whole:].astype(np.intp)
    return _decode_steps(state[: count - whole], words, at, *tables, last, starts[last], out[None, whole:])


def _decode_steps(
    x: NDArray[np.uint32],
    words: NDArray[np.uint16],
    at: int,
    symbols: NDArray[np.integer],
    packed: NDArray[np.uint32],
    which: NDArray[np.intp],
    starts: NDArray[np.intp],
    out: NDArray[np.integer],
) -> int:
    """Steps (steps, lanes) from the first to the last, of states x (lanes,), into `out`.

    which, starts: the table of each number, and its first slot. Gives how many words are used up.
    """
    slot, (rest, both, part) = np.empty(len(x), dtype=np.intp), np.empty((3, len(x)), dtype=np.uint32)
    which <<= PRECISION
    for position, start, found in zip(which, starts, out, strict=True):
        np.bitwise_and(x, np.uint32(TOTAL - 1), out=rest)
        position += rest
        symbols.take(position, out=found, mode="clip")
        np.add(found, start, out=slot)
        packed.take(slot, out=both, mode="clip")
        np.bitwise_and(both, np.uint32(0xFFFF), out=part)
        x >>= np.uint32(PRECISION)
        x *= part
        x += rest
        both >>= np.uint32(16)
        x -= both
        short = (x < LOWEST).nonzero()[0]
        refilled = x[short]
        if at + len(refilled) > len(words):
            raise ArtifactError("a coded stream is cut short", fix=_DAMAGED)
        refilled <<= np.uint32(16)
        refilled |= words[at : at + len(refilled)]
        at += len(refilled)
        x[short] = refilled
    return at
