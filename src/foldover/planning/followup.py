"""What could come next: a response surface in the reduced region, and anchors of the same size beside a bridge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from foldover.core import Design, DesignError, Factor, Recipe, RecipeError, Resolved, Scalar, Study
from foldover.designs import central_composite
from foldover.planning.plan import Resolve

# Retained factors beyond these would need more runs than a follow-up is worth.
MOST_FACTORS = 4
# How near a match is, relative to what is matched: whole numbers of layers and heads make a coarse grid. The nearest is
# run where it is farther off than the first, and called no match; beyond the second it is not worth its runs.
TOLERANCE, FARTHEST = 0.1, 0.25
# How far beyond the centre a match may move a factor, in coded units: within low and high there is seldom one.
REACH = 2.0
# With a factor that trims: from how far off it is tried, and within what all are as near.
TRIMMED, CLOSE = 0.5, 0.01
# Levels of a factor, and recipes in all, that are tried: resolving one takes up to a millisecond.
MOST_LEVELS, MOST_RECIPES = 65, 2048


def surface_follow_up(factors: Sequence[Factor]) -> Design:
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
    return faced_design(fit[:MOST_FACTORS], name="surface")


def faced_design(factors: Sequence[Factor], *, name: str, seed: int | None = None) -> Design:
    """Corners, faces and one centre: 2^k + 2k + 1 rows. Raises DesignError as `central_composite`.

    One centre, since seeds replicate every row: under one seed a second centre could be the first to the last bit.
    """
    return central_composite(factors, shape="faced", centers=(1, 0), name=name, seed=seed)


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
    trim: str = "",
    quantity: str = "num_params",
    tolerance: float = TOLERANCE,
) -> tuple[Matched, ...]:
    """Recipes that have the size of `recipe` by other levels of some factors, the nearest first.

    letters: the factors that may move, as far again beyond low and high as those are from their middle; the other
    levers stay as `recipe` has them. trim: a factor that makes up for what the others leave, such as the width of the
    MLP; what then comes within CLOSE is ordered by how little it moved. quantity: a derived number, `num_params` for
    capacity or `flops_per_token` for work. What resolves to the same model as `recipe` is left out; of levels that give
    one model the most central stand. Raises DesignError for an unknown factor, and where nothing derived has that name.
    """
    known = {factor.letter: factor for factor in study.factors}
    unknown = [letter for letter in (*letters, *trim) if letter not in known]
    if unknown or not letters:
        raise DesignError("no such factor", value=unknown, fix=f"Factors are {', '.join(known)}.")
    size = _number(resolve(recipe), quantity)
    found: list[tuple[tuple[float, float, float], Matched]] = []
    for levels, shape, resolved in _other_models(recipe, resolve, [known[letter] for letter in letters]):
        rough = _number(resolved, quantity)
        if not trim:
            match = Matched(levels=levels, recipe=shape, value=rough, gap=rough / size - 1.0)
            found.append(((abs(match.gap), 0.0, 0.0), match))
        elif abs(rough / size - 1.0) <= TRIMMED:
            found.append(_trimmed(shape, levels, resolve, known[trim], quantity, size))
    near = [(key, match) for key, match in found if abs(match.gap) <= tolerance]
    return tuple(match for _, match in sorted(near, key=lambda pair: (pair[0], pair[1].levels)))


def _other_models(
    recipe: Recipe, resolve: Resolve, factors: Sequence[Factor]
) -> Iterator[tuple[tuple[float, ...], Recipe, Resolved]]:
    """Models that other levels of some factors make of a recipe, each once, by the most central levels that do."""
    places = [_places(factor) for factor in factors]
    while math.prod(map(len, places)) > MOST_RECIPES:
        longest = max(range(len(places)), key=lambda i: len(places[i]))
        places[longest] = places[longest][::2]
    seen = {resolve(recipe).effective}
    for levels in sorted(itertools.product(*places), key=lambda at: sum(x * x for x in at)):
        moved = {factor.lever: factor.decode(x) for factor, x in zip(factors, levels, strict=True)}
        candidate = Recipe(trainer=recipe.trainer, values=recipe.values.with_(moved))
        try:
            resolved = resolve(candidate)
        except RecipeError:
            continue  # these levels make no model
        if resolved.effective not in seen:
            seen.add(resolved.effective)
            yield levels, candidate, resolved


def _trimmed(
    shape: Recipe, levels: tuple[float, ...], resolve: Resolve, factor: Factor, quantity: str, size: float
) -> tuple[tuple[float, float, float], Matched]:
    """A shape at the level of one more factor that brings it nearest to a size; within CLOSE, the least moved."""
    own = factor.encode(shape.values[factor.lever])
    options = []
    for place in {own, *_places(factor)}:
        moved = Recipe(trainer=shape.trainer, values=shape.values.with_({factor.lever: factor.decode(place)}))
        try:
            value = _number(resolve(moved), quantity)
        except RecipeError:
            continue
        gap = value / size - 1.0
        match = Matched(levels=(*levels, place), recipe=moved, value=value, gap=gap)
        options.append(((max(abs(gap), CLOSE), abs(place - own), abs(gap)), match))
    return min(options, key=lambda pair: (pair[0], pair[1].levels))


def _places(factor: Factor) -> list[float]:
    """Coded levels up to REACH on either side that are realised apart, ascending; of a choice its own."""
    if factor.kind == "choice":
        return list(factor.coded_levels())
    found: dict[Scalar, float] = {}
    for i in range(MOST_LEVELS):
        natural = factor.decode(-REACH + 2.0 * REACH * i / (MOST_LEVELS - 1))
        # A quantity whose low level is positive is taken to have no meaning from zero down.
        if _is_positive(natural) or not _is_positive(factor.low):
            found.setdefault(natural, factor.encode(natural))
    return list(found.values())


def _is_positive(level: Scalar) -> bool:
    return isinstance(level, int | float) and level > 0


def _number(resolved: Resolved, quantity: str) -> float:
    value = resolved.derived.get(quantity)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value:
        there: Mapping[str, object] = dict(resolved.derived.items())
        raise DesignError(
            f"nothing derived is called `{quantity}`", fix=f"There are {', '.join(sorted(there)) or 'none'}."
        )
    return float(value)
