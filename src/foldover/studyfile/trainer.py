"""What a study file needs to know of a trainer; `ports.Trainer` is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from foldover.core import Budget, LeverSet, Limit, Recipe, Resolved, Values


class TrainerInfo(Protocol):
    """The part of a trainer that is known without torch. `resolve` raises RecipeError for what cannot be built."""

    @property
    def levers(self) -> LeverSet:
        """What may be varied."""

    @property
    def constants(self) -> LeverSet:
        """What defines the question and is locked for a study."""

    @property
    def presets(self) -> Mapping[str, Values]:
        """Named complete lever values to start from."""

    @property
    def responses(self) -> tuple[str, ...]:
        """Names of what is measured, the main one first."""

    def resolve(self, recipe: Recipe) -> Resolved:
        """What the recipe becomes."""


@runtime_checkable
class BranchInfo(Protocol):
    """What a trainer has besides if its runs can branch from a trunk; `ports.Branches` is that and more."""

    def trunk_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe at constant rates that begins as this one does. Raises RecipeError that says why there is none."""

    def branch_point(self, resolved: Resolved, budget: Budget) -> Limit | None:
        """What a run trains exactly as its trunk; None where that is nothing. Raises RecipeError."""


TrainerOf = Callable[[str], TrainerInfo]
"""The trainer of that name; raises UserError for a name that it does not know."""
