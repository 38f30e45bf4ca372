"""A search as a stage: what is asked for when, at which budget, for which cost, and that a history continues it."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import Budget, Limit, Search, Stage
from foldover.planning import carried_on, expected_runs, is_whole, most_runs, plan_search, space_of
from foldover.planning.strategies import num_replaced
from foldover.planning.strategies.trial import generator_of

MINUTES = (60.0, 180.0, 540.0)
SLOPES = (0.02, 0.01, -0.005, 0.04, 0.0)
OVER_RUNGS = ("halving", "hyperband", "asha", "bohb", "population")
BATCHES = {"halving": 9, "asha": 4, "population": 8}


def stage_of(strategy, *, cost=9000.0, batch=None, amounts=MINUTES, **more):
    budgets = tuple(Budget(limit=Limit(kind="seconds", amount=amount)) for amount in amounts)
    search = Search(
        strategy=strategy,
        runs=None,
        batch=batch or BATCHES.get(strategy, 1),
        cost=Limit(kind="seconds", amount=cost),
    )
    return Stage(name=strategy, kind="search", budgets=budgets, seeds=(500,), search=search, **more)


def response(run):
    value = sum(slope * x for slope, x in zip(SLOPES, run.levels, strict=True)) / 2 + 0.1 / run.budget.limit.amount
    return value + 0.0005 * generator_of(run.run_id).gauss(0.0, 1.0)


def fails_on_large(run):
    return None if min(run.levels[0], run.levels[1]) > 0 else response(run)


def advance(study, stage, resolve, held, answer=response, earlier=()):
    values = {} if held is None else {run.run_id: answer(run) for run in held.runs}
    return plan_search(study, stage, resolve, held=held, values=values, earlier=earlier)


def whole(study, stage, resolve, answer=response):
    """Every plan on the way to the end of the search."""
    plans = [advance(study, stage, resolve, None, answer)]
    while not is_whole(plans[-1], stage):
        plans.append(advance(study, stage, resolve, plans[-1], answer))
        assert len(plans) < 1000
    return plans


def spent(plan):
    return sum(run.budget.limit.amount for run in plan.runs)


@pytest.mark.parametrize("answer", [response, fails_on_large, lambda run: None], ids=["finished", "some", "none"])
@pytest.mark.parametrize("strategy", OVER_RUNGS)
def test_a_search_over_rungs_spends_its_cost_and_never_more(quick_study, resolve, strategy, answer):
    stage = stage_of(strategy)
    plans = whole(quick_study, stage, resolve, answer)
    last = plans[-1]
    assert 9000.0 - MINUTES[-1] < spent(last) <= 9000.0
    assert [is_whole(plan, stage) for plan in plans] == [False] * (len(plans) - 1) + [True]
    assert all(not plan.end for plan in plans[:-1])
    assert ("min of 150 min are left" in last.end) == (spent(last) < 9000.0)
    assert {run.budget for run in last.runs} <= set(stage.budgets)
    for before, after in itertools.pairwise(plans):
        assert after.runs[: len(before.runs)] == before.runs


@pytest.mark.parametrize("strategy", OVER_RUNGS)
def test_every_run_is_in_the_package_of_its_budget_and_has_a_seed_of_its_own(quick_study, resolve, strategy):
    stage = stage_of(strategy)
    plan = whole(quick_study, stage, resolve)[-1]
    names = [f"{strategy} @ {label}" for label in ("1 min", "3 min", "9 min")]
    assert [package.name for package in plan.packages] == names
    for package in plan.packages:
        own = [run for run in plan.runs if run.budget == package.budget]
        assert package.runs == tuple(run.run_id for run in own)
        assert {run.package for run in own} == {package.name}
    assert [run.seed for run in plan.runs] == list(range(500, 500 + len(plan.runs)))


@pytest.mark.parametrize("strategy", OVER_RUNGS)
def test_under_one_fixed_seed_repetitions_are_counted_a_budget(quick_study, resolve, strategy):
    stage = stage_of(strategy, regime="fixed")
    plan = whole(quick_study, stage, resolve)[-1]
    assert {run.seed for run in plan.runs} == {500}
    seen = Counter()
    for run in plan.runs:
        assert run.rerun == seen[run.levels, run.budget]
        seen[run.levels, run.budget] += 1
    assert max(seen.values()) > 1
    again = advance(quick_study, replace(stage, name="again"), resolve, None, earlier=[plan])
    for run in again.runs[:1]:
        assert run.rerun == seen[run.levels, run.budget]


@pytest.mark.parametrize("strategy", [*OVER_RUNGS, "greedy", "random", "tpe"])
@pytest.mark.parametrize("kept", [1, 7, 13])
def test_a_search_cut_in_the_middle_of_a_batch_asks_for_the_rest_of_it(quick_study, resolve, strategy, kept):
    if strategy in OVER_RUNGS:
        stage = stage_of(strategy)
    else:
        one = stage_of("halving", amounts=MINUTES[-1:])
        stage = replace(one, name=strategy, search=Search(strategy=strategy, runs=16, batch=8))
    full = whole(quick_study, stage, resolve)[-1]
    cut = replace(full, runs=full.runs[:kept], end="")
    after = advance(quick_study, stage, resolve, cut)
    assert len(after.runs) > kept
    assert after.runs == full.runs[: len(after.runs)]


@settings(max_examples=25)
@given(cost=st.integers(540, 40_000), name=st.sampled_from(["halving", "hyperband", "population"]))
def test_whatever_fits_a_cost_is_run(quick_study, resolve, cost, name):
    stage = stage_of(name, cost=float(cost))
    plans = whole(quick_study, stage, resolve)
    left = cost - spent(plans[-1])
    assert left >= 0
    # Nothing but the next run, which the same search of a greater cost asks for, is too long for what is left.
    more = whole(quick_study, stage_of(name, cost=cost + 540.0), resolve)[-1]
    assert more.runs[: len(plans[-1].runs)] == plans[-1].runs
    assert more.runs[len(plans[-1].runs)].budget.limit.amount > left


@pytest.mark.parametrize("strategy", ["halving", "hyperband", "bohb", "population"])
@pytest.mark.parametrize("cost", [1200.0, 9000.0])
def test_runs_that_are_foreseen_are_those_that_are_run(quick_study, resolve, strategy, cost):
    stage = stage_of(strategy, cost=cost)
    counts = Counter(run.budget for run in whole(quick_study, stage, resolve)[-1].runs)
    foreseen = expected_runs(stage.search, stage.budgets, space_of(quick_study, stage.search))
    assert foreseen == tuple(counts[budget] for budget in stage.budgets)
    assert sum(foreseen) <= most_runs(stage.search, stage.budgets) == int(cost // 60)


def test_promotions_of_asha_make_what_is_foreseen_an_estimate(quick_study, resolve):
    stage = stage_of("asha", cost=17_280.0)
    counts = Counter(run.budget for run in whole(quick_study, stage, resolve)[-1].runs)
    foreseen = expected_runs(stage.search, stage.budgets, space_of(quick_study, stage.search))
    assert foreseen == (99, 33, 10)
    assert sum(counts.values()) == pytest.approx(sum(foreseen), rel=0.15)


@pytest.mark.parametrize("strategy", ["halving", "hyperband", "asha", "bohb"])
@pytest.mark.parametrize("answer", [response, fails_on_large])
def test_what_is_carried_on_was_among_the_best_of_the_rung_below(quick_study, resolve, strategy, answer):
    stage = stage_of(strategy)
    runs = whole(quick_study, stage, resolve, answer)[-1].runs
    values = [answer(run) for run in runs]
    taken = carried_on(stage.search, stage.budgets, [run.budget for run in runs], [v is not None for v in values])
    if strategy in ("halving", "asha"):
        # Their brackets all begin at the first rung.
        assert [index is None for index in taken] == [run.budget == stage.budgets[0] for run in runs]
    assert sum(index is not None for index in taken) > 5
    for at, (index, run) in enumerate(zip(taken, runs, strict=True)):
        if index is not None:
            assert stage.budgets[index + 1] == run.budget
            below = [(v, r) for v, r in zip(values[:at], runs[:at], strict=True) if r.budget == stage.budgets[index]]
            own = [v for v, r in below if r.levels == run.levels and v is not None]
            assert own, "it has a result at the rung below"


def test_a_generation_keeps_all_but_those_that_are_replaced(quick_study, resolve):
    stage = stage_of("population", cost=5000.0)
    runs = whole(quick_study, stage, resolve)[-1].runs
    assert num_replaced(8) == 2
    taken = carried_on(stage.search, stage.budgets, [run.budget for run in runs], [True] * len(runs))
    for start in range(8, len(runs) - 7, 8):
        before, own = runs[start - 8 : start], runs[start : start + 8]
        ranked = sorted(before, key=lambda run: (response(run), run.levels))
        assert [run.levels for run in own[:6]] == [run.levels for run in ranked[:6]]
        at = stage.budgets.index(before[0].budget)
        assert taken[start : start + 8] == (at,) * 6 + (None,) * 2
    assert taken[:8] == (None,) * 8


def test_more_is_better_where_the_study_maximizes(quick_study, resolve):
    stage = stage_of("halving", cost=1620.0)
    up = replace(quick_study, direction="maximize")
    least, most = (whole(study, stage, resolve)[-1].runs for study in (quick_study, up))
    assert [run.levels for run in least[:9]] == [run.levels for run in most[:9]]
    ranked = sorted(least[:9], key=response)
    assert {run.levels for run in least[9:12]} == {run.levels for run in ranked[:3]}
    assert {run.levels for run in most[9:12]} == {run.levels for run in ranked[-3:]}
