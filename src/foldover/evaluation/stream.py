"""The tokens that an evaluation reads from left to right, and the bytes of text that they stand for. No torch.

A stream is cut into units. Within a unit each token may be predicted from those before it, its first one is never
predicted: a unit is a document, a row of the plain evaluation, or the whole stream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data import PreparedData, ScoredRows
from foldover.data.order import permutation
from foldover.data.shards import flat
from foldover.data.validation import ValidationOrder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Tokens one after another.

    ids: (N,) uint16; bytes: (N,) int64, of each token where it is a target; is_scored: (N,) bool, whether its nats
    count; starts: (U + 1,) int64, where units begin, and N; text_bytes: of the text itself, counted without the table
    of bytes per token (None where there is no text to count).
    """

    ids: NDArray[np.uint16]
    bytes: NDArray[np.int64]
    is_scored: NDArray[np.bool_]
    starts: NDArray[np.int64]
    text_bytes: int | None = None

    def __post_init__(self) -> None:
        num_tokens = len(self.ids)
        if len(self.bytes) != num_tokens or len(self.is_scored) != num_tokens:
            raise DataError("tokens, bytes and marks of a stream differ in number", value=num_tokens)
        starts = self.starts
        if len(starts) < 2 or starts[0] != 0 or starts[-1] != num_tokens or np.any(np.diff(starts) < 1):
            raise DataError("units do not match their stream of tokens")

    def __len__(self) -> int:
        return len(self.ids)

    def joined(self) -> Stream:
        """The same tokens as one unit, with context that reaches across documents."""
        return replace(self, starts=np.array([0, len(self)], dtype=np.int64))

    def part(self, start: int, stop: int) -> Stream:
        """The tokens from start to stop, units that are cut included."""
        inside = self.starts[(self.starts > start) & (self.starts < stop)] - start
        return Stream(
            ids=self.ids[start:stop],
            bytes=self.bytes[start:stop],
            is_scored=self.is_scored[start:stop],
            starts=np.array([0, *inside, stop - start], dtype=np.int64),
        )

    def with_ids(self, ids: NDArray[np.uint16]) -> Stream:
        """Other tokens in the same places."""
        return replace(self, ids=ids)


def stream_of_rows(rows: ScoredRows) -> Stream:
    """Rows of the plain evaluation one after another, a unit each."""
    num_rows, length = rows.ids.shape
    first = np.zeros((num_rows, 1), dtype=np.int64)
    return Stream(
        ids=rows.ids.reshape(-1),
        bytes=np.concatenate((first, rows.bytes), axis=1).reshape(-1),
        is_scored=np.concatenate((first.astype(bool), rows.is_scored), axis=1).reshape(-1),
        starts=np.arange(num_rows + 1, dtype=np.int64) * length,
    )


def validation_stream(prepared: PreparedData, *, num_tokens: int, order: ValidationOrder = "stream") -> Stream:
    """Whole documents of the validation side, a unit each, the last one cut where num_tokens targets are full.

    order: `stream`, as they come; `spread`, in one pinned permutation, so that a part is like the whole. Bytes and
    what is scored are by the accounting of the data, as in `foldover.data.scored_rows`. Raises DataError if the side
    has fewer tokens.
    """
    offsets = prepared.val_offsets
    available = int(offsets[-1])
    if not 0 < num_tokens < available:
        raise DataError(
            f"the validation side of {prepared.corpus} has {available:,} tokens",
            value=num_tokens,
            fix=f"Score 1 to {available - 1}.",
        )
    documents = _documents(offsets, num_tokens + 1, order)
    source = flat(prepared.val_shards)
    ids = np.concatenate([source[start:stop] for start, stop in documents]).astype(np.uint16)
    starts = np.cumsum([0, *(stop - start for start, stop in documents)])
    sizes, is_scored = _accounts(prepared, ids, documents)
    return Stream(
        ids=ids,
        bytes=sizes,
        is_scored=is_scored,
        starts=starts,
        text_bytes=_text_bytes(prepared, ids, is_whole=num_tokens == available - 1),
    )


def _documents(offsets: NDArray[np.int64], num_ids: int, order: ValidationOrder) -> list[tuple[int, int]]:
    count = len(offsets) - 1
    chosen = permutation(count, "validation").tolist() if order == "spread" else range(count)
    documents, left = [], num_ids
    for index in chosen:
        start = int(offsets[index])
        stop = min(int(offsets[index + 1]), start + left)
        documents.append((start, stop))
        left -= stop - start
        if not left:
            break
    return documents


def _accounts(
    prepared: PreparedData, ids: NDArray[np.uint16], documents: list[tuple[int, int]]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Bytes of the tokens and whether they are scored; the first one of all is no target."""
    covered = prepared.val_bytes
    if prepared.accounting == "pieces" and not prepared.tokenizer.is_exact:
        sizes = np.concatenate(([0], prepared.tokenizer.byte_table.of_targets(ids))).astype(np.int64)
        is_scored = np.ones(len(ids), dtype=bool)
    elif covered is None:
        sizes = prepared.token_bytes[ids].astype(np.int64)
        is_scored = sizes > 0
    else:
        sizes = np.concatenate([covered[start:stop] for start, stop in documents]).astype(np.int64)
        is_scored = ids != prepared.bos_id
    sizes[0], is_scored[0] = 0, False
    return sizes, is_scored


def _text_bytes(prepared: PreparedData, ids: NDArray[np.uint16], *, is_whole: bool) -> int | None:
    """Bytes of the text: of what the ids decode to, or as the preparation counted them when it read the text."""
    if prepared.tokenizer.is_exact:
        return len(prepared.tokenizer.encoder().decode(ids[ids != prepared.bos_id].astype(np.uint32)))
    recorded = prepared.meta.get("val_bytes")
    return int(recorded) if is_whole and prepared.accounting == "raw" and recorded is not None else None
