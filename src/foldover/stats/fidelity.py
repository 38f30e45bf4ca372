"""What a short budget says of a long one: order of conditions, sign of effects.

A cheap budget is worth its price where it puts conditions in the order of the dear one. Kendall's tau-b between the
two orders is computed on means; its interval resamples whole seeds, at both budgets at once where they share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, Effect
from foldover.stats._inputs import require_count, require_probability
from foldover.stats.tails import normal_upper

Array = npt.NDArray[np.float64]
Pairs = tuple[npt.NDArray[np.intp], ...]

FEWEST_SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFidelity:
    """tau: Kendall's tau-b of the two orders of means; low, high: percentile interval, None below three seeds.

    kept: share of pairs in the same order; best_kept: whether the best at the short budget is the best at the long one;
    loss: what taking the short budget's best costs at the long one, in units of the response.
    """

    conditions: int
    seeds: int
    tau: float
    low: float | None
    high: float | None
    level: float
    kept: float
    best_kept: bool
    loss: float


def order_fidelity(
    short: Mapping[str, Mapping[int, float]],
    long: Mapping[str, Mapping[int, float]],
    *,
    lower_is_better: bool = True,
    level: float = 0.95,
    replicates: int = 999,
    seed: int = 0,
) -> OrderFidelity:
    """How well the order at a short budget predicts that at a long one. short, long: condition -> seed -> response.

    Conditions are those that both have, seeds those that all of these ran under at the budget. Raises AnalysisError
    for fewer than three common conditions, and where no seed is complete.
    """
    require_probability(level, "level")
    require_count(replicates, "number of replicates", least=199)
    names = [name for name in short if name in long]
    if len(names) < 3:
        raise AnalysisError("an order needs at least three conditions at both budgets", value=len(names))
    x, first = _complete(short, names)
    y, second = _complete(long, names)
    upper = np.triu_indices(len(names), 1)
    tau = _tau(x.mean(axis=1), y.mean(axis=1), upper)
    low = high = None
    if min(x.shape[1], y.shape[1]) >= FEWEST_SEEDS:
        rng = np.random.default_rng(seed)
        drawn = []
        for _ in range(replicates):
            i = rng.integers(0, x.shape[1], x.shape[1])
            j = i if first == second else rng.integers(0, y.shape[1], y.shape[1])
            drawn.append(_tau(x[:, i].mean(axis=1), y[:, j].mean(axis=1), upper))
        low, high = (float(np.quantile(drawn, p)) for p in (0.5 - level / 2, 0.5 + level / 2))
    sign = 1.0 if lower_is_better else -1.0
    a, b = sign * x.mean(axis=1), sign * y.mean(axis=1)
    same = np.sign(np.subtract.outer(a, a))[upper] == np.sign(np.subtract.outer(b, b))[upper]
    return OrderFidelity(
        conditions=len(names),
        seeds=min(x.shape[1], y.shape[1]),
        tau=tau,
        low=low,
        high=high,
        level=level,
        kept=float(same.mean()),
        best_kept=int(a.argmin()) == int(b.argmin()),
        loss=float(b[a.argmin()] - b.min()),
    )


def same_sign_probability(short: Effect, long: Effect) -> float | None:
    """Probability that the two true effects have one sign, each normal about its estimate; None without errors."""
    if not short.se or not long.se:
        return None
    p, q = normal_upper(-short.estimate / short.se), normal_upper(-long.estimate / long.se)
    return p * q + (1.0 - p) * (1.0 - q)


def _complete(cells: Mapping[str, Mapping[int, float]], names: Sequence[str]) -> tuple[Array, tuple[int, ...]]:
    """Responses (conditions, seeds) under the seeds that all conditions have."""
    seeds = tuple(sorted(set.intersection(*(set(cells[name]) for name in names))))
    if not seeds:
        raise AnalysisError("no seed ran under all conditions", value=list(names), fix="Rerun what is missing.")
    return np.array([[cells[name][seed] for seed in seeds] for name in names]), seeds


def _tau(x: Array, y: Array, upper: Pairs) -> float:
    """Kendall's tau-b over the pairs of `upper`; 0 where one side is all ties."""
    i, j = upper
    a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
    pairs = float(np.sqrt((a != 0).sum() * (b != 0).sum()))
    return float((a * b).sum()) / pairs if pairs else 0.0
