"""Best-fit packing of documents into rows of equal length (the loader of karpathy/autoresearch, 228791f).

A row holds T + 1 ids: inputs row[:-1], targets row[1:]. It is filled by taking, again and again, the longest
waiting unit that fits the space left; if none fits, the shortest is cropped to fill it and its tail is dropped.
So every row begins with BOS, no id is padding, and rows do not depend on how many are taken at a time.

A unit is a document, or a piece of one. Upstream a unit is always a document, and what does not fit a row
is lost. That is right for millions of web pages, most of them shorter than a row. The embedded corpus has 232 documents
of 17,000 tokens on average: with rows of some hundred tokens upstream's rule would throw away 98 % of the text
and show the model the openings of addresses alone. So by default ("split") a document longer than a row is
first cut into consecutive pieces, each with a BOS of its own; "crop" is upstream's rule to the letter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data.shards import TokenShards

LongDocuments = Literal["split", "crop"]
BUFFER_SIZE = 1000
REFILL = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """What is packed. starts: of each unit's text in the token stream, BOS left out; lengths: in ids, BOS counted."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


def cut_units(
    tokens: NDArray[np.uint16] | TokenShards,
    offsets: NDArray[np.int64],
    *,
    row_length: int,
    bos_id: int,
    long_documents: LongDocuments = "split",
) -> Units:
    """The units of a token stream, in its order.

    tokens (N,), offsets (D + 1,): as in TokenStream; row_length: T + 1 ids.
    split: a document of more than T tokens (BOS not counted) becomes pieces of T, the last one shorter; each
    piece gets a BOS, so a whole piece is exactly a row. crop: each document is one unit.
    Raises DataError for rows shorter than 2, or a document that does not begin with BOS.
    """
    if row_length < 2:
        raise DataError("a row must hold at least two ids, an input and its target", value=row_length)
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(tokens) or np.any(np.diff(offsets) < 1):
        raise DataError("document offsets do not match their token stream", fix="Prepare the corpus again.")
    firsts = tokens.take(offsets[:-1]) if isinstance(tokens, TokenShards) else tokens[offsets[:-1]]
    if np.any(firsts != bos_id):
        raise DataError("a document does not begin with BOS", value=bos_id, fix="Was another tokenizer used?")
    starts = offsets[:-1] + 1
    num_tokens = np.diff(offsets) - 1
    if long_documents == "crop":
        return Units(starts=starts, lengths=num_tokens + 1)
    size = row_length - 1
    num_pieces = np.maximum(1, -(-num_tokens // size))
    document = np.repeat(np.arange(len(starts)), num_pieces)
    skipped = size * (np.arange(len(document)) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces))
    return Units(starts=starts[document] + skipped, lengths=np.minimum(size, num_tokens[document] - skipped) + 1)


class RowPacker:
    """Fills rows from an arriving stream of units.

    arrivals: indices into `units`, in order of arrival, possibly endless. Before each choice the buffer is
    topped up to at least `buffer_size` units, `refill` at a time, while units arrive. Which units go into which
    row depends on their lengths alone, so another array along the same stream (with what it has for BOS as `bos_id`)
    is packed into the same places.
    """

    def __init__(
        self,
        tokens: NDArray[Any] | TokenShards,
        units: Units,
        arrivals: Iterable[int],
        *,
        bos_id: int,
        buffer_size: int = BUFFER_SIZE,
        refill: int = REFILL,
    ) -> None:
        if buffer_size < 1 or refill < 1:
            raise DataError("buffer size and refill must be at least 1", value=(buffer_size, refill))
        self._tokens = tokens
        self._starts = units.starts
        self._lengths = units.lengths
        self._arrivals = iter(arrivals)
        self._has_more = True
        self._num_arrived = 0
        self._bos_id = bos_id
        self._buffer_size = buffer_size
        self._refill = refill
        # (length, -arrival, start), sorted: the last entry of a length is the one that arrived first.
        self._waiting: list[tuple[int, int, int]] = []

    def fill(self, row: NDArray[Any]) -> bool:
        """Fill the row; False, with the row spoilt, if the units do not suffice."""
        position, end = 0, len(row)
        while position < end:
            if len(self._waiting) < self._buffer_size and self._has_more:
                self._top_up()
            if not self._waiting:
                return False
            length, start = self._take(end - position)
            row[position] = self._bos_id
            row[position + 1 : position + length] = self._tokens[start : start + length - 1]
            position += length
        return True

    @property
    def num_arrived(self) -> int:
        """Units that have entered the buffer so far."""
        return self._num_arrived

    def waiting(self) -> tuple[int, ...]:
        """Numbers of arrival, from 0, of the units in the buffer."""
        return tuple(sorted(-arrival for _, arrival, _ in self._waiting))

    def restore(self, num_arrived: int, waiting: Sequence[int], units: Sequence[int]) -> None:
        """Make the buffer what it was: `waiting` are numbers of arrival, `units` which units those were.

        `arrivals` must go on with unit number `num_arrived`.
        """
        chosen = np.array(units, dtype=np.int64)
        lengths, starts = self._lengths[chosen].tolist(), self._starts[chosen].tolist()
        self._waiting = sorted(zip(lengths, (-number for number in waiting), starts, strict=True))
        self._num_arrived = num_arrived
        self._has_more = True

    def _take(self, space: int) -> tuple[int, int]:
        """Length (at most `space`) and start of the best unit, which leaves the buffer."""
        best = bisect_left(self._waiting, (space + 1,)) - 1
        if best < 0:  # none fits: the shortest, the first to arrive among equals
            best = bisect_left(self._waiting, (self._waiting[0][0] + 1,)) - 1
        length, _, start = self._waiting.pop(best)
        return min(length, space), start

    def _top_up(self) -> None:
        while len(self._waiting) < self._buffer_size and self._has_more:
            chosen = np.fromiter(islice(self._arrivals, self._refill), dtype=np.int64)
            self._has_more = len(chosen) == self._refill
            arrived = range(-self._num_arrived, -self._num_arrived - len(chosen), -1)
            lengths, starts = self._lengths[chosen].tolist(), self._starts[chosen].tolist()
            self._waiting.extend(zip(lengths, arrived, starts, strict=True))
            self._num_arrived += len(chosen)
        # Sorting a sorted list with a short tail is a merge, cheaper than as many insertions.
        self._waiting.sort()


def pack_rows(
    tokens: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    *,
    row_length: int,
    bos_id: int,
    order: Sequence[int] | None = None,
    long_documents: LongDocuments = "split",
    buffer_size: int = BUFFER_SIZE,
    refill: int = REFILL,
) -> Iterator[NDArray[np.uint16]]:
    """Rows of `row_length` ids from one pass over the units of a token stream, shape (row_length,) each.

    order: indices of units in order of arrival (see `cut_units`); None: that of the stream. At the end the
    buffer drains, and a last row that cannot be filled is dropped. Raises DataError as `cut_units` does.
    """
    units = cut_units(tokens, offsets, row_length=row_length, bos_id=bos_id, long_documents=long_documents)
    arrivals = range(len(units)) if order is None else order
    packer = RowPacker(tokens, units, arrivals, bos_id=bos_id, buffer_size=buffer_size, refill=refill)
    row = np.empty(row_length, dtype=np.uint16)
    while packer.fill(row):
        yield row
        row = np.empty(row_length, dtype=np.uint16)
