"""A complete, validated assignment of levers; its digest and its difference from another."""

from __future__ import annotations

from dataclasses import dataclass, field

from foldover.core.lever import LeverSet
from foldover.core.values import Scalar, Values
from foldover.core.wire import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every lever of the trainer has a value (`LeverSet.complete` makes sure); those left out are at their defaults."""

    trainer: str
    values: Values
    _digest: str = field(init=False, repr=False, compare=False, default="")

    @property
    def digest(self) -> str:
        """What names this recipe: equal for equal values, independent of seed and budget."""
        if not self._digest:
            object.__setattr__(self, "_digest", digest(self))
        return self._digest

    def train_digest(self, levers: LeverSet) -> str:
        """What names the trained state: equal for recipes that differ only in levers of later phases.

        levers: those of the trainer, which know the phases.
        """
        return digest(Recipe(trainer=self.trainer, values=levers.training_part(self.values)))

    def diff(self, baseline: Recipe) -> tuple[tuple[str, Scalar, Scalar], ...]:
        """(lever, baseline's value, own value) for every lever that differs."""
        names = sorted({*self.values, *baseline.values})
        pairs = ((name, baseline.values.get(name), self.values.get(name)) for name in names)
        return tuple((name, old, new) for name, old, new in pairs if old != new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a recipe becomes, known without a GPU and without training it.

    derived: numbers that follow from the recipe (width, num_params, flops_per_token, tokens_per_step,
    artifact_bytes, ...), printed and never set.
    effective: what the run really depends on; two recipes whose `effective` agree are the same run.
    responses: of the trainer's responses those that a run of the recipe gives; all of them where none is named.
    """

    recipe: Recipe
    derived: Values
    effective: Values
    responses: tuple[str, ...] = ()
