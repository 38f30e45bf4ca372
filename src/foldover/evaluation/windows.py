"""Which windows are read, what each scores, and where chunks of an adapting evaluation end. No torch.

A position p reads the tokens up to and with p of its unit and predicts token p + 1. Sliding windows start at multiples
of the stride s for as long as start + T - s is a position; the first scores all its positions, each other one those
from start + T - s on, so that each position is scored once (levers.md of openai/parameter-golf's records: the older
rule scored the last s tokens over and over).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Windows in order, (W,) each: inputs are positions start to stop, scored are those from first on."""

    starts: Places
    stops: Places
    firsts: Places

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Positions lo to hi, number `index` of `count` since the model last began anew."""

    lo: int
    hi: int
    index: int
    count: int

    @property
    def is_last(self) -> bool:
        """Whether nothing that it could teach is scored afterwards."""
        return self.index == self.count - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Windows of a length, inputs (B, T), scored from `offset` on.

    lengths: positions of each row, where some have fewer and are padded; slots: whose additions serve each row.
    """

    starts: tuple[int, ...]
    length: int
    offset: int
    lengths: tuple[int, ...]
    slots: tuple[int, ...]


def sliding_windows(units: Places, *, context: int, stride: int) -> Windows:
    """The windows of each unit. units: (U + 1,), where they begin, and the end; stride: at most the context."""
    starts, stops, firsts = [], [], []
    for begin, end in zip(units[:-1].tolist(), units[1:].tolist(), strict=True):
        last = end - 1  # the unit's last token is only ever predicted
        if last <= begin:
            continue
        start = np.arange(begin, max(begin + 1, last - context + stride), stride, dtype=np.int64)
        first = start + context - stride
        first[0] = begin
        starts.append(start)
        stops.append(np.minimum(start + context, last))
        firsts.append(first)
    return Windows(starts=_joined(starts), stops=_joined(stops), firsts=_joined(firsts))


def split_windows(windows: Windows, borders: Places) -> Windows:
    """The windows cut so that none scores positions on both sides of a border; context stays what it was."""
    starts, stops, firsts = [], [], []
    for start, stop, first in zip(*(a.tolist() for a in (windows.starts, windows.stops, windows.firsts)), strict=True):
        inside = borders[np.searchsorted(borders, first, "right") : np.searchsorted(borders, stop, "left")].tolist()
        for begin, end in zip([first, *inside], [*inside, stop], strict=True):
            starts.append(start)
            stops.append(end)
            firsts.append(begin)
    return Windows(
        starts=np.array(starts, dtype=np.int64),
        stops=np.array(stops, dtype=np.int64),
        firsts=np.array(firsts, dtype=np.int64),
    )


def chunks_of(units: Places, *, size: int) -> tuple[Chunk, ...]:
    """Positions in chunks of that size, counted anew in each unit; a unit without positions has none."""
    found: list[Chunk] = []
    for begin, end in zip(units[:-1].tolist(), units[1:].tolist(), strict=True):
        borders = [*range(begin, end - 1, size), end - 1] if end - 1 > begin else []
        count = len(borders) - 1
        found.extend(Chunk(lo=lo, hi=hi, index=index, count=count) for index, (lo, hi) in enumerate(pairwise(borders)))
    return tuple(found)


def windows_in(windows: Windows, chunk: Chunk) -> range:
    """Indices of the windows that begin to score in the chunk."""
    low, high = np.searchsorted(windows.firsts, [chunk.lo, chunk.hi])
    return range(int(low), int(high))


def batches_of(windows: Windows, chosen: range, *, tokens_at_once: int, groups: Places) -> Iterator[Batch]:
    """The chosen windows in order, so many at a time as fit. groups: (W,); no batch holds windows of two groups.

    Batches depend on nothing but the windows themselves, so that passes which differ in what they do between chunks
    compute the same products of the same shapes.
    """
    starts, lengths = windows.starts, windows.stops - windows.starts
    offsets = windows.firsts - windows.starts
    low = chosen.start
    while low < chosen.stop:
        length, offset = int(lengths[low]), int(offsets[low])
        limit = min(chosen.stop, low + max(1, tokens_at_once // length))
        high = low + 1
        while high < limit and lengths[high] == length and offsets[high] == offset and groups[high] == groups[low]:
            high += 1
        num_rows = high - low
        yield Batch(
            starts=tuple(starts[low:high].tolist()),
            length=length,
            offset=offset,
            lengths=(length,) * num_rows,
            slots=(0,) * num_rows,
        )
        low = high


def batches_side_by_side(
    windows: Windows, chosen: Sequence[range], slots: Sequence[int], *, tokens_at_once: int
) -> Iterator[Batch]:
    """The first windows of all units, then the second ones, and so on, so many at a time as fit.

    chosen: of each unit, its windows of chunks of one index, which lie in the same places of their units; those that
    end earlier with their unit are padded. slots: of the units.
    """
    turns = [
        [(slot, windows_of[turn]) for slot, windows_of in zip(slots, chosen, strict=True) if turn < len(windows_of)]
        for turn in range(max(map(len, chosen)))
    ]
    for _, alike in groupby(turns, key=lambda rows: _shape(windows, rows)):
        rows = [row for turn in alike for row in turn]
        low = 0
        while low < len(rows):
            length = _shape(windows, rows[low:])[0]
            some = rows[low : low + max(1, tokens_at_once // length)]
            yield _padded(windows, some)
            low += len(some)


def _shape(windows: Windows, rows: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The longest of some windows, and from where they are scored."""
    longest = max(int(windows.stops[index] - windows.starts[index]) for _, index in rows)
    return longest, int(windows.firsts[rows[0][1]] - windows.starts[rows[0][1]])


def _padded(windows: Windows, rows: Sequence[tuple[int, int]]) -> Batch:
    length, offset = _shape(windows, rows)
    indices = [index for _, index in rows]
    return Batch(
        starts=tuple(windows.starts[indices].tolist()),
        length=length,
        offset=offset,
        lengths=tuple((windows.stops[indices] - windows.starts[indices]).tolist()),
        slots=tuple(slot for slot, _ in rows),
    )


def _joined(parts: list[Places]) -> Places:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
