"""Batches made ahead by a thread, in the same order, with the position of each."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foldover.data.state import RowsState


class Rows(Protocol):
    """A loader: endless rows whose order depends on nothing but its arguments, with a position."""

    def take(self, num_rows: int) -> NDArray[np.uint16]:
        """The next rows as one array, shape (num_rows, T + 1); the same rows however they are taken."""

    def state(self) -> RowsState:
        """The position after the rows given so far."""

    def restore(self, state: RowsState) -> None:
        """Go to a position. Raises DataError if it belongs to other rows."""


_Item = tuple[NDArray[np.uint16], RowsState] | BaseException


class Prefetcher:
    """Iterates over batches of `num_rows` rows that a thread takes ahead; use it in a `with`.

    depth: batches held ready. The rows are those without prefetching; `state()` is the position after the last
    batch that was given out, not the last one that was made. An error of the loader is raised where its batch would
    have come. While it runs, the loader belongs to the thread.
    """

    def __init__(self, rows: Rows, num_rows: int, *, depth: int = 2) -> None:
        self._rows = rows
        self._num_rows = num_rows
        self._ready: queue.Queue[_Item] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._state = rows.state()
        self._thread = threading.Thread(target=self._work, name="foldover-prefetch", daemon=True)

    def __enter__(self) -> Prefetcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return self

    def __next__(self) -> NDArray[np.uint16]:
        item = self._ready.get()
        if isinstance(item, BaseException):
            self._stop.set()
            raise item
        batch, self._state = item
        return batch

    def state(self) -> RowsState:
        """The position after the last batch given out."""
        return self._state

    def close(self) -> None:
        """Stop the thread; the loader is then ahead by what was made and not given out (`restore` it to `state()`)."""
        self._stop.set()
        while self._thread.is_alive():
            try:  # it may be waiting for room
                self._ready.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.01)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                item: _Item = (self._rows.take(self._num_rows), self._rows.state())
            except BaseException as error:
                item = error
            self._ready.put(item)
            if isinstance(item, BaseException):
                return
