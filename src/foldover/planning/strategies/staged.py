"""Screen, confirm, refine: the staged workflow as a strategy, to be raced against the others."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import AnalysisError, Effect
from foldover.planning.strategies.trial import Levels, Moves, Result, Space, Trial
from foldover.stats import estimate_effects, table_from_columns

RESPONSE = "response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What the stages may spend. screen: the design's rows, at the ends of the space's levels.

    budget, seeds: of the screen; target: the budget that counts; finalists and confirm_seeds: of the confirmation
    there; q: of the screen's family; method: of estimation, by the names of `stats.estimate_effects`.
    """

    screen: tuple[Levels, ...]
    budget: float
    seeds: int
    target: float
    finalists: int = 4
    confirm_seeds: int = 4
    q: float = 0.05
    method: str = "auto"


def staged(space: Space, plan: Staged) -> Moves:
    """Every row under every seed; the best candidates confirmed at the target; neighbours of the winner, to the end.

    Seeds are common to all conditions of a stage. Candidates: retained factors at their better level, every
    combination of the others, in order of the screen's prediction. Refining moves one factor a step from the winner,
    under the seeds of the confirmation, and moves on where the mean is better.
    """
    screened: Sequence[Result] = yield [
        Trial(levels=levels, budget=plan.budget, seed=seed)
        for seed in range(1, plan.seeds + 1)
        for levels in plan.screen
    ]
    effects = screen_effects(space, screened, q=plan.q, method=plan.method)
    seeds = range(plan.seeds + 1, plan.seeds + plan.confirm_seeds + 1)
    candidates = _candidates(space, effects, plan.q)[: plan.finalists]
    confirmed: Sequence[Result] = yield [
        Trial(levels=levels, budget=plan.target, seed=seed) for seed in seeds for levels in candidates
    ]
    means = _means(confirmed)
    if not means:
        return
    best = min(means, key=lambda levels: (means[levels], levels))
    while True:
        untried = [levels for levels in space.neighbours(best) if levels not in means]
        if not untried:
            # Nothing is left around the winner: its mean, and that of its nearest rival, get a seed more each turn.
            rivals = sorted(means, key=lambda levels: (means[levels], levels))[:2]
            seeds = range(seeds.stop, seeds.stop + 1)
            yield [Trial(levels=levels, budget=plan.target, seed=seed) for seed in seeds for levels in rivals]
            continue
        found: Sequence[Result] = yield [Trial(levels=untried[0], budget=plan.target, seed=seed) for seed in seeds]
        means |= _means(found) or {untried[0]: float("inf")}
        best = min(means, key=lambda levels: (means[levels], levels))


def screen_effects(space: Space, results: Sequence[Result], *, q: float, method: str = "auto") -> tuple[Effect, ...]:
    """Main effects of a screen's results, one family at rate q; () where they carry no model.

    A factor whose runs at one level have all failed has no effect to estimate, and is left out.
    """
    kept = [result for result in results if result.value is not None]
    columns: dict[str, list[object]] = {letter: [] for letter in space.letters}
    for result in kept:
        for letter, level in zip(space.letters, result.trial.levels, strict=True):
            columns[letter].append(level)
    columns["seed"] = [result.trial.seed for result in kept]
    columns[RESPONSE] = [result.value for result in kept]
    varying = [letter for letter in space.letters if len(set(columns[letter])) > 1]
    block = "seed" if len(set(columns["seed"])) > 1 else None
    try:
        table = table_from_columns(columns, response=RESPONSE, factors=space.letters)
        return estimate_effects(table, terms=varying, family=space.letters, block=block, method=method, q=q)
    except AnalysisError:
        return ()


def retained(effects: Sequence[Effect], *, q: float, smallest: float = 0.0) -> Mapping[str, float]:
    """Factor to its better coded level, of the effects that their family keeps at q and that are large enough."""
    return {
        effect.term: -1.0 if effect.estimate > 0 else 1.0
        for effect in effects
        if effect.q is not None and effect.q <= q and abs(effect.estimate) >= smallest
    }


def _candidates(space: Space, effects: Sequence[Effect], q: float) -> list[Levels]:
    """Ends of the levels, retained factors at their better one, by rising prediction."""
    kept = retained(effects, q=q)
    slopes = {effect.term: effect.estimate for effect in effects}
    options: list[tuple[float, ...]] = []
    for letter, levels in space.levels.items():
        ends = (levels[0], levels[-1])
        options.append(((ends[0],) if kept[letter] < 0 else (ends[1],)) if letter in kept else ends)

    def predicted(levels: Levels) -> float:
        return sum(slopes.get(letter, 0.0) * x / 2.0 for letter, x in zip(space.letters, levels, strict=True))

    return sorted(itertools.product(*options), key=lambda levels: (predicted(levels), levels))


def _means(results: Sequence[Result]) -> dict[Levels, float]:
    values: dict[Levels, list[float]] = defaultdict(list)
    for result in results:
        if result.value is not None:
            values[result.trial.levels].append(result.value)
    return {levels: sum(found) / len(found) for levels, found in values.items()}
