"""How widely codes spread in each row and each column: what the symbol models are conditioned on.

In trained matrices the standard deviation of a code is nearly a product of one factor a row and one a column (see
`benchmarks/export_codec.py`), and given both the codes look Gaussian. Factors are levels of an eighth of an octave;
each vector of levels is rounded as coarsely, or told from an earlier vector, as makes data and levels smallest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Levels in an octave of the standard deviation.
RESOLUTION = 8
# Roundings that are tried, in levels.
_STEPS = (1, 2, 4)
# A factor of fewer numbers than this would be noise.
FEWEST = 16
# How much of a vector's variance must be left by an earlier one for it to be told from that one, at most.
_NEAR = 0.9
# Rows that the columns' factors are measured on.
_MOST_ROWS = 2048
# Bits that a distinct value costs in the coded vector, beyond its entropy; measured on vectors of 256 levels.
_BITS_PER_VALUE = 4.0
# Standard deviations, and below, the mean |round(sigma z)| that they give for Gaussian z.
_SIGMAS = np.exp2(np.arange(-3.0, 1.0, 1 / 16))
_TABLE = np.array([sum(math.erfc((k - 0.5) / (s * math.sqrt(2.0))) for k in range(1, int(6 * s) + 2)) for s in _SIGMAS])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelVector:
    """Rounded levels. stored: whether bytes are written for them; reference: of an earlier vector, or -1."""

    levels: NDArray[np.int64]
    is_stored: bool
    reference: int = -1


def measure_spreads(values: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels, not rounded, of the rows (r,) and columns (c,) of centred codes (r, c); the columns' average is 0."""
    rows, columns = values.shape
    sizes = values.astype(np.float32)
    np.abs(sizes, out=sizes)
    by_row = np.log2(_sigma_of(_weighted(sizes, np.full(columns, 1 / columns))))
    if columns < FEWEST or rows < FEWEST:
        return RESOLUTION * by_row, np.zeros(columns)
    every = slice(None, None, -(-rows // _MOST_ROWS))
    inverse = np.exp2(-by_row[every])
    by_column = np.log2(np.maximum(_weighted(sizes[every].T, inverse / len(inverse)), 2.0**-8))
    by_column -= by_column.mean()
    by_row = np.log2(_sigma_of(_weighted(sizes, np.exp2(-by_column) / columns)))
    return RESOLUTION * by_row, RESOLUTION * by_column


def round_levels(
    wanted: NDArray[np.float64], weight: int, earlier: Sequence[tuple[int, NDArray[np.int64]]]
) -> LevelVector:
    """The cheapest rounding of wanted levels (n,), each of which serves `weight` codes.

    earlier: vectors of the same length with their indices, from which this one may be told by its differences.
    A level that is off by d costs (d ln 2 / RESOLUTION)**2 nats a code (Gaussian, second order).
    """
    mean = int(np.rint(wanted.mean()))
    price = weight * (math.log(2.0) / RESOLUTION) ** 2 / math.log(2.0)
    best = LevelVector(levels=np.full(len(wanted), mean), is_stored=False)
    gap = wanted - mean
    least = price * float(gap @ gap)
    if least <= 2 * _BITS_PER_VALUE:
        return best
    base, reference = best.levels, -1
    if earlier:
        gaps = wanted - np.array([vector for _, vector in earlier])
        spreads = gaps.var(axis=1)
        nearest = int(spreads.argmin())
        if spreads[nearest] < _NEAR * gap.var():
            reference, vector = earlier[nearest]
            base = vector + int(np.rint(gaps[nearest].mean()))
            gap = wanted - base
    for step in _STEPS:
        change = np.rint(gap / step).astype(np.int64)
        error = gap - change * step
        cost = price * float(error @ error) + _entropy_bits(change)
        if cost < least:
            best = LevelVector(levels=base + change * step, is_stored=True, reference=reference)
            least = cost
    return best


def _weighted(sizes: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows times weights. Not by BLAS, whose last bits, and so an artifact's bytes, depend on the number of threads."""
    return np.asarray(np.einsum("ij,j->i", sizes, weights.astype(np.float32)))


def _sigma_of(mean_sizes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Standard deviation of a Gaussian whose rounded values have these mean sizes."""
    wide = mean_sizes * math.sqrt(math.pi / 2.0)
    return np.where(mean_sizes > _TABLE[-1], wide, np.interp(mean_sizes, _TABLE, _SIGMAS))


def _entropy_bits(values: NDArray[np.int64]) -> float:
    counts = np.bincount(values - values.min())
    counts = counts[counts > 0]
    return len(values) * math.log2(len(values)) - float(counts @ np.log2(counts)) + _BITS_PER_VALUE * len(counts)
