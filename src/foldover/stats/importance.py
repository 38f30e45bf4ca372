"""Functional ANOVA: shares of the variance of a response surface, for data from searches. Descriptive.

On a full grid with uniform weights f splits into orthogonal parts, one for each set of factors; the share of a
set is the variance of its part (Hooker 2007; Hutter, Hoos and Leyton-Brown 2014). From a search log a forest of
regression trees is fitted and its prediction on the declared grid is split, tree by tree. A share has no
sign and no test: it is set beside a design's SS share, never in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import equal_length, require_count, sample

Array = NDArray[np.float64]
Sampling = Literal["grid", "random", "adaptive"]
MAX_GRID = 65_536
ADAPTIVE_NOTE = "the sample is adaptive: importance is conditional on the region that the search visited"
DESCRIPTIVE_NOTE = "descriptive: shares have no sign and no test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Share of the variance that belongs to a set of factors; low and high: 5th and 95th percentile over trees."""

    factors: tuple[str, ...]
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """Shares by rising order, largest first within an order; rest: of all higher orders."""

    variance: float
    shares: tuple[Share, ...]
    rest: float
    num_rows: int
    notes: tuple[str, ...]

    def share(self, *factors: str) -> float:
        """The share of a set of factors. KeyError if it was not computed."""
        for share in self.shares:
            if set(share.factors) == set(factors):
                return share.share
        raise KeyError(factors)


def functional_anova(
    levels: Mapping[str, Sequence[float | str]], values: Sequence[float], *, max_order: int = 2
) -> Importance:
    """Shares on a full grid. levels: factor -> its level at each grid point; values: f there.

    Raises AnalysisError unless each combination of levels occurs exactly once, and for a constant response.
    """
    f = sample(values, "the response", least=2)
    codes, sizes = _codes(levels, len(f))
    cells = int(np.prod(sizes))
    order = np.ravel_multi_index(tuple(codes.T), sizes)
    if cells != len(f) or len(np.unique(order)) != cells:
        raise AnalysisError(
            f"functional ANOVA needs each of {cells} combinations of levels once",
            value=len(f),
            fix="Use `importance_of_log` for a sample.",
        )
    grid = np.empty(cells)
    grid[order] = f
    names = tuple(levels)
    parts = _shares(grid.reshape(sizes)[None], max_order)
    return _importance(names, parts, float(f.var()), len(f), (DESCRIPTIVE_NOTE,))


def importance_of_log(
    levels: Mapping[str, Sequence[float | str]],
    values: Sequence[float],
    *,
    space: Mapping[str, Sequence[float | str]],
    sampling: Sampling,
    max_order: int = 2,
    num_trees: int = 200,
    seed: int = 0,
) -> Importance:
    """Shares over the declared space from a search log.

    levels: factor -> its level in each row of the log; space: factor -> all its levels (the grid the shares are
    averaged over); sampling: how the rows came about (greedy search and BOHB are `adaptive`, with a warning).
    Trees are grown on bootstrap samples of the rows, with a random half of the factors tried at each split.
    Raises AnalysisError for fewer than 10 rows a factor, a constant response, a level outside the space, and a grid
    above 65,536 points.
    """
    f = sample(values, "the response", least=2)
    names = tuple(space)
    if set(levels) != set(space):
        raise AnalysisError("the log and the space name different factors", value=sorted(set(levels) ^ set(space)))
    if len(f) < 10 * len(names):
        raise AnalysisError(
            f"{len(names)} factors need at least {10 * len(names)} rows",
            value=len(f),
            fix="Describe fewer factors, or run a design.",
        )
    if np.ptp(f) == 0.0:
        raise AnalysisError("the response is constant, so nothing explains its variance", value=float(f[0]))
    require_count(num_trees, "number of trees", least=20)
    X = _on_scale(levels, space, len(f))
    sizes = tuple(len(space[name]) for name in names)
    if int(np.prod(sizes)) > MAX_GRID:
        raise AnalysisError(
            f"the space has more than {MAX_GRID} points", value=sizes, fix="Describe fewer factors or levels."
        )
    grid = np.array(list(product(*(range(n) for n in sizes))), dtype=np.intp)
    forest = _forest(X, f, grid, sizes, num_trees, np.random.default_rng(seed)).reshape(num_trees, *sizes)
    notes = (DESCRIPTIVE_NOTE, ADAPTIVE_NOTE) if sampling == "adaptive" else (DESCRIPTIVE_NOTE,)
    varying = forest.reshape(num_trees, -1).var(axis=1) > 0.0
    parts = _shares(forest[varying], max_order)
    return _importance(names, parts, float(forest.mean(axis=0).var()), len(f), notes)


