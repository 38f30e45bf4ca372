"""ASHA: successive halving without waiting for a rung to be full (Li et al. 2020, arXiv 1810.05934)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from foldover.planning.strategies.trial import Moves, Result, Space, Trial, by_value, generator_of


def asha(space: Space, *, budgets: Sequence[float], eta: float = 3.0, workers: int = 2, seed: int) -> Moves:
    """Whenever a worker is free: promote a point of the top 1 / eta of a rung, the highest rung first, else draw one.

    Without end. workers: how many trials are asked for at once; the next are asked for when all of them have ended.
    Every rung is a fresh run, as in `halving`.
    """
    stream, numbers = generator_of("asha", seed), itertools.count(1)
    top = len(budgets) - 1
    rungs: list[list[Result]] = [[] for _ in budgets]
    promoted: list[set[int]] = [set() for _ in budgets]
    while True:
        asked: list[tuple[int, Trial]] = []
        for _ in range(workers):
            rung, levels = 0, None
            for i in range(top - 1, -1, -1):
                candidate = _promotable(rungs[i], promoted[i], eta)
                if candidate is not None:
                    promoted[i].add(candidate.trial.seed)
                    rung, levels = i + 1, candidate.trial.levels
                    break
            point = space.draw(stream) if levels is None else levels
            asked.append((rung, Trial(levels=point, budget=budgets[rung], seed=next(numbers))))
        results = yield [trial for _, trial in asked]
        for (rung, _), result in zip(asked, results, strict=True):
            rungs[rung].append(result)


def _promotable(rung: Sequence[Result], promoted: set[int], eta: float) -> Result | None:
    best = sorted((r for r in rung if r.value is not None), key=by_value)[: math.floor(len(rung) / eta)]
    return next((result for result in best if result.trial.seed not in promoted), None)
