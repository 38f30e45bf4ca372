"""What common seeds save: the spread of an effect paired by seed beside that of the same runs under seeds of their own.

Under one seed the conditions share weights and rows of text, so part of what a seed does cancels in a contrast. With
C conditions of sd s_i over seeds and half of them at each level, independent runs give an effect with variance
4 / C^2 times the sum of s_i^2; that of the effects taken within each seed is what pairing leaves.

Few seeds tell little of a ratio of variances, so the saving has an interval. For a screen it is the jackknife over
seeds of the ratio's logarithm (Miller 1974, Biometrika 61). For two conditions, difference and sum have variances whose
ratio has an exact interval under normality, from their correlation (Pitman 1939, Morgan 1939, Biometrika 31).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.estimators import effects_within_blocks
from foldover.stats.screen import prepare_screen
from foldover.stats.table import Table
from foldover.stats.tails import critical_t

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingGain:
    """Sds over seeds of one term's effect. saved: share of the variance that pairing takes away (may be negative).

    times: how many seeds of independent runs are worth one of paired runs; low, high: interval of `saved`, None below
    three seeds and where some leave no spread.
    """

    term: str
    seeds: int
    paired_sd: float
    unpaired_sd: float
    low: float | None = None
    high: float | None = None

    @property
    def saved(self) -> float:
        """1 minus the ratio of the variances."""
        return 1.0 - (self.paired_sd / self.unpaired_sd) ** 2

    @property
    def times(self) -> float:
        """The ratio of the variances."""
        return (self.unpaired_sd / self.paired_sd) ** 2 if self.paired_sd else float("inf")


def pair_gain(a: Mapping[int, float], b: Mapping[int, float], *, term: str = "", level: float = 0.95) -> PairingGain:
    """The gain in the difference of two conditions, seed -> response, over the seeds that both have.

    Raises AnalysisError for fewer than two such seeds, and where nothing varies.
    """
    seeds = sorted(set(a) & set(b))
    x, y = np.array([a[seed] for seed in seeds]), np.array([b[seed] for seed in seeds])
    if len(seeds) < 2:
        raise AnalysisError("pairing needs two common seeds", value=seeds)
    difference, total = float((x - y).var(ddof=1)), float((x + y).var(ddof=1))
    if difference + total == 0.0:
        raise AnalysisError("the seeds change nothing: there is no variance to save")
    low = high = None
    if len(seeds) > 2 and difference > 0.0 and total > 0.0:
        r = float(np.corrcoef(x - y, x + y)[0, 1])
        k = 1.0 + 2.0 * critical_t(level, len(seeds) - 2.0) ** 2 * (1.0 - r**2) / (len(seeds) - 2)
        reach = k + math.sqrt(k * k - 1.0)
        low, high = (1.0 - 2.0 / (1.0 + total / difference * factor) for factor in (1.0 / reach, reach))
    return PairingGain(
        term=term,
        seeds=len(seeds),
        paired_sd=math.sqrt(difference),
        unpaired_sd=math.sqrt((difference + total) / 2.0),
        low=low,
        high=high,
    )


def pairing_gain(table: Table, *, terms: Sequence[str] | str = "main", level: float = 0.95) -> tuple[PairingGain, ...]:
    """The gain of every term of a screen whose conditions all ran under the same seeds.

    Raises AnalysisError for fewer than two seeds and where a run is missing: its seed pairs nothing then.
    """
    screen = prepare_screen(table, terms=terms, block="seed")
    num_seeds = len(screen.block_labels)
    if num_seeds < 2 or not screen.balanced or screen.num_runs != num_seeds * len(screen.cell_labels):
        raise AnalysisError(
            "pairing needs every condition once under each of two or more seeds", value=screen.block_labels
        )
    assert screen.block is not None, "the block was asked for"
    within = effects_within_blocks(screen, table.y[None, :])[:, 0, :]
    cells = np.empty((len(screen.cell_labels), num_seeds))
    cells[screen.cell, screen.block] = table.y
    weights = 2.0 * np.linalg.pinv(np.column_stack([np.ones(len(screen.cells)), screen.cells]))[1:]
    unpaired = weights**2 @ cells.var(axis=1, ddof=1)
    intervals = _jackknife(within, cells, weights, level=level)
    return tuple(
        PairingGain(
            term=name,
            seeds=num_seeds,
            paired_sd=float(within[:, j].std(ddof=1)),
            unpaired_sd=math.sqrt(float(unpaired[j])),
            low=intervals[j][0],
            high=intervals[j][1],
        )
        for j, name in enumerate(screen.names)
    )


def _jackknife(
    within: Array, cells: Array, weights: Array, *, level: float
) -> list[tuple[float, float] | tuple[None, None]]:
    """Intervals of the share saved. within: effects (seeds, terms); cells: responses (conditions, seeds)."""
    n = len(within)
    if n < 3:
        return [(None, None)] * within.shape[1]
    left_out = [np.arange(n)] + [np.flatnonzero(np.arange(n) != i) for i in range(n)]
    pairs = [(within[keep].var(axis=0, ddof=1), weights**2 @ cells[:, keep].var(axis=1, ddof=1)) for keep in left_out]
    paired, unpaired = (np.array(side) for side in zip(*pairs, strict=True))
    found: list[tuple[float, float] | tuple[None, None]] = []
    for j in range(within.shape[1]):
        if min(paired[:, j].min(), unpaired[:, j].min()) <= 0.0:
            found.append((None, None))
            continue
        logs = np.log(paired[:, j] / unpaired[:, j])
        se = math.sqrt((n - 1) / n * float(((logs[1:] - logs[1:].mean()) ** 2).sum()))
        half = critical_t(level, n - 1.0) * se
        # The variance of a sum is at most the number of its parts times what independent ones would give.
        worst = 1.0 - math.exp(min(logs[0] + half, math.log(len(cells))))
        found.append((worst, 1.0 - math.exp(logs[0] - half)))
    return found
