"""Conditions x budgets x seeds: ids, packages and the randomised order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import Budget, Limit, Recipe, Stage, Study, Values, from_json, to_json
from foldover.planning import Condition, Plan, expand, package_name


def stage_of(seeds: list[int], budgets: list[int]) -> Stage:
    return Stage(
        name="screen",
        kind="screen",
        seeds=tuple(seeds),
        budgets=tuple(Budget(limit=Limit(kind="seconds", amount=amount)) for amount in budgets),
    )


def conditions_of(number: int) -> list[Condition]:
    return [
        Condition(
            label=f"c{i:02d}",
            role="screen",
            levels=(float(i),),
            recipe=Recipe(trainer="toy", values=Values(depth=i)),
            derived=Values(),
        )
        for i in range(1, number + 1)
    ]


@pytest.fixture(scope="module")
def bare(quick_study: Study) -> Study:
    return replace(quick_study, name="toy", constants=Values(corpus="toy"), seed=5)


seeds = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4, unique=True)
budgets = st.lists(st.integers(1, 10**6), min_size=1, max_size=3, unique=True)
sizes = st.integers(1, 12)


@given(seeds=seeds, budgets=budgets, size=sizes)
def test_every_condition_runs_once_at_every_budget_under_every_seed(bare, seeds, budgets, size):
    plan = expand(bare, stage_of(seeds, budgets), conditions_of(size))
    found = Counter((run.condition, run.budget.limit.amount, run.seed) for run in plan.runs)
    wanted = {(f"c{i:02d}", float(b), s) for i in range(1, size + 1) for b in budgets for s in seeds}
    assert found == Counter(dict.fromkeys(wanted, 1))


@given(seeds=seeds, budgets=budgets, size=sizes)
def test_no_two_runs_share_an_id(bare, seeds, budgets, size):
    plan = expand(bare, stage_of(seeds, budgets), conditions_of(size))
    assert len({run.run_id for run in plan.runs}) == len(plan.runs)


@given(seeds=seeds, budgets=budgets, size=sizes)
def test_each_seed_is_one_block_in_time(bare, seeds, budgets, size):
    plan = expand(bare, stage_of(seeds, budgets), conditions_of(size))
    order = [run.seed for run in plan.runs]
    assert [seed for i, seed in enumerate(order) if i == 0 or order[i - 1] != seed] == seeds


@given(seeds=seeds, budgets=budgets, size=sizes)
def test_packages_hold_exactly_their_runs(bare, seeds, budgets, size):
    plan = expand(bare, stage_of(seeds, budgets), conditions_of(size))
    held = {package.name: list(package.runs) for package in plan.packages}
    own = {name: sorted(run.run_id for run in plan.runs if run.package == name) for name in held}
    assert (held, sum(map(len, held.values()))) == (own, len(plan.runs))


@given(seeds=seeds, budgets=budgets, size=sizes)
def test_planning_twice_plans_once(bare, seeds, budgets, size):
    stage, conditions = stage_of(seeds, budgets), conditions_of(size)
    assert expand(bare, stage, conditions) == expand(bare, stage, conditions)


@given(seeds=seeds, budgets=budgets, size=sizes)
def test_a_plan_comes_back_from_json_as_it_was(bare, seeds, budgets, size):
    plan = expand(bare, stage_of(seeds, budgets), conditions_of(size), notes=["a note"])
    assert from_json(Plan, to_json(plan)) == plan


def order_of(study: Study, stage: Stage, seed: int) -> list[str]:
    return [run.condition for run in expand(study, stage, conditions_of(12)).runs if run.seed == seed]


def test_the_order_is_drawn_from_the_seed_of_the_study(bare):
    stage = stage_of([1], [60])
    assert order_of(bare, stage, 1) != order_of(replace(bare, seed=6), stage, 1)


def test_two_seeds_run_in_two_orders(bare):
    stage = stage_of([1, 2], [60])
    assert order_of(bare, stage, 1) != order_of(bare, stage, 2)


def test_one_more_seed_leaves_the_order_of_the_others(bare):
    one, two = stage_of([1], [60]), stage_of([1, 2], [60])
    assert order_of(bare, one, 1) == order_of(bare, two, 1)


def test_the_order_is_not_the_order_of_the_design(bare):
    assert order_of(bare, stage_of([1], [60]), 1) != [f"c{i:02d}" for i in range(1, 13)]


def test_budgets_are_mixed_within_a_block(bare):
    plan = expand(bare, stage_of([1], [60, 120]), conditions_of(8))
    order = [run.package for run in plan.runs]
    assert order not in (sorted(order), sorted(order, reverse=True))


def test_a_run_carries_what_defines_it(bare):
    (run,) = expand(bare, stage_of([7], [60]), conditions_of(1)).runs
    assert (run.study, run.stage, run.package, run.levels, run.constants) == (
        "toy",
        "screen",
        "screen @ 1 min",
        (1.0,),
        Values(corpus="toy"),
    )


def test_the_id_of_a_run_does_not_depend_on_the_seed_of_the_order(bare):
    stage = stage_of([1, 2], [60])
    ids = [{run.run_id for run in expand(s, stage, conditions_of(5)).runs} for s in (bare, replace(bare, seed=6))]
    assert ids[0] == ids[1]


def test_a_stage_without_conditions_has_packages_without_runs(bare):
    plan = expand(bare, stage_of([1], [60]), [])
    assert (plan.runs, [package.runs for package in plan.packages]) == ((), [()])


def test_a_package_is_named_by_stage_and_budget():
    assert package_name(stage_of([1], [90, 600]), 1) == "screen @ 10 min"


def test_a_condition_of_a_plan_is_found_by_its_label(bare):
    plan = expand(bare, stage_of([1], [60]), conditions_of(2))
    assert plan.condition("c02").recipe.values["depth"] == 2
    with pytest.raises(KeyError, match="c03"):
        plan.condition("c03")
