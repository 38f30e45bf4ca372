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


def rungs(*, least: float, largest: float, eta: float = 3.0) -> tuple[float, ...]:
    """Budgets from `least` on, or above, up to `largest`, each eta times the one before."""
    if not 0 < least <= largest or eta <= 1:
        raise DesignError("rungs need 0 < least <= largest and eta > 1", value=(least, largest, eta))
    top = math.floor(math.log(largest / least, eta) + 1e-9)
    return tuple(largest * eta ** (i - top) for i in range(top + 1))


def brackets(budgets: Sequence[float], *, eta: float = 3.0) -> tuple[Bracket, ...]:
    """Those of Hyperband over rising budgets, the most aggressive first.

    With s_max the highest rung: bracket s begins with ceil((s_max + 1) eta^s / (s + 1)) points s rungs below it, and
    its rung i keeps floor(n eta^-i) of them. Raises DesignError where budgets or eta make no bracket.
    """
    if not budgets or list(budgets) != sorted(set(budgets)) or budgets[0] <= 0 or eta <= 1:
        raise DesignError("Hyperband needs rising budgets and eta > 1", value=(tuple(budgets), eta))
    most = len(budgets) - 1
    return tuple(
        bracket_of(math.ceil((most + 1) * eta**s / (s + 1) - 1e-9), budgets[most - s :], eta=eta)
        for s in range(most, -1, -1)
    )


def bracket_of(points: int, budgets: Sequence[float], *, eta: float) -> Bracket:
    """So many points at the first of the budgets; each later rung keeps one in eta of them, and one at least."""
    return Bracket(
        sizes=tuple(max(1, math.floor(points * eta**-i + 1e-9)) for i in range(len(budgets))), budgets=tuple(budgets)
    )


def successive_halving(points: Sequence[Levels], bracket: Bracket, numbers: Iterator[int]) -> Moves:
    """One bracket over given points: the best of a rung go on to the next. numbers: of the trials."""
    kept = list(points)[: bracket.sizes[0]]
    for i, budget in enumerate(bracket.budgets):
        kept = kept[: bracket.sizes[i]]
        results: Sequence[Result] = yield [Trial(levels=levels, budget=budget, seed=next(numbers)) for levels in kept]
        kept = [result.trial.levels for result in sorted(results, key=by_value) if result.value is not None]
        if not kept:
            return


def halving(space: Space, *, budgets: Sequence[float], eta: float = 3.0, size: int, seed: int) -> Moves:
    """Successive halving of `size` random points, again and again."""
    return _repeated(space, (bracket_of(size, budgets, eta=eta),), name="halving", seed=seed)


def hyperband(space: Space, *, budgets: Sequence[float], eta: float = 3.0, seed: int) -> Moves:
    """Hyperband's brackets over random points, again and again."""
    return _repeated(space, brackets(budgets, eta=eta), name="hyperband", seed=seed)


def _repeated(space: Space, cycle: Sequence[Bracket], *, name: str, seed: int) -> Moves:
    stream, numbers = generator_of(name, seed), itertools.count(1)
    for bracket in itertools.cycle(cycle):
        drawn = [space.draw(stream) for _ in range(bracket.sizes[0])]
        yield from successive_halving(drawn, bracket, numbers)


def promotions(cycle: Sequence[Bracket], has_value: Sequence[bool]) -> tuple[bool, ...]:
    """Of runs in the order in which brackets asked for them: whether each takes a point on from the rung below.

    cycle: the brackets, gone through again and again; has_value: of the same runs.
    """
    found: list[bool] = []
    for bracket in itertools.cycle(cycle):
        left = bracket.sizes[0]
        for rung, size in enumerate(bracket.sizes):
            asked = has_value[len(found) :][: min(size, left)]
            found += [rung > 0] * len(asked)
            if len(found) == len(has_value):
                return tuple(found)
            left = sum(asked)
    raise AssertionError("a cycle does not end")
