"""Bootstrap of the effects of a screen, all terms at once.

Legend: n runs, p model columns, m terms, B replicates, C cells, K seeds. Four schemes:

- case: whole runs; weights and one batched solve of p x p systems, for designs that may be unbalanced.
- cell: runs within each condition, as contrasts of cell means.
- seed: whole seeds with all their runs (clusters): keeps what runs of one seed share.
- residual: residuals of the fit, added back to it in one matrix product; assumes equal variances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import equal_length, require_probability, sample
from foldover.stats.resample import FEW_NOTE, FEW_UNITS, bca_limits, check_replicates, draw_weights

Array = NDArray[np.float64]
Scheme = Literal["case", "cell", "seed", "residual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectInterval:
    """Bootstrap of one effect (high minus low): percentile or BCa limits at `level` of the result."""

    term: str
    estimate: float
    se: float
    bias: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenBootstrap:
    """Effects of one screen with bootstrap intervals. num_units: what was drawn (runs, runs a cell, or seeds)."""

    effects: tuple[EffectInterval, ...]
    scheme: Scheme
    kind: Literal["percentile", "bca"]
    level: float
    replicates: int
    num_units: int
    seed: int
    notes: tuple[str, ...]


def bootstrap_effects(
    terms: Mapping[str, Sequence[float]],
    y: Sequence[float] | Array,
    *,
    seeds: Sequence[object] | None = None,
    scheme: Scheme = "seed",
    kind: Literal["percentile", "bca"] = "percentile",
    replicates: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> ScreenBootstrap:
    """Bootstrap the effects of a two-level screen.

    terms: term -> its coded column, one entry a run (products for interactions). seeds: of each run; they are
    blocks of the model for `case` and `residual`, and the units of `seed`. BCa is offered for `seed` and `case`.
    Raises AnalysisError for B < 199, an aliased model, one run in a cell (cell), and seeds that do not all hold
    the same conditions (seed).
    """
    require_probability(level, "level")
    check_replicates(replicates)
    response = sample(y, "the response", least=3)
    X = np.column_stack([sample(column, f"term {name}") for name, column in terms.items()])
    equal_length(terms=X, response=response)
    if kind == "bca" and scheme not in ("seed", "case"):
        raise AnalysisError("BCa limits are offered for whole seeds or runs", value=scheme, fix="Use `percentile`.")
    draws = {"case": _case, "cell": _cell, "seed": _seed, "residual": _residual}[scheme]
    estimate, values, jackknife, units = draws(
        X, response, seeds, replicates, np.random.default_rng(seed), kind == "bca"
    )
    if kind == "bca":
        low, high = bca_limits(values, estimate, jackknife, (len(jackknife),), level)
    else:
        low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    se, bias = values.std(axis=0, ddof=1), values.mean(axis=0) - estimate
    effects = tuple(
        EffectInterval(
            term=name,
            estimate=float(estimate[j]),
            se=float(se[j]),
            bias=float(bias[j]),
            low=float(low[j]),
            high=float(high[j]),
        )
        for j, name in enumerate(terms)
    )
    return ScreenBootstrap(
        effects=effects,
        scheme=scheme,
        kind=kind,
        level=level,
        replicates=replicates,
        num_units=units,
        seed=seed,
        notes=(FEW_NOTE,) if units < FEW_UNITS else (),
    )


_Draws = tuple[Array, Array, Array, int]


def _case(
    X: Array, y: Array, seeds: Sequence[object] | None, B: int, rng: np.random.Generator, leave_out: bool
) -> _Draws:
    model = _with_blocks(X, seeds)
    n, p = model.shape
    rows, columns = np.triu_indices(p)
    products = np.column_stack([model[:, rows] * model[:, columns], model * y[:, None]])
    m = X.shape[1]

    def solve(weights: Array) -> Array:
        moments = weights @ products
        normal = np.empty((len(weights), p, p))
        normal[:, rows, columns] = moments[:, : len(rows)]
        normal[:, columns, rows] = moments[:, : len(rows)]
        try:
            beta = np.linalg.solve(normal, moments[:, len(rows) :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            raise AnalysisError(
                "some replicates cannot carry the model", fix="Resample by `seed` or `cell`, or fit fewer terms."
            ) from None
        return np.asarray(2.0 * beta[:, 1 : m + 1], dtype=np.float64)

    jackknife = solve(1.0 - np.eye(n)) if leave_out else np.empty((0, m))
    return solve(np.ones((1, n)))[0], solve(draw_weights(rng, B, n)), jackknife, n


def _seed(
    X: Array, y: Array, seeds: Sequence[object] | None, B: int, rng: np.random.Generator, leave_out: bool
) -> _Draws:
    if seeds is None:
        raise AnalysisError("whole seeds can be resampled only when the seeds are given", fix="Give `seeds`.")
    labels = list(dict.fromkeys(seeds))
    parts = [np.array([i for i, s in enumerate(seeds) if s == label]) for label in labels]
    if len(parts) < 2:
        raise AnalysisError("one seed cannot be resampled", value=labels, fix="Run more seeds.")
    plans = {tuple(sorted(map(tuple, X[rows].tolist()))) for rows in parts}
    if len(plans) > 1:
        raise AnalysisError(
            "the seeds do not all hold the same conditions", fix="Use scheme `case`, or rerun the missing conditions."
        )
    effects = np.array([_least_squares(_with_blocks(X[rows], None), y[rows])[1:] * 2.0 for rows in parts])
    K = len(parts)
    jackknife = (effects.sum(axis=0) - effects) / (K - 1) if leave_out else effects
    return effects.mean(axis=0), draw_weights(rng, B, K) @ effects / K, jackknife, K


def _cell(
    X: Array, y: Array, seeds: Sequence[object] | None, B: int, rng: np.random.Generator, leave_out: bool
) -> _Draws:
    cells, codes = np.unique(X, axis=0, return_inverse=True)
    codes = codes.ravel()
    counts = np.bincount(codes)
    if counts.min() < 2:
        raise AnalysisError("a condition has one run, so it cannot be resampled", fix="Run at least two seeds of each.")
    contrast = 2.0 * np.linalg.pinv(_full_rank(_with_blocks(cells, None)))[1:]
    means = np.empty((B, len(cells)))
    order = np.argsort(codes, kind="stable")
    ordered, starts = y[order], np.concatenate([[0], np.cumsum(counts)[:-1]])
    for size in np.unique(counts):
        chosen = np.flatnonzero(counts == size)
        if size <= 15:
            # Small cells: one lookup of 16-bit picks a draw, added up, is the cheapest way.
            total = np.zeros((B, len(chosen)))
            for _ in range(size):
                picks = rng.integers(0, size, (B, len(chosen)), dtype=np.int16)
                total += ordered[picks + starts[chosen]]
            means[:, chosen] = total / size
        else:
            for c in chosen:
                block = ordered[starts[c] : starts[c] + size]
                means[:, c] = draw_weights(rng, B, int(size)) @ block / size
    estimate = contrast @ (np.bincount(codes, weights=y) / counts)
    return estimate, means @ contrast.T, np.empty((0, X.shape[1])), int(counts.min())


def _residual(
    X: Array, y: Array, seeds: Sequence[object] | None, B: int, rng: np.random.Generator, leave_out: bool
) -> _Draws:
    model = _full_rank(_with_blocks(X, seeds))
    n, p = model.shape
    if n <= p:
        raise AnalysisError("the model leaves no residuals to resample", value=n - p, fix="Fit fewer terms.")
    solver = 2.0 * np.linalg.pinv(model)[1 : X.shape[1] + 1]
    residual = y - model @ _least_squares(model, y)
    residual = residual * np.sqrt(n / (n - p))  # so that the resampled variance is s^2, not RSS / n
    estimate = solver @ y
    picks = rng.integers(0, n, (B, n), dtype=np.int16 if n < 32_000 else np.int32)
    return estimate, estimate + residual[picks] @ solver.T, np.empty((0, X.shape[1])), n


def _with_blocks(X: Array, seeds: Sequence[object] | None) -> Array:
    """Columns of the model: 1, the terms, and one column for each seed after the first."""
    columns = [np.ones((len(X), 1)), X]
    if seeds is not None:
        equal_length(terms=X, seeds=seeds)
        labels = list(dict.fromkeys(seeds))[1:]
        columns += [np.array([[float(s == label)] for s in seeds]) for label in labels]
    return np.hstack(columns)


def _full_rank(model: Array) -> Array:
    if np.linalg.matrix_rank(model) < model.shape[1]:
        raise AnalysisError("the terms are aliased with each other or with the blocks", fix="Leave out aliased terms.")
    return model


def _least_squares(model: Array, y: Array) -> Array:
    return np.asarray(np.linalg.lstsq(_full_rank(model), y, rcond=None)[0], dtype=np.float64)
