"""One endless stream of tokens, cut into rows where they fall (the loader of openai/parameter-golf).

Row k holds the T + 1 ids from place k T: the last target of a row is the first input of the next. Documents may begin
and end anywhere in it. After the last id comes the first one again. Upstream reads its files in order for every
seed, and so does this. It deviates in one thing: upstream skips one id after each micro-batch, so that its rows depend
on how many are taken at a time; here they do not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data.prepared import PreparedData
from foldover.data.state import RowsState, check_state


class StreamRows:
    """Endless rows of the training side, shape (context + 1,), uint16; the same for every seed.

    rows: how many were given; epoch: which pass over the text they have come to, from 0.
    """

    def __init__(self, prepared: PreparedData, *, context: int) -> None:
        self._tokens = prepared.train_shards
        self._context = context
        self._source = f"stream {prepared.digests.text('train')} {context}"
        if len(self._tokens) <= context:
            raise DataError(
                f"the training side of {prepared.corpus} has {len(self._tokens):,} ids, less than a row",
                value=context,
                fix="Shorten the context or give more text.",
            )
        self.rows = 0

    @property
    def epoch(self) -> int:
        """The pass over the text that the last row given ends in; -1 before the first row."""
        return (self.rows * self._context) // len(self._tokens) if self.rows else -1

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return self

    def __next__(self) -> NDArray[np.uint16]:
        row: NDArray[np.uint16] = self.take(1)[0]
        return row

    def take(self, num_rows: int) -> NDArray[np.uint16]:
        """The next rows as one array, shape (num_rows, context + 1); the same rows however they are taken."""
        if num_rows < 1:
            return np.empty((0, self._context + 1), dtype=np.uint16)
        start = (self.rows * self._context) % len(self._tokens)
        span = self._span(start, num_rows * self._context + 1)
        self.rows += num_rows
        return windows(span, self._context).copy()

    def state(self) -> RowsState:
        """Where it is, for `restore`."""
        return RowsState(source=self._source, rows=self.rows)

    def restore(self, state: RowsState) -> None:
        """Go on where `state` was taken. Raises DataError if that was another stream."""
        check_state(state, self._source)
        self.rows = state.rows

    def _span(self, start: int, length: int) -> NDArray[np.uint16]:
        parts = []
        while length > 0:
            part = self._tokens[start : start + length]
            parts.append(part)
            length -= len(part)
            start = 0
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def windows(span: NDArray[np.uint16], context: int) -> NDArray[np.uint16]:
    """Rows of context + 1 ids at steps of `context` over a span, as a read-only view, shape (n, context + 1)."""
    views: NDArray[np.uint16] = np.lib.stride_tricks.sliding_window_view(span, context + 1)[::context]
    return views
