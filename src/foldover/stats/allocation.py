"""Where the next replicates should go, and which of two plans buys more.

To find the best condition, replicates go to its close rivals and to what is noisy (OCBA: Chen, Lin, Yucesan and
Chick 2000). To estimate effects, each condition counts alike and replicates go where the sd is large (Neyman).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError, ConditionSummary
from foldover.stats._inputs import require_count, require_positive, require_probability, sample
from foldover.stats.power import Analysis, detectable_effect, power_of, seeds_needed

Goal = Literal["best", "effects"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Further runs of one condition. share: of the ideal total, what the rule would give it."""

    condition: str
    runs: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignPlan:
    """A plan to be priced. cost_per_run: accelerator minutes, failures included.

    variance_factor: of an effect's variance relative to an orthogonal two-level design (its VIF, or 1 / efficiency).
    """

    name: str
    runs: int
    seeds: int
    terms: int
    cost_per_run: float
    variance_factor: float = 1.0
    block: bool = True
    analysis: Analysis = "auto"

    @property
    def cost(self) -> float:
        """Of all runs."""
        return self.runs * self.seeds * self.cost_per_run


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanValue:
    """What one plan buys. cost_to_target: of the same design with the seeds that reach the target power.

    detectable: the effect found with the target power; seeds_for_target and cost_to_target for the effect asked.
    """

    plan: DesignPlan
    cost: float
    se: float
    df: float
    power: float
    detectable: float
    seeds_for_target: int
    cost_to_target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanComparison:
    """Two plans side by side; cheaper names the one that reaches the target power at lower cost."""

    first: PlanValue
    second: PlanValue
    effect: float
    sd: float
    target: float
    cheaper: str
    cost_ratio: float


def ocba(means: Sequence[float], sds: Sequence[float], *, lower_is_better: bool = True) -> tuple[float, ...]:
    """Shares of replicates that best find the best condition (they add up to 1).

    n_i proportional to (s_i / d_i)^2 with d_i the distance to the best mean, and n_best = s_best
    sqrt(sum n_i^2 / s_i^2). Raises AnalysisError for fewer than two conditions, an sd that is not positive, and
    two conditions that share the best mean.
    """
    m, s = sample(means, "the means", least=2), sample(sds, "the sds", least=2)
    if len(m) != len(s) or np.any(s <= 0.0):
        raise AnalysisError(
            "allocation needs one positive sd a mean", value=tuple(sds), fix="Run at least two seeds a condition."
        )
    best = int(np.argmin(m) if lower_is_better else np.argmax(m))
    distance = np.abs(m - m[best])
    others = np.arange(len(m)) != best
    if np.any(distance[others] == 0.0):
        raise AnalysisError(
            "two conditions share the best mean", value=float(m[best]), fix="Give each one more run first."
        )
    weight = np.zeros(len(m))
    weight[others] = (s[others] / distance[others]) ** 2
    weight[best] = s[best] * math.sqrt(float((weight[others] ** 2 / s[others] ** 2).sum()))
    return tuple(float(w) for w in weight / weight.sum())


def allocate_next(
    summaries: Sequence[ConditionSummary], runs: int, *, goal: Goal = "best", lower_is_better: bool = True
) -> tuple[Allocation, ...]:
    """How many of the next `runs` replicates each condition should get, after what has been run.

    goal: `best`, to find the best condition (OCBA), or `effects`, to estimate effects (n_i proportional to s_i).
    Runs already done count: a condition above its ideal number gets none. A round of sequential allocation is a
    look at the data: declare the rounds, and confirm the winner under fresh seeds.
    Raises AnalysisError for a condition without an sd.
    """
    require_count(runs, "number of runs")
    lacking = [s.condition for s in summaries if s.sd is None or s.sd <= 0.0]
    if lacking:
        raise AnalysisError(
            "conditions without an sd cannot be allocated to", value=lacking, fix="Run at least two seeds of each."
        )
    sds = np.array([s.sd for s in summaries], dtype=np.float64)
    if goal == "best":
        shares = np.array(ocba([s.mean for s in summaries], [float(x) for x in sds], lower_is_better=lower_is_better))
    else:
        shares = sds / sds.sum()
    have = np.array([s.n for s in summaries], dtype=np.float64)
    given = _fill(have, shares, runs)
    return tuple(
        Allocation(condition=s.condition, runs=int(n), share=float(w))
        for s, n, w in zip(summaries, given, shares, strict=True)
    )


def compare_plans(
    first: DesignPlan, second: DesignPlan, *, effect: float, sd: float, target: float = 0.9, level: float = 0.95
) -> PlanComparison:
    """Two plans for one question: what each costs, finds, and would cost to reach the target power.

    effect, sd: in response units. For an effect contrast only runs x seeds counts; plans differ through the
    model's degrees of freedom, the cost of a run and the design's efficiency.
    """
    require_probability(target, "target power")
    a, b = (_value(plan, effect, sd, target, level) for plan in (first, second))
    cheaper = first.name if a.cost_to_target <= b.cost_to_target else second.name
    return PlanComparison(
        first=a,
        second=b,
        effect=effect,
        sd=sd,
        target=target,
        cheaper=cheaper,
        cost_ratio=a.cost_to_target / b.cost_to_target,
    )


def _value(plan: DesignPlan, effect: float, sd: float, target: float, level: float) -> PlanValue:
    require_positive(plan.cost_per_run, "cost per run")
    inflated = require_positive(sd, "sd") * math.sqrt(require_positive(plan.variance_factor, "variance factor"))
    found = power_of(
        effect, inflated, plan.runs, plan.seeds, plan.terms, level, block=plan.block, analysis=plan.analysis
    )
    needed = seeds_needed(
        effect, inflated, plan.runs, plan.terms, power=target, level=level, block=plan.block, analysis=plan.analysis
    )
    return PlanValue(
        plan=plan,
        cost=plan.cost,
        se=found.se,
        df=found.df,
        power=found.power,
        detectable=detectable_effect(
            inflated,
            runs=plan.runs,
            seeds=plan.seeds,
            terms=plan.terms,
            power=target,
            level=level,
            block=plan.block,
            analysis=plan.analysis,
        ),
        seeds_for_target=needed.seeds,
        cost_to_target=plan.runs * needed.seeds * plan.cost_per_run,
    )


def _fill(have: NDArray[np.float64], shares: NDArray[np.float64], runs: int) -> NDArray[np.int64]:
    """One run at a time to the condition furthest below its ideal number of the final total."""
    given = np.zeros(len(have), dtype=np.int64)
    ideal = shares * (have.sum() + runs)
    for _ in range(runs):
        given[int(np.argmax(ideal - have - given))] += 1
    return given
