"""Random search, batch by batch."""

from __future__ import annotations

import itertools

from foldover.planning.strategies.trial import Levels, Moves, Space, Trial, generator_of


def random_batches(space: Space, *, budget: float, batch: int, seed: int, replacement: bool = False) -> Moves:
    """Batches of `batch` points drawn from the space, without end.

    replacement: whether a batch may hold a point twice; where it may not, a batch is at most the space.
    """
    stream, numbers = generator_of("random", seed), itertools.count(1)
    points = space.points()
    while True:
        chosen: list[Levels] = (
            [stream.choice(points) for _ in range(batch)]
            if replacement
            else stream.sample(points, min(batch, len(points)))
        )
        yield [Trial(levels=levels, budget=budget, seed=next(numbers)) for levels in chosen]
