"""Runs that share training: which trunks a plan has, what starts from them, and what it saves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from foldover.core import Budget, Limit, Recipe, RecipeError, RunSpec, Stage, Study, Values, lever, levers_of
from foldover.planning import Condition, Plan, Sharing, estimate_cost, expand, share_training, spent_before


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    rate: float = lever(0.1, "Of a step.", low=0.0, high=1.0)
    warmdown: float = lever(0.5, "Share.", low=0.0, high=1.0, neutral=0.0)
    bits: int = lever(8, "Stored.", low=2, high=32, phase="export", neutral=32)
    stride: int = lever(4, "Evaluated.", low=1, high=64, phase="evaluate")


LEVERS = levers_of(Config)


def branch_point(recipe: Recipe, budget: Budget) -> Limit | None:
    amount = int(budget.limit.amount * (1.0 - recipe.values.number("warmdown")))
    return Limit(kind=budget.limit.kind, amount=amount) if amount else None


def trunk_recipe(recipe: Recipe) -> Recipe:
    return Recipe(trainer=recipe.trainer, values=recipe.values.with_(warmdown=0.0))


SHARING = Sharing(levers=LEVERS, trunk_recipe=trunk_recipe, branch_point=branch_point)


def conditions(*changes: dict[str, object]) -> list[Condition]:
    return [
        Condition(
            label=f"c{i:02d}",
            role="screen",
            levels=(float(i),),
            recipe=Recipe(trainer="toy", values=LEVERS.complete(change)),
            derived=Values(),
        )
        for i, change in enumerate(changes, start=1)
    ]


def stage_of(*limits: str, seeds: tuple[int, ...] = (1, 2), branch: bool = False) -> Stage:
    return Stage(
        name="screen",
        kind="screen",
        budgets=tuple(Budget(limit=Limit.parse(limit)) for limit in limits),
        seeds=seeds,
        branch="warmdown" if branch else None,
    )


@pytest.fixture
def shared(quick_study: Study):
    def plan(stage: Stage, *changes: dict[str, object]) -> Plan:
        return share_training(expand(quick_study, stage, conditions(*changes)), stage, SHARING)

    return plan


def trunks(plan: Plan) -> list[RunSpec]:
    return [run for run in plan.runs if run.is_trunk]


def dependents(plan: Plan, trunk: RunSpec) -> set[tuple[str, str, int]]:
    own = [run for run in plan.runs if run.starts_from == trunk.run_id]
    return {(run.condition, run.budget.label(), run.seed) for run in own}


EXPORTS = ({"bits": 4}, {"bits": 8}, {"bits": 4, "rate": 0.2}, {"bits": 4, "rate": 0.2, "stride": 64})


def test_runs_that_differ_after_training_are_trained_once_for_each_budget_and_seed(shared):
    plan = shared(stage_of("40 steps", "80 steps"), *EXPORTS)
    made = trunks(plan)
    assert len(made) == 2 * 2 * 2  # two trainings at two budgets under two seeds
    assert len(plan.runs) == 16 + 8
    assert {trunk.condition for trunk in made} == {"trained-01", "trained-02"}
    for trunk in made:
        rate = trunk.recipe.values["rate"]
        assert trunk.recipe.values == LEVERS.complete({"rate": rate, "bits": 32, "stride": 4})
        assert (trunk.keeps_state, trunk.branch_points, trunk.levels, trunk.starts_from) == (True, (), (), None)
        names = ("c01", "c02") if rate == 0.1 else ("c03", "c04")
        assert dependents(plan, trunk) == {(name, trunk.budget.label(), trunk.seed) for name in names}
    assert "8 trainings for 16 runs" in plan.notes[-1]


def test_trunks_come_first_in_the_block_of_their_seed_and_have_packages_of_their_own(shared):
    plan = shared(stage_of("40 steps", "80 steps", seeds=(5, 3)), *EXPORTS)
    assert [run.seed for run in plan.runs] == [5] * 12 + [3] * 12
    place = {run.run_id: i for i, run in enumerate(plan.runs)}
    assert all(place[run.starts_from] < place[run.run_id] for run in plan.runs if run.starts_from)
    assert sorted((p.name, p.role, len(p.runs)) for p in plan.packages) == [
        ("screen @ 40 steps", "compared", 8),
        ("screen @ 80 steps", "compared", 8),
        ("screen trained @ 40 steps", "trunk", 4),
        ("screen trained @ 80 steps", "trunk", 4),
    ]
    assert [p.name for p in plan.compared] == ["screen @ 40 steps", "screen @ 80 steps"]
    for package in plan.packages:
        assert package.runs == tuple(sorted(run.run_id for run in plan.runs if run.package == package.name))


def test_where_nothing_is_shared_the_plan_stays_as_it_was(quick_study):
    stage = stage_of("40 steps", "80 steps")
    plain = expand(quick_study, stage, conditions({"rate": 0.1}, {"rate": 0.2}))
    assert share_training(plain, stage, SHARING) == plain


def test_a_run_that_would_be_alone_on_its_trunk_trains_by_itself(shared):
    plan = shared(stage_of("40 steps", seeds=(1,)), {"bits": 4}, {"bits": 8}, {"rate": 0.3})
    (alone,) = [run for run in plan.runs if run.condition == "c03"]
    assert alone.starts_from is None
    assert len(trunks(plan)) == 1


def test_a_rerun_and_a_condition_drawn_twice_train_again(shared):
    reruns = shared(replace(stage_of("40 steps", seeds=(1,)), reruns=2), {"bits": 4}, {"bits": 8})
    assert sorted((trunk.rerun, len(dependents(reruns, trunk))) for trunk in trunks(reruns)) == [(0, 2), (1, 2)]
    twice = shared(stage_of("40 steps", seeds=(1,)), {"rate": 0.1}, {"rate": 0.1})
    assert not trunks(twice)
    assert len(twice.runs) == 2


def test_warmdowns_of_several_budgets_branch_from_one_trunk_a_seed(shared):
    plan = shared(stage_of("20 steps", "40 steps", "80 steps", branch=True), {"rate": 0.1}, {"rate": 0.2})
    made = trunks(plan)
    assert len(made) == 2 * 2
    for trunk in made:
        assert [point.amount for point in trunk.branch_points] == [10, 20, 40]
        assert trunk.budget.limit == Limit.parse("40 steps")
        assert (trunk.recipe.values["warmdown"], trunk.keeps_state) == (0.0, False)
        assert {budget for _, budget, _ in dependents(plan, trunk)} == {"20 steps", "40 steps", "80 steps"}
        assert {seed for *_, seed in dependents(plan, trunk)} == {trunk.seed}
    # Each trunk 40 steps and branches of 10, 20 and 40, where it would be 20 + 40 + 80.
    assert plan.notes[0] == ("4 trunks at constant rates for 12 runs: 440 steps of training instead of 560 (21% less)")


def test_conditions_that_differ_in_their_warmdown_share_a_trunk(shared):
    plan = shared(stage_of("40 steps", seeds=(1,), branch=True), {"warmdown": 0.25}, {"warmdown": 0.5})
    (trunk,) = trunks(plan)
    assert [point.amount for point in trunk.branch_points] == [20, 30]
    assert {condition for condition, *_ in dependents(plan, trunk)} == {"c01", "c02"}


def test_a_run_that_is_a_warmdown_from_its_first_step_trains_by_itself(shared):
    plan = shared(stage_of("20 steps", "40 steps", seeds=(1,), branch=True), {"warmdown": 1.0}, {"warmdown": 0.5})
    assert {run.condition for run in plan.runs if run.starts_from is None} == {"c01", "trunk-01"}


def test_limits_of_two_kinds_do_not_share_a_trunk(shared):
    plan = shared(stage_of("20 steps", "40 steps", "60 s", "90 s", seeds=(1,), branch=True), {})
    assert sorted(trunk.budget.label() for trunk in trunks(plan)) == ["20 steps", "45 s"]


def test_what_is_exported_many_times_may_itself_branch(shared):
    plan = shared(stage_of("20 steps", "40 steps", seeds=(1,), branch=True), {"bits": 4}, {"bits": 8})
    constant, *trained = trunks(plan)
    assert (constant.condition, [point.amount for point in constant.branch_points]) == ("trunk-01", [10, 20])
    assert [(t.starts_from, t.keeps_state, t.recipe.values["bits"]) for t in trained] == [
        (constant.run_id, True, 32)
    ] * 2
    assert [len(dependents(plan, trunk)) for trunk in trained] == [2, 2]
    assert plan.notes == (
        "1 trunk at constant rates for 4 runs: 50 steps of training instead of 60 (17% less)",
        "2 trainings for 4 runs: these differ in what is done after training and begin with its state; each kind of "
        "factor is judged by the error of its stratum (a split plot)",
    )


def test_planning_twice_plans_once(shared):
    stage = stage_of("20 steps", "40 steps", branch=True)
    assert shared(stage, *EXPORTS) == shared(stage, *EXPORTS)


def test_reasons_against_branches_come_through(quick_study):
    def refuse(recipe: Recipe, budget: Budget) -> Limit | None:
        raise RecipeError("it depends on the whole budget")

    stage = stage_of("20 steps", "40 steps", branch=True)
    plain = expand(quick_study, stage, conditions({}))
    with pytest.raises(RecipeError, match="it depends on the whole budget"):
        share_training(plain, stage, replace(SHARING, branch_point=refuse))


def test_a_cost_counts_what_is_left_to_train_and_waits_for_trunks(shared):
    plan = shared(stage_of("20 steps", "40 steps", seeds=(1,), branch=True), {"bits": 4}, {"bits": 8})
    by_id = {run.run_id: run for run in plan.runs}

    def estimate(run: RunSpec) -> float:
        spent = spent_before(run, by_id, SHARING)
        return run.budget.limit.amount - (spent.amount if spent else 0.0) + 1.0

    cost = estimate_cost(plan.runs, estimate, jobs=100, measured={})
    assert (cost.runs, cost.trunks, cost.continued) == (7, 3, 6)
    assert cost.slot_seconds == (20 + 1) + (10 + 1) + (20 + 1) + 4 * 1
    assert cost.wall_seconds == (20 + 1) + (20 + 1) + 1
