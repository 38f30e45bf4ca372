"""Trials, results and the space they come from."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from foldover.core import DesignError

Levels = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The coded levels that each factor may take, by letter, ascending."""

    levels: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        for letter, levels in self.levels.items():
            if len(levels) < 2 or list(levels) != sorted(set(levels)):
                raise DesignError(f"factor {letter} needs two or more ascending levels", value=levels)

    @property
    def letters(self) -> tuple[str, ...]:
        """The factors."""
        return tuple(self.levels)

    def points(self) -> tuple[Levels, ...]:
        """Every combination, the first factor slowest."""
        return tuple(itertools.product(*self.levels.values()))

    def draw(self, generator: random.Random) -> Levels:
        """One combination, uniformly."""
        return tuple(generator.choice(levels) for levels in self.levels.values())

    def neighbours(self, point: Levels) -> tuple[Levels, ...]:
        """Every point that one factor's next level down or up leads to."""
        found = []
        for i, levels in enumerate(self.levels.values()):
            at = levels.index(point[i])
            found += [(*point[:i], levels[j], *point[i + 1 :]) for j in (at - 1, at + 1) if 0 <= j < len(levels)]
        return tuple(found)


def corners(letters: Sequence[str]) -> Space:
    """Two levels a factor."""
    return Space(levels=dict.fromkeys(letters, (-1.0, 1.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run that a strategy asks for. budget: the amount of its limit; seed: counted within the strategy."""

    levels: Levels
    budget: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a trial. value: the response, lower is better; None where the run has none."""

    trial: Trial
    value: float | None


Moves = Generator[Sequence[Trial], Sequence[Result], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """What a strategy would recommend now. runs: how many results its mean is of."""

    levels: Levels
    mean: float
    runs: int


def incumbent(results: Sequence[Result], *, least_runs: int = 1) -> Incumbent | None:
    """The point of the best mean at the largest budget that has results; None if there are none.

    least_runs: results that a point must have there to be considered, where any point has as many. The mean of one
    run flatters the best of many, as it does in the searches that choose so.
    """
    values: dict[tuple[float, Levels], list[float]] = defaultdict(list)
    for result in results:
        if result.value is not None:
            values[result.trial.budget, result.trial.levels].append(result.value)
    if not values:
        return None
    largest = max(budget for budget, _ in values)
    here = {levels: found for (budget, levels), found in values.items() if budget == largest}
    enough = {levels: found for levels, found in here.items() if len(found) >= least_runs} or here
    levels, found = min(enough.items(), key=lambda item: (sum(item[1]) / len(item[1]), item[0]))
    return Incumbent(levels=levels, mean=sum(found) / len(found), runs=len(found))


def by_value(result: Result) -> tuple[bool, float, Levels]:
    """Key that sorts the best first and runs without a value last."""
    return (result.value is None, 0.0 if result.value is None else result.value, result.trial.levels)


def generator_of(*name: str | int) -> random.Random:
    """A random stream of that name."""
    text = "/".join(str(part) for part in ("foldover", "strategy", *name))
    return random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 (a search, not a secret)
