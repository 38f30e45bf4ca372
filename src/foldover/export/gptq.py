"""GPTQ: each column is rounded with the errors of the columns before it made up for (Frantar et al. 2022).

Written as nearest-plane rounding, which gives the same codes with one Cholesky factor and no inverse: with the
Hessian H = R R', R upper triangular, the output error of D = W - Q is |D R|^2, and column k of D R holds the error
of column k and what the columns before it leave in its direction. So column k is rounded at

    w_k + sum_{i<k} d_i R_ik / R_kk

and 1 / R_kk is the U_kk of the usual form, H^-1 = U'U.

Legend: r rows, c columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foldover.export.scheme import Order, Scheme

DAMPING_STEPS = (1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feedback:
    """How errors pass from column to column.

    order: columns in the order of rounding; factors: (c, c), row k holds R_ik / R_kk for i < k; diagonal: R_kk by
    place in the order; is_dead: columns whose input was always zero; damping: the share of the mean that was needed.
    """

    order: np.ndarray
    factors: np.ndarray
    diagonal: np.ndarray
    is_dead: np.ndarray
    damping: float

    def column_steps(self) -> np.ndarray:
        """Relative steps of the columns, (c,), 1 / R_kk with a geometric mean of 1 over live columns.

        At high rates they are the best split of a rate: the slope of error against bits is then equal in every
        column. Dead columns have 1.
        """
        relative = np.empty(len(self.order))
        relative[self.order] = 1.0 / self.diagonal
        live = ~self.is_dead
        if not live.any():
            return np.ones(len(self.order))
        relative /= np.exp(np.log(relative[live]).mean())
        return np.where(live, relative, 1.0)


def feedback_of(hessian: np.ndarray, *, damping: float, order: Order = "natural") -> Feedback | None:
    """Feedback of a Hessian (c, c), None where it has no Cholesky factor even with 1000 times the damping."""
    matrix = hessian.astype(np.float64)
    diagonal = np.einsum("ii->i", matrix)
    is_dead = diagonal <= 0
    diagonal[is_dead] = 1.0
    permutation = np.arange(len(matrix)) if order == "natural" else np.argsort(-diagonal, kind="stable")
    matrix = matrix[np.ix_(permutation, permutation)]
    mean = float(diagonal.mean())
    for multiple in DAMPING_STEPS:
        share = damping * multiple
        damped = matrix.copy()
        np.einsum("ii->i", damped)[:] += share * mean
        try:
            lower = np.linalg.cholesky(damped[::-1, ::-1])
        except np.linalg.LinAlgError:
            continue
        upper = lower[::-1, ::-1]
        roots = np.diagonal(upper).copy()
        if not (np.isfinite(upper).all() and (roots > 0).all()):
            continue
        factors = np.ascontiguousarray((upper / roots).T, dtype=np.float32)
        return Feedback(order=permutation, factors=factors, diagonal=roots, is_dead=is_dead, damping=share)
    return None


def gptq(weights: np.ndarray, steps: np.ndarray, feedback: Feedback, scheme: Scheme) -> np.ndarray:
    """Codes of a matrix, int16 (r, c). steps: float32, broadcasting to (r, c), columns included.

    Weights of dead columns are taken for zero.
    """
    r, c = weights.shape
    order, block = feedback.order, scheme.block
    targets = np.where(feedback.is_dead, np.float32(0.0), weights).T[order].astype(np.float32)  # (c, r), contiguous
    widths = np.broadcast_to(steps, (r, c)).T[order].astype(np.float32)
    codes = np.empty((c, r), dtype=np.float32)
    left = np.empty((c, r), dtype=np.float32)  # w - q s of the columns that are done
    low, high, is_binary = np.float32(scheme.lowest), np.float32(scheme.levels), scheme.format == "binary"
    for start in range(0, c, block):
        stop = min(start + block, c)
        wanted = targets[start:stop].copy()
        if start:
            wanted += feedback.factors[start:stop, :start] @ left[:start]
        for k in range(start, stop):
            column = wanted[k - start]
            if k > start:
                column += feedback.factors[k, start:k] @ left[start:k]
            code = codes[k]
            if is_binary:
                code[:] = np.where(column >= 0, 1.0, -1.0)
            else:
                np.divide(column, widths[k], out=code)
                np.rint(code, out=code)
                np.maximum(code, low, out=code)
                np.minimum(code, high, out=code)
            np.multiply(code, widths[k], out=left[k])
            np.subtract(targets[k], left[k], out=left[k])
    found = np.empty((r, c), dtype=np.int16)
    found[:, order] = codes.T
    return found