def _shares(grids: Array, max_order: int) -> dict[tuple[int, ...], Array]:
    """Set of axes -> share in each grid of (B, sizes...): inclusion-exclusion over conditional means."""
    k = grids.ndim - 1
    centred = grids - grids.mean(axis=tuple(range(1, k + 1)), keepdims=True)
    total = (centred**2).mean(axis=tuple(range(1, k + 1)))
    if np.any(total <= 0.0):
        raise AnalysisError("the response is constant, so nothing explains its variance")
    parts: dict[tuple[int, ...], Array] = {}
    shares: dict[tuple[int, ...], Array] = {}
    for order in range(1, min(max_order, k) + 1):
        for axes in combinations(range(k), order):
            part = centred.mean(axis=tuple(i + 1 for i in range(k) if i not in axes), keepdims=True)
            for smaller, known in parts.items():
                if set(smaller) < set(axes):
                    part = part - known
            parts[axes] = part
            shares[axes] = (part**2).mean(axis=tuple(range(1, k + 1))) / total
    return shares


def _importance(
    names: tuple[str, ...], parts: dict[tuple[int, ...], Array], variance: float, rows: int, notes: tuple[str, ...]
) -> Importance:
    shares = [
        Share(
            factors=tuple(names[i] for i in axes),
            share=float(values.mean()),
            low=float(np.quantile(values, 0.05)),
            high=float(np.quantile(values, 0.95)),
        )
        for axes, values in parts.items()
    ]
    ordered = tuple(sorted(shares, key=lambda s: (len(s.factors), -s.share)))
    rest = max(0.0, 1.0 - sum(s.share for s in shares))
    return Importance(variance=variance, shares=ordered, rest=rest, num_rows=rows, notes=notes)


def _codes(levels: Mapping[str, Sequence[float | str]], n: int) -> tuple[NDArray[np.intp], tuple[int, ...]]:
    columns, sizes = [], []
    for name, column in levels.items():
        equal_length(**{name: column, "response": range(n)})
        known = {level: i for i, level in enumerate(dict.fromkeys(column))}
        columns.append([known[level] for level in column])
        sizes.append(len(known))
    return np.array(columns, dtype=np.intp).T, tuple(sizes)


def _on_scale(
    levels: Mapping[str, Sequence[float | str]], space: Mapping[str, Sequence[float | str]], n: int
) -> NDArray[np.intp]:
    columns = []
    for name, allowed in space.items():
        equal_length(**{name: levels[name], "response": range(n)})
        known = {level: i for i, level in enumerate(allowed)}
        foreign = sorted({str(level) for level in levels[name] if level not in known})
        if foreign:
            raise AnalysisError(
                f"factor {name} has levels outside the declared space", value=foreign, fix="Declare them."
            )
        columns.append([known[level] for level in levels[name]])
    return np.array(columns, dtype=np.intp).T


