"""The rows that a model is judged on, and the bytes that they stand for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data.contiguous import windows
from foldover.data.order import permutation
from foldover.data.packing import LongDocuments, RowPacker, Units, cut_units
from foldover.data.prepared import PreparedData
from foldover.data.rows import Loader
from foldover.data.shards import TokenShards, flat

ValidationOrder = Literal["stream", "spread"]


def validation_rows(
    prepared: PreparedData,
    *,
    context: int,
    num_tokens: int,
    long_documents: LongDocuments = "split",
    order: ValidationOrder = "stream",
    loader: Loader = "pack",
) -> NDArray[np.uint16]:
    """The pinned rows of the validation side, shape (num_tokens // context, context + 1), the same in every run.

    num_tokens: how many targets are to be scored. order: `stream`, as upstream, takes units in the order of the
    documents; `spread` takes them in one fixed random order. For the whole side it hardly matters. For a part it
    does: documents are in order of date, and the old ones are easier (order-6 line of the first five documents
    of sotu 1.416 bits per byte, of the last six 1.677), so a part should be spread. loader: as in training; `stream`
    cuts the side into windows that overlap by one id, as openai/parameter-golf does.
    Raises DataError if num_tokens is less than one row, or more than the validation side fills.
    """
    view = _View(prepared, context=context, long_documents=long_documents, order=order, loader=loader)
    rows: NDArray[np.uint16] = view.rows(flat(prepared.val_shards), prepared.bos_id, num_tokens, np.uint16)
    return rows


class _View:
    """Which part of the validation stream stands where in the rows: the same for ids and for anything along them."""

    def __init__(
        self,
        prepared: PreparedData,
        *,
        context: int,
        long_documents: LongDocuments,
        order: ValidationOrder,
        loader: Loader,
    ) -> None:
        self._name = prepared.corpus
        self._context = context
        self._order = order
        self._units: Units | None = None
        if loader == "pack":
            self._units = cut_units(
                flat(prepared.val_shards),
                prepared.val_offsets,
                row_length=context + 1,
                bos_id=prepared.bos_id,
                long_documents=long_documents,
            )

    def rows(
        self, along: NDArray[Any] | TokenShards, at_bos: int, num_tokens: int, dtype: type[np.integer[Any]]
    ) -> NDArray[Any]:
        """Rows of an array along the stream; at_bos: what it has in the place of a BOS."""
        num_rows = num_tokens // self._context
        if num_rows < 1:
            raise DataError(
                f"no validation row of {self._context} tokens fits", value=num_tokens, fix="Score more tokens."
            )
        if self._units is None:
            return self._windows(along, num_rows, num_tokens, dtype)
        is_spread = self._order == "spread"
        arrivals = permutation(len(self._units), "validation").tolist() if is_spread else range(len(self._units))
        packer = RowPacker(along, self._units, arrivals, bos_id=at_bos)
        rows = np.empty((num_rows, self._context + 1), dtype=dtype)
        for filled, row in enumerate(rows):
            if not packer.fill(row):
                raise _too_few(self._name, filled, self._context, num_tokens)
        return rows

    def _windows(
        self, along: NDArray[Any] | TokenShards, num_rows: int, num_tokens: int, dtype: type[np.integer[Any]]
    ) -> NDArray[Any]:
        available = (len(along) - 1) // self._context
        if num_rows > available:
            raise _too_few(self._name, available, self._context, num_tokens)
        if self._order == "stream":
            return windows(along[: num_rows * self._context + 1], self._context).astype(dtype)
        chosen = permutation(available, "validation")[:num_rows] * self._context
        rows = np.empty((num_rows, self._context + 1), dtype=dtype)
        for row, start in zip(rows, chosen.tolist(), strict=True):
            row[:] = along[start : start + self._context + 1]
        return rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredRows:
    """The pinned rows with the bytes that their targets stand for.

    ids: uint16 (R, T + 1), inputs [:, :-1], targets [:, 1:]; bytes: int64 (R, T) of the targets; is_scored: bool
    (R, T), the targets whose nats count. bits per byte = nats of the scored targets / (ln 2 * sum of bytes).
    """

    ids: NDArray[np.uint16]
    bytes: NDArray[np.int64]
    is_scored: NDArray[np.bool_]


def scored_rows(
    prepared: PreparedData,
    *,
    context: int,
    num_tokens: int,
    long_documents: LongDocuments = "split",
    order: ValidationOrder = "stream",
    loader: Loader = "pack",
) -> ScoredRows:
    """`validation_rows`, with bytes by the accounting of the data and what is scored; for every tokenizer.

    raw: every target but BOS is scored, and weighs the bytes of the text that it covers (none, for the first of
    several byte pieces of a character). pieces: every target is scored, BOS too, and bytes are those of the
    tokenizer's table after the id before it (openai/parameter-golf's rule). Raises DataError as `validation_rows`.
    """
    view = _View(prepared, context=context, long_documents=long_documents, order=order, loader=loader)
    ids: NDArray[np.uint16] = view.rows(flat(prepared.val_shards), prepared.bos_id, num_tokens, np.uint16)
    targets = ids[:, 1:]
    if prepared.accounting == "pieces" and not prepared.tokenizer.is_exact:
        sizes = prepared.tokenizer.byte_table.of_targets(ids)
        return ScoredRows(ids=ids, bytes=sizes.astype(np.int64), is_scored=np.ones(targets.shape, dtype=bool))
    covered = prepared.val_bytes
    if covered is None:
        sizes = prepared.token_bytes[targets]
        return ScoredRows(ids=ids, bytes=sizes.astype(np.int64), is_scored=sizes > 0)
    raw = view.rows(covered, 0, num_tokens, np.int64)
    return ScoredRows(ids=ids, bytes=raw[:, 1:].copy(), is_scored=targets != prepared.bos_id)


def check_scorable(prepared: PreparedData, *, context: int, num_tokens: int) -> None:
    """Raises DataError where no way of cutting the validation side gives as many targets; costs nothing.

    Packed rows may still turn out too few, which `scored_rows` knows.
    """
    available = (len(prepared.val_shards) - 1) // context
    if num_tokens // context > available:
        raise _too_few(prepared.corpus, available, context, num_tokens)


def validation_digest(rows: NDArray[np.uint16]) -> str:
    """sha256 (hex) of the ids that are scored, and how they are cut into rows: equal digests, comparable scores."""
    sha = hashlib.sha256(f"rows {rows.shape[0]} ids {rows.shape[1]}\n".encode())
    sha.update(rows.astype("<u2").tobytes())
    return sha.hexdigest()


def _too_few(corpus: str, rows: int, context: int, num_tokens: int) -> DataError:
    most = rows * context
    return DataError(
        f"the validation side of {corpus} fills only {rows} rows of {context} tokens",
        value=num_tokens,
        fix=f"Set `eval_tokens` to at most {most}." if most else "Give more validation text, or a shorter context.",
    )
