"""Figures of a weight matrix: spectrum, tails, outlier rows. No torch.

Legend: r rows, c columns, s singular values from the largest on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
Floats = NDArray[np.float64]
SINGULAR = 1e-12
"""Below this share of the largest singular value the smallest is rounding, and the condition number infinite."""
OUTLIER = 6.0
"""A row is an outlier from this ratio on, of its largest weight to the median of the rows' largest."""
SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierRow:
    """A row of a matrix, and its largest |weight| over the median of the rows' largest."""

    row: int
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixFigures:
    """One matrix (r, c).

    relative_rank: effective rank over min(r, c); condition: None where it is infinite; kurtosis: of all entries
    (Gaussian 3); row_kurtosis: the largest of a row. outliers: the worst rows first.
    """

    name: str
    rows: int
    columns: int
    rms: float
    effective_rank: float
    relative_rank: float
    stable_rank: float
    condition: float | None
    kurtosis: float
    row_kurtosis: float
    outliers: tuple[OutlierRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringRow:
    """A row index that is an outlier in several matrices of one size."""

    row: int
    matrices: tuple[str, ...]


def figures_of(name: str, matrix: Matrix) -> MatrixFigures:
    """The figures of a matrix, in float64."""
    w = np.asarray(matrix, dtype=np.float64)
    s: Floats = np.linalg.svd(w, compute_uv=False).astype(np.float64)
    condition = condition_number(s)
    return MatrixFigures(
        name=name,
        rows=w.shape[0],
        columns=w.shape[1],
        rms=float(np.sqrt(np.mean(w**2))),
        effective_rank=effective_rank(s),
        relative_rank=effective_rank(s) / min(w.shape),
        stable_rank=stable_rank(s),
        condition=condition if math.isfinite(condition) else None,
        kurtosis=kurtosis(w),
        row_kurtosis=max(kurtosis(row) for row in w),
        outliers=outlier_rows(w)[:SHOWN_ROWS],
    )


def effective_rank(s: Floats) -> float:
    """exp of the entropy of the singular values' shares (Roy and Vetterli 2007); 0 for a zero matrix.

    >>> effective_rank(np.ones(4))
    4.0
    """
    total = s.sum()
    if total == 0.0:
        return 0.0
    p = s[s > 0.0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def stable_rank(s: Floats) -> float:
    """Squared Frobenius norm over squared spectral norm; 0 for a zero matrix."""
    return float((s**2).sum() / s[0] ** 2) if s[0] > 0.0 else 0.0


def condition_number(s: Floats) -> float:
    """Largest over smallest singular value; infinite if the smallest is rounding."""
    return float(s[0] / s[-1]) if s[-1] >= SINGULAR * s[0] and s[-1] > 0.0 else math.inf


def kurtosis(values: Matrix) -> float:
    """Fourth central moment over the squared second, 3 for a Gaussian; 0 where nothing varies."""
    x = np.asarray(values, dtype=np.float64).ravel()
    centred = x - x.mean()
    second = np.mean(centred**2)
    return float(np.mean(centred**4) / second**2) if second > 0.0 else 0.0


def outlier_rows(matrix: Matrix, *, threshold: float = OUTLIER) -> tuple[OutlierRow, ...]:
    """Rows whose largest |weight| is at least `threshold` times the median of the rows' largest, worst first."""
    largest = np.abs(matrix).max(axis=1)
    usual = float(np.median(largest))
    if usual == 0.0:
        return ()
    found = [OutlierRow(row=int(i), ratio=float(largest[i] / usual)) for i in np.argsort(-largest, kind="stable")]
    return tuple(one for one in found if one.ratio >= threshold)


def recurring_rows(matrices: Iterable[MatrixFigures]) -> tuple[RecurringRow, ...]:
    """Rows that are outliers in at least two matrices with as many rows, the most frequent first."""
    where: dict[tuple[int, int], list[str]] = {}
    for figures in matrices:
        for outlier in figures.outliers:
            where.setdefault((figures.rows, outlier.row), []).append(figures.name)
    counted = Counter({place: len(names) for place, names in where.items() if len(names) > 1})
    return tuple(RecurringRow(row=place[1], matrices=tuple(where[place])) for place, _ in counted.most_common())
