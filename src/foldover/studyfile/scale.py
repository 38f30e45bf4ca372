"""A study with every budget multiplied: the same questions for less, or for more."""

from __future__ import annotations

import math
from dataclasses import replace

from foldover.core import Budget, BudgetError, Limit, Pick, Stage, Study
from foldover.studyfile.render import render


def scale_study(study: Study, factor: float) -> Study:
    """The study with its limits times `factor`; whole steps, tokens and FLOPs are rounded up.

    Raises BudgetError for a factor that is not positive, and where two budgets of a stage would become one.
    """
    if not 0.0 < factor < math.inf:
        raise BudgetError("a scale must be positive", value=factor)
    labels: dict[tuple[str, str], str] = {}
    stages = []
    for stage in study.stages:
        budgets = tuple(_scaled(budget, factor) for budget in stage.budgets)
        if len({budget.limit for budget in budgets}) < len(budgets):
            raise BudgetError(f"stage {stage.name}: scaled, two of its budgets are the same", value=factor)
        for old, new in zip(stage.budgets, budgets, strict=True):
            labels[stage.name, old.label()] = new.label()
        stages.append(replace(stage, budgets=budgets, picks=_picks(stage, labels)))
    scaled = replace(study, stages=tuple(stages), source="")
    return replace(scaled, source=render(scaled))


def _picks(stage: Stage, labels: dict[tuple[str, str], str]) -> tuple[Pick, ...]:
    return tuple(replace(pick, budget=labels[pick.stage, pick.budget]) if pick.budget else pick for pick in stage.picks)


def _scaled(budget: Budget, factor: float) -> Budget:
    amount = budget.limit.amount * factor
    if budget.limit.kind != "seconds":
        amount = math.ceil(round(amount, 6))
    return replace(budget, limit=Limit(kind=budget.limit.kind, amount=amount))
