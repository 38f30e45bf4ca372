"""The estimators behind `estimate_effects`, each vectorised over studies.

Legend: Y (S, n) responses of S studies on one design; results are (S, m) arrays. An effect is twice the
coefficient of a -1/+1 column (high minus low); an interaction likewise.

- paper: least squares on the terms and block dummies, t on the residual degrees of freedom.
- ols+2fi: the same with all two-factor interactions in the model.
- hc3, hc3+2fi: the same estimates, errors from squared residuals over (1 - h)^2 (MacKinnon and White 1985).
- per_seed: the effects within each block, t over the blocks; exact whatever the cells' variances and the
  block x condition interaction. Where blocks are incomplete its generalisation: contrasts of the additive
  model of conditions and blocks, with bias-reduced cluster-robust errors and Satterthwaite degrees of freedom
  (CR2; Bell and McCaffrey 2002). On complete blocks the two are one and the same.
- satterthwaite: contrasts of condition means with each condition's own variance (Welch-Satterthwaite).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.ols import LeastSquares, leverages
from foldover.stats.screen import Screen
from foldover.stats.tails import t_quantile, t_quantiles, t_two_sided
from foldover.stats.terms import resolve_terms, term_columns, term_text

Array = npt.NDArray[np.float64]
Method = Literal["auto", "paper", "ols+2fi", "hc3", "hc3+2fi", "per_seed", "satterthwaite", "mixed", "lenth"]
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimates:
    """Effects of S studies under one method: arrays (S, m), df (S, m) or broadcastable to it.

    p, low and high are NaN where the method gives none (lenth: low and high are estimate -+ the margin).
    """

    method: str
    terms: tuple[str, ...]
    level: float
    estimate: Array
    se: Array
    df: Array
    low: Array
    high: Array
    p: Array


def estimates_from(
    method: str, names: tuple[str, ...], level: float, estimate: Array, se: Array, df: Array
) -> Estimates:
    """Intervals and p from t on df, which broadcasts against (S, m)."""
    probability = 0.5 + level / 2.0
    if df.size == 1:
        degrees = float(df.reshape(-1)[0])
        half = t_quantile(probability, degrees) * se
    else:
        half = t_quantiles(probability, df) * se
    p = t_two_sided(estimate / np.where(se > 0.0, se, 1.0), float(df.reshape(-1)[0]) if df.size == 1 else df)
    # Without any spread a difference is certain: simulators without noise come here.
    p = np.where(se > 0.0, p, np.where(estimate == 0.0, 1.0, 0.0))
    return Estimates(
        method=method,
        terms=names,
        level=level,
        estimate=estimate,
        se=se,
        df=df,
        low=estimate - half,
        high=estimate + half,
        p=p,
    )


def by_least_squares(screen: Screen, Y: Array, level: float, *, method: str) -> Estimates:
    """`paper`, `ols+2fi`, `hc3`, `hc3+2fi`. Raises AnalysisError when no degree of freedom is left."""
    X, names = screen.X, list(screen.names)
    if method.endswith("+2fi"):
        X, names = _with_interactions(screen)
    blocks = screen.block_columns()
    full = np.column_stack([np.ones(len(X)), X, blocks])
    model = LeastSquares(full, ["1", *names, *screen.block_names()])
    if model.df < 1:
        raise AnalysisError(
            f"{full.shape[1]} coefficients on {full.shape[0]} runs leave no degree of freedom for the error",
            fix="Drop terms, add seeds, or use the method lenth.",
        )
    wanted = slice(1, 1 + len(screen.terms))
    W = model.pinv[wanted]
    estimate = 2.0 * (Y @ W.T)
    residuals = Y - (Y @ model.pinv.T) @ full.T
    if method.startswith("hc3"):
        h = leverages(model)
        _require_leverage(h, screen)
        variance = (residuals / (1.0 - h)) ** 2 @ (W**2).T
    else:
        variance = (residuals**2).sum(axis=1, keepdims=True) / model.df * model.variances[wanted]
    return estimates_from(method, screen.names, level, estimate, 2.0 * np.sqrt(variance), np.array([[float(model.df)]]))


def _with_interactions(screen: Screen) -> tuple[Array, list[str]]:
    """The terms followed by the main effects and two-factor interactions that they lack."""
    varying = [letter for j, letter in enumerate(screen.letters) if np.ptp(screen.levels[:, j]) > 0.0]
    more = [term for term in resolve_terms("main+2fi", varying) if term not in screen.terms]
    X = np.column_stack([screen.X, term_columns(more, screen.levels, screen.letters)])
    return X, [*screen.names, *(term_text(term) for term in more)]


def _require_leverage(h: Array, screen: Screen) -> None:
    alone = [int(i) for i in np.flatnonzero(h > 1.0 - 1e-9)]
    if alone:
        cells = sorted({screen.cell_labels[screen.cell[i]] for i in alone})
        raise AnalysisError(
            "HC3 errors are undefined: a run alone determines a coefficient (leverage 1)",
            value=f"conditions {', '.join(cells)}",
            fix="Use per_seed or satterthwaite, or a smaller model.",
        )


def by_seed(screen: Screen, Y: Array, level: float) -> Estimates:
    """`per_seed`.

    Raises AnalysisError without a block, with one block, when blocks and terms are confounded, and where too many runs
    are missing for an error.
    """
    if screen.block is None:
        raise AnalysisError(
            "effects per seed need a block that pairs runs", fix="Name the block, or use the method satterthwaite."
        )
    if len(screen.block_labels) < 2:
        raise AnalysisError(
            "effects per seed need at least two seeds", value=screen.block_labels, fix="Use the method lenth."
        )
    if screen.balanced and screen.extra.shape[1] == 0:
        return _complete_blocks(screen, Y, level)
    return _incomplete_blocks(screen, Y, level)


def effects_within_blocks(screen: Screen, Y: Array) -> Array:
    """The effects of each block alone, (K, S, m). Assumes complete blocks (`screen.balanced`)."""
    assert screen.block is not None
    model = LeastSquares(np.column_stack([np.ones(len(screen.cells)), screen.cells]), ["1", *screen.names])
    runs_per_cell = screen.num_runs / (len(screen.cells) * len(screen.block_labels))
    weights = 2.0 * model.pinv[1:] / runs_per_cell
    rows = [np.flatnonzero(screen.block == k) for k in range(len(screen.block_labels))]
    return np.stack([Y[:, index] @ weights[:, screen.cell[index]].T for index in rows])


def _complete_blocks(screen: Screen, Y: Array, level: float) -> Estimates:
    effects = effects_within_blocks(screen, Y)
    K = len(effects)
    estimate = effects.mean(axis=0)
    se = effects.std(axis=0, ddof=1) / np.sqrt(K)
    return estimates_from("per_seed", screen.names, level, estimate, se, np.array([[K - 1.0]]))


def _incomplete_blocks(screen: Screen, Y: Array, level: float) -> Estimates:
    assert screen.block is not None
    W, M = _additive_weights(screen)
    G = _cluster_weights(screen.block, len(screen.block_labels), W, M)
    scores = np.einsum("kmn,sn->ksm", G, Y)
    gram = np.einsum("kmn,lmn->mkl", G, G)
    bare = [name for name, weights in zip(screen.names, gram, strict=True) if not weights.any()]
    if bare:
        raise AnalysisError(
            "too few runs are left to estimate an error: they determine conditions and blocks, and nothing is over",
            value=bare,
            fix="Rerun the missing conditions under the same seeds.",
        )
    df = np.trace(gram, axis1=1, axis2=2) ** 2 / (gram**2).sum(axis=(1, 2))
    se = np.sqrt((scores**2).sum(axis=0))
    return estimates_from("per_seed", screen.names, level, Y @ W.T, se, df[None, :])


def _additive_weights(screen: Screen) -> tuple[Array, Array]:
    """Weights W (m, n) of the effects in the model conditions + blocks (+ extra), and its residual maker M.

    All conditions are in the model, so that a lost run does not let omitted interactions bias the terms.
    """
    C = len(screen.cell_labels)
    X = np.column_stack([np.eye(C)[screen.cell], screen.block_columns()])
    contrast = np.linalg.pinv(np.column_stack([np.ones(C), screen.cells]))[1:]
    L = np.zeros((len(screen.terms), X.shape[1]))
    L[:, :C] = 2.0 * contrast
    pinv = np.linalg.pinv(X)
    lost = np.abs(L @ pinv @ X - L).max(axis=1) > 1e-8
    if lost.any():
        names = [name for name, is_lost in zip(screen.names, lost, strict=True) if is_lost]
        raise AnalysisError(
            "blocks and conditions overlap too little: effects are confounded with blocks",
            value=names,
            fix="Rerun the missing conditions under the same seeds, or use block=None.",
        )
    return L @ pinv, np.eye(len(X)) - X @ pinv


def _cluster_weights(block: npt.NDArray[np.int64], K: int, W: Array, M: Array) -> Array:
    """G (K, m, n): block k's bias-reduced score of each term is G[k] y (CR2)."""
    G = np.zeros((K, *W.shape))
    for k in range(K):
        rows = np.flatnonzero(block == k)
        values, vectors = np.linalg.eigh(M[np.ix_(rows, rows)])
        keep = values > 1e-9
        root = (vectors[:, keep] / np.sqrt(values[keep])) @ vectors[:, keep].T
        G[k] = W[:, rows] @ root @ M[rows]
    return G


def by_cell_variance(screen: Screen, Y: Array, level: float) -> Estimates:
    """`satterthwaite`. Raises AnalysisError for conditions with a single run (naming them)."""
    counts = screen.counts()
    single = [screen.cell_labels[i] for i in np.flatnonzero(counts < 2)]
    if single:
        raise AnalysisError(
            "conditions with one run have no variance of their own", value=single, fix="Use per_seed or paper."
        )
    C = len(counts)
    weights = 2.0 * np.linalg.pinv(np.column_stack([np.ones(C), screen.cells]))[1:]
    indicator = np.eye(C)[screen.cell]
    means = (Y @ indicator) / counts
    spread = ((Y - means[:, screen.cell]) ** 2) @ indicator / (counts - 1) / counts
    parts = spread[:, None, :] * weights[None, :, :] ** 2
    variance = parts.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = variance**2 / (parts**2 / (counts - 1)).sum(axis=2)
    return estimates_from("satterthwaite", screen.names, level, means @ weights.T, np.sqrt(variance), df)
