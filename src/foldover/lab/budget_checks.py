"""Budgets within which conditions cannot do what their levers say: all of them at once, before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping

from foldover.core import BudgetError, Study
from foldover.planning import Plan
from foldover.ports import Trainer


def check_budgets(study: Study, trainer: Trainer, plans: Mapping[str, Plan]) -> None:
    """Raises BudgetError with a line for each budget at which the trainer refuses conditions. plans: by stage."""
    refused: dict[tuple[str, str, str], list[str]] = {}
    for name, plan in plans.items():
        for condition in plan.conditions:
            resolved = trainer.resolve(condition.recipe)
            for budget in study.stage(name).budgets:
                try:
                    trainer.estimate_seconds(resolved, budget, study.constants)
                except BudgetError as error:
                    refused.setdefault((name, budget.label(), str(error)), []).append(condition.label)
    if refused:
        lines = (
            f"stage {name} @ {budget}, {', '.join(conditions)}: {said}"
            for (name, budget, said), conditions in refused.items()
        )
        raise BudgetError("\n".join(lines))
