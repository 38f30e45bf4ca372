"""A stage, planned: its conditions, packages and runs, ready to be executed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from foldover.core import LATER, Design, Package, Recipe, Resolved, RunSpec, Values

Resolve = Callable[[Recipe], Resolved]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A row to be run. derived: what it resolves to; origin: the stage that it was picked from ("": none).

    role: `screen`, `search`, `best`, `worst`, `corner`, `bridge`, or what the study calls what it picks.
    """

    label: str
    role: str
    levels: tuple[float, ...]
    recipe: Recipe
    derived: Values
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a stage runs. runs: in the order of execution; notes: what a reader must know before paying.

    end: of a search by cost, why nothing more is asked for; "" while there may be more, and of all other stages.
    """

    stage: str
    design: Design | None
    conditions: tuple[Condition, ...]
    packages: tuple[Package, ...]
    runs: tuple[RunSpec, ...]
    notes: tuple[str, ...] = ()
    end: str = field(default="", metadata=LATER)

    @property
    def compared(self) -> tuple[Package, ...]:
        """The packages whose runs are compared: all but those of trunks."""
        return tuple(package for package in self.packages if package.role == "compared")

    def condition(self, label: str) -> Condition:
        """The condition of that label. KeyError if there is none."""
        for condition in self.conditions:
            if condition.label == label:
                return condition
        raise KeyError(label)
