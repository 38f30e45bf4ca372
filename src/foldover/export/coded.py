"""The coded stream and its models as bytes, and back: what of an artifact is entropy-coded.

Model bytes, of each family: table of each identity, (ids,), then tables of weights, each as differences from symbol to
symbol modulo 256; then, of each coded part, levels of its rows and of its columns, where they are stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foldover.core import ArtifactError
from foldover.export.ans import decode, encode
from foldover.export.integers import from_integers
from foldover.export.layout import ABSENT, CONSTANT, FamilyRecord, Layout, PartRecord, VectorRecord, as_matrix
from foldover.export.models import Modelled, all_tables
from foldover.export.tables import frequencies_of

_DAMAGED = "The file is damaged or hostile: export again."


def model_bytes(modelled: Modelled) -> bytes:
    """The models, before compression."""
    pieces = []
    for family in modelled.families:
        pieces.append(family.table_of_id.tobytes())
        pieces.append(np.diff(family.weights, axis=1, prepend=np.uint8(0)).tobytes())
    return b"".join([*pieces, *(vector.tobytes() for vector in modelled.vectors)])


def stream_bytes(modelled: Modelled) -> bytes:
    """The coded stream."""
    return encode(modelled.slots, modelled.packed)


def read_coded(layout: Layout, model: bytes, stream: bytes) -> list[np.ndarray]:
    """Arrays of all coded parts, in order. Raises ArtifactError for models or a stream that cannot be."""
    reader = _Reader(model)
    parts = layout.coded()
    maps, frequencies, first = [], [], 0
    for family in layout.families:
        table_of_id = reader.take(family.ids)
        if (table_of_id >= family.tables).any():
            raise ArtifactError("a table is not there", value=int(table_of_id.max()), fix=_DAMAGED)
        maps.append(table_of_id.astype(np.uint16) + np.uint16(first))
        frequencies.append(_tables(reader, family))
        first += family.tables
    levels = _read_levels(reader, parts)
    reader.finish()
    shifts = sorted({family.shift for family in layout.families} - {0})
    tables_of = [_table_of(part, layout, levels[2 * i : 2 * i + 2], maps) for i, part in enumerate(parts)]
    low_tables = {shift: first + place for place, shift in enumerate(shifts)}
    which: list[NDArray[np.uint16]] = []
    for part, own in zip(parts, tables_of, strict=True):
        which.append(own)
        shift = _family_of(part, layout).shift
        if shift:
            which.append(np.full(len(own), low_tables[shift], dtype=np.uint16))
    symbols = decode(stream, all_tables(frequencies, shifts), np.concatenate(which))
    return _arrays(parts, layout, symbols)


class _Reader:
    """The model's bytes, from first to last."""

    def __init__(self, data: bytes) -> None:
        self._bytes = np.frombuffer(data, dtype=np.uint8)
        self._at = 0

    def take(self, count: int) -> NDArray[np.uint8]:
        found = self._bytes[self._at : self._at + count]
        if len(found) != count:
            raise ArtifactError("the symbol models are cut short", value=len(self._bytes), fix=_DAMAGED)
        self._at += count
        return found

    def finish(self) -> None:
        if self._at != len(self._bytes):
            raise ArtifactError("the symbol models go on after their end", value=len(self._bytes), fix=_DAMAGED)


def _tables(reader: _Reader, family: FamilyRecord) -> NDArray[np.uint32]:
    stored = reader.take(family.tables * family.table_bytes).reshape(family.tables, family.table_bytes)
    return frequencies_of(np.cumsum(stored, axis=1, dtype=np.uint8), is_half=family.is_half)


def _read_levels(reader: _Reader, parts: Sequence[PartRecord]) -> list[NDArray[np.uint8]]:
    found: list[NDArray[np.uint8]] = []
    for part in parts:
        assert part.coded is not None
        for length, vector in zip(as_matrix(part.shape), (part.coded.rows, part.coded.columns), strict=True):
            found.append(_read_vector(reader, length, vector, found))
    return found


def _read_vector(
    reader: _Reader, length: int, vector: VectorRecord, earlier: Sequence[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    if vector.reference == CONSTANT:
        return np.full(length, vector.offset, dtype=np.uint8)
    levels = reader.take(length) + np.uint8(vector.offset)
    if vector.reference == ABSENT:
        return levels
    if len(earlier[vector.reference]) != length:
        raise ArtifactError("levels refer to levels of another length", value=length, fix=_DAMAGED)
    return levels + earlier[vector.reference]


def _family_of(part: PartRecord, layout: Layout) -> FamilyRecord:
    assert part.coded is not None
    return layout.families[part.coded.family]


def _table_of(
    part: PartRecord, layout: Layout, levels: Sequence[NDArray[np.uint8]], maps: Sequence[NDArray[np.uint16]]
) -> NDArray[np.uint16]:
    """The table of each symbol of a part, (r * c,)."""
    assert part.coded is not None
    rows, columns = (vector.astype(np.uint16) for vector in levels)
    table_of_id = maps[part.coded.family]
    if rows.size and columns.size and int(rows.max()) + int(columns.max()) >= len(table_of_id):
        raise ArtifactError(f"levels of part `{part.name}` have no table", fix=_DAMAGED)
    found: NDArray[np.uint16] = table_of_id[(rows[:, None] + columns[None, :]).ravel()]
    return found


def _arrays(parts: Sequence[PartRecord], layout: Layout, symbols: NDArray[np.uint16]) -> list[np.ndarray]:
    found, at = [], 0
    for part in parts:
        assert part.coded is not None
        family, count = _family_of(part, layout), part.count
        values = symbols[at : at + count].astype(np.int32) + np.int32(family.low)
        at += count
        if family.shift:
            values = (values << family.shift) | symbols[at : at + count].astype(np.int32)
            at += count
        values += np.int32(part.coded.center)
        limits = np.iinfo(np.int8 if part.dtype == "int8" else np.int16)
        if count and (values.min() < limits.min or values.max() > limits.max):
            raise ArtifactError(f"part `{part.name}` holds numbers out of its range", fix=_DAMAGED)
        found.append(from_integers(values, part.dtype).reshape(part.shape))
    return found
