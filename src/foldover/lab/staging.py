"""The plan of a stage and its cost, given what earlier stages found. No files, no ledger, no torch."""

from __future__ import annotations

from collections.abc import Sequence

from foldover.core import RunSpec, Stage, Study
from foldover.lab.analysis import Analysis, judge_stage, recommendation_of
from foldover.planning import (
    Cost,
    Plan,
    estimate_cost,
    measured_seconds,
    plan_confirm,
    plan_refine,
    plan_screen,
)
from foldover.ports import Trainer


def plan_stage(study: Study, trainer: Trainer, stage: Stage, plans: Sequence[Plan], analysis: Analysis | None) -> Plan:
    """The plan of a stage, given the plans and the analysis of those before it."""
    if stage.kind == "screen":
        return plan_screen(study, stage, trainer.resolve)
    assert analysis is not None, "a later stage follows an analysis"
    by_name = {plan.stage: plan for plan in plans}
    assert stage.after is not None, "the study file makes sure of it"
    source = by_name[stage.after]
    if stage.kind == "confirm":
        return plan_confirm(study, stage, trainer.resolve, source, analysis.conditions)
    screens = [plan for plan in plans if study.stage(plan.stage).kind == "screen"]
    verdicts = [v for plan in screens for v in judge_stage(study, plan, plans, analysis)]
    recommendation = recommendation_of(study, plans, analysis)
    assert recommendation is not None, "a stage before this one has results"
    origin = next(p for p in plans if any(package.name == recommendation.package for package in p.packages))
    best = origin.condition(recommendation.condition)
    return plan_refine(study, stage, trainer.resolve, best, verdicts)


def cost_of(
    study: Study, trainer: Trainer, runs: Sequence[RunSpec], *, jobs: int, analysis: Analysis | None = None
) -> Cost:
    """What runs will take on `jobs` slots."""

    def estimate(run: RunSpec) -> float:
        return trainer.estimate_seconds(trainer.resolve(run.recipe), run.budget, study.constants)

    measured = measured_seconds(analysis.records) if analysis is not None else {}
    return estimate_cost(runs, estimate, jobs=jobs, measured=measured)
