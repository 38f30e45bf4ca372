"""Several conditions compared at once, with simultaneous intervals.

All pairs: Games and Howell (1976), which needs no equal variances, or Welch's tests adjusted by Holm. Against
a control: Dunnett (1955), under one common variance, or Holm-adjusted Welch. With the best: Hsu (1984).
Differences are first minus second; lower is better unless said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._chi import normal_quadrature, sd_quadrature
from foldover.stats._inputs import require_probability
from foldover.stats.compare import Moments, moments, standard_error, tail
from foldover.stats.multiplicity import adjust
from foldover.stats.tails import t_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class PairComparison:
    """One pair among several: difference a - b, adjusted p, and an interval that holds for all pairs at once."""

    a: str
    b: str
    difference: float
    se: float
    df: float
    p: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AllPairs:
    """All comparisons of one family by one method, at simultaneous `level`."""

    pairs: tuple[PairComparison, ...]
    method: str
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WithBest:
    """How far a condition may be from the best of the others: mean - best other mean, constrained interval.

    may_be_best: the interval reaches its own side of 0; is_best: it excludes every other condition.
    """

    condition: str
    difference: float
    low: float
    high: float
    may_be_best: bool
    is_best: bool


Array = NDArray[np.float64]
Groups = Mapping[str, Sequence[float] | Moments]


def all_pairs(
    groups: Groups, *, method: Literal["games_howell", "holm_welch"] = "games_howell", level: float = 0.95
) -> AllPairs:
    """Every pair of conditions. groups: condition -> values over seeds, or their Moments.

    games_howell: studentised range on Welch's degrees of freedom. holm_welch: p adjusted by Holm, intervals by
    Bonferroni (which are never narrower than Holm's decisions allow).
    Raises AnalysisError for fewer than two conditions or two runs a condition.
    """
    require_probability(level, "level")
    cells = _cells(groups, least=2)
    pairs = list(combinations(cells, 2))
    errors = [standard_error(cells[a], cells[b]) for a, b in pairs]
    gaps = [cells[a].mean - cells[b].mean for a, b in pairs]
    if method == "holm_welch":
        p = _holm([tail(d / se, df) for d, (se, df) in zip(gaps, errors, strict=True)])
        wide = [t_quantile(1.0 - (1.0 - level) / (2 * len(pairs)), df) for _, df in errors]
    else:
        from scipy.stats import studentized_range  # late: 0.8 s

        k = len(cells)
        p = [
            min(1.0, float(studentized_range.sf(abs(d) / se * math.sqrt(2.0), k, df)))
            for d, (se, df) in zip(gaps, errors, strict=True)
        ]
        wide = [float(studentized_range.ppf(level, k, df)) / math.sqrt(2.0) for _, df in errors]
    return AllPairs(pairs=_comparisons(pairs, gaps, errors, p, wide), method=method, level=level)


def versus_control(
    groups: Groups, control: str, *, method: Literal["dunnett", "holm_welch"] = "holm_welch", level: float = 0.95
) -> AllPairs:
    """Every condition against the control, two-sided.

    dunnett: one pooled variance and the exact correlation from the sample sizes; use it when the sds agree.
    holm_welch: each pair with its own variances.
    Raises AnalysisError for an unknown control and for conditions with fewer than two runs.
    """
    require_probability(level, "level")
    cells = _cells(groups, least=2)
    if control not in cells:
        raise AnalysisError(
            "the control is not among the conditions", value=control, fix=f"Choose from {', '.join(cells)}."
        )
    others = [name for name in cells if name != control]
    pairs = [(name, control) for name in others]
    gaps = [cells[name].mean - cells[control].mean for name in others]
    if method == "holm_welch":
        errors = [standard_error(cells[name], cells[control]) for name in others]
        p = _holm([tail(d / se, df) for d, (se, df) in zip(gaps, errors, strict=True)])
        wide = [t_quantile(1.0 - (1.0 - level) / (2 * len(pairs)), df) for _, df in errors]
    else:
        variance, df = _pooled(cells)
        errors = [(math.sqrt(variance * (1 / cells[n].n + 1 / cells[control].n)), float(df)) for n in others]
        weights = [math.sqrt(cells[n].n / (cells[n].n + cells[control].n)) for n in others]
        p = [dunnett_tail(abs(d) / se, weights, df) for d, (se, _) in zip(gaps, errors, strict=True)]
        wide = [dunnett_quantile(1.0 - level, weights, df)] * len(others)
    return AllPairs(pairs=_comparisons(pairs, gaps, errors, p, wide), method=method, level=level)


def compare_with_best(groups: Groups, *, level: float = 0.95, lower_is_better: bool = True) -> tuple[WithBest, ...]:
    """Multiple comparisons with the best: which conditions may be it, and which cannot.

    Constrained simultaneous intervals for mean_i - best_{j != i} mean_j under a pooled variance (Hsu 1984, 1996).
    Only a single condition that `may_be_best` can be called best at this level.
    Raises AnalysisError for fewer than two conditions and for conditions with fewer than two runs.
    """
    require_probability(level, "level")
    cells = _cells(groups, least=2)
    sign = 1.0 if lower_is_better else -1.0
    variance, df = _pooled(cells)
    mean = {name: sign * cell.mean for name, cell in cells.items()}
    critical = {
        name: dunnett_quantile(
            1.0 - level, [math.sqrt(c.n / (c.n + cells[name].n)) for o, c in cells.items() if o != name], df, sides=1
        )
        for name in cells
    }

    def se(a: str, b: str) -> float:
        return math.sqrt(variance * (1 / cells[a].n + 1 / cells[b].n))

    # In units where lower is better: how much better than every other may i be (at most 0: not at all)?
    reach = {i: min(0.0, max(mean[i] - mean[j] - critical[i] * se(i, j) for j in cells if j != i)) for i in cells}
    candidates = [i for i in cells if reach[i] < 0.0]
    found = []
    for i in cells:
        rivals = [j for j in candidates if j != i]
        high = max([0.0, *(mean[i] - mean[j] + critical[j] * se(i, j) for j in rivals)]) if rivals else 0.0
        gap = mean[i] - min(mean[j] for j in cells if j != i)
        low, top = (reach[i], high) if lower_is_better else (-high, -reach[i])
        found.append(
            WithBest(
                condition=i,
                difference=sign * gap,
                low=low,
                high=top,
                may_be_best=i in candidates,
                is_best=candidates == [i],
            )
        )
    return tuple(sorted(found, key=lambda w: sign * w.difference))


def dunnett_tail(t: float, weights: Sequence[float], df: float, *, sides: Literal[1, 2] = 2) -> float:
    """P(max |T_i| >= t) (sides = 1: of T_i) for the multivariate t of comparisons with one control.

    weights: sqrt(n_i / (n_i + n_0)); the correlation of i and j is their product. A double integral over the
    control's mean and the pooled sd, by quadrature.
    """
    from scipy.special import ndtr  # late: 0.3 s

    nodes, mass = normal_quadrature(80)
    sds, parts = sd_quadrature(df)
    inside = np.ones((len(sds), len(nodes)))
    for w in weights:
        scale = math.sqrt(1.0 - w * w)
        upper = ndtr((t * sds[:, None] + w * nodes[None, :]) / scale)
        inside *= upper if sides == 1 else upper - ndtr((w * nodes[None, :] - t * sds[:, None]) / scale)
    outside = 1.0 - float(parts @ inside @ mass)
    return min(1.0, max(0.0, outside))


def dunnett_quantile(alpha: float, weights: Sequence[float], df: float, *, sides: Literal[1, 2] = 2) -> float:
    """The t at which `dunnett_tail` is alpha."""
    return _dunnett_quantile(alpha, tuple(sorted(weights)), float(df), sides)


@lru_cache(maxsize=1024)
def _dunnett_quantile(alpha: float, weights: tuple[float, ...], df: float, sides: Literal[1, 2]) -> float:
    low, high = 0.0, 1.0
    while dunnett_tail(high, weights, df, sides=sides) > alpha:
        low, high = high, 2.0 * high
    for _ in range(40):
        middle = 0.5 * (low + high)
        if dunnett_tail(middle, weights, df, sides=sides) > alpha:
            low = middle
        else:
            high = middle
    return high


def _cells(groups: Groups, *, least: int) -> dict[str, Moments]:
    if len(groups) < least:
        raise AnalysisError("a comparison needs at least two conditions", value=list(groups))
    return {name: moments(values, f"condition {name}") for name, values in groups.items()}


def _pooled(cells: Mapping[str, Moments]) -> tuple[float, int]:
    df = sum(c.n - 1 for c in cells.values())
    variance = sum((c.n - 1) * c.sd**2 for c in cells.values()) / df
    if variance <= 0.0:
        raise AnalysisError(
            "all conditions have sd 0, so differences have no error", fix="Did the seeds reach the runs?"
        )
    return variance, df


def _holm(p_values: Sequence[float]) -> list[float]:
    return [1.0 if p is None else p for p in adjust(p_values, "holm")]


def _comparisons(
    pairs: Sequence[tuple[str, str]],
    gaps: Sequence[float],
    errors: Sequence[tuple[float, float]],
    p: Sequence[float],
    wide: Sequence[float],
) -> tuple[PairComparison, ...]:
    return tuple(
        PairComparison(a=a, b=b, difference=d, se=se, df=df, p=p_value, low=d - w * se, high=d + w * se)
        for (a, b), d, (se, df), p_value, w in zip(pairs, gaps, errors, p, wide, strict=True)
    )
