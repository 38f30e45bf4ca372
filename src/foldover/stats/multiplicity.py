"""Adjusted p-values over a family of tests.

BH: Benjamini and Hochberg 1995; BY: Benjamini and Yekutieli 2001; Holm 1979; Hochberg 1988; Hommel 1988. BH controls
the false discovery rate under independence and positive dependence; contrasts of an orthogonal design share one
error variance, so it holds there. BY holds under any dependence and is the sensitivity analysis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError

Procedure = Literal["bh", "by", "holm", "bonferroni", "hochberg", "hommel"]
PROCEDURES: tuple[Procedure, ...] = ("bh", "by", "holm", "bonferroni", "hochberg", "hommel")


def adjust(
    p_values: Sequence[float | None], method: Procedure, *, family_size: int | None = None
) -> tuple[float | None, ...]:
    """Adjusted p-values in the order of `p_values`; ties get equal values.

    p_values: one a hypothesis; None is a member without a test (its run failed): it counts as p = 1 in the
    family and stays None. family_size: the declared number of hypotheses, at least len(p_values); members not
    given count as p = 1 as well, so a lost member never makes the others look better.
    Raises AnalysisError for a p that is NaN or outside [0, 1], and for a family smaller than its members.

    >>> adjust([0.01, 0.02, 0.5], "holm")
    (0.03, 0.04, 0.5)
    """
    if method not in PROCEDURES:
        raise AnalysisError("unknown multiplicity procedure", value=method, fix=f"Use one of {', '.join(PROCEDURES)}.")
    size = len(p_values) if family_size is None else family_size
    if size < len(p_values):
        raise AnalysisError(
            f"a family of {size} cannot have {len(p_values)} p-values", fix="Declare the whole family before the data."
        )
    for i, p in enumerate(p_values):
        if p is not None and not (math.isfinite(p) and 0.0 <= p <= 1.0):
            raise AnalysisError(
                f"p-value {i + 1} of {len(p_values)} is not in [0, 1]",
                value=p,
                fix="Give None for a test that could not be made.",
            )
    if not p_values:
        return ()
    full = np.ones(size)
    full[: len(p_values)] = [1.0 if p is None else p for p in p_values]
    adjusted = _adjust(full, method)[: len(p_values)]
    return tuple(None if p is None else float(q) for p, q in zip(p_values, adjusted, strict=True))


def _adjust(p: NDArray[np.float64], method: Procedure) -> NDArray[np.float64]:
    m = len(p)
    if method == "bonferroni":
        return np.minimum(1.0, m * p)
    order = np.argsort(p, kind="stable")
    rank = np.arange(1, m + 1)
    ascending = p[order]
    if method == "hommel":
        stepped = _hommel(ascending)
    elif method == "holm":
        stepped = np.maximum.accumulate((m - rank + 1) * ascending)
    else:
        factor: NDArray[np.float64] = m / rank
        if method == "by":
            factor = factor * float(np.sum(1.0 / rank))
        elif method == "hochberg":
            factor = (m - rank + 1).astype(np.float64)
        stepped = np.minimum.accumulate((factor * ascending)[::-1])[::-1]
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def _hommel(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wright 1992 (Biometrics 48): Simes' test of the largest members of each number bounds the p of all others."""
    m = len(ascending)
    adjusted = ascending.copy()
    for size in range(m, 1, -1):
        largest = slice(m - size + 1, m)
        simes = float(np.min(size * ascending[largest] / np.arange(2, size + 1)))
        adjusted[largest] = np.maximum(adjusted[largest], simes)
        rest = slice(0, m - size + 1)
        adjusted[rest] = np.maximum(adjusted[rest], np.minimum(simes, size * ascending[rest]))
    return adjusted
