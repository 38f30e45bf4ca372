"""Strategies raced at equal cost, on the simulator or by replay of a finished study, on several processes."""

from __future__ import annotations

import itertools
import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from foldover.core import DesignError, Limit
from foldover.lab.naming import Array, Named, NamingCurve, NamingProblem, names_of, naming_curves
from foldover.planning import strategies
from foldover.planning.race import (
    Course,
    Problem,
    Standing,
    best_threshold,
    importance_of,
    named,
    named_by_screen,
    run_course,
    standing,
)
from foldover.planning.strategies import Moves, Space, Staged, Trial
from foldover.planning.strategies.trial import corners

STRATEGIES = ("staged", "greedy", "random", "halving", "hyperband", "asha", "tpe", "bohb", "population")
ADAPTIVE = frozenset(STRATEGIES) - {"staged", "random"}
LETTERS = "ABCDE"
SMALLEST_EFFECT = 0.003
FAMILY_RATE = 0.05
_SEEDS_A_REPETITION = 100_000
_CHUNK = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRequest:
    """What is raced. Amounts are minutes of the simulator's clock, or of the replayed study's limits.

    total: what every strategy may spend; target: the budget that counts; short: of the screen; least: of the first
    rungs; screen_seeds: seeds of the screen; study: folder of a study to be replayed, None for the simulator.
    """

    total: float = 800.0
    target: float = 10.0
    short: float = 5.0
    least: float = 10.0 / 9.0
    screen_seeds: int = 5
    repetitions: int = 100
    names: tuple[str, ...] = STRATEGIES
    surface: str = "calibrated"
    host: str = "windows"
    smallest_effect: float = SMALLEST_EFFECT
    study: Path | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in STRATEGIES]
        if unknown:
            raise DesignError(f"unknown strategy {unknown[0]!r}", fix=f"Use {', '.join(STRATEGIES)}.")
        if self.repetitions < 1:
            raise DesignError("a race needs at least one repetition", value=self.repetitions)
        if not 0 < self.least <= self.short <= self.target <= self.total:
            raise DesignError(
                "budgets must rise: least, short, target, total",
                value=(self.least, self.short, self.target, self.total),
            )
        if self.screen_seeds < 1 or 16 * self.screen_seeds * self.short > self.total:
            raise DesignError(
                "the screen alone would cost more than the total",
                value=16 * self.screen_seeds * self.short,
                fix="Give fewer --screen-seeds, a shorter --short or a larger --total.",
            )

    @property
    def checkpoints(self) -> tuple[float, ...]:
        """Costs at which regret is read: a quarter, a half, three quarters and all of the total."""
        return tuple(self.total * part / 4 for part in range(1, 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What a strategy can say about factors.

    correct: share of repetitions in which it names exactly the true set; how: the rule; named: factor to how often
    it was named.
    """

    name: str
    how: str
    correct: float
    named: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceReport:
    """Standings in the order asked for. true_set: factors whose true effect at the target matters.

    curves: how often designs and random search name that set after so many runs; () in a replay.
    """

    request: RaceRequest
    best: tuple[float, ...]
    true_set: tuple[str, ...]
    standings: tuple[Standing, ...]
    attributions: tuple[Attribution, ...]
    curves: tuple[NamingCurve, ...]


def race(
    request: RaceRequest, *, jobs: int = 1, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> RaceReport:
    """Run every strategy `repetitions` times, each with its own noise, and summarise.

    The numbers do not depend on `jobs`. Raises DesignError where a replayed study lacks what a strategy asks for.
    """
    problem = problem_of(request)
    true_set = _true_set(request, problem)
    chunks = [
        (name, tuple(range(start, min(start + _CHUNK, request.repetitions))))
        for name in request.names
        for start in range(0, request.repetitions, _CHUNK)
    ]
    curve_chunks = [chunk for name, chunk in chunks if name == request.names[0]] if request.study is None else []
    courses: dict[str, list[Course]] = {name: [] for name in request.names}
    shares: dict[str, list[Mapping[str, float]]] = {name: [] for name in request.names}
    found_names: list[Named] = []
    total, done = len(chunks) + len(curve_chunks), 0
    with _processes(jobs) as run:
        for name, (some, found) in run(_courses, [(request, *chunk) for chunk in chunks]):
            courses[name] += some
            shares[name] += found
            done += 1
            on_progress(done, total)
        for _, some_names in run(_names, [(request, "", chunk) for chunk in curve_chunks]):
            found_names += some_names
            done += 1
            on_progress(done, total)
    return RaceReport(
        request=request,
        best=problem.best(),
        true_set=tuple(sorted(true_set)),
        standings=tuple(standing(name, courses[name], request.checkpoints) for name in request.names),
        attributions=tuple(
            _attribution(name, shares[name], true_set, problem.space.letters, request.short) for name in request.names
        ),
        curves=naming_curves(found_names, true_set),
    )


def problem_of(request: RaceRequest) -> Problem:
    """The simulator's corners, or those of a recorded study."""
    return _simulated(request.surface, request.host, request.target) if request.study is None else _replayed(request)


def moves_of(request: RaceRequest, name: str, repetition: int, space: Space) -> Moves:
    """A strategy of that name as the request sets it up."""
    target, ladder = request.target, strategies.rungs(least=request.least, largest=request.target)
    rows = half_fraction() if len(space.letters) == len(LETTERS) else space.points()
    plan = Staged(screen=rows, budget=request.short, seeds=request.screen_seeds, target=target)
    makers: Mapping[str, Callable[[], Moves]] = {
        "staged": lambda: strategies.staged(space, plan),
        "greedy": lambda: strategies.greedy(space, budget=target, seed=repetition),
        "random": lambda: strategies.random_batches(space, budget=target, batch=16, seed=repetition),
        "halving": lambda: strategies.halving(
            space, budgets=ladder, size=math.ceil(ladder[-1] / ladder[0] - 1e-9), seed=repetition
        ),
        "hyperband": lambda: strategies.hyperband(space, budgets=ladder, seed=repetition),
        "asha": lambda: strategies.asha(space, budgets=ladder, seed=repetition),
        "tpe": lambda: strategies.tpe(space, budget=target, seed=repetition),
        "bohb": lambda: strategies.bohb(space, budgets=ladder, seed=repetition),
        "population": lambda: strategies.population(
            space, budgets=(target / 4, target / 2, target), size=8, seed=repetition
        ),
    }
    return makers[name]()


def half_fraction() -> tuple[tuple[float, ...], ...]:
    """The 16 rows of the 2^(5-1) of resolution V, E = ABCD."""
    return tuple((*row, math.prod(row)) for row in itertools.product((-1.0, 1.0), repeat=4))


def _simulated(name: str, host: str, target: float) -> Problem:
    from foldover.simulator.surface import get_surface  # late: a replay needs no surface

    surface = get_surface(name)

    @cache
    def truth(levels: tuple[float, ...]) -> float:
        return float(surface.mean(levels, target, host))

    def value(trial: Trial, repetition: int) -> float:
        seed = repetition * _SEEDS_A_REPETITION + trial.seed
        return float(surface.values([trial.levels], trial.budget, host, seeds=[seed])[0, 0])

    return Problem(space=corners(LETTERS), target=target, value=value, truth=truth, is_good=_is_low_penalty)


def _replayed(request: RaceRequest) -> Problem:
    from foldover.lab.session import open_session  # late: a simulated race opens no study

    assert request.study is not None, "a replay has a study"
    session = open_session(request.study)
    with session.ledger(read_only=True) as ledger:
        records = [record for record in ledger.records() if record.counts]
    letters = tuple(factor.letter for factor in session.study.factors)
    sign = 1.0 if session.study.direction == "minimize" else -1.0
    values: dict[tuple[tuple[float, ...], float], list[float]] = {}
    for record in sorted(records, key=lambda r: (r.spec.seed, r.spec.run_id)):
        key = (record.spec.levels, _minutes(record.spec.budget.limit))
        values.setdefault(key, []).append(sign * record.outcome.responses.number(session.study.response))
    space = corners(letters)

    def recorded(levels: tuple[float, ...], budget: float) -> list[float]:
        found = values.get((levels, budget))
        if not found:
            there = ", ".join(f"{amount:g}" for amount in sorted({amount for _, amount in values}))
            raise DesignError(
                f"no finished run of the study has the levels {levels} at {budget:g} minutes",
                fix=f"A replay needs every combination of two levels at each budget; it has {there} minutes.",
            )
        return found

    def value(trial: Trial, repetition: int) -> float:
        found = recorded(trial.levels, trial.budget)
        return found[(repetition + trial.seed) % len(found)]

    def truth(levels: tuple[float, ...]) -> float:
        return fmean(recorded(levels, request.target))

    best = min(space.points(), key=lambda levels: (truth(levels), levels))
    return Problem(space=space, target=request.target, value=value, truth=truth, is_good=lambda levels: levels == best)


def _minutes(limit: Limit) -> float:
    return limit.amount / 60.0 if limit.kind == "seconds" else limit.amount


def _is_low_penalty(levels: tuple[float, ...]) -> bool:
    """Shallow and a small batch: the region that the published searches are timed by."""
    return levels[0] < 0 and levels[3] < 0


def _true_set(request: RaceRequest, problem: Problem) -> frozenset[str]:
    """Factors whose true main effect at the target is at least the smallest that matters."""
    points = problem.space.points()
    found = set()
    for i, letter in enumerate(problem.space.letters):
        effect = fmean(levels[i] * problem.truth(levels) for levels in points) * 2.0
        if abs(effect) >= request.smallest_effect:
            found.add(letter)
    return frozenset(found)


# Parts for several processes: the arguments and results are plain values.


def _names(request: RaceRequest, _: str, repetitions: Sequence[int]) -> list[Named]:
    """What designs and random search name, at the target budget and below."""
    from foldover.simulator.surface import get_surface  # late: a replay needs no surface

    surface, target = get_surface(request.surface), request.target

    def values(points: Sequence[tuple[float, ...]], budget: float, seeds: Sequence[int]) -> Array:
        return surface.values(points, budget, request.host, seeds=seeds)

    problem = NamingProblem(
        space=corners(LETTERS),
        rows=half_fraction(),
        target=target,
        budgets=(target, target / 2, target / 4),
        smallest_effect=request.smallest_effect,
        q=FAMILY_RATE,
        values=values,
    )
    return [one for each in repetitions for one in names_of(problem, each, first_seed=each * _SEEDS_A_REPETITION + 1)]


def _courses(
    request: RaceRequest, name: str, repetitions: Sequence[int]
) -> tuple[list[Course], list[Mapping[str, float]]]:
    problem = problem_of(request)
    courses, shares = [], []
    for repetition in repetitions:
        moves = moves_of(request, name, repetition, problem.space)
        course = run_course(problem, moves, repetition=repetition, total=request.total, checkpoints=request.checkpoints)
        courses.append(course)
        shares.append(_shares(request, problem, name, course, repetition))
    return courses, shares


def _shares(request: RaceRequest, problem: Problem, name: str, course: Course, repetition: int) -> Mapping[str, float]:
    """Factor to its share of importance; of a screen 1 for what it retains."""
    if name == "staged":
        first = [r for r in course.results if r.trial.budget == request.short]
        screen = [r for r in first if r.trial.seed <= request.screen_seeds]
        by_screen = named_by_screen(problem.space, screen, q=FAMILY_RATE, smallest=request.smallest_effect)
        return dict.fromkeys(by_screen, 1.0)
    return importance_of(problem.space, course.results, adaptive=name in ADAPTIVE, seed=repetition)


def _attribution(
    name: str, shares: Sequence[Mapping[str, float]], truth: frozenset[str], letters: Sequence[str], short: float
) -> Attribution:
    least = 0.0 if name == "staged" else best_threshold(shares, truth)
    how = (
        f"effects of the screen at {short:g} min, BH at q = {FAMILY_RATE}, at least the smallest that matters"
        if name == "staged"
        else f"fANOVA main-effect share, 5th percentile over trees > {least:.4g} (threshold chosen in hindsight)"
    )
    names = [named(found, least) for found in shares]
    return Attribution(
        name=name,
        how=how,
        correct=fmean(found == truth for found in names),
        named={letter: fmean(letter in found for found in names) for letter in letters},
    )


Arguments = tuple[RaceRequest, str, tuple[int, ...]]


@contextmanager
def _processes(jobs: int) -> Iterator[Callable[[Callable[..., Any], Sequence[Arguments]], Iterator[tuple[str, Any]]]]:
    """A map over processes, here for one job; gives each result with the name it belongs to, in order."""
    if jobs == 1:
        yield lambda function, arguments: ((each[1], function(*each)) for each in arguments)
        return
    context = multiprocessing.get_context("spawn")  # a fork would share the open ledger of a replay
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            yield lambda function, arguments: zip(
                [each[1] for each in arguments], pool.map(function, *zip(*arguments, strict=True)), strict=True
            )
        finally:
            pool.shutdown(cancel_futures=True)
