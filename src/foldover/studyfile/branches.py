"""Whether the warm-downs of a stage that asks for it can branch from trunks, and whether that saves anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from foldover.core import Limit, Resolved, Stage, UserError
from foldover.studyfile.table import Report
from foldover.studyfile.trainer import BranchInfo, TrainerInfo


def check_branches(
    trainer: TrainerInfo, report: Report, index: int, stage: Stage, conditions: Sequence[Resolved]
) -> None:
    """Note what stands against `branch` in a stage. conditions: what it runs, as far as that is known."""
    problem = _problem(trainer, stage, conditions)
    if problem:
        report.add(("stages", index, "branch"), f"stage {stage.name}: {problem}")


def _problem(trainer: TrainerInfo, stage: Stage, conditions: Sequence[Resolved]) -> str:
    if not isinstance(trainer, BranchInfo):
        return "this trainer cannot branch a run from another. Leave `branch` out."
    trunks: Counter[tuple[str, str]] = Counter()
    for resolved in conditions:
        try:
            trunk = trainer.trunk_recipe(resolved.recipe).digest
            points = [trainer.branch_point(resolved, budget) for budget in stage.budgets]
        except UserError as error:
            return f"its warm-downs cannot branch from a trunk: {error}"
        trunks.update(_keys(trunk, points))
    # What a later stage runs is decided by results; then only its budgets tell.
    is_known = stage.kind == "screen" or len(stage.budgets) > 1
    if is_known and max(trunks.values(), default=0) < 2:
        return (
            "`branch` saves nothing: no two of its runs are alike up to where their warm-down begins. Give it several "
            "budgets or a factor of the warm-down, or leave `branch` out."
        )
    return ""


def _keys(trunk: str, points: Sequence[Limit | None]) -> list[tuple[str, str]]:
    return [(trunk, point.kind) for point in points if point is not None]
