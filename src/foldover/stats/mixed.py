"""Variance components by restricted maximum likelihood (REML): random blocks, crossed or nested.

Legend: y = X b + sum_k Z_k u_k + e, V = sum_k s_k Z_k Z_k' + s_e I, P = V^-1 - V^-1 X (X'V^-1X)^-1 X'V^-1.
Own code rather than statsmodels' MixedLM, which has crossed effects only through formulas, no Satterthwaite
degrees of freedom, and takes 1.4 s to import; tests compare the two where both apply. Matrices are dense
(n x n): meant for some hundreds of runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.estimators import Estimates, estimates_from
from foldover.stats.ols import LeastSquares, require_full_rank
from foldover.stats.screen import Screen

Array = npt.NDArray[np.float64]

_MAX_STEPS = 200
_CONVERGED = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MixedFit:
    """A REML fit. components: variance by group name, `residual` last; a zero is a boundary estimate.

    coef, se, df: (p,) fixed effects, errors, Satterthwaite degrees of freedom; covariance: (p, p);
    loglik: restricted log-likelihood with the constants that lme4 uses; icc: share of each group in the
    total variance; notes: boundary estimates, few groups.
    """

    names: tuple[str, ...]
    components: Mapping[str, float]
    coef: Array
    se: Array
    df: Array
    covariance: Array
    loglik: float
    icc: Mapping[str, float]
    notes: tuple[str, ...]


def fit_mixed(
    y: Array, X: Array, groups: Mapping[str, Sequence[object]], *, names: Sequence[str] | None = None
) -> MixedFit:
    """REML fit with one random intercept per label of each grouping.

    y: (n,); X: (n, p) fixed effects, intercept included; groups: name to n labels (nested groups need labels
    that are unique across the outer group). names: of the columns of X.
    Raises AnalysisError for dependent columns, a grouping with one label, and one with a label for every run.
    """
    n = len(y)
    names = tuple(names) if names is not None else tuple(f"x{i}" for i in range(X.shape[1]))
    require_full_rank(X, names)
    kernels = [_kernel(name, labels, n) for name, labels in groups.items()]
    theta = _maximise(y, X, [*kernels, np.eye(n)])
    V = sum(t * K for t, K in zip(theta, [*kernels, np.eye(n)], strict=True))
    solved = np.linalg.solve(V, np.column_stack([X, y]))
    covariance = np.linalg.inv(X.T @ solved[:, :-1])
    coef = covariance @ (X.T @ solved[:, -1])
    total = float(theta.sum())
    components = dict(zip([*groups, "residual"], theta.tolist(), strict=True))
    notes = tuple(f"variance of {name} is estimated at its boundary, 0" for name in groups if components[name] == 0.0)
    few = tuple(
        f"{name} has {len(set(labels))} labels: a fixed block is preferable below 5"
        for name, labels in groups.items()
        if len(set(labels)) < 5
    )
    return MixedFit(
        names=names,
        components=components,
        coef=coef,
        se=np.sqrt(np.diag(covariance)),
        df=_satterthwaite(X, kernels, theta, np.eye(len(coef))),
        covariance=np.asarray(covariance, dtype=np.float64),
        loglik=_loglik(y, X, [*kernels, np.eye(n)], theta),
        icc={name: value / total for name, value in components.items() if name != "residual"},
        notes=notes + few,
    )


def _kernel(name: str, labels: Sequence[object], n: int) -> Array:
    if len(labels) != n:
        raise AnalysisError(f"group {name} must have one label a run", value=f"{len(labels)} of {n}")
    levels = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    if len(levels) in (1, n):
        raise AnalysisError(
            f"group {name} has {len(levels)} label(s) on {n} runs: its variance cannot be told from the rest",
            fix="Drop it, or replicate within it.",
        )
    Z = np.eye(len(levels))[[levels[label] for label in labels]]
    return np.asarray(Z @ Z.T)


def _projected(y: Array, X: Array, kernels: Sequence[Array], theta: Array) -> tuple[Array, Array]:
    V = sum(t * K for t, K in zip(theta, kernels, strict=True))
    inverse = np.linalg.inv(V)
    VX = inverse @ X
    P = inverse - VX @ np.linalg.solve(X.T @ VX, VX.T)
    return np.asarray(P), np.asarray(P @ y)


def _loglik(y: Array, X: Array, kernels: Sequence[Array], theta: Array) -> float:
    n, p = X.shape
    V = sum(t * K for t, K in zip(theta, kernels, strict=True))
    sign, logdet = np.linalg.slogdet(V)
    if sign <= 0:
        return -np.inf
    XVX = X.T @ np.linalg.solve(V, X)
    _, Py = _projected(y, X, kernels, theta)
    return float(-0.5 * ((n - p) * np.log(2.0 * np.pi) + logdet + np.linalg.slogdet(XVX)[1] + y @ Py))


def _maximise(y: Array, X: Array, kernels: Sequence[Array]) -> Array:
    """Fisher scoring with halving; components driven below zero are held at the boundary."""
    model = LeastSquares(X, [f"x{i}" for i in range(X.shape[1])])
    if model.df < 1:
        raise AnalysisError("no degree of freedom is left for the variance components", fix="Drop fixed terms.")
    start = float(((y - X @ (model.pinv @ y)) ** 2).sum()) / model.df
    if start <= 0.0:
        raise AnalysisError("the fixed effects explain the response completely", fix="There is no error to divide.")
    theta = np.full(len(kernels), start / len(kernels))
    value = _loglik(y, X, kernels, theta)
    for _ in range(_MAX_STEPS):
        step = _step(y, X, kernels, theta)
        theta, new_value = _halved(y, X, kernels, theta, step, value)
        if new_value - value < _CONVERGED * max(1.0, abs(value)) * 1e-3:
            break
        value = new_value
    theta[theta < 1e-9 * theta.sum()] = 0.0
    return theta


def _step(y: Array, X: Array, kernels: Sequence[Array], theta: Array) -> Array:
    P, Py = _projected(y, X, kernels, theta)
    PK = [P @ K for K in kernels]
    score = 0.5 * np.array([Py @ K @ Py - np.trace(product) for K, product in zip(kernels, PK, strict=True)])
    information = 0.5 * np.array([[np.einsum("ij,ji->", a, b) for b in PK] for a in PK])
    free = (theta > 0.0) | (score > 0.0)
    step = np.zeros(len(theta))
    step[free] = np.linalg.lstsq(information[np.ix_(free, free)], score[free], rcond=None)[0]
    return step


def _halved(
    y: Array, X: Array, kernels: Sequence[Array], theta: Array, step: Array, value: float
) -> tuple[Array, float]:
    scale = 1.0
    for _ in range(30):
        trial = np.maximum(theta + scale * step, 0.0)
        trial[-1] = max(trial[-1], 1e-10 * theta.sum())
        trial_value = _loglik(y, X, kernels, trial)
        if trial_value >= value:
            return trial, trial_value
        scale /= 2.0
    return theta, value


def _satterthwaite(X: Array, kernels: Sequence[Array], theta: Array, contrasts: Array) -> Array:
    """Degrees of freedom of contrasts (m, p): 2 f^2 / (g' A g), A the inverse REML information."""
    active = [k for k in range(len(kernels) + 1) if theta[k] > 0.0 or k == len(kernels)]
    all_kernels = [*kernels, np.eye(len(X))]
    V = sum(t * K for t, K in zip(theta, all_kernels, strict=True))
    inverse = np.linalg.inv(V)
    VX = inverse @ X
    C = np.linalg.inv(X.T @ VX)
    P = inverse - VX @ C @ VX.T
    PK = [P @ all_kernels[k] for k in active]
    information = 0.5 * np.array([[np.einsum("ij,ji->", a, b) for b in PK] for a in PK])
    A = np.linalg.inv(information)
    f = np.einsum("mp,pq,mq->m", contrasts, C, contrasts)
    g = np.stack([np.einsum("mp,pq,mq->m", contrasts, C @ VX.T @ all_kernels[k] @ VX @ C, contrasts) for k in active])
    return np.asarray(2.0 * f**2 / np.einsum("km,kl,lm->m", g, A, g))


def satterthwaite(X: Array, fit: MixedFit, groups: Mapping[str, Sequence[object]], contrasts: Array) -> Array:
    """Satterthwaite degrees of freedom of contrasts (m, p) of the fixed effects of a REML fit on X (n, p)."""
    kernels = [_kernel(name, labels, len(X)) for name, labels in groups.items()]
    return _satterthwaite(X, kernels, np.array([*fit.components.values()]), contrasts)


def by_random_block(screen: Screen, Y: Array, level: float) -> Estimates:
    """The method `mixed`: terms fixed, block random, REML, Satterthwaite degrees of freedom."""
    if screen.block is None or len(screen.block_labels) < 2:
        raise AnalysisError("a random block needs at least two blocks", fix="Name the block, or use paper.")
    X = np.column_stack([np.ones(screen.num_runs), screen.X, screen.extra])
    names = ["1", *screen.names, *(f"extra {i + 1}" for i in range(screen.extra.shape[1]))]
    labels = screen.block.tolist()
    m = len(screen.terms)
    fits = [fit_mixed(y, X, {"block": labels}, names=names) for y in Y]
    estimate = 2.0 * np.stack([fit.coef[1 : m + 1] for fit in fits])
    se = 2.0 * np.stack([fit.se[1 : m + 1] for fit in fits])
    df = np.stack([fit.df[1 : m + 1] for fit in fits])
    return estimates_from("mixed", screen.names, level, estimate, se, df)
