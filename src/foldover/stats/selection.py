"""Claims about winners: records, the bias of the best of k, confirmation under fresh seeds.

The smallest of n noisy results is smaller than its own mean. So a selected minimum is never compared with a
mean; a winner is rerun under seeds that had no part in the selection, and what it loses there is reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from foldover.core import AnalysisError
from foldover.stats._inputs import require_count, require_positive, require_probability, sample
from foldover.stats.compare import moments, standard_error
from foldover.stats.tails import critical_t, t_upper
from foldover.stats.units import Unit, convert

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """The test of a record: does the mean of the new runs beat the incumbent by at least the margin?

    threshold: incumbent minus margin (plus it, where higher is better), in `unit`, as is every number here.
    passes: p <= alpha. notes: what a reader must know of the incumbent.
    """

    mean: float
    sd: float
    incumbent: float
    margin: float
    threshold: float
    unit: Unit
    t: float
    df: float
    p: float
    alpha: float
    passes: bool
    n: int
    n_incumbent: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A selected condition under fresh seeds. shrinkage: fresh mean minus selected value, its interval at `level`."""

    selected: float
    fresh_mean: float
    shrinkage: float
    low: float
    high: float
    level: float
    n: int


def record_test(
    new: Sequence[float],
    incumbent: float | Sequence[float],
    *,
    margin: float,
    unit: Unit,
    margin_unit: Unit | None = None,
    tokens_per_byte: float | None = None,
    alpha: float = 0.01,
    better: Better = "lower",
    incumbent_best_of: int = 1,
) -> RecordResult:
    """One-sided t test that the new mean improves on the incumbent by at least `margin`.

    new: all valid seeds, none dropped. incumbent: a published number, taken as exact (n - 1 degrees of
    freedom), or its runs (Welch, with the null shifted by the margin). unit: of the responses; a margin in
    another unit (parameter-golf: 0.005 nats_per_token, alpha 0.01) is converted with `tokens_per_byte`.
    incumbent_best_of: how many results the incumbent was the best of, for a note on its selection bias.
    Raises AnalysisError for fewer than two new runs, equal new runs, a margin below 0, and mixed units.
    """
    require_probability(alpha, "alpha")
    if not (math.isfinite(margin) and margin >= 0.0):
        raise AnalysisError(
            "the margin of a record must not be negative", value=margin, fix="Give the size of the improvement."
        )
    shift = convert(margin, margin_unit or unit, unit, tokens_per_byte=tokens_per_byte)
    sign = 1.0 if better == "lower" else -1.0
    candidate = moments(new, "the new recipe")
    runs = () if isinstance(incumbent, int | float) else tuple(incumbent)
    if isinstance(incumbent, int | float):
        published = float(sample([incumbent], "the incumbent")[0])
        se, df = candidate.sd / math.sqrt(candidate.n), float(candidate.n - 1)
        if se <= 1e-14 * max(1e-300, abs(candidate.mean)):
            raise AnalysisError(
                "all new runs gave the same number", value=candidate.mean, fix="Did the seeds reach the runs?"
            )
    else:
        old = moments(runs, "the incumbent")
        published = old.mean
        se, df = standard_error(candidate, old)
    t = (sign * (candidate.mean - published) + shift) / se
    p = t_upper(-t, df)
    return RecordResult(
        mean=candidate.mean,
        sd=candidate.sd,
        incumbent=published,
        margin=shift,
        threshold=published - sign * shift,
        unit=unit,
        t=sign * t,
        df=df,
        p=p,
        alpha=alpha,
        passes=p <= alpha,
        n=candidate.n,
        n_incumbent=max(1, len(runs)),
        notes=_incumbent_notes(len(runs), incumbent_best_of, candidate.sd),
    )


@lru_cache(maxsize=256)
def expected_minimum(n: int) -> float:
    """E[min] of n independent standard normal draws: -1.766 for n = 16.

    Trapezoid rule on (-12, 12): the integrand is smooth and vanishes at both ends, so it is exact to 1e-12.
    """
    require_count(n, "number of draws")
    from scipy.special import log_ndtr  # late: 0.3 s

    z = np.linspace(-12.0, 12.0, 9601)
    density = np.exp(-0.5 * z * z - 0.5 * math.log(2.0 * math.pi) + (n - 1) * log_ndtr(-z)) * n
    return float((z * density).sum() * (z[1] - z[0]))


def selection_bias(sd: float, num_candidates: int) -> float:
    """How far the best of equal candidates lies below its mean by luck alone (response units, positive).

    sd: of one result (over seeds). An upper bound when the candidates differ.
    """
    return -expected_minimum(num_candidates) * require_positive(sd, "sd")


def confirm_winner(selected: float, fresh: Sequence[float], *, level: float = 0.95) -> Confirmation:
    """What a selected result loses under fresh seeds. selected: the number that won; fresh: seeds not used for it."""
    require_probability(level, "level")
    again = moments(fresh, "the confirmation")
    half = critical_t(level, again.n - 1) * again.sd / math.sqrt(again.n)
    shrinkage = again.mean - float(sample([selected], "the selected result")[0])
    return Confirmation(
        selected=selected,
        fresh_mean=again.mean,
        shrinkage=shrinkage,
        low=shrinkage - half,
        high=shrinkage + half,
        level=level,
        n=again.n,
    )


def _incumbent_notes(num_runs: int, best_of: int, sd: float) -> tuple[str, ...]:
    require_count(best_of, "incumbent_best_of")
    notes = []
    if not num_runs:
        notes.append("the incumbent is one published number, taken as exact: its own error is not in the test")
    if best_of > 1:
        bias = -expected_minimum(best_of) * sd
        notes.append(f"the incumbent is the best of {best_of} results: with this sd it may be too good by {bias:.2g}")
    return tuple(notes)
