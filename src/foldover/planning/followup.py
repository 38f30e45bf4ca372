"""What could come next: a response surface in the reduced region, and anchors of the same size beside a bridge."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import Design, DesignError, Factor, Recipe, RecipeError, Resolved, Study
from foldover.designs import central_composite
from foldover.planning.plan import Resolve

# Retained factors beyond these would need more runs than a follow-up is worth.
MOST_FACTORS = 4


def surface_follow_up(
    factors: Sequence[Factor], *, centers: tuple[int, int] = (2, 1), seed: int | None = None
) -> Design:
    """A face-centred composite over the factors that a study has left open, between their own levels.

    The others are held at their better level by whoever runs it: the region is reduced by factors, not by ranges,
    because a whole-number factor may have one level only between its ends. Factors without a level between are left
    out, and so are those beyond MOST_FACTORS. Raises DesignError where fewer than two are left.
    """
    fit = [f for f in factors if f.kind != "choice" and f.decode(0.0) not in (f.low, f.high)]
    if len(fit) < 2:
        raise DesignError(
            "a response surface needs two factors with a level between low and high",
            value=[factor.letter for factor in factors],
            fix="Widen a range, or take a definitive screening design.",
        )
    return central_composite(fit[:MOST_FACTORS], shape="faced", centers=centers, name="surface", seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A recipe whose `quantity` is near another's. gap: relative difference, positive where this is larger."""

    levels: tuple[float, ...]
    recipe: Recipe
    value: float
    gap: float


def matched_recipes(
    study: Study,
    recipe: Recipe,
    resolve: Resolve,
    *,
    letters: Sequence[str],
    quantity: str = "num_params",
    steps: int = 5,
    tolerance: float = 0.1,
) -> tuple[Matched, ...]:
    """Recipes that have the size of `recipe` by other levels of some factors, the nearest first.

    letters: the factors that may move; each takes `steps` coded levels from -1 to +1, the other levers stay as `recipe`
    has them. quantity: a derived number, `num_params` for capacity or `flops_per_token` for work. What resolves to
    the same model as `recipe`, or to one given already, is left out. Raises DesignError for an unknown factor, and
    where nothing derived has that name.
    """
    known = {factor.letter: factor for factor in study.factors}
    unknown = [letter for letter in letters if letter not in known]
    if unknown or not letters:
        raise DesignError("no such factor", value=unknown, fix=f"Factors are {', '.join(known)}.")
    origin = resolve(recipe)
    size = _number(origin, quantity)
    places = [-1.0 + 2.0 * i / (steps - 1) for i in range(steps)]
    seen, found = {origin.effective}, []
    for levels in itertools.product(places, repeat=len(letters)):
        moved = {known[f].lever: known[f].decode(x) for f, x in zip(letters, levels, strict=True)}
        candidate = Recipe(trainer=recipe.trainer, values=recipe.values.with_(moved))
        try:
            resolved = resolve(candidate)
        except RecipeError:
            continue  # these levels make no model
        if resolved.effective in seen:
            continue
        seen.add(resolved.effective)
        value = _number(resolved, quantity)
        gap = value / size - 1.0
        if abs(gap) <= tolerance:
            stood = tuple(known[f].encode(moved[known[f].lever]) for f in letters)
            found.append(Matched(levels=stood, recipe=candidate, value=value, gap=gap))
    return tuple(sorted(found, key=lambda m: (abs(m.gap), m.levels)))


def _number(resolved: Resolved, quantity: str) -> float:
    value = resolved.derived.get(quantity)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value:
        there: Mapping[str, object] = dict(resolved.derived.items())
        raise DesignError(
            f"nothing derived is called `{quantity}`", fix=f"There are {', '.join(sorted(there)) or 'none'}."
        )
    return float(value)
