"""Win counts: how often a run of one group beats a run of another. A description, not a test.

The pairs of a count share runs, so 16/16 is not sixteen observations: its exact two-sided p from 4 and 4 runs
is 2/70. A test of the same question is `mann_whitney`, asked for by name and told the independent units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import sample

MAX_SPLITS = 200_000  # doe practice: enumerate up to here, sample beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class WinCount:
    """Wins of group a over group b among all pairs of runs (ties counted apart), with Cliff's delta.

    members_a, members_b: the conditions in each group and their number of runs. cliffs_delta:
    (#(a > b) - #(a < b)) / pairs, whatever direction is better.
    """

    name_a: str
    name_b: str
    wins: int
    losses: int
    ties: int
    pairs: int
    cliffs_delta: float
    members_a: tuple[tuple[str, int], ...]
    members_b: tuple[tuple[str, int], ...]

    @property
    def label(self) -> str:
        """As in `16/16`."""
        return f"{self.wins}/{self.pairs}"

    @property
    def p(self) -> float:
        """Raises AnalysisError: a count of dependent pairs has no p-value of its own."""
        raise AnalysisError(
            f"a win count ({self.label}) has no p-value: its pairs share runs",
            fix="Ask for `mann_whitney` or `permutation_test` on one value a seed.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MannWhitneyResult:
    """u: number of pairs with a > b, ties as half. exact: whether p is from the exact null distribution."""

    u: float
    p: float
    exact: bool
    n_a: int
    n_b: int


def win_counts(
    a: Mapping[str, Sequence[float]],
    b: Mapping[str, Sequence[float]],
    *,
    name_a: str = "a",
    name_b: str = "b",
    lower_is_better: bool = True,
) -> WinCount:
    """Count the pairs of runs in which group a beats group b.

    a, b: condition -> its responses, so that the members of each group are always named.
    Raises AnalysisError for an empty group and for a condition in both groups.
    """
    shared = sorted(set(a) & set(b))
    if shared:
        raise AnalysisError(
            f"groups {name_a} and {name_b} share conditions", value=shared, fix="A run cannot beat itself."
        )
    x = sample([v for values in a.values() for v in values], f"group {name_a}", least=1)
    y = sample([v for values in b.values() for v in values], f"group {name_b}", least=1)
    less, greater = _pairs(x, y)
    wins, losses = (less, greater) if lower_is_better else (greater, less)
    return WinCount(
        name_a=name_a,
        name_b=name_b,
        wins=wins,
        losses=losses,
        ties=len(x) * len(y) - less - greater,
        pairs=len(x) * len(y),
        cliffs_delta=(greater - less) / (len(x) * len(y)),
        members_a=tuple((name, len(values)) for name, values in a.items()),
        members_b=tuple((name, len(values)) for name, values in b.items()),
    )


def cliffs_delta(a: Sequence[float], b: Sequence[float]) -> float:
    """(#(a > b) - #(a < b)) / (n_a n_b), in [-1, 1] (Cliff 1993)."""
    x, y = sample(a, "the first group", least=1), sample(b, "the second group", least=1)
    less, greater = _pairs(x, y)
    return (greater - less) / (len(x) * len(y))


def mann_whitney(
    a: Sequence[float], b: Sequence[float], *, method: Literal["auto", "exact", "normal"] = "auto"
) -> MannWhitneyResult:
    """Two-sided Mann-Whitney test that neither group tends to be larger.

    a, b: independent units, one value each: seeds of one condition, not conditions times seeds.
    exact: the exact null distribution; with ties, which have no table, the conditional permutation
    distribution. normal: corrected for ties and continuity. auto: exact up to 200,000 splits.
    """
    from scipy.stats import PermutationMethod, mannwhitneyu  # late: 0.8 s

    x, y = sample(a, "the first group", least=1), sample(b, "the second group", least=1)
    splits = comb(len(x) + len(y), len(x))
    exact = method == "exact" or (method == "auto" and splits <= MAX_SPLITS)
    ties = len(np.unique(np.concatenate([x, y]))) < len(x) + len(y)
    if exact and ties and splits > MAX_SPLITS:
        raise AnalysisError(
            f"an exact test with ties would need {splits} splits", fix="Use method `normal`, or a permutation test."
        )
    if exact and ties:
        found = mannwhitneyu(x, y, method=PermutationMethod(n_resamples=2 * MAX_SPLITS))
    else:
        found = mannwhitneyu(x, y, method="exact" if exact else "asymptotic")
    return MannWhitneyResult(u=float(found.statistic), p=float(found.pvalue), exact=exact, n_a=len(x), n_b=len(y))


def _pairs(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[int, int]:
    ordered = np.sort(y)
    greater = int(np.searchsorted(ordered, x, side="left").sum())
    less = int((len(y) - np.searchsorted(ordered, x, side="right")).sum())
    return less, greater
