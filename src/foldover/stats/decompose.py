"""An effect at equal seconds, split into what the change does per step and what it does through speed.

At a budget of T seconds the low and the high level reach s_L(T) and s_H(T) steps. With s = min of the two,

    y_H(s_H) - y_L(s_L)  =  [y_H(s) - y_L(s)]        the effect at equal steps
                         +  the rest                 the effect of the steps gained or lost

Both curves are known up to s, so nothing is extrapolated, and the parts add up exactly. A change that only
wins by speed has a per-step part of zero: it should be judged against other ways to buy steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import matched, require_positive, require_probability, sample
from foldover.stats.tails import critical_t

SPEED_NOTE = (
    "values inside a run whose schedule is tied to its budget are not results of shorter runs: "
    "for a claim, take the curves from runs at several budgets"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The response of one run, or of runs at several budgets: seconds and steps rise, one value each."""

    seconds: tuple[float, ...]
    steps: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.seconds) == len(self.steps) == len(self.values):
            raise AnalysisError("a curve needs as many seconds as steps and values", value=len(self.values))
        for name, column in (("seconds", self.seconds), ("steps", self.steps)):
            rising = sample(column, f"the {name} of a curve", least=2)
            if rising[0] <= 0.0 or np.any(np.diff(rising) <= 0.0):
                raise AnalysisError(f"the {name} of a curve must be positive and rise", value=column)
        sample(self.values, "the values of a curve", least=2)

    def steps_at(self, seconds: float) -> float:
        """Steps done after `seconds`, linear between points. Raises AnalysisError outside the curve."""
        return self._at(seconds, self.seconds, self.steps, "seconds", log=False)

    def value_at(self, steps: float) -> float:
        """The response after `steps`, linear in log steps between points. Raises AnalysisError outside the curve."""
        return self._at(steps, self.steps, self.values, "steps", log=True)

    def _at(self, x: float, xs: Sequence[float], ys: Sequence[float], what: str, *, log: bool) -> float:
        tolerance = 1e-9 * xs[-1]
        if not xs[0] - tolerance <= x <= xs[-1] + tolerance:
            raise AnalysisError(
                f"a curve from {xs[0]:g} to {xs[-1]:g} {what} does not reach {x:g}",
                fix="Choose a budget within all curves.",
            )
        if log:
            return float(np.interp(math.log(x), np.log(np.asarray(xs)), np.asarray(ys)))
        return float(np.interp(x, np.asarray(xs), np.asarray(ys)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Mean over seeds; the Student interval is None for one seed."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedDecomposition:
    """total = per_step + speed, each high minus low. steps: means over seeds; slower: the level with fewer steps."""

    seconds: float
    total: Part
    per_step: Part
    speed: Part
    steps_low: float
    steps_high: float
    slower: Literal["low", "high", "neither"]
    seeds: tuple[int, ...]
    level: float
    notes: tuple[str, ...]


def decompose_by_speed(
    low: Mapping[int, Curve], high: Mapping[int, Curve], *, seconds: float, level: float = 0.95
) -> SpeedDecomposition:
    """Split the effect at `seconds` into the effect at equal steps and the effect of speed, paired by seed.

    low, high: seed -> curve of the run at the low and at the high level of the factor. seconds: tokens or FLOPs do as
    well, where the curves have them in place of seconds: whatever is equal while steps differ.
    Raises AnalysisError where a seed has no partner or a curve does not reach the budget or the common steps.
    """
    require_positive(seconds, "budget in seconds")
    require_probability(level, "level")
    seeds, _ = matched(dict.fromkeys(low, 0.0), dict.fromkeys(high, 0.0), least=1)
    rows = np.array([_one(low[seed], high[seed], seconds) for seed in seeds])
    steps_low, steps_high = float(rows[:, 3].mean()), float(rows[:, 4].mean())
    if math.isclose(steps_low, steps_high, rel_tol=1e-9):
        slower: Literal["low", "high", "neither"] = "neither"
    else:
        slower = "low" if steps_low < steps_high else "high"
    return SpeedDecomposition(
        seconds=seconds,
        total=_part(rows[:, 0], level),
        per_step=_part(rows[:, 1], level),
        speed=_part(rows[:, 2], level),
        steps_low=steps_low,
        steps_high=steps_high,
        slower=slower,
        seeds=seeds,
        level=level,
        notes=(SPEED_NOTE,) if len(seeds) > 1 else (SPEED_NOTE, "one seed: descriptive"),
    )


def _one(low: Curve, high: Curve, seconds: float) -> tuple[float, float, float, float, float]:
    s_low, s_high = low.steps_at(seconds), high.steps_at(seconds)
    common = min(s_low, s_high)
    total = high.value_at(s_high) - low.value_at(s_low)
    per_step = high.value_at(common) - low.value_at(common)
    return total, per_step, total - per_step, s_low, s_high


def _part(values: NDArray[np.float64], level: float) -> Part:
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Part(estimate=mean, low=None, high=None)
    half = critical_t(level, n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return Part(estimate=mean, low=mean - half, high=mean + half)
