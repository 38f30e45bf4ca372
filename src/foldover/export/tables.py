"""Few tables for many identities of symbols: neighbours are merged until a table saves more than it costs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from foldover.export.frequencies import to_frequencies, to_weights
from foldover.export.layout import FamilyRecord

# Bits of a stored weight, as compressed; measured on trained matrices.
_BITS_PER_WEIGHT = 4.5
_MOST_TABLES = 255


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """Tables of a family. table_of_id: (ids,); weights: as stored, (tables, bytes); frequencies: (tables, size)."""

    record: FamilyRecord
    table_of_id: NDArray[np.uint8]
    weights: NDArray[np.uint8]
    frequencies: NDArray[np.uint32]


def build_family(counts: NDArray[np.float64], *, low: int, shift: int) -> Family:
    """The cheapest tables for counts (ids, size) of symbols from `low` on.

    Tables are mirrored where the symbols lie evenly about 0 and that saves more than it costs.
    """
    ids, size = counts.shape
    can_mirror = 2 * low == 1 - size
    groups = _merge(counts, _BITS_PER_WEIGHT * (0.5 if can_mirror else 1.0))
    merged = np.stack([counts[first:last].sum(axis=0) for first, last in groups])
    merged[merged.sum(axis=1) == 0, min(max(-low, 0), size - 1)] = 1.0
    mirrored = (merged + merged[:, ::-1]) / 2
    saved = _BITS_PER_WEIGHT * float((merged > 0).sum() - (mirrored > 0).sum() / 2)
    is_half = can_mirror and _data_bits(merged, mirrored) <= _data_bits(merged, merged) + saved
    weights = to_weights(mirrored[:, size // 2 :] if is_half else merged)
    table_of_id = np.repeat(np.arange(len(groups), dtype=np.uint8), [last - first for first, last in groups])
    return Family(
        record=FamilyRecord(low=low, size=size, shift=shift, ids=ids, tables=len(groups), is_half=is_half),
        table_of_id=table_of_id,
        weights=weights,
        frequencies=frequencies_of(weights, is_half=is_half),
    )


def frequencies_of(weights: NDArray[np.uint8], *, is_half: bool) -> NDArray[np.uint32]:
    """(tables, size) from stored weights. Raises ArtifactError for tables that cannot be."""
    return to_frequencies(np.concatenate((weights[:, :0:-1], weights), axis=1) if is_half else weights)


def _merge(counts: NDArray[np.float64], bits_per_weight: float) -> list[tuple[int, int]]:
    """Ranges of identities that share a table: of two neighbours the best pair first, while anything is saved."""
    edges = [0, *(np.flatnonzero(counts.sum(axis=1))[1:].tolist()), len(counts)]
    sums = np.add.reduceat(counts, edges[:-1], axis=0)
    costs = _table_bits(sums, bits_per_weight)
    pairs = sums[:-1] + sums[1:]
    pair_costs = _table_bits(pairs, bits_per_weight)
    while len(pair_costs):
        gains = costs[:-1] + costs[1:] - pair_costs
        best = int(gains.argmax())
        if gains[best] <= 0 and len(costs) <= _MOST_TABLES:
            break
        del edges[best + 1]
        sums[best] += sums[best + 1]
        sums = _without(sums, best + 1)
        costs[best] = pair_costs[best]
        costs = _without(costs, best + 1)
        pair_costs = _without(pair_costs, best)
        near = slice(max(best - 1, 0), best + 1)
        if len(pair_costs):
            pair_costs[near] = _table_bits(sums[:-1][near] + sums[1:][near], bits_per_weight)
    return list(pairwise(edges))


def _without(array: NDArray[np.float64], place: int) -> NDArray[np.float64]:
    """The array but for one entry, in its own memory."""
    array[place:-1] = array[place + 1 :]
    return array[:-1]


def _table_bits(counts: NDArray[np.float64], bits_per_weight: float) -> NDArray[np.float64]:
    """Bits of the symbols under their own frequencies, and of the table."""
    totals = counts.sum(axis=1)
    own = (counts * np.log2(np.maximum(counts, 1.0))).sum(axis=1)
    bits = totals * np.log2(np.maximum(totals, 1.0)) - own + bits_per_weight * (counts > 0).sum(axis=1)
    return np.asarray(bits)


def _data_bits(counts: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    part = shares / shares.sum(axis=1, keepdims=True)
    return float(-(counts * np.log2(np.where(counts > 0, part, 1.0))).sum())
