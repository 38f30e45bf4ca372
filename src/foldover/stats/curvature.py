"""Curvature by centre points: is the response at the centre the mean of the corners?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.table import Table
from foldover.stats.tails import critical_t, t_two_sided

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curvature:
    """Mean of the corners minus mean of the centre, which estimates the sum of the quadratic coefficients.

    A sum near zero does not make each of them zero. f = t^2 on 1 and df; sum_squares and pure_error belong to
    the classical test and are None for the one paired by block.
    """

    difference: float
    se: float
    t: float
    f: float
    df: int
    p: float
    low: float
    high: float
    level: float
    sum_squares: float | None
    pure_error: float | None
    num_corners: int
    num_centers: int
    method: str


def curvature_test(
    corners: Sequence[float],
    centers: Sequence[float],
    *,
    cells: Sequence[object] | None = None,
    level: float = 0.95,
) -> Curvature:
    """The classical test: SS = n_f n_c d^2 / (n_f + n_c) over pure error from replicates.

    corners, centers: responses; cells: the condition of each corner run, for pure error from replicated
    corners besides that of the centre.
    Raises AnalysisError without centre points, and when nothing is replicated.
    """
    f, c = np.asarray(corners, dtype=np.float64), np.asarray(centers, dtype=np.float64)
    if len(c) == 0 or len(f) == 0:
        raise AnalysisError("a curvature test needs corners and centre points", value=(len(f), len(c)))
    groups: dict[object, list[float]] = {}
    for label, value in zip(cells if cells is not None else range(len(f)), f.tolist(), strict=True):
        groups.setdefault(label, []).append(value)
    samples = [c, *(np.array(values) for values in groups.values())]
    df = sum(len(values) - 1 for values in samples)
    if df < 1:
        raise AnalysisError(
            "there is no pure error: one centre point and no replicated corner",
            fix="Run more centre points, or more seeds.",
        )
    pure = float(sum(((values - values.mean()) ** 2).sum() for values in samples)) / df
    if pure == 0.0:
        raise AnalysisError("all replicates are equal: the pure error is zero", fix="Do the seeds change anything?")
    difference = float(f.mean() - c.mean())
    se = float(np.sqrt(pure * (1.0 / len(f) + 1.0 / len(c))))
    return _result(
        difference, se, df, level, len(f), len(c), method="pure error", pure=pure,
        ss=len(f) * len(c) * difference**2 / (len(f) + len(c)),
    )  # fmt: skip


def curvature_of_table(
    table: Table, *, block: str | None = "seed", center_in: Sequence[str] | None = None, level: float = 0.95
) -> Curvature:
    """The curvature of a table with centre points; paired by block when every block has corners and centres.

    center_in: the factors that have a centre (all by default); a row is a centre when these are at 0 and a
    corner when they are at -1 or +1; other rows are not used. With a block, the difference is taken within
    each and tested by t over blocks, which needs no equal variances; without one, against pure error.
    Raises AnalysisError when the table has no centre points, or planned centres were realised elsewhere.
    """
    letters = tuple(center_in) if center_in is not None else table.letters
    unknown = [letter for letter in letters if letter not in table.letters]
    if unknown or not letters:
        raise AnalysisError("unknown factors", value=unknown, fix=f"Factors are {', '.join(table.letters)}.")
    levels = table.levels[:, [table.letters.index(letter) for letter in letters]]
    is_center: Booleans = np.all(np.abs(levels) < 1e-9, axis=1)
    is_corner: Booleans = np.all(np.abs(np.abs(levels) - 1.0) < 1e-9, axis=1)
    if not is_center.any():
        near = np.flatnonzero((np.abs(levels) < 0.5).all(axis=1))
        hint = f"Row {table.run_ids[near[0]]} is near but not at the centre as realised. " if near.size else ""
        raise AnalysisError("the table has no centre points", fix=f"{hint}Add runs with {', '.join(letters)} at 0.")
    if not is_corner.any():
        raise AnalysisError("the table has no corners to compare the centre with")
    if block is not None:
        return _paired(table, table.column(block), is_corner, is_center, level)
    cells = [tuple(row) for row in table.levels[is_corner].tolist()]
    return curvature_test(table.y[is_corner].tolist(), table.y[is_center].tolist(), cells=cells, level=level)


def _paired(table: Table, blocks: Sequence[str], is_corner: Booleans, is_center: Booleans, level: float) -> Curvature:
    names = sorted(set(blocks))
    labels = np.array(blocks)
    differences = []
    for name in names:
        corner, center = (labels == name) & is_corner, (labels == name) & is_center
        if not corner.any() or not center.any():
            raise AnalysisError(
                f"block {name} lacks {'corners' if not corner.any() else 'centre points'}",
                fix="Run them under the same seeds, or use block=None.",
            )
        differences.append(float(table.y[corner].mean() - table.y[center].mean()))
    if len(names) < 2:
        raise AnalysisError("one block leaves no error for the difference", fix="Use block=None, or add seeds.")
    values = np.array(differences)
    se = float(values.std(ddof=1) / np.sqrt(len(values)))
    if se == 0.0:
        raise AnalysisError("the difference is the same in every block: there is no error to test against")
    return _result(
        float(values.mean()), se, len(values) - 1, level, int(is_corner.sum()), int(is_center.sum()), method="per_seed"
    )


def _result(
    difference: float, se: float, df: int, level: float, num_corners: int, num_centers: int, *, method: str,
    pure: float | None = None, ss: float | None = None,
) -> Curvature:  # fmt: skip
    t = difference / se
    half = critical_t(level, float(df)) * se
    return Curvature(
        difference=difference,
        se=se,
        t=t,
        f=t * t,
        df=df,
        p=float(t_two_sided(np.array(t), float(df))),
        low=difference - half,
        high=difference + half,
        level=level,
        sum_squares=ss,
        pure_error=pure,
        num_corners=num_corners,
        num_centers=num_centers,
        method=method,
    )
