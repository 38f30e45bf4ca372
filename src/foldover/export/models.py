"""Symbol models: which tables the numbers of an artifact are coded with, and what that costs. For writing only.

Each number is coded with a table that the sum of its row's and its column's level of spread chooses. What it costs is
known before anything is coded, exactly but for the rounding of the coder (some 0.005 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldover.export.ans import Tables
from foldover.export.frequencies import TOTAL, price_bits
from foldover.export.integers import choose_split, to_integers
from foldover.export.layout import ABSENT, CONSTANT, CodedRecord, VectorRecord
from foldover.export.native import loops
from foldover.export.spreads import LevelVector, measure_spreads, round_levels
from foldover.export.tables import Family, build_family

# Largest codes of the usual integers: their tables have an edge where weights were cut off, so they are kept apart.
_EDGES = frozenset((1, 3, 7, 15, 31, 63, 127))
_MOST_LEVEL = 255
# Earlier vectors of levels that a vector may be told from.
_MOST_EARLIER = 32

_Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Modelled:
    """The models of all coded parts.

    records: of each part; vectors: stored bytes of levels, in order; slots: of all numbers of the coded stream, (n,),
    to be looked up in `packed`; bits: what each part costs in the stream.
    """

    families: tuple[Family, ...]
    records: tuple[CodedRecord, ...]
    vectors: tuple[NDArray[np.uint8], ...]
    slots: NDArray[np.int32]
    packed: NDArray[np.uint32]
    bits: tuple[float, ...]

    @property
    def count(self) -> int:
        """Symbols in the stream."""
        return len(self.slots)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Split:
    """A part as symbols (r, c) and low bits (r * c,), and the family that it belongs to."""

    key: _Key
    center: int
    symbols: NDArray[np.integer]
    low_bits: NDArray[np.integer] | None
    low: int
    high: int

    @property
    def shift(self) -> int:
        return self.key[2]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Place:
    """Where the tables of a family begin: among its members' keys, and among the slots of the stream."""

    family: Family
    index: int
    start: int


def model_symbols(arrays: Sequence[np.ndarray]) -> Modelled:
    """Models for arrays (r, c) of int8, int16 or float16."""
    splits = [_split(array) for array in arrays]
    vectors = _levels(splits)
    levels = _aligned(splits, vectors)
    keys = sorted({split.key for split in splits})
    slots, own, low = _empty_slots(splits)
    bits = [0.0] * len(splits)
    families, packed, start = [], [], 0
    for key in keys:
        members = [index for index, split in enumerate(splits) if split.key == key]
        family, costs = _model_family(
            [splits[i] for i in members], [levels[i] for i in members], start, [own[i] for i in members]
        )
        for index, cost in zip(members, costs, strict=True):
            bits[index] = cost
        families.append(family)
        packed.append(_packed(family.frequencies)[family.table_of_id].ravel())
        start += packed[-1].size
    for shift in _shifts(splits):
        for split, out in zip(splits, low, strict=True):
            if split.shift == shift and split.low_bits is not None:
                np.add(split.low_bits, start, out=out, casting="same_kind")
        packed.append(_packed(np.full((1, 1 << shift), TOTAL >> shift, dtype=np.uint32)).ravel())
        start += packed[-1].size
    return Modelled(
        families=tuple(families),
        records=_records(splits, vectors, levels, keys),
        vectors=tuple(_stored(vectors, [vector for pair in levels for vector in pair])),
        slots=slots,
        packed=np.concatenate(packed) if packed else np.zeros(0, dtype=np.uint32),
        bits=tuple(bits),
    )


def all_tables(frequencies: Sequence[NDArray[np.uint32]], shifts: Sequence[int]) -> Tables:
    """Tables of all families, (tables, size) each, then an even one for each number of low bits, ascending."""
    rows = [row for tables in frequencies for row in tables]
    rows += [np.full(1 << shift, TOTAL >> shift, dtype=np.uint32) for shift in sorted(set(shifts)) if shift]
    return Tables(frequencies=np.concatenate(rows), starts=np.cumsum([0, *(len(row) for row in rows)], dtype=np.intp))


def _split(array: np.ndarray) -> _Split:
    values, is_float = to_integers(array), array.dtype.kind == "f"
    center, shift = choose_split(values, is_float=is_float)
    symbols, low_bits = values, None
    if center or shift:
        moved = values.astype(np.int32) - np.int32(center)
        symbols, low_bits = moved >> shift, moved.ravel() & np.int32((1 << shift) - 1) if shift else None
    low, high = (int(symbols.min()), int(symbols.max())) if symbols.size else (0, 0)
    extent = max(-low, high)
    key = ("float", 0, shift) if is_float else ("codes", extent if extent in _EDGES else 0, shift)
    return _Split(key=key, center=center, symbols=symbols, low_bits=low_bits, low=low, high=high)


def _empty_slots(
    splits: Sequence[_Split],
) -> tuple[NDArray[np.int32], list[NDArray[np.int32]], list[NDArray[np.int32]]]:
    """Room for all slots in the order of the stream, and in it the places of each part's symbols and low bits."""
    sizes = [size for split in splits for size in (split.symbols.size, split.symbols.size if split.shift else 0)]
    ends = np.cumsum(sizes, dtype=np.intp)
    slots = np.empty(int(ends[-1]) if splits else 0, dtype=np.int32)
    pieces = np.split(slots, ends[:-1]) if splits else []
    return slots, pieces[::2], pieces[1::2]


