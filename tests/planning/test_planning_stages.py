"""What a stage runs, given what earlier stages found. The simulator resolves; nothing is run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foldover.core import (
    DesignError,
    DesignRequest,
    Factor,
    Pick,
    Recipe,
    RecipeError,
    Resolved,
    Values,
    Verdict,
    natural_levels,
)
from foldover.planning import (
    Condition,
    longest_budget,
    ordered_conditions,
    plan_confirm,
    plan_picked,
    plan_refine,
    plan_screen,
    recipe_at,
)

LETTERS = "ABCDE"


def verdicts(**decisions: str) -> list[Verdict]:
    return [
        Verdict(stage="screen", subject=letter, decision=decision, because="", rule="", evidence="")  # type: ignore[arg-type]
        for letter, decision in decisions.items()
    ]


@pytest.fixture
def best(screen):
    """A at 6, B at 48, C at 0.03, D at 2^18, E at 0.5."""
    return screen.condition("c01")


# Screen


def test_a_screen_has_a_condition_for_every_row_of_its_design(screen):
    assert [c.label for c in screen.conditions] == [row.label for row in screen.design.rows]


def test_a_screen_has_every_combination_of_its_free_factors_once(screen):
    assert len({c.levels[:4] for c in screen.conditions}) == 16


def test_the_generator_gives_the_last_factor(screen):
    assert all(c.levels[4] == c.levels[0] * c.levels[1] * c.levels[2] * c.levels[3] for c in screen.conditions)


def test_a_screen_changes_the_levers_of_its_factors_and_nothing_else(screen, quick_study):
    varied = {factor.lever for factor in quick_study.factors}
    changed = {name for c in screen.conditions for name, _, _ in c.recipe.diff(quick_study.baseline)}
    assert changed <= varied


def test_the_design_of_a_screen_knows_its_aliases(screen):
    assert (screen.design.words, screen.design.resolution, screen.design.aliased_with("A")) == (
        ("ABCDE",),
        5,
        ("BCDE",),
    )


def test_what_a_condition_resolves_to_is_in_the_plan(screen):
    assert screen.condition("c13").derived["width"] == 640


def test_rows_that_resolve_to_one_run_are_noted_before_they_are_paid_for(quick_study, resolve):
    # Aspects 48 and 60 at depth 6 both round up to width 384.
    factors = tuple(replace(f, high=60) if f.letter == "B" else f for f in quick_study.factors)
    stage = replace(quick_study.stage("screen"), design=DesignRequest(runs=32))
    notes = plan_screen(replace(quick_study, factors=factors), stage, resolve).notes
    assert "rows c01, c09 resolve to the same run although B (`model.aspect`) differ" in notes


def test_levels_that_give_one_model_in_half_of_a_fraction_are_noted(quick_study, resolve):
    factors = tuple(replace(f, high=60) if f.letter == "B" else f for f in quick_study.factors)
    notes = plan_screen(replace(quick_study, factors=factors), quick_study.stage("screen"), resolve).notes
    assert any("levels 48 and 60 of `model.aspect` give the same model at depth 6" in note for note in notes)


def test_a_row_that_cannot_be_built_is_a_design_error_with_its_label(quick_study):
    def refuse(recipe: Recipe) -> Resolved:
        raise RecipeError("no such model can be built")

    with pytest.raises(DesignError, match="condition c01 cannot be built: no such model can be built"):
        plan_screen(quick_study, quick_study.stage("screen"), refuse)


def test_a_full_factorial_has_no_generator(quick_study, resolve):
    stage = replace(quick_study.stage("screen"), design=DesignRequest(runs=32))
    assert len(plan_screen(quick_study, stage, resolve).conditions) == 32


# Confirm


def confirm(quick_study, resolve, screen, summaries, **changes):
    stage = replace(quick_study.stage("confirm"), **changes)
    return plan_confirm(quick_study, stage, resolve, screen, summaries)


@pytest.fixture
def summaries(summary_of):
    """c01 best at 5 min and worst at 2 min."""
    long = [summary_of(f"c{i:02d}", 1.0 + i / 100) for i in range(1, 17)]
    short = [summary_of(f"c{i:02d}", 2.0 - i / 100, package="screen @ 2 min") for i in range(1, 17)]
    return [*short, *long]


def test_a_confirmation_takes_best_and_worst_at_the_longest_budget(quick_study, resolve, screen, summaries):
    plan = confirm(quick_study, resolve, screen, summaries, best=2, worst=1)
    assert [(c.label, c.role) for c in plan.conditions] == [("c01", "best"), ("c02", "best"), ("c16", "worst")]


def test_a_confirmation_of_a_response_to_maximize_takes_the_largest_as_best(quick_study, resolve, screen, summaries):
    study = replace(quick_study, direction="maximize")
    plan = confirm(study, resolve, screen, summaries)
    assert [(c.label, c.role) for c in plan.conditions] == [("c16", "best"), ("c01", "worst")]


def test_a_confirmation_without_worst_takes_only_the_best(quick_study, resolve, screen, summaries):
    plan = confirm(quick_study, resolve, screen, summaries, best=1, worst=0)
    assert [c.label for c in plan.conditions] == ["c01"]


def test_a_confirmation_runs_the_same_recipes_under_its_own_seeds(quick_study, resolve, screen, summaries):
    plan = confirm(quick_study, resolve, screen, summaries)
    assert plan.condition("c01").recipe == screen.condition("c01").recipe
    assert {run.seed for run in plan.runs} == {11, 12, 13}


def test_confirmed_runs_are_other_runs_than_those_screened(quick_study, resolve, screen, summaries):
    plan = confirm(quick_study, resolve, screen, summaries)
    assert not {run.run_id for run in plan.runs} & {run.run_id for run in screen.runs}


def test_a_confirmation_of_more_than_has_a_result_is_refused(quick_study, resolve, screen, summary_of):
    with pytest.raises(
        DesignError, match=r"1 best and 1 worst conditions, but only 1 of `screen @ 5 min` have a result"
    ):
        confirm(quick_study, resolve, screen, [summary_of("c01", 1.0)])


def test_the_longest_budget_is_the_largest_wherever_it_stands(quick_study):
    stage = quick_study.stage("screen")
    assert (longest_budget(stage), longest_budget(replace(stage, budgets=stage.budgets[::-1]))) == (1, 0)


def test_equal_means_are_ordered_by_label(quick_study, summary_of):
    found = ordered_conditions([summary_of("c02", 1.0), summary_of("c01", 1.0)], "screen @ 5 min", quick_study)
    assert [s.condition for s in found] == ["c01", "c02"]


# Refine


def refine(quick_study, resolve, best, found, **changes):
    return plan_refine(quick_study, replace(quick_study.stage("refine"), **changes), resolve, best, found)


def levels(plan):
    return {c.label: c.levels for c in plan.conditions}


def test_bridges_move_one_retained_factor_each_and_then_all(quick_study, resolve, screen):
    plan = refine(quick_study, resolve, screen.condition("c16"), verdicts(A="fix_low", D="fix_low"))
    assert levels(plan) == {
        "corner": (-1.0, 1.0, 1.0, -1.0, 1.0),
        "bridge-A": (0.0, 1.0, 1.0, -1.0, 1.0),
        "bridge-D": (-1.0, 1.0, 1.0, 0.0, 1.0),
        "bridge-all": (0.0, 1.0, 1.0, 0.0, 1.0),
    }


def test_the_corner_follows_the_verdicts_and_else_the_best_condition(quick_study, resolve, best):
    plan = refine(quick_study, resolve, best, verdicts(A="fix_high", B="drop", C="undecided", E="keep_open"))
    assert levels(plan)["corner"] == (1.0, *best.levels[1:])


def test_a_corner_that_is_the_best_condition_is_left_out_and_said(quick_study, resolve, best):
    plan = refine(quick_study, resolve, best, verdicts(A="fix_low", D="fix_low"))
    assert ("corner" in levels(plan), plan.notes) == (
        False,
        ("corner resolves to the same run as c01 and is left out",),
    )


def test_a_bridge_that_resolves_to_another_run_of_the_plan_is_left_out(quick_study, resolve, best):
    # At depth 6 the middle of aspect, 60, rounds up to the width of 48.
    plan = refine(quick_study, resolve, best, verdicts(B="fix_low", D="fix_low"))
    assert set(levels(plan)) == {"bridge-D"}
    assert any("bridge-B resolves to the same run as c01" in note for note in plan.notes)


def test_a_single_retained_factor_has_no_bridge_for_all(quick_study, resolve, best):
    assert set(levels(refine(quick_study, resolve, best, verdicts(D="fix_low")))) == {"bridge-D"}


def test_without_a_retained_factor_there_is_nothing_to_run_and_the_plan_says_so(quick_study, resolve, best):
    plan = refine(quick_study, resolve, best, verdicts(A="undecided", B="drop"))
    assert (plan.runs, plan.notes[-1]) == ((), "no factor was retained, so there is nothing to build a bridge to")


def test_named_centers_are_bridged_whatever_was_retained(quick_study, resolve, best):
    plan = refine(quick_study, resolve, best, verdicts(A="fix_low"), centers=("C", "E"))
    assert set(levels(plan)) == {"bridge-C", "bridge-E", "bridge-all"}


def test_a_choice_has_no_bridge(quick_study, resolve, best):
    choice = Factor(letter="E", lever="schedule.warmdown_ratio", low=0.25, high=0.5, kind="choice")
    study = replace(quick_study, factors=(*quick_study.factors[:4], choice))
    assert set(levels(refine(study, resolve, best, verdicts(D="fix_low", E="fix_high")))) == {"bridge-D"}


def test_a_bridge_stands_at_the_centre_of_its_scale(quick_study, resolve, best):
    recipe = refine(quick_study, resolve, best, verdicts(D="fix_low")).condition("bridge-D").recipe
    # 2^18.5 = 370,728 is moved to the nearest multiple of 2048.
    assert recipe.values["batch.total_batch"] == 181 * 2048


def test_bridges_are_marked_in_the_design(quick_study, resolve, screen):
    plan = refine(quick_study, resolve, screen.condition("c16"), verdicts(D="fix_low"))
    assert [(row.label, row.kind) for row in plan.design.rows] == [("corner", "anchor"), ("bridge-D", "center")]


def test_refining_twice_plans_the_same(quick_study, resolve, best):
    found = verdicts(A="fix_low", D="fix_low")
    assert refine(quick_study, resolve, best, found) == refine(quick_study, resolve, best, found)


# Levels


def test_coded_levels_become_lever_values(quick_study):
    found = natural_levels(quick_study.factors, (-1, 1, 0, 1, -1))
    assert dict(found) == {
        "model.depth": 6,
        "model.aspect": 72,
        "optimizer.matrix_lr": 0.04,
        "batch.total_batch": 524288,
        "schedule.warmdown_ratio": 0.25,
    }


def test_a_recipe_at_levels_is_the_baseline_but_for_the_factors(quick_study):
    recipe = recipe_at(quick_study, (1, 1, 1, 1, 1))
    assert {name for name, _, _ in recipe.diff(quick_study.baseline)} <= {f.lever for f in quick_study.factors}
    assert isinstance(recipe, Recipe)


def test_a_condition_is_equal_to_itself_planned_again(screen, quick_study, resolve):
    again = plan_screen(quick_study, quick_study.stage("screen"), resolve)
    assert isinstance(again.conditions[0], Condition)
    assert again == screen


# Factors that a follow-up holds


@pytest.mark.parametrize(("baseline", "level"), [(524288, 1.0), (262144, -1.0), (393216, -1.0)])
def test_a_dropped_factor_is_held_where_the_baseline_has_it(quick_study, resolve, baseline, level):
    study = replace(
        quick_study,
        baseline=replace(
            quick_study.baseline, values=quick_study.baseline.values.with_({"batch.total_batch": baseline})
        ),
    )
    fix = Values(D="better", A="better")
    stage = replace(study.stage("screen"), design=DesignRequest(runs=8), fix=fix, after="screen")
    plan = plan_screen(study, stage, resolve, verdicts(D="drop", A="fix_high"))
    assert {(c.levels[0], c.levels[3]) for c in plan.conditions} == {(1.0, level)}


@pytest.mark.parametrize("decision", ["undecided", "keep_open", "send_back", "more_seeds", "fold_over"])
def test_a_factor_that_is_open_is_held_nowhere(quick_study, resolve, decision):
    stage = replace(quick_study.stage("screen"), design=DesignRequest(runs=16), fix=Values(D="better"), after="screen")
    with pytest.raises(DesignError, match=f"which is: {decision}"):
        plan_screen(quick_study, stage, resolve, verdicts(D=decision))


def test_a_pick_of_a_condition_that_never_ran_says_which_did(quick_study, resolve, screen):
    pick = Pick(role="control", stage="screen", condition="p99")
    stage = replace(quick_study.stage("confirm"), picks=(pick,))
    with pytest.raises(DesignError, match=r"picks `p99` of `screen`, which did not run it\. It ran c01, c02, "):
        plan_picked(quick_study, stage, resolve, [screen], [])
