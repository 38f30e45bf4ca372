"""Greedy coordinate search: one factor moved at a time, kept if the run is better."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from foldover.planning.strategies.trial import Levels, Moves, Result, Space, Trial, by_value, generator_of


def greedy(space: Space, *, budget: float, seed: int, start: Levels | None = None) -> Moves:
    """Without end: propose a neighbour, in random order; accept it if its one run beats the incumbent's one run.

    Ties and failures are refused. When every neighbour has been refused, the incumbent is run again under a new
    seed, which replaces its value, and all neighbours are open again. start: drawn where none is given. That
    single noisy runs are compared is the method, and its curse.
    """
    stream, numbers = generator_of("greedy", seed), itertools.count(1)
    point = start or space.draw(stream)
    held: Result = _only((yield [Trial(levels=point, budget=budget, seed=next(numbers))]))
    while True:
        proposals = list(space.neighbours(held.trial.levels))
        stream.shuffle(proposals)
        for levels in proposals:
            found = _only((yield [Trial(levels=levels, budget=budget, seed=next(numbers))]))
            if found.value is not None and by_value(found)[:2] < by_value(held)[:2]:
                held = found
                break
        else:
            held = _only((yield [Trial(levels=held.trial.levels, budget=budget, seed=next(numbers))]))


def _only(results: Sequence[Result]) -> Result:
    (result,) = results
    return result
