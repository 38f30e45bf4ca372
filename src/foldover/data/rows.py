"""The rows that a model is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.data.blocks import BlockRows, StreamOrder
from foldover.data.contiguous import StreamRows
from foldover.data.order import shuffled
from foldover.data.packing import LongDocuments, RowPacker, cut_units
from foldover.data.prepared import PreparedData
from foldover.data.shards import flat
from foldover.data.state import RowsState, check_state

Loader = Literal["pack", "stream"]

_PART = 4096


class TrainRows:
    """Endless packed rows of the training side, shape (context + 1,), uint16.

    In each epoch the units arrive in an order drawn from the stream ("data", seed, epoch), so two recipes
    with one seed see the same rows, whatever else they draw. The buffer is not emptied between epochs.
    epoch: the one whose units are arriving, from 0 (-1 before the first row); rows: how many were given.
    """

    def __init__(
        self, prepared: PreparedData, *, context: int, seed: int, long_documents: LongDocuments = "split"
    ) -> None:
        self._tokens, self._bos_id = flat(prepared.train_shards), prepared.bos_id
        self._row_length = context + 1
        self._seed = seed
        self._units = cut_units(
            self._tokens,
            prepared.train_offsets,
            row_length=self._row_length,
            bos_id=self._bos_id,
            long_documents=long_documents,
        )
        self._source = f"pack {prepared.digests.text('train')} {context} {long_documents} {seed}"
        self._packer = self._new_packer(first=0)
        self.epoch = -1
        self.rows = 0

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return self

    def __next__(self) -> NDArray[np.uint16]:
        row: NDArray[np.uint16] = self.take(1)[0]
        return row

    def take(self, num_rows: int) -> NDArray[np.uint16]:
        """The next rows as one array, shape (num_rows, context + 1); the same rows however they are taken."""
        batch = np.empty((num_rows, self._row_length), dtype=np.uint16)
        for row in batch:
            self._packer.fill(row)
        self.rows += num_rows
        return batch

    def state(self) -> RowsState:
        """Where it is, for `restore`."""
        packer = self._packer
        return RowsState(source=self._source, rows=self.rows, arrived=packer.num_arrived, waiting=packer.waiting())

    def restore(self, state: RowsState) -> None:
        """Go on where `state` was taken. Raises DataError if that was another stream of rows."""
        check_state(state, self._source)
        count = len(self._units)
        orders = {epoch: shuffled(count, seed=self._seed, epoch=epoch) for epoch in {n // count for n in state.waiting}}
        units = [int(orders[n // count][n % count]) for n in state.waiting]
        self._packer = self._new_packer(first=state.arrived)
        self._packer.restore(state.arrived, state.waiting, units)
        self.epoch = (state.arrived - 1) // count
        self.rows = state.rows

    def _new_packer(self, *, first: int) -> RowPacker:
        return RowPacker(self._tokens, self._units, self._arrivals(first), bos_id=self._bos_id)

    def _arrivals(self, first: int) -> Iterator[int]:
        """Units in order of arrival, endless, from number `first` on."""
        count = len(self._units)
        epoch, skipped = divmod(first, count)
        while True:
            self.epoch = epoch
            order = shuffled(count, seed=self._seed, epoch=epoch)
            # By parts: a list of all would be several times the size of the array.
            for start in range(skipped, count, _PART):
                yield from order[start : start + _PART].tolist()
            epoch, skipped = epoch + 1, 0


def train_rows(
    prepared: PreparedData, *, context: int, seed: int, long_documents: LongDocuments = "split"
) -> TrainRows:
    """Endless packed rows of the training side; context: T, the ids that a model sees at a time."""
    return TrainRows(prepared, context=context, seed=seed, long_documents=long_documents)


def open_rows(
    prepared: PreparedData,
    *,
    context: int,
    seed: int,
    loader: Loader = "pack",
    long_documents: LongDocuments = "split",
    order: StreamOrder = "sequential",
) -> TrainRows | StreamRows | BlockRows:
    """The loader of that name: `pack` (best fit, shuffled by seed) or `stream` (contiguous, in an order of its own)."""
    if loader == "stream" and order == "sequential":
        return StreamRows(prepared, context=context)
    if loader == "stream":
        return BlockRows(prepared, context=context, seed=seed, order=order)
    return train_rows(prepared, context=context, seed=seed, long_documents=long_documents)
