"""The stream of tokens in blocks of T, each given once an epoch, in an order drawn by seed.

shuffled: the border of the blocks is moved by a random phase, and they come as a random permutation
(openai/parameter-golf, record of 2026-04-06, which draws a phase a shard). coprime: they come at a stride that has no
divisor in common with their number, from a random one on (records of 2026-03-29). Upstream draws by rank, not by seed,
so that its seeds share one order; here they do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data.order import draws, permutation
from foldover.data.prepared import PreparedData
from foldover.data.shards import flat
from foldover.data.state import RowsState, check_state

StreamOrder = Literal["sequential", "shuffled", "coprime"]


class BlockRows:
    """Endless rows of the training side, shape (context + 1,), uint16. order: `shuffled` or `coprime`.

    rows: how many were given; epoch: which pass they have come to, from 0 (-1 before the first row).
    """

    def __init__(self, prepared: PreparedData, *, context: int, seed: int, order: StreamOrder) -> None:
        self._tokens = flat(prepared.train_shards)
        self._context, self._seed, self._order = context, seed, order
        self._source = f"{order} blocks {prepared.digests.text('train')} {context} {seed}"
        # A phase takes up to context - 1 ids, and every epoch has as many blocks.
        self._count = (len(self._tokens) - context) // context
        if self._count < 1:
            raise DataError(
                f"the training side of {prepared.corpus} has {len(self._tokens):,} ids, less than two rows",
                value=context,
                fix="Shorten the context or give more text.",
            )
        self.rows, self.epoch = 0, -1
        self._starts = np.empty(0, dtype=np.int64)

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return self

    def __next__(self) -> NDArray[np.uint16]:
        row: NDArray[np.uint16] = self.take(1)[0]
        return row

    def take(self, num_rows: int) -> NDArray[np.uint16]:
        """The next rows as one array, shape (num_rows, context + 1); the same rows however they are taken."""
        batch = np.empty((num_rows, self._context + 1), dtype=np.uint16)
        for row in batch:
            epoch, place = divmod(self.rows, self._count)
            if epoch != self.epoch:
                self.epoch, self._starts = epoch, self._epoch_starts(epoch)
            start = int(self._starts[place])
            row[:] = self._tokens[start : start + self._context + 1]
            self.rows += 1
        return batch

    def state(self) -> RowsState:
        """Where it is, for `restore`."""
        return RowsState(source=self._source, rows=self.rows)

    def restore(self, state: RowsState) -> None:
        """Go on where `state` was taken. Raises DataError if that was another stream."""
        check_state(state, self._source)
        self.rows, self.epoch = state.rows, -1

    def _epoch_starts(self, epoch: int) -> NDArray[np.int64]:
        """Where the blocks of an epoch begin, in their order."""
        name = f"blocks/{self._seed}/{epoch}"
        first, second = (int(draw) for draw in draws(2, name))
        if self._order == "shuffled":
            return first % self._context + self._context * permutation(self._count, name)
        stride = 1 + second % self._count
        while math.gcd(stride, self._count) > 1:
            stride += 1
        return self._context * ((first % self._count + stride * np.arange(self._count)) % self._count)
