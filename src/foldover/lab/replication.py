"""A whole study again and again on the simulator, with other noise each time: no files, no workers, no clock.

What a program of stages decides is itself a draw. How often it would decide the same says more of it than one draw.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Any

import numpy as np

from foldover.core import (
    ConditionSummary,
    Effect,
    Outcome,
    RunRecord,
    RunSpec,
    Stage,
    Study,
    UserError,
    Values,
    Verdict,
)
from foldover.designs import fractional_factorial
from foldover.lab.analysis import Analysis, analyse_records, judge_stage
from foldover.lab.session import check
from foldover.lab.staging import plan_stage
from foldover.planning import Plan, is_whole
from foldover.ports import Trainer
from foldover.stats.tails import critical_t
from foldover.trainers import get_trainer

# Seeds of one repetition must not be those of another: studies count theirs from small numbers or in the ten thousands.
SEEDS_A_REPETITION = 1_000_003
_NOTHING = Analysis(records=(), effects=(), conditions=(), notes=())


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A stage as it went: what was run, and what was found of it alone."""

    plan: Plan
    effects: tuple[Effect, ...]
    conditions: tuple[ConditionSummary, ...]
    verdicts: tuple[Verdict, ...]

    def mean_of(self, role: str, budget: str) -> float:
        """The mean of the condition of a role at a budget. KeyError where there is none."""
        labels = {condition.role: condition.label for condition in self.plan.conditions}
        for summary in self.conditions:
            if (summary.condition, summary.budget) == (labels[role], budget):
                return summary.mean
        raise KeyError(role, budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """A whole study as it went, by stage."""

    number: int
    stages: Mapping[str, StageResult]

    @property
    def num_runs(self) -> int:
        """All runs of all stages."""
        return sum(len(result.plan.runs) for result in self.stages.values())


def repeat_study(study: Study, number: int) -> Repetition:
    """The study from its first stage to its last, with noise of its own: repetition 0 is what the study's seeds give.

    Raises UserError for a study of another trainer than the simulator, DesignError where a stage cannot be planned.
    """
    if study.baseline.trainer != "simulator":
        raise UserError(f"study `{study.name}` trains with `{study.baseline.trainer}`: only the simulator repeats")
    trainer, surface = get_trainer("simulator"), _Surface(study, number)
    stages: dict[str, StageResult] = {}
    for stage in study.stages:
        sources = [stages[name] for name in stage.sources]
        plan = _run(study, trainer, stage, [result.plan for result in stages.values()], sources, surface)
        stages[stage.name] = _result(study, trainer, plan, surface)
    return Repetition(number=number, stages=stages)


def repetitions(
    path: Path,
    count: int,
    read: Callable[[Repetition], Any],
    *,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Any]:
    """What `read` makes of each of `count` repetitions of the study in a file, on several processes, in order.

    read: a function of a module, since other processes import it.
    """
    work = [(path, number, read) for number in range(1, count + 1)]
    found: list[Any] = []
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for result in pool.map(_one, work, chunksize=4):
            found.append(result)
            on_progress(len(found), count)
    return found


def predicted_power(study: Study, stage: Stage, minutes: float, *, num_retained: int) -> dict[str, float]:
    """The probability that the gate retains each factor of a seeded screen, from the surface itself.

    An estimate is normal about the true effect, with the variance that the surface's noise gives it; the gate holds it
    against the t of least squares with seed as a block, whose standard error is its expectation: noise and lack of
    fit. num_retained: how many of the family are expected to pass; the threshold is that of the Benjamini-Hochberg
    step of the last of them.
    """
    from foldover.simulator.surface import get_surface  # late: planning a study needs no surface

    assert stage.design is not None, "a screen has a design"
    design = fractional_factorial(study.factors, runs=stage.design.runs, generators=stage.design.generators)
    points = np.array([row.levels for row in design.rows])
    surface = get_surface(str(study.constants["surface"]))
    host = study.host_of(stage) or str(study.constants["host"])
    n, seeds, k = len(points), len(stage.seeds), points.shape[1]
    mean, sd = surface.mean(points, minutes, host), surface.sd(points, minutes, host)
    # Of one seed: what it does to all cells alike, as far as their sizes go, and what it does to each.
    covariance = surface.rho * np.outer(sd, sd) + np.diag((1.0 - surface.rho) * sd**2 + surface.rerun**2)
    inside = np.eye(n) - np.ones((n, n)) / n - points @ points.T / n
    # Seed terms take up the mean of each block; the residual of a block is what its cells do beside that.
    rss = seeds * (mean @ inside @ mean + np.trace(inside @ covariance))
    among = (seeds - 1) * np.trace(points @ points.T @ covariance) / n
    df = n * seeds - 1 - k - (seeds - 1)
    error = 2.0 * math.sqrt((rss + among) / df / (n * seeds))
    threshold = critical_t(1.0 - study.gate.q * num_retained / k, df) * error
    found = {}
    for j, letter in enumerate(design.letters):
        contrast = 2.0 * points[:, j] / n
        true, own = float(contrast @ mean), math.sqrt(float(contrast @ covariance @ contrast) / seeds)
        law = NormalDist(abs(true), own)
        found[letter] = 1.0 - law.cdf(threshold) + law.cdf(-threshold)
    return found


def share(flags: Sequence[bool]) -> float:
    """Of how many it holds, from 0 to 1."""
    return fmean(flags)


class _Surface:
    """The responses of runs, those of a whole group at once; other noise for each repetition."""

    def __init__(self, study: Study, number: int) -> None:
        from foldover.simulator.surface import get_surface  # late: planning a study needs no surface

        self._surface = get_surface(str(study.constants["surface"]))
        self._host = str(study.constants["host"])
        self._offset = number * SEEDS_A_REPETITION
        self._x: dict[str, tuple[float, ...]] = {}
        self.known: dict[str, float] = {}

    def run(self, specs: Sequence[RunSpec]) -> None:
        """Look up what is not known yet."""
        from foldover.simulator.levers import coded_levels

        groups: dict[tuple[float, str, int, int], list[RunSpec]] = {}
        for spec in specs:
            if spec.run_id not in self.known:
                key = (spec.budget.limit.amount / 60.0, spec.host or self._host, spec.seed, spec.rerun)
                groups.setdefault(key, []).append(spec)
        for (minutes, host, seed, rerun), group in groups.items():
            for spec in group:
                if spec.recipe.digest not in self._x:
                    self._x[spec.recipe.digest] = coded_levels(spec.recipe.values)
            x = [self._x[spec.recipe.digest] for spec in group]
            y = self._surface.values(x, minutes, host, seeds=[seed + self._offset], rerun=rerun)[:, 0]
            self.known |= {spec.run_id: float(value) for spec, value in zip(group, y, strict=True)}

    def record(self, spec: RunSpec) -> RunRecord:
        """A run as the ledger would have it."""
        outcome = Outcome(
            run_id=spec.run_id,
            status="finished",
            started="",
            finished="",
            responses=Values(val_bpb=self.known[spec.run_id]),
            machine=Values(host=spec.host or self._host),
        )
        return RunRecord(spec=spec, attempt=1, outcome=outcome)


def _run(
    study: Study,
    trainer: Trainer,
    stage: Stage,
    plans: Sequence[Plan],
    sources: Sequence[StageResult],
    surface: _Surface,
) -> Plan:
    """The plan of a stage, run to its end."""
    analysis = Analysis(
        records=tuple(surface.record(run) for result in sources for run in result.plan.runs),
        effects=tuple(effect for result in sources for effect in result.effects),
        conditions=tuple(summary for result in sources for summary in result.conditions),
        notes=(),
    )
    plan = plan_stage(study, trainer, stage, plans, analysis)
    surface.run(plan.runs)
    while not is_whole(plan, stage):
        before = plan
        plan = plan_stage(study, trainer, stage, (*plans, before), _NOTHING, values=surface.known)
        if plan.runs == before.runs:
            break
        surface.run(plan.runs)
    return plan


def _result(study: Study, trainer: Trainer, plan: Plan, surface: _Surface) -> StageResult:
    records = [surface.record(run) for run in plan.runs]
    analysis = analyse_records(study, [plan], records, trainer.levers)
    return StageResult(
        plan=plan,
        effects=analysis.effects,
        conditions=analysis.conditions,
        verdicts=judge_stage(study, plan, [plan], analysis),
    )


def _one(work: tuple[Path, int, Callable[[Repetition], Any]]) -> Any:
    path, number, read = work
    return read(repeat_study(check(path), number))
