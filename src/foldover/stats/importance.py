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
    rng = np.random.default_rng(seed)
    forest = np.empty((num_trees, *sizes))
    for b in range(num_trees):
        rows = rng.integers(0, len(f), len(f))
        out = np.empty(len(grid))
        _grow(X[rows], f[rows], grid, np.arange(len(grid)), out, rng)
        forest[b] = out.reshape(sizes)
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


def _grow(
    X: NDArray[np.intp],
    y: Array,
    grid: NDArray[np.intp],
    points: NDArray[np.intp],
    out: Array,
    rng: np.random.Generator,
) -> None:
    """Grow one regression tree and write its prediction for `points` of the grid into `out`.

    Splits on the order of levels (code <= cut), by largest drop of squared error; leaves of 3 rows or fewer.
    """
    split = _best_split(X, y, rng) if len(y) > 3 else None
    if split is None:
        out[points] = y.mean()
        return
    factor, cut = split
    left, here = X[:, factor] <= cut, grid[points, factor] <= cut
    _grow(X[left], y[left], grid, points[here], out, rng)
    _grow(X[~left], y[~left], grid, points[~here], out, rng)


def _best_split(X: NDArray[np.intp], y: Array, rng: np.random.Generator) -> tuple[int, int] | None:
    k = X.shape[1]
    tried = rng.permutation(k)
    best, choice = 1e-12 * float(((y - y.mean()) ** 2).sum()), None
    centred = y - y.mean()
    for i, factor in enumerate(tried):
        # Half of the factors, and more only until one can split at all.
        if i >= (k + 1) // 2 and choice is not None:
            break
        counts = np.bincount(X[:, factor]).cumsum()[:-1]
        sums = np.bincount(X[:, factor], weights=centred).cumsum()[:-1]
        usable = (counts > 0) & (counts < len(y))
        if not usable.any():
            continue
        gain = np.where(usable, sums**2 * (1.0 / np.maximum(counts, 1) + 1.0 / np.maximum(len(y) - counts, 1)), 0.0)
        cut = int(np.argmax(gain))
        if gain[cut] > best:
            best, choice = float(gain[cut]), (int(factor), cut)
    return choice
