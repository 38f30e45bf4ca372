"""Caps on artifacts before anything is trained: what a recipe's artifact will weigh, by what the trainer derives."""

from __future__ import annotations

from foldover.core import Budget, Recipe, Resolved, Study, UserError, Values
from foldover.lab.staging import plan_stage
from foldover.ports import PredictsBytes, Trainer
from foldover.trainers import get_trainer

BYTES = "artifact_bytes"


def over_cap(recipe: Recipe, budget: Budget, constants: Values) -> str:
    """In words, by how much the predicted artifact is over the cap; empty if it is not.

    Raises UserError for a cap on a recipe without an artifact: it would do nothing.
    """
    if budget.artifact_bytes is None:
        return ""
    trainer = get_trainer(recipe.trainer)
    resolved = trainer.resolve(recipe)
    if BYTES not in resolved.derived:
        raise UserError(
            "there is a cap and no artifact",
            value=budget.artifact_bytes,
            fix="Set `export.artifact=true`, or leave out the cap.",
        )
    return _excess(trainer, resolved, budget, constants)


def predicted_bytes(recipe: Recipe, budget: Budget, constants: Values) -> int | None:
    """Of the artifact of a run; None where the recipe makes none."""
    trainer = get_trainer(recipe.trainer)
    return _predicted(trainer, trainer.resolve(recipe), budget, constants)


def _predicted(trainer: Trainer, resolved: Resolved, budget: Budget, constants: Values) -> int | None:
    predicted = resolved.derived.get(BYTES)
    if not isinstance(predicted, int):
        return None
    return trainer.predicted_bytes(resolved, budget, constants) if isinstance(trainer, PredictsBytes) else predicted


def _excess(trainer: Trainer, resolved: Resolved, budget: Budget, constants: Values) -> str:
    """As `over_cap`, of what a recipe resolved to; empty also where it gives no artifact."""
    cap, code_bytes = budget.artifact_bytes, constants.get("code_bytes", 0)
    if cap is None or not isinstance(code_bytes, int):
        return ""
    predicted = _predicted(trainer, resolved, budget, constants)
    if predicted is None or predicted + code_bytes <= cap:
        return ""
    code = f" and {code_bytes:,} bytes of code" if code_bytes else ""
    return (
        f"a predicted artifact of {predicted:,} bytes{code} is over the cap of {cap:,} by "
        f"{predicted + code_bytes - cap:,}"
    )


def caps_exceeded(study: Study) -> tuple[str, ...]:
    """A line for each condition of the first screens whose predicted artifact is over its cap, and by how much.

    What later stages run depends on results: it is made of the same levels.
    """
    trainer = get_trainer(study.baseline.trainer)
    found = []
    for stage in study.stages:
        has_cap = any(budget.artifact_bytes is not None for budget in stage.budgets)
        if not has_cap or stage.kind != "screen" or stage.after is not None:
            continue
        plan = plan_stage(study, trainer, stage, (), None)
        for budget in stage.budgets:
            for condition in plan.conditions:
                words = _excess(trainer, trainer.resolve(condition.recipe), budget, study.constants)
                if words:
                    found.append(f"stage {stage.name} @ {budget.label()}, condition {condition.label}: {words}")
    return tuple(found)