def _forest(
    X: NDArray[np.intp],
    y: Array,
    grid: NDArray[np.intp],
    sizes: Sequence[int],
    num_trees: int,
    rng: np.random.Generator,
) -> Array:
    """Predictions (num_trees, G) of regression trees on bootstrap samples of the rows, for the G points of the grid.

    All trees grow at once, a level at a time. Splits are on the order of levels (code <= cut), by largest drop of
    squared error; leaves of 3 rows or fewer stay whole. Legend: T trees, C distinct rows, P nodes of all trees so far,
    M cuts, k factors; rows that are alike are one with a weight.
    """
    cells, cell = np.unique(X, axis=0, return_inverse=True)
    mean = float(y.mean())
    drawn = rng.integers(0, len(y), (num_trees, len(y)))
    place = (np.arange(num_trees)[:, None] * len(cells) + cell.reshape(-1)[drawn]).ravel()
    shape = (num_trees, len(cells))
    count = np.bincount(place, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)
    total = np.bincount(place, weights=(y - mean)[drawn].ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    cuts = [(factor, cut) for factor, n in enumerate(sizes) for cut in range(n - 1)]
    factor_of = np.array([factor for factor, _ in cuts])
    below = np.array([cells[:, factor] <= cut for factor, cut in cuts], dtype=np.float64)  # (M, C)
    grid_below = np.array([grid[:, factor] <= cut for factor, cut in cuts])  # (M, G)
    node = np.repeat(np.arange(num_trees)[:, None], len(cells), axis=1)
    grid_node = np.repeat(np.arange(num_trees)[:, None], len(grid), axis=1)
    num_nodes = num_trees
    while True:
        at = node.ravel()
        rows: Array = np.bincount(at, count.ravel(), num_nodes).astype(np.float64)
        sums: Array = np.bincount(at, total.ravel(), num_nodes).astype(np.float64)
        left = np.array([np.bincount(at, (count * b).ravel(), num_nodes) for b in below])  # (M, P)
        left_sums = np.array([np.bincount(at, (total * b).ravel(), num_nodes) for b in below])
        chosen = _choose(rows, sums, left, left_sums, factor_of, len(sizes), float(((y - mean) ** 2).sum()), rng)
        splits = np.flatnonzero(chosen >= 0)
        if not len(splits):
            return np.asarray((sums / rows)[grid_node] + mean)
        right = np.full(num_nodes, -1)
        right[splits] = num_nodes + np.arange(len(splits))
        columns, grid_columns = np.arange(len(cells)), np.arange(len(grid))
        goes = (chosen[node] >= 0) & (below[chosen[node], columns] == 0.0)
        node = np.where(goes, right[node], node)
        goes = (chosen[grid_node] >= 0) & ~grid_below[chosen[grid_node], grid_columns]
        grid_node = np.where(goes, right[grid_node], grid_node)
        num_nodes += len(splits)


def _choose(
    rows: Array,
    sums: Array,
    left: Array,
    left_sums: Array,
    factor_of: NDArray[np.intp],
    num_factors: int,
    scale: float,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """The cut of each node (P,), -1 for none: the best of a random half of the factors, else the first that can split.

    scale: the sum of squares of all rows, below 1e-12 of which a drop is none.
    """
    rest = rows - left
    usable = (left > 0) & (rest > 0) & (rows > 3)
    off = left_sums - left * (sums / rows)
    gain = np.where(usable, off**2 * (1.0 / np.maximum(left, 1.0) + 1.0 / np.maximum(rest, 1.0)), 0.0)
    gain[gain <= 1e-12 * scale] = -np.inf
    best = np.array([gain[factor_of == factor].max(axis=0, initial=-np.inf) for factor in range(num_factors)])  # (k, P)
    order = rng.random(best.shape).argsort(axis=0)
    ranked = np.take_along_axis(best, order, axis=0)
    half = (num_factors + 1) // 2
    later = (
        half + np.isfinite(ranked[half:]).argmax(axis=0) if half < num_factors else np.zeros(len(rows), dtype=np.intp)
    )
    rank = np.where(np.isfinite(ranked[:half]).any(axis=0), ranked[:half].argmax(axis=0), later)
    nodes = np.arange(len(rows))
    factor = order[rank, nodes]
    of_factor = np.where(factor_of[:, None] == factor, gain, -np.inf)
    chosen = of_factor.argmax(axis=0)
    return np.where(np.isfinite(of_factor[chosen, nodes]), chosen, -1)
