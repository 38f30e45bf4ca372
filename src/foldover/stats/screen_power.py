"""Power by simulation: Lenth's margin, conditions' own variances, effects found at a false discovery rate.

Deterministic: the stream of random numbers is named by `seed`. 20,000 studies give power to +-0.7 points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import require_count, require_positive, require_probability, sample
from foldover.stats.tails import critical_t, t_two_sided

STUDIES = 20_000
MOST_VARIANCES = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenPower:
    """Share of studies in which each effect is found (power of the true ones, false alarms of the null ones).

    average: over the true effects; false_discovery_rate: mean share of null effects among those found.
    """

    found: tuple[float, ...]
    average: float
    false_discovery_rate: float
    studies: int


def lenth_power(
    effects: Sequence[float], sd: float, *, runs: int, level: float = 0.95, studies: int = STUDIES, seed: int = 0
) -> ScreenPower:
    """Power of Lenth's margin of error in a screen of `runs` single runs, all runs - 1 contrasts used.

    effects: of the first contrasts, high minus low (the others are null); sd: of one run, same unit.
    Raises AnalysisError for fewer than 3 contrasts, more effects than contrasts, and an sd that is not positive.
    """
    true = _padded(effects, runs - 1)
    if len(true) < 3:
        raise AnalysisError("Lenth's margin needs at least 3 contrasts", value=len(true), fix="Add runs.")
    require_probability(level, "level")
    rng = np.random.default_rng(seed)
    values = true + rng.standard_normal((studies, len(true))) * (2.0 * require_positive(sd, "sd") / math.sqrt(runs))
    size = np.abs(values)
    s0 = 1.5 * np.median(size, axis=1, keepdims=True)
    pse = 1.5 * np.nanmedian(np.where(size < 2.5 * s0, size, np.nan), axis=1, keepdims=True)
    return _score(size > critical_t(level, len(true) / 3.0) * pse, true, len(effects), studies)


def bh_power(
    effects: Sequence[float],
    sd: float,
    *,
    runs: int,
    seeds: int,
    df: float,
    q: float = 0.05,
    studies: int = STUDIES,
    seed: int = 0,
) -> ScreenPower:
    """Power and realised false discovery rate of Benjamini-Hochberg over one family of effects.

    effects: of every hypothesis of the family (0: null); df: of the common error variance. The t statistics of
    an orthogonal design are simulated as independent normals over one chi. effects, sd: response units.
    Raises AnalysisError for q outside (0, 1), df < 1, an sd that is not positive, and no effects.
    """
    true = sample(effects, "the effects", least=1)
    require_probability(q, "q")
    if df < 1:
        raise AnalysisError("a t test needs at least one degree of freedom", value=df, fix="Plan more seeds.")
    se = 2.0 * require_positive(sd, "sd") / math.sqrt(require_count(runs, "runs") * require_count(seeds, "seeds"))
    rng = np.random.default_rng(seed)
    chi = np.sqrt(rng.chisquare(df, (studies, 1)) / df)
    p = t_two_sided((true / se + rng.standard_normal((studies, len(true)))) / chi, float(df))
    ascending = np.sort(p, axis=1)
    below = ascending <= q * np.arange(1, len(true) + 1) / len(true)
    last = np.where(below.any(axis=1), len(true) - 1 - np.argmax(below[:, ::-1], axis=1), -1)
    threshold = np.where(last >= 0, ascending[np.arange(studies), last], -1.0)
    return _score(p <= threshold[:, None], true, len(true), studies)


@lru_cache(maxsize=512)
def single_lenth_power(ncp: float, runs: int, level: float) -> float:
    """Power of Lenth's margin for the only active effect, of size ncp standard errors."""
    return lenth_power([ncp], math.sqrt(runs) / 2.0, runs=runs, level=level).found[0]


def satterthwaite_power(ncp: float, runs: int, seeds: int, level: float) -> float:
    """Power of an effect of size ncp standard errors, tested with each condition's own variance.

    seeds: runs a condition, at least 2; the conditions have one true variance. The estimate is independent of the
    sample variances, so that power is the mean, over these, of a normal tail beyond the margin that they give.
    A t on the expected degrees of freedom promises up to 4 points too much with 2 runs a condition, where
    the margin and the degrees of freedom of a study vary together.
    """
    from scipy.special import ndtr  # late: 0.3 s

    margins = _satterthwaite_margins(runs, seeds, level)
    return float((ndtr(ncp - margins) + ndtr(-ncp - margins)).mean())


@lru_cache(maxsize=128)
def _satterthwaite_margins(runs: int, seeds: int, level: float) -> NDArray[np.float64]:
    """Half-widths of the intervals of simulated studies, in true standard errors: t(df) s / sigma."""
    from scipy.special import stdtrit  # late: 0.3 s

    within = seeds - 1
    studies = min(STUDIES, max(1, MOST_VARIANCES // runs))  # the more conditions, the less margins differ
    v = np.random.default_rng(0).chisquare(within, (studies, runs)) / within
    total = v.sum(axis=1)
    df = within * total**2 / (v**2).sum(axis=1)
    return np.asarray(stdtrit(df, 0.5 + level / 2.0) * np.sqrt(total / runs))


def _padded(effects: Sequence[float], m: int) -> NDArray[np.float64]:
    given = sample(effects, "the effects", least=1)
    if len(given) > m:
        raise AnalysisError(f"{m + 1} runs carry {m} effects", value=len(given), fix="Name at most that many effects.")
    return np.concatenate([given, np.zeros(m - len(given))])


def _score(hits: NDArray[np.bool_], true: NDArray[np.float64], shown: int, studies: int) -> ScreenPower:
    active = true != 0.0
    num_found = hits.sum(axis=1)
    false = hits[:, ~active].sum(axis=1)
    return ScreenPower(
        found=tuple(float(x) for x in hits.mean(axis=0)[:shown]),
        average=float(hits[:, active].mean()) if active.any() else 0.0,
        false_discovery_rate=float((false / np.maximum(1, num_found)).mean()),
        studies=studies,
    )
