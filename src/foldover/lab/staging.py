"""The plan of a stage and its cost, given what earlier stages found. No files, no ledger, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from foldover.core import Budget, Limit, Recipe, RunSpec, Stage, Study
from foldover.lab.analysis import Analysis, judge_stage, recommendation_of, screen_verdicts
from foldover.planning import (
    Cost,
    Plan,
    Sharing,
    best_of,
    count_reruns,
    estimate_cost,
    measured_seconds,
    plan_confirm,
    plan_picked,
    plan_refine,
    plan_screen,
    plan_search,
    share_training,
    spent_before,
)
from foldover.ports import Branches, EstimatesByDevice, Trainer
from foldover.trainers import estimated_seconds

NOTHING: Mapping[str, float | None] = {}


def plan_stage(
    study: Study,
    trainer: Trainer,
    stage: Stage,
    plans: Sequence[Plan],
    analysis: Analysis | None,
    *,
    values: Mapping[str, float | None] = NOTHING,
) -> Plan:
    """The plan of a stage, given the plans and the analysis of those before it; runs share what training they can.

    values: of a search, what its runs so far have given (see `planning.plan_search`).
    """
    if stage.kind == "search":
        held = next((plan for plan in plans if plan.stage == stage.name), None)
        others = [plan for plan in plans if plan.stage != stage.name]
        return plan_search(study, stage, trainer.resolve, held=held, values=values, earlier=others)
    plan = count_reruns(_plan_alone(study, trainer, stage, plans, analysis), plans)
    sharing = sharing_of(trainer)
    return plan if sharing is None else share_training(plan, stage, sharing)


def sharing_of(trainer: Trainer) -> Sharing | None:
    """How runs of the trainer share training; None if they cannot."""
    if not isinstance(trainer, Branches):
        return None

    @cache
    def branch_point(recipe: Recipe, budget: Budget) -> Limit | None:
        return trainer.branch_point(trainer.resolve(recipe), budget)

    return Sharing(levers=trainer.levers, trunk_recipe=cache(trainer.trunk_recipe), branch_point=branch_point)


def _plan_alone(study: Study, trainer: Trainer, stage: Stage, plans: Sequence[Plan], analysis: Analysis | None) -> Plan:
    """Each run by itself."""
    if stage.design is not None and stage.after is None:
        return plan_screen(study, stage, trainer.resolve)
    assert analysis is not None, "a later stage follows an analysis"
    if stage.picks:
        return plan_picked(study, stage, trainer.resolve, plans, analysis.conditions)
    assert stage.after is not None, "the study file makes sure of it"
    source = next(plan for plan in plans if plan.stage == stage.after)
    if stage.design is not None:
        # What a follow-up found stands where there was one.
        last = next((plan for plan in plans if study.stage(plan.stage).follows == source.stage), source)
        levels = best_of(study, source, analysis.conditions) if "best" in stage.fix.values() else ()
        return plan_screen(study, stage, trainer.resolve, judge_stage(study, last, plans, analysis), best=levels)
    if stage.kind == "confirm":
        return plan_confirm(study, stage, trainer.resolve, source, analysis.conditions)
    verdicts = screen_verdicts(study, plans, analysis)
    recommendation = recommendation_of(study, plans, analysis)
    assert recommendation is not None, "a stage before this one has results"
    origin = next(p for p in plans if any(package.name == recommendation.package for package in p.packages))
    best = origin.condition(recommendation.condition)
    return plan_refine(study, stage, trainer.resolve, best, verdicts)


def cost_of(
    study: Study, trainer: Trainer, runs: Sequence[RunSpec], *, jobs: int, analysis: Analysis | None = None
) -> Cost:
    """What runs will take on `jobs` slots. runs: with the trunks that they start from."""
    by_id, sharing = {run.run_id: run for run in runs}, sharing_of(trainer)
    devices = {host.label: str(host.settings.get("device", "auto")) for host in study.hosts}

    def estimate(run: RunSpec) -> float:
        spent = None if sharing is None else spent_before(run, by_id, sharing)
        there = trainer
        if isinstance(trainer, EstimatesByDevice) and run.host in devices:
            there = trainer.estimating_on(devices[run.host])
        return estimated_seconds(there, run, trainer.resolve(run.recipe), spent=spent)

    measured = measured_seconds(analysis.records) if analysis is not None else {}
    return estimate_cost(runs, estimate, jobs=jobs, measured=measured)
