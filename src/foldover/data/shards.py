"""Token shards as one stream, without copying them together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data.shard import read_shard

_SCAN = 2**24


class TokenShards:
    """Shards one after another, mapped read-only: nothing is read before it is used, and processes share the pages.

    It is sliced as an array is: within a shard that is a view, across a border a copy. files: in order.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        if not files:
            raise DataError("there are no token shards")
        self._arrays = [read_shard(file) for file in files]
        self._starts = np.cumsum([0, *(len(array) for array in self._arrays)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, place: slice) -> NDArray[np.uint16]:
        start, stop, _ = place.indices(len(self))
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        if first < len(self._arrays) and stop <= self._starts[first + 1]:
            offset = int(self._starts[first])
            return self._arrays[first][start - offset : stop - offset]
        parts = [
            array[max(0, start - offset) : max(0, stop - offset)]
            for array, offset in zip(self._arrays, self._starts[:-1].tolist(), strict=True)
            if offset < stop and offset + len(array) > start
        ]
        return np.concatenate(parts) if parts else self._arrays[0][:0]

    def take(self, places: NDArray[np.int64]) -> NDArray[np.uint16]:
        """The ids at these places, shape (n,)."""
        shard = np.searchsorted(self._starts, places, side="right") - 1
        found = np.empty(len(places), dtype=np.uint16)
        for i, array in enumerate(self._arrays):
            here = shard == i
            if here.any():
                found[here] = array[places[here] - self._starts[i]]
        return found

    @property
    def arrays(self) -> tuple[NDArray[np.uint16], ...]:
        """The shards, each mapped."""
        return tuple(self._arrays)


def token_range(file: Path, bos_id: int) -> tuple[int, NDArray[np.int64]]:
    """Highest id of a shard, and where its BOS ids stand; read by blocks."""
    tokens = read_shard(file)
    highest = 0
    places: list[NDArray[np.int64]] = []
    for start in range(0, len(tokens), _SCAN):
        block = tokens[start : start + _SCAN]
        highest = max(highest, int(block.max()))
        places.append(start + np.flatnonzero(block == bos_id))
    return highest, np.concatenate(places)


def flat(shards: TokenShards) -> NDArray[np.uint16] | TokenShards:
    """One shard as the array it is, which is faster to slice."""
    return shards.arrays[0] if len(shards.arrays) == 1 else shards
