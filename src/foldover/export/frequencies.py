"""Tables of symbol frequencies: from counts to one byte a symbol, from bytes to integers that add up to 2**14.

A table is stored as weights of five significant bits and made into frequencies by integer arithmetic alone, so that
every machine decodes with the same numbers. Against the counts themselves this costs about 0.0001 bit a symbol.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foldover.core import ArtifactError

PRECISION = 14
TOTAL = 1 << PRECISION
# Weight of byte w > 0: (16 + (w - 1) % 16) << ((w - 1) // 16); byte 0: the symbol does not occur.
_MANTISSA = 16
WEIGHTS = np.array([0, *((_MANTISSA + w % _MANTISSA) << (w // _MANTISSA) for w in range(255))], dtype=np.int64)
# Counts are brought to this size first, so that one in 2**14 can be told from the commonest.
_TOP = float(WEIGHTS[1 + _MANTISSA * PRECISION])


def to_weights(counts: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Bytes of tables, shape (tables, symbols), of non-negative counts; a count above 0 never becomes 0."""
    top = np.maximum(counts.max(axis=1, keepdims=True), 1e-300)
    scaled = np.where(counts > 0, np.maximum(counts / top * _TOP, _MANTISSA), 0.0)
    upper = np.searchsorted(WEIGHTS[1:], scaled, side="left").clip(0, 254) + 1
    lower = np.maximum(upper - 1, 1)
    nearer = np.where(np.abs(WEIGHTS[lower] - scaled) <= np.abs(WEIGHTS[upper] - scaled), lower, upper)
    return np.where(counts > 0, nearer, 0).astype(np.uint8)


def to_frequencies(weights: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Integers of the same shape, each row adding up to TOTAL; 0 exactly where the weight is 0.

    Where a row has one symbol only, a neighbour gets frequency 1: a coder cannot spend nothing. Raises
    ArtifactError for a row without any symbol or with more than fit.
    """
    size = weights.shape[1]
    raw = WEIGHTS[weights]
    if size < 2 or not raw.any(axis=1).all():
        raise ArtifactError("a frequency table is empty", fix="The file is damaged: export again.")
    share = np.where(raw > 0, np.maximum(raw * TOTAL // raw.sum(axis=1, keepdims=True), 1), 0)
    rows, first = np.arange(len(raw)), share.argmax(axis=1)
    is_single = (share > 0).sum(axis=1) == 1
    share[rows[is_single], np.where(first == 0, 1, first - 1)[is_single]] = 1
    share[rows, first] += TOTAL - share.sum(axis=1)
    if (share[rows, first] < 1).any():
        raise ArtifactError("a frequency table has too many symbols", value=size, fix="The file is damaged.")
    return share.astype(np.uint32)


def cost_bits(counts: NDArray[np.float64], frequencies: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Bits that symbols with these counts take under each table, shape (tables,)."""
    return np.asarray((counts * price_bits(frequencies)).sum(axis=1))


def price_bits(frequencies: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Bits that each symbol takes, of the same shape."""
    return np.asarray(PRECISION - np.log2(np.maximum(frequencies, 1)))
