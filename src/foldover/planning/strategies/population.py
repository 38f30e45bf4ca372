"""Population-based search: the worst copy the best and move on (Jaderberg et al. 2017, arXiv 1711.09846).

Upstream a copy continues the training of what it copied. A changed depth or width cannot continue a network, and a
rate that has fallen to zero leaves nothing to continue, so here each generation is a fresh run at the next
budget: exploit and explore are the published ones, the inheritance of weights is not.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from foldover.planning.strategies.trial import Levels, Moves, Result, Space, Trial, by_value, generator_of

TRUNCATED = 0.25  # the share that is replaced by copies of as many of the best
RESAMPLED = 0.25  # the probability that a factor is drawn anew rather than moved to a neighbouring level


def population(space: Space, *, budgets: Sequence[float], size: int, seed: int) -> Moves:
    """Generations of `size` points at rising budgets, then at the last one without end."""
    stream, numbers = generator_of("population", seed), itertools.count(1)
    members = [space.draw(stream) for _ in range(size)]
    for generation in itertools.count():
        budget = budgets[min(generation, len(budgets) - 1)]
        results: Sequence[Result] = yield [
            Trial(levels=levels, budget=budget, seed=next(numbers)) for levels in members
        ]
        ordered = [result.trial.levels for result in sorted(results, key=by_value)]
        replaced = num_replaced(size)
        members = [*ordered[: size - replaced], *(_explored(space, p, stream) for p in ordered[:replaced])]


def num_replaced(size: int) -> int:
    """How many of a generation make room for copies; the others go on as they are, in front."""
    return max(1, round(size * TRUNCATED))


def _explored(space: Space, point: Levels, stream: random.Random) -> Levels:
    """Each factor drawn anew, or moved to the next level on one side where there is one."""
    moved = []
    for level, levels in zip(point, space.levels.values(), strict=True):
        at = levels.index(level)
        beside = [levels[j] for j in (at - 1, at + 1) if 0 <= j < len(levels)]
        moved.append(stream.choice(levels) if stream.random() < RESAMPLED else stream.choice([level, *beside]))
    return tuple(moved)
