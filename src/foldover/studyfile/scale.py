"""A study with every budget multiplied: the same questions for less, or for more."""

from __future__ import annotations

import math
from dataclasses import replace

from foldover.core import Budget, BudgetError, Limit, Pick, Search, Stage, Study
from foldover.studyfile.render import render

_ROUNDING = 1e-12  # 5e10 * 0.55 is a few units in the last place over 27,500,000,000


def scale_study(study: Study, factor: float) -> Study:
    """The study with its limits times `factor`; whole steps, tokens and FLOPs are rounded up.

    Raises BudgetError for a factor that is not positive, and where two budgets of a stage would become one.
    """
    if not 0.0 < factor < math.inf:
        raise BudgetError("a scale must be positive", value=factor)
    labels: dict[tuple[str, str], str] = {}
    stages: list[Stage] = []
    for stage in study.stages:
        budgets = tuple(_scaled(budget, factor) for budget in stage.budgets)
        if len({budget.limit for budget in budgets}) < len(budgets):
            raise BudgetError(f"stage {stage.name}: scaled, two of its budgets are the same", value=factor)
        for old, new in zip(stage.budgets, budgets, strict=True):
            labels[stage.name, old.label()] = new.label()
        search = _scaled_search(study, stage, stages, factor)
        stages.append(replace(stage, budgets=budgets, picks=_picks(stage, labels), search=search))
    scaled = replace(study, stages=tuple(stages), source="")
    return replace(scaled, source=render(scaled))


def _picks(stage: Stage, labels: dict[tuple[str, str], str]) -> tuple[Pick, ...]:
    return tuple(replace(pick, budget=labels[pick.stage, pick.budget]) if pick.budget else pick for pick in stage.picks)


def _scaled_search(study: Study, stage: Stage, before: list[Stage], factor: float) -> Search | None:
    """The search with its cost: that of the stage that it is matched to, as that one is scaled."""
    search = stage.search
    if search is None or search.cost is None:
        return search
    if stage.matched_to is None:
        return replace(search, cost=_scaled_limit(search.cost, factor))
    other = next(each for each in before if each.name == stage.matched_to)
    if other.search is not None and other.search.cost is not None:
        return replace(search, cost=other.search.cost)
    held = study.stage(other.name)
    runs = round(search.cost.amount / sum(budget.limit.amount for budget in held.budgets))
    amount = runs * sum(budget.limit.amount for budget in other.budgets)
    return replace(search, cost=Limit(kind=search.cost.kind, amount=amount))


def _scaled(budget: Budget, factor: float) -> Budget:
    return replace(budget, limit=_scaled_limit(budget.limit, factor))


def _scaled_limit(limit: Limit, factor: float) -> Limit:
    amount = limit.amount * factor
    if limit.kind != "seconds":
        amount = math.ceil(amount * (1.0 - _ROUNDING))
    return Limit(kind=limit.kind, amount=amount)
