"""Do two hosts put the conditions in the same order?

With three or four anchors the smallest two-sided p of Kendall's tau is 1/3 and 1/12, so agreement on so few is
description. A reversal counts as supported only when each host's own Holm-adjusted Welch test separates the
pair, with opposite signs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import require_probability, sample
from foldover.stats.compare import Moments, moments, standard_error
from foldover.stats.pairwise import all_pairs
from foldover.stats.tails import f_upper, normal_upper


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """A pair that the two hosts order differently. Differences are a - b on each host.

    probability: that the two true orders differ, given seed-level noise (normal approximation; None without
    runs). supported: both hosts separate the pair.
    """

    a: str
    b: str
    first: float
    second: float
    probability: float | None
    supported: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderingAgreement:
    """Agreement of two hosts on the order of the same conditions.

    tau: Kendall's tau-b, p: its two-sided p (exact without ties up to 50 conditions); slope: least squares of the
    second host's means on the first's; offset: mean difference second - first.
    """

    conditions: tuple[str, ...]
    tau: float
    p: float
    spearman: float
    concordant: int
    discordant: int
    ties: int
    slope: float
    offset: float
    reversals: tuple[Reversal, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionTest:
    """Test that hosts differ by a constant only (no host x condition interaction)."""

    f: float
    df1: float
    df2: float
    p: float


Values = Mapping[str, float | Sequence[float] | Moments]


def ordering_agreement(first: Values, second: Values, *, level: float = 0.95) -> OrderingAgreement:
    """Compare the order of conditions on two hosts.

    first, second: condition -> mean, or its values over seeds, or Moments. Without runs no reversal can be
    supported. Raises AnalysisError unless both hosts have the same conditions, at least three.
    """
    from scipy.stats import kendalltau, spearmanr  # late: 0.8 s

    require_probability(level, "level")
    names = _common(first, second)
    x = np.array([_mean(first[n]) for n in names])
    y = np.array([_mean(second[n]) for n in names])
    gaps = [(i, j, x[i] - x[j], y[i] - y[j]) for i, j in combinations(range(len(names)), 2)]
    concordant = sum(1 for *_, d, e in gaps if d * e > 0)
    discordant = sum(1 for *_, d, e in gaps if d * e < 0)
    ties = len(gaps) - concordant - discordant
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        raise AnalysisError(
            "all conditions are tied on one host, so they have no order", fix="Compare more conditions."
        )
    tau = kendalltau(x, y, method="exact" if not ties and len(names) <= 50 else "auto")
    separated = _separated(first, second, names, 1.0 - level)
    reversals = tuple(
        Reversal(
            a=names[i],
            b=names[j],
            first=float(d),
            second=float(e),
            probability=_probability(first, second, names[i], names[j]),
            supported=separated is not None and frozenset((names[i], names[j])) in separated,
        )
        for i, j, d, e in gaps
        if d * e < 0
    )
    notes = []
    if len(names) < 5:
        least = 2.0 / math.factorial(len(names))
        notes.append(f"{len(names)} conditions: the smallest possible p is {least:.3g}, so agreement is descriptive")
    if separated is None:
        notes.append("means only: no reversal can be supported")
    return OrderingAgreement(
        conditions=names,
        tau=float(tau.statistic),
        p=float(tau.pvalue),
        spearman=float(spearmanr(x, y).statistic),
        concordant=concordant,
        discordant=discordant,
        ties=ties,
        slope=float(np.polyfit(x - x.mean(), y, 1)[0]),
        offset=float((y - x).mean()),
        reversals=reversals,
        notes=tuple(notes),
    )


def host_interaction(hosts: Mapping[str, Mapping[str, Sequence[float] | Moments]]) -> InteractionTest:
    """Test of host x condition interaction with each cell's own variance.

    hosts: host -> condition -> values over seeds. The approximate-df test of Johansen (1980, Biometrika 67), the
    extension of Welch's to several contrasts; for one contrast it is Welch's t squared.
    Raises AnalysisError unless all hosts have the same conditions with at least two runs each.
    """
    names = list(hosts)
    if len(names) < 2:
        raise AnalysisError("an interaction needs at least two hosts", value=names)
    conditions = sorted(hosts[names[0]])
    if len(conditions) < 2 or any(sorted(cells) != conditions for cells in hosts.values()):
        raise AnalysisError(
            "every host needs the same conditions, at least two", value={h: sorted(c) for h, c in hosts.items()}
        )
    cells = [moments(hosts[h][c], f"{c} on {h}") for h in names for c in conditions]
    contrast = np.kron(_differences(len(names)), _differences(len(conditions)))
    mean = np.array([cell.mean for cell in cells])
    variance = np.array([cell.sd**2 / cell.n for cell in cells])
    if np.any(variance <= 0.0):
        raise AnalysisError("a cell has sd 0, so it has no error", fix="Did the seeds reach the runs?")
    inner = np.linalg.inv(contrast @ (variance[:, None] * contrast.T))
    statistic = float((contrast @ mean) @ inner @ (contrast @ mean))
    r = len(contrast)
    influence = np.diag(variance[:, None] * (contrast.T @ inner @ contrast))
    a = float(sum(h**2 / (cell.n - 1) for h, cell in zip(influence, cells, strict=True)))
    scale = r + 2.0 * a - 6.0 * a / (r + 2)
    df2 = r * (r + 2) / (3.0 * a)
    return InteractionTest(f=statistic / scale, df1=float(r), df2=df2, p=f_upper(statistic / scale, r, df2))


def _common(first: Values, second: Values) -> tuple[str, ...]:
    lonely = sorted(set(first) ^ set(second))
    if lonely:
        raise AnalysisError("conditions lack a partner on the other host", value=lonely, fix="Compare the common ones.")
    if len(first) < 3:
        raise AnalysisError("an order needs at least three conditions", value=len(first), fix="Run more anchors.")
    return tuple(first)


def _mean(value: float | Sequence[float] | Moments) -> float:
    if isinstance(value, Moments):
        return value.mean
    return float(sample([value] if isinstance(value, int | float) else value, "a condition", least=1).mean())


def _has_runs(value: float | Sequence[float] | Moments) -> bool:
    return isinstance(value, Moments) or (not isinstance(value, int | float) and len(value) > 1)


def _runs(values: Values) -> dict[str, Sequence[float] | Moments]:
    return {n: v for n, v in values.items() if not isinstance(v, int | float)}


def _separated(first: Values, second: Values, names: Sequence[str], alpha: float) -> frozenset[frozenset[str]] | None:
    """Pairs that both hosts separate at alpha by Holm-adjusted Welch tests; None without runs."""
    if not all(_has_runs(values[n]) for values in (first, second) for n in names):
        return None
    found = []
    for values in (first, second):
        pairs = all_pairs(_runs(values), method="holm_welch").pairs
        found.append({frozenset((p.a, p.b)) for p in pairs if p.p <= alpha})
    return frozenset(found[0] & found[1])


def _probability(first: Values, second: Values, a: str, b: str) -> float | None:
    """P(the two true orders of a and b differ), hosts independent, each true difference normal about its estimate."""
    sides = []
    for values in (first, second):
        if not (_has_runs(values[a]) and _has_runs(values[b])):
            return None
        runs = _runs(values)
        x, y = moments(runs[a]), moments(runs[b])
        se, _ = standard_error(x, y)
        sides.append(normal_upper((x.mean - y.mean) / se))  # P(true a < true b)
    p, q = sides
    return p * (1.0 - q) + q * (1.0 - p)


def _differences(n: int) -> NDArray[np.float64]:
    return np.hstack([np.eye(n - 1), -np.ones((n - 1, 1))])