def _shifts(splits: Sequence[_Split]) -> list[int]:
    return sorted({split.shift for split in splits} - {0})


def _levels(splits: Sequence[_Split]) -> list[LevelVector]:
    """Of rows and columns of each part in turn: the vector of index 2 i + 1 is the columns' of part i."""
    vectors: list[LevelVector] = []
    earlier: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
    for split in splits:
        rows, columns = split.symbols.shape
        wanted = measure_spreads(split.symbols) if split.symbols.size else (np.zeros(rows), np.zeros(columns))
        for levels, weight in zip(wanted, (columns, rows), strict=True):
            known = earlier.setdefault(len(levels), [])
            if len(levels) > 1:
                vector = round_levels(levels, weight, known[-_MOST_EARLIER:])
            else:
                vector = LevelVector(levels=np.rint(levels).astype(np.int64), is_stored=False)
            known.append((len(vectors), vector.levels))
            vectors.append(vector)
    return vectors


def _aligned(
    splits: Sequence[_Split], vectors: Sequence[LevelVector]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Levels of (rows, columns) from 0 to 255 such that the least sum in a family is 0."""
    least: dict[_Key, int] = {}
    for split, rows, columns in zip(splits, vectors[::2], vectors[1::2], strict=True):
        lowest = _least(rows.levels) + _least(columns.levels)
        least[split.key] = min(least.get(split.key, lowest), lowest)
    found = []
    for split, rows, columns in zip(splits, vectors[::2], vectors[1::2], strict=True):
        base = _least(columns.levels)
        found.append(
            (
                np.clip(rows.levels + base - least[split.key], 0, _MOST_LEVEL),
                np.clip(columns.levels - base, 0, _MOST_LEVEL),
            )
        )
    return found


def _least(levels: NDArray[np.int64]) -> int:
    return int(levels.min()) if levels.size else 0


def _model_family(
    members: Sequence[_Split],
    levels: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    start: int,
    slots: Sequence[NDArray[np.int32]],
) -> tuple[Family, list[float]]:
    """Tables, whose slots begin at `start`, and what each member costs; its slots are filled in.

    A slot is the identity times the size of a table plus the symbol.
    """
    low, high = min(member.low for member in members), max(member.high for member in members)
    if members[0].key[0] == "codes":
        low, high = -max(-low, high, 1), max(-low, high, 1)
    size = max(high - low + 1, 2)
    ids = 1 + max(
        (int(rows.max() + columns.max()) for rows, columns in levels if rows.size and columns.size), default=0
    )
    places, place_symbols = range(start, start + ids * size), loops().place_symbols
    counts = []
    for member, (rows, columns), out in zip(members, levels, slots, strict=True):
        by_row, by_column = (rows * size).astype(np.int32), (columns * size - low).astype(np.int32)
        counts.append(place_symbols(member.symbols, by_row, by_column, places, out).reshape(ids, size))
    total = np.zeros((ids, size))
    for count in counts:
        total += count
    family = build_family(total, low=low, shift=members[0].shift)
    prices = price_bits(family.frequencies)[family.table_of_id]
    costs = [float((count * prices).sum(axis=1).sum()) for count in counts]
    return family, [cost + member.shift * member.symbols.size for cost, member in zip(costs, members, strict=True)]


def _packed(frequencies: NDArray[np.uint32]) -> NDArray[np.uint32]:
    tables, size = frequencies.shape
    starts = np.arange(tables + 1, dtype=np.intp) * size
    return Tables(frequencies=frequencies.ravel(), starts=starts).packed().reshape(tables, size)


def _records(
    splits: Sequence[_Split],
    vectors: Sequence[LevelVector],
    levels: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    keys: Sequence[_Key],
) -> tuple[CodedRecord, ...]:
    final = [vector for pair in levels for vector in pair]
    told = [_told(vector, own, final) for vector, own in zip(vectors, final, strict=True)]
    return tuple(
        CodedRecord(family=keys.index(split.key), center=split.center, rows=told[2 * i], columns=told[2 * i + 1])
        for i, split in enumerate(splits)
    )


def _told(vector: LevelVector, own: NDArray[np.int64], final: Sequence[NDArray[np.int64]]) -> VectorRecord:
    if not vector.is_stored:
        return VectorRecord(offset=int(own[0]) if own.size else 0, reference=CONSTANT)
    gaps = own if vector.reference == ABSENT else own - final[vector.reference]
    return VectorRecord(offset=int(gaps.min()) % 256, reference=vector.reference)


def _stored(vectors: Sequence[LevelVector], final: Sequence[NDArray[np.int64]]) -> list[NDArray[np.uint8]]:
    found = []
    for vector, own in zip(vectors, final, strict=True):
        if vector.is_stored:
            record = _told(vector, own, final)
            base = 0 if vector.reference == ABSENT else final[vector.reference]
            found.append(((own - base - record.offset) % 256).astype(np.uint8))
    return found
