"""Successive halving and Hyperband (Li et al. 2018, JMLR 18(185), algorithm 1). Every rung is a fresh run.

A learning rate that falls to zero at the end of its budget leaves nothing to continue, so a point that is promoted
is trained again from the start, and pays for it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foldover.core import DesignError
from foldover.planning.strategies.trial import Levels, Moves, Result, Space, Trial, by_value, generator_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """One run of successive halving: how many points (`sizes`) at which budget, rung by rung."""

    sizes: tuple[int, ...]
    budgets: tuple[float, ...]


def brackets(*, least: float, largest: float, eta: float = 3.0) -> tuple[Bracket, ...]:
    """Those of Hyperband, the most aggressive first.

    With R = largest / least and s_max = floor(log_eta R): bracket s begins with ceil((s_max + 1) eta^s / (s + 1))
    points and rung i keeps floor(n eta^-i) of them at the budget largest eta^(i - s). Raises DesignError where the
    budgets or eta make no bracket.
    """
    if not 0 < least <= largest or eta <= 1:
        raise DesignError("Hyperband needs 0 < least <= largest and eta > 1", value=(least, largest, eta))
    most = math.floor(math.log(largest / least, eta) + 1e-9)
    found = []
    for s in range(most, -1, -1):
        n = math.ceil((most + 1) * eta**s / (s + 1) - 1e-9)
        found.append(
            Bracket(
                sizes=tuple(max(1, math.floor(n * eta**-i + 1e-9)) for i in range(s + 1)),
                budgets=tuple(largest * eta ** (i - s) for i in range(s + 1)),
            )
        )
    return tuple(found)


def successive_halving(points: Sequence[Levels], bracket: Bracket, numbers: Iterator[int]) -> Moves:
    """One bracket over given points: the best of a rung go on to the next. numbers: of the trials."""
    kept = list(points)[: bracket.sizes[0]]
    for i, budget in enumerate(bracket.budgets):
        kept = kept[: bracket.sizes[i]]
        results: Sequence[Result] = yield [Trial(levels=levels, budget=budget, seed=next(numbers)) for levels in kept]
        kept = [result.trial.levels for result in sorted(results, key=by_value) if result.value is not None]
        if not kept:
            return


def hyperband(space: Space, *, least: float, largest: float, eta: float = 3.0, seed: int) -> Moves:
    """Hyperband's brackets over random points, again and again."""
    stream, numbers = generator_of("hyperband", seed), itertools.count(1)
    while True:
        for bracket in brackets(least=least, largest=largest, eta=eta):
            drawn = [space.draw(stream) for _ in range(bracket.sizes[0])]
            yield from successive_halving(drawn, bracket, numbers)
