"""Strategies ask for what their papers say, pay for it, and can be continued from a history."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import DesignError
from foldover.planning.race import Problem, best_threshold, importance_of, named, named_by_screen, run_course, standing
from foldover.planning.strategies import (
    Result,
    Space,
    Staged,
    Trial,
    asha,
    bohb,
    bracket_of,
    brackets,
    continue_with,
    greedy,
    halving,
    hyperband,
    incumbent,
    population,
    promotions,
    random_batches,
    rungs,
    spend,
    staged,
    tpe,
)
from foldover.planning.strategies.trial import corners, generator_of

SPACE = corners("ABCDE")
ROWS = tuple((a, b, c, d, a * b * c * d) for a, b, c, d in itertools.product((-1.0, 1.0), repeat=4))
RUNGS = (1.0, 3.0, 9.0)
SLOPES = (0.02, 0.01, -0.005, 0.04, 0.0)

MAKERS = {
    "random": lambda seed: random_batches(SPACE, budget=9.0, batch=8, seed=seed),
    "greedy": lambda seed: greedy(SPACE, budget=9.0, seed=seed),
    "halving": lambda seed: halving(SPACE, budgets=RUNGS, size=9, seed=seed),
    "hyperband": lambda seed: hyperband(SPACE, budgets=RUNGS, seed=seed),
    "asha": lambda seed: asha(SPACE, budgets=RUNGS, seed=seed),
    "tpe": lambda seed: tpe(SPACE, budget=9.0, seed=seed, num_random=4),
    "bohb": lambda seed: bohb(SPACE, budgets=RUNGS, seed=seed),
    "population": lambda seed: population(SPACE, budgets=RUNGS, size=4, seed=seed),
    "staged": lambda seed: staged(SPACE, Staged(screen=ROWS, budget=3.0, seeds=3, target=9.0)),
}


def exact(trial: Trial) -> float:
    return sum(slope * x for slope, x in zip(SLOPES, trial.levels, strict=True)) / 2 + 0.1 / trial.budget


def noisy(trial: Trial) -> float:
    # Far below the smallest planted effect.
    return exact(trial) + 0.0005 * generator_of(repr(trial)).gauss(0.0, 1.0)


@pytest.mark.parametrize("name", MAKERS)
def test_a_strategy_spends_its_budget_and_no_more(name):
    spent = spend(MAKERS[name](1), noisy, total=200.0)
    assert spent.costs[-1] == pytest.approx(sum(result.trial.budget for result in spent.results))
    assert 200.0 - 9.0 < spent.costs[-1] <= 200.0 + 1e-6
    points = set(SPACE.points())
    assert all(result.trial.levels in points for result in spent.results)
    runs = [(r.trial.levels, r.trial.budget, r.trial.seed) for r in spent.results]
    assert len(set(runs)) == len(runs), "the same run was asked for twice"


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("length", [0, 1, 7, 20])
def test_a_strategy_goes_on_from_any_part_of_its_history(name, length):
    whole = spend(MAKERS[name](3), noisy, total=200.0).results
    asked = continue_with(MAKERS[name](3), whole[:length])
    assert asked[0] == whole[length].trial
    rest = whole[length : length + len(asked)]
    assert list(asked[: len(rest)]) == [result.trial for result in rest]


def test_another_history_is_refused():
    mine, other = (spend(MAKERS["greedy"](seed), noisy, total=90.0).results for seed in (1, 2))
    assert continue_with(MAKERS["greedy"](1), mine)
    with pytest.raises(DesignError, match="not those of this strategy"):
        continue_with(MAKERS["greedy"](1), other)


@pytest.mark.parametrize("name", MAKERS)
def test_failures_cost_and_do_not_stop_the_search(name):
    spent = spend(MAKERS[name](1), lambda t: None if t.levels[0] > 0 else noisy(t), total=200.0)
    assert sum(result.value is None for result in spent.results) > 2
    assert spent.costs[-1] > 190.0
    best = incumbent(spent.results)
    assert best is not None
    assert best.levels[0] < 0


def test_hyperband_has_the_brackets_of_its_algorithm():
    # R = 81, eta = 3, worked by hand from n = ceil((s_max + 1) eta^s / (s + 1)) and floor(n eta^-i).
    found = [(b.sizes, b.budgets) for b in brackets((1.0, 3.0, 9.0, 27.0, 81.0))]
    assert found == [
        ((81, 27, 9, 3, 1), (1.0, 3.0, 9.0, 27.0, 81.0)),
        ((34, 11, 3, 1), (3.0, 9.0, 27.0, 81.0)),
        ((15, 5, 1), (9.0, 27.0, 81.0)),
        ((8, 2), (27.0, 81.0)),
        ((5,), (81.0,)),
    ]
    with pytest.raises(DesignError, match="Hyperband needs"):
        brackets((2.0, 1.0))


def test_rungs_rise_by_the_rate_to_the_largest():
    assert rungs(least=1.0, largest=81.0) == (1.0, 3.0, 9.0, 27.0, 81.0)
    assert rungs(least=2.0, largest=10.0) == pytest.approx((10.0 / 3.0, 10.0))  # 1.1 would be below the least
    assert rungs(least=7.0, largest=7.0) == (7.0,)
    with pytest.raises(DesignError, match="rungs need"):
        rungs(least=2.0, largest=1.0)


def halved_by_hand(values, sizes):
    """Which of the runs take a point on, walked through bracket by bracket, from the values of the runs."""
    left, flags = list(values), []
    while left:
        survivors = sizes[0]
        for rung, size in enumerate(sizes):
            asked, left = left[: min(size, survivors)], left[min(size, survivors) :]
            flags += [rung > 0 for _ in asked]
            survivors = sum(value is not None for value in asked)
            if not survivors or not left:
                break
    return flags


@pytest.mark.parametrize("fails", [lambda t: False, lambda t: t.levels[0] > 0, lambda t: t.seed % 5 == 1])
def test_promotions_are_told_from_the_order_and_the_failures(fails):
    spent = spend(MAKERS["halving"](7), lambda t: None if fails(t) else noisy(t), total=170.0)
    has_value = [result.value is not None for result in spent.results]
    found = promotions((bracket_of(9, RUNGS, eta=3.0),), has_value)
    assert list(found) == halved_by_hand([result.value for result in spent.results], (9, 3, 1))
    # Every bracket begins at the first rung: what is above it was promoted.
    assert list(found) == [result.trial.budget > 1.0 for result in spent.results]
    assert promotions((bracket_of(9, RUNGS, eta=3.0),), []) == ()


def test_a_bracket_that_begins_higher_promotes_nothing_there():
    flags = promotions(brackets(RUNGS), [True] * 22)
    assert [flags[:9], flags[9:13], flags[13:18], flags[18], flags[19:22]] == [
        (False,) * 9,
        (True,) * 4,
        (False,) * 5,
        True,
        (False,) * 3,
    ]


def test_a_rung_keeps_its_best():
    results = spend(hyperband(SPACE, budgets=RUNGS, seed=5), exact, total=9 + 9 + 9).results
    by_budget = {budget: [r for r in results if r.trial.budget == budget] for budget in (1.0, 3.0, 9.0)}
    assert [len(rung) for rung in by_budget.values()] == [9, 3, 1]
    for lower, upper in itertools.pairwise(by_budget.values()):
        bar = sorted(r.value for r in lower)[len(upper) - 1]
        assert all(exact(Trial(levels=r.trial.levels, budget=lower[0].trial.budget, seed=0)) <= bar for r in upper)


def test_asha_promotes_only_from_the_top_third():
    results = spend(asha(SPACE, budgets=RUNGS, seed=2), exact, total=150.0).results
    for i, result in enumerate(results):
        if result.trial.budget == 1.0:
            continue
        below = [r for r in results[:i] if r.trial.budget == result.trial.budget / 3]
        own = exact(Trial(levels=result.trial.levels, budget=result.trial.budget / 3, seed=0))
        assert sum(r.value < own - 1e-12 for r in below) < len(below) / 3
    assert sum(r.trial.budget == 9.0 for r in results) >= 2


def test_greedy_moves_one_factor_and_keeps_what_is_better():
    results = spend(greedy(SPACE, budget=1.0, seed=1, start=(1.0,) * 5), exact, total=40.0).results
    held = results[0]
    for result in results[1:]:
        moved = sum(a != b for a, b in zip(held.trial.levels, result.trial.levels, strict=True))
        assert moved <= 1
        if moved == 0 or result.value < held.value:
            held = result
    assert held.trial.levels[:4] == (-1.0, -1.0, 1.0, -1.0)


def test_staged_confirms_the_better_levels_and_names_the_factors():
    results = spend(MAKERS["staged"](0), noisy, total=600.0).results
    screen = results[:48]
    assert {r.trial.levels for r in screen} == set(ROWS)
    assert named_by_screen(SPACE, screen, q=0.05) == {"A", "B", "C", "D"}
    confirmed = results[48:56]
    assert all(r.trial.levels[:4] == (-1.0, -1.0, 1.0, -1.0) for r in confirmed)
    best = incumbent(results, least_runs=2)
    assert best is not None
    assert best.levels[:4] == (-1.0, -1.0, 1.0, -1.0)


def test_model_based_search_learns_where_it_is_good():
    drawn = spend(tpe(SPACE, budget=1.0, seed=1, num_random=10), exact, total=60.0).results
    first, last = drawn[:10], drawn[-20:]

    def share(results):
        return sum(r.trial.levels[3] < 0 and r.trial.levels[0] < 0 for r in results) / len(results)

    assert share(last) > max(0.6, share(first))


def test_importance_finds_the_planted_order_and_a_threshold_in_hindsight():
    results = spend(random_batches(SPACE, budget=1.0, batch=32, seed=4), exact, total=160.0).results
    shares = importance_of(SPACE, results, adaptive=False)
    assert sorted(shares, key=shares.__getitem__, reverse=True)[:2] == ["D", "A"]
    least = best_threshold([shares], frozenset("ABD"))
    assert named(shares, least) == frozenset("ABD")
    assert importance_of(SPACE, results[:20], adaptive=False) == {}


def test_a_race_measures_regret_by_the_truth():
    def truth(levels):
        return exact(Trial(levels=levels, budget=9.0, seed=0))

    problem = Problem(
        space=SPACE,
        target=9.0,
        value=lambda trial, repetition: noisy(trial),
        truth=truth,
        is_good=lambda levels: levels[0] < 0 and levels[3] < 0,
    )
    assert problem.best()[:4] == (-1.0, -1.0, 1.0, -1.0)
    marks = (5.0, 90.0, 360.0)
    courses = [
        run_course(problem, greedy(SPACE, budget=9.0, seed=k), repetition=k, total=360.0, checkpoints=marks)
        for k in range(6)
    ]
    assert all(course.regrets[0] == float("inf") and course.regrets[2] < 0.006 for course in courses)
    course = courses[0]
    assert course.runs_to_region is not None
    hit = course.results[course.runs_to_region - 1].trial.levels
    assert (hit[0], hit[3]) == (-1.0, -1.0)
    assert not any(r.trial.levels[0] < 0 and r.trial.levels[3] < 0 for r in course.results[: course.runs_to_region - 1])
    table = standing("greedy", courses, marks)
    assert (table.repetitions, table.reached) == (6, 1.0)
    assert table.bands[2].low <= table.bands[2].median <= table.bands[2].high
    assert table.cost_to_region == pytest.approx(9.0 * table.runs_to_region)


@settings(max_examples=30)
@given(st.lists(st.integers(2, 4), min_size=1, max_size=4), st.integers(0, 5))
def test_neighbours_differ_in_one_step(sizes, seed):
    space = Space(levels={letter: tuple(map(float, range(n))) for letter, n in zip("ABCD", sizes, strict=False)})
    for point in space.points():
        for other in space.neighbours(point):
            assert sum(abs(a - b) for a, b in zip(point, other, strict=True)) == 1.0
    with pytest.raises(DesignError, match="two or more ascending"):
        Space(levels={"A": (1.0, -1.0)})


def test_what_was_confirmed_outranks_what_was_lucky_once():
    lucky, solid = (1.0,) * 5, (-1.0,) * 5
    results = [
        Result(trial=Trial(levels=lucky, budget=9.0, seed=1), value=0.1),
        *(Result(trial=Trial(levels=solid, budget=9.0, seed=k), value=0.2) for k in range(4)),
        Result(trial=Trial(levels=lucky, budget=1.0, seed=9), value=0.0),
        Result(trial=Trial(levels=lucky, budget=27.0, seed=10), value=None),
    ]
    assert incumbent(results).levels == lucky
    assert incumbent(results, least_runs=2).levels == solid
    assert incumbent([]) is None
