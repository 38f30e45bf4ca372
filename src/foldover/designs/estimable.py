"""What a model can still tell when runs failed, and why not where it cannot.

Decided by the rank of the model matrix (singular values above max(N, p) eps s_max), never by inverting X'X.
A term is estimable if no combination of columns that vanishes on the remaining rows contains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldover.core import Design, DesignError, Row
from foldover.designs.model import MEAN, Column, expand_model, model_columns, model_matrix

if TYPE_CHECKING:
    from foldover.designs.model import Matrix

_ZERO = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A column that cannot be estimated, the combination that hides it, in words."""

    term: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimability:
    """What remains of a model on the rows that have a result.

    rank of `num_columns`; estimable: columns that are; lost: the others with the reason; residual_df: runs
    minus rank, what is left for the error.
    """

    num_runs: int
    num_columns: int
    rank: int
    estimable: tuple[str, ...]
    lost: tuple[Lost, ...]

    @property
    def residual_df(self) -> int:
        """Runs that are left for estimating the error."""
        return self.num_runs - self.rank


def estimability(design: Design, model: str | Sequence[str] = "main", *, failed: Sequence[str] = ()) -> Estimability:
    """Which columns of the model the remaining rows tell apart, at realised levels.

    failed: labels of rows without a result. Raises DesignError for unknown labels or if no row remains.
    """
    columns = model_columns(design.factors, expand_model(model, design.factors))
    rows = rows_that_remain(design, failed)
    X = model_matrix(design.factors, [design.realised(row) for row in rows], columns)
    null = null_space(X)
    lost = {j for vector in null for j, x in enumerate(vector) if abs(x) > _ZERO}
    return Estimability(
        num_runs=len(rows),
        num_columns=len(columns),
        rank=len(columns) - len(null),
        estimable=tuple(c.name for j, c in enumerate(columns) if j not in lost),
        lost=tuple(Lost(term=columns[j].name, reason=_reason(j, null, columns, len(rows))) for j in sorted(lost)),
    )


def require_estimable(design: Design, model: str | Sequence[str], *, failed: Sequence[str] = ()) -> None:
    """Raise DesignError that names the terms which cannot be estimated and the combination that hides each."""
    found = estimability(design, model, failed=failed)
    if not found.lost:
        return
    names = ", ".join(item.term for item in found.lost[:8])
    reasons = dict.fromkeys(item.reason for item in found.lost[:4])
    without = f" without {', '.join(failed)}" if failed else ""
    raise DesignError(
        f"{found.num_runs} runs{without} cannot tell apart {found.num_columns} columns (rank {found.rank}): "
        f"{names} cannot be estimated, since {'; '.join(reasons)}",
        fix="Leave terms out, repeat the failed runs, or add runs.",
    )


def rows_that_remain(design: Design, failed: Sequence[str]) -> tuple[Row, ...]:
    """The rows without the failed ones. Raises DesignError for unknown labels or if none remains."""
    labels = {row.label for row in design.rows}
    unknown = sorted(set(failed) - labels)
    if unknown:
        raise DesignError("there are no such rows", value=unknown, fix=f"Rows are {', '.join(sorted(labels)[:4])}, ...")
    rows = tuple(row for row in design.rows if row.label not in failed)
    if not rows:
        raise DesignError("no run has a result", value=tuple(failed))
    return rows


def matrix_rank(X: Matrix) -> int:
    """Numerical rank of X with the tolerance max(N, p) eps s_max."""
    import numpy as np  # late: making a design does not need it

    return int(np.linalg.matrix_rank(X))


def null_space(X: Matrix) -> list[list[float]]:
    """A basis of the combinations of columns that vanish, reduced so that each says as little as possible."""
    import numpy as np  # late, as above

    _, s, vt = np.linalg.svd(X, full_matrices=True)
    tolerance = max(X.shape) * np.finfo(float).eps * (s[0] if len(s) else 1.0)
    rank = int((s > tolerance).sum())
    return _reduced_rows(vt[rank:])


def _reduced_rows(rows: Matrix) -> list[list[float]]:
    """Reduced row echelon form, pivots from the right: the latest terms are explained by earlier ones."""
    import numpy as np  # late, as above

    work = np.array(rows, dtype=float)
    pivot_row = 0
    for column in range(work.shape[1] - 1, -1, -1):
        if pivot_row == len(work):
            break
        best = pivot_row + int(np.argmax(np.abs(work[pivot_row:, column])))
        if abs(work[best, column]) < _ZERO:
            continue
        work[[pivot_row, best]] = work[[best, pivot_row]]
        work[pivot_row] /= work[pivot_row, column]
        for other in range(len(work)):
            if other != pivot_row:
                work[other] -= work[other, column] * work[pivot_row]
        pivot_row += 1
    work[np.abs(work) < _ZERO] = 0.0
    return [[float(x) for x in row] for row in work]


def _reason(j: int, null: Sequence[Sequence[float]], columns: Sequence[Column], num_runs: int) -> str:
    vector = min((v for v in null if abs(v[j]) > _ZERO), key=lambda v: sum(abs(x) > _ZERO for x in v))
    pivot = max(i for i, x in enumerate(vector) if abs(x) > _ZERO)
    others = [(columns[i].name, -x / vector[pivot]) for i, x in enumerate(vector) if abs(x) > _ZERO and i != pivot]
    name = columns[pivot].name
    if not others:
        return f"{name} is zero in all {num_runs} runs"
    if others == [(MEAN, others[0][1])]:
        return f"{name} has one level in all {num_runs} runs"
    return f"{name} = {_sum(others)} in all {num_runs} runs"


def _sum(parts: Sequence[tuple[str, float]]) -> str:
    text = ""
    for name, x in parts:
        size = "" if abs(abs(x) - 1) < _ZERO and name != MEAN else f"{abs(x):.3g}"
        body = size if name == MEAN else f"{size} {name}".strip()
        sign = "-" if x < 0 else "+"
        text += (f" {sign} " if text else ("-" if x < 0 else "")) + body
    return text
