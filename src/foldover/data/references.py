"""Reference lines: what a table of byte counts scores on the validation text.

A trained model that does not beat the order-6 line has learned less than a lookup table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError

MAX_ORDER = 7
"""A context and the byte after it must fit one uint64."""

_BYTE = np.uint64(8)


def witten_bell_bits(
    train: Sequence[bytes],
    val: Sequence[bytes],
    order: int,
    *,
    progress: Callable[[float], None] | None = None,
) -> tuple[float, ...]:
    """Bits per byte of `val` under interpolated Witten-Bell byte models of orders 0 to `order`, counted on `train`.

    With h the k bytes before byte c, h' the k - 1 bytes before it, C counts in training and T(h) the number of
    distinct bytes seen after h,

        p_k(c | h) = (C(h c) + T(h) p_{k-1}(c | h')) / (C(h) + T(h)),    p_{-1} = 1/256,

    and p_k = p_{k-1} where h was never seen (Witten & Bell 1991, IEEE Trans. Inf. Theory 37, method C; the
    recursive form is in Chen & Goodman 1999, Computer Speech & Language 13). Contexts do not cross documents:
    before its first byte a document has NUL bytes as context, in training as in validation, so the model knows
    how documents begin. Those NUL bytes are not predicted. Text with NUL bytes of its own is allowed, but
    shares contexts with the beginnings of documents.

    progress: gets the fraction done. Raises DataError for an order outside 0 to 7, or a side without bytes.
    """
    if not 0 <= order <= MAX_ORDER:
        raise DataError("the order of a byte model is not possible", value=order, fix=f"Choose 0 to {MAX_ORDER}.")
    if not any(train) or not any(val):
        raise DataError("a byte model needs bytes to count and bytes to predict")
    tables = _tables(train, order)
    if progress is not None:
        progress(0.6)
    # p depends on the context and the byte alone, so each distinct pair is looked up once.
    pairs, repeats = np.unique(_pairs(val, order), return_counts=True)
    p = np.full(len(pairs), 1 / 256)
    bits = []
    for k, table in enumerate(tables):
        p = _interpolate(table, pairs & _mask(k), p)
        bits.append(float(-(repeats * np.log2(p)).sum() / repeats.sum()))
        if progress is not None:
            progress(0.6 + 0.4 * (k + 1) / (order + 1))
    return tuple(bits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """Counts of one order, both keys sorted. pairs: context and byte, C(h c); contexts: C(h) and T(h)."""

    pairs: NDArray[np.uint64]
    pair_counts: NDArray[np.int64]
    contexts: NDArray[np.uint64]
    context_counts: NDArray[np.int64]
    num_distinct: NDArray[np.int64]


def _mask(order: int) -> np.uint64:
    return np.uint64(2 ** (8 * (order + 1)) - 1)


def _pairs(texts: Sequence[bytes], order: int) -> NDArray[np.uint64]:
    """A key for each byte of the texts: it in the lowest 8 bits, the byte before it above, and so on."""
    start = bytes(order)
    text = np.frombuffer(b"".join(start + text for text in texts), dtype=np.uint8)
    keys = text.astype(np.uint64)
    for back in range(1, order + 1):
        keys[back:] |= text[:-back].astype(np.uint64) << np.uint64(8 * back)
    lengths = np.array([len(text) for text in texts])
    starts = np.cumsum(lengths + order) - lengths - order
    is_text = np.ones(len(text), dtype=bool)
    is_text[(starts[:, None] + np.arange(order)).ravel()] = False
    return keys[is_text]


def _tables(texts: Sequence[bytes], order: int) -> list[_Table]:
    """Tables of orders 0 to `order`. The text is sorted once; each lower order is made from the one above."""
    keys = _pairs(texts, order)
    keys.sort()
    pairs, counts = _merge(keys, np.ones(len(keys), dtype=np.int64))
    tables = [_table(pairs, counts)]
    for k in reversed(range(order)):
        shorter = pairs & _mask(k)
        by_key = np.argsort(shorter, kind="stable")
        pairs, counts = _merge(shorter[by_key], counts[by_key])
        tables.append(_table(pairs, counts))
    return tables[::-1]


def _merge(keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Distinct values of sorted keys, with their counts added."""
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[first], np.add.reduceat(counts, first)


def _table(pairs: NDArray[np.uint64], counts: NDArray[np.int64]) -> _Table:
    of_pair = pairs >> _BYTE
    contexts, context_counts = _merge(of_pair, counts)
    _, num_distinct = _merge(of_pair, np.ones(len(of_pair), dtype=np.int64))
    return _Table(
        pairs=pairs,
        pair_counts=counts,
        contexts=contexts,
        context_counts=context_counts,
        num_distinct=num_distinct,
    )


def _interpolate(table: _Table, pairs: NDArray[np.uint64], lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """p_k of the pairs from p_{k-1}."""
    pair_count = _look_up(table.pairs, table.pair_counts, pairs)
    context_count = _look_up(table.contexts, table.context_counts, pairs >> _BYTE)
    num_distinct = _look_up(table.contexts, table.num_distinct, pairs >> _BYTE)
    unseen = context_count == 0
    higher = (pair_count + num_distinct * lower) / np.where(unseen, 1, context_count + num_distinct)
    return np.where(unseen, lower, higher)


def _look_up(keys: NDArray[np.uint64], values: NDArray[np.int64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The values of the wanted keys; 0 for those that are absent."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
