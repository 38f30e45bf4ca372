"""What could come next: a face-centred composite, and recipes of the same size."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from foldover.core import (
    Budget,
    ConditionSummary,
    DesignError,
    DesignRequest,
    Factor,
    Gate,
    Limit,
    Pick,
    Recipe,
    RecipeError,
    Resolved,
    Stage,
    Study,
    Values,
)
from foldover.planning import Condition, Plan, expand
from foldover.planning.followup import matched_recipes, surface_follow_up
from foldover.planning.stages import best_of, plan_picked, plan_screen

A = Factor(letter="A", lever="depth", low=6, high=8, kind="int")
B = Factor(letter="B", lever="aspect", low=48, high=72, kind="int")
M = Factor(letter="M", lever="multiplier", low=2.0, high=6.0)
C = Factor(letter="C", lever="rate", low=0.2, high=0.8, scale="log")
D = Factor(letter="D", lever="batch", low=1, high=2, kind="int", scale="pow2")
E = Factor(letter="E", lever="optimizer", low="adam", high="muon", kind="choice")


def a_study() -> Study:
    return Study(
        name="s",
        question="q",
        response="y",
        direction="minimize",
        baseline=Recipe(trainer="t", values=Values(depth=6, aspect=48, batch=1)),
        factors=(A, B, D),
        stages=(),
        gate=Gate(),
        constants=Values(),
    )


def resolve(recipe: Recipe) -> Resolved:
    """Width in steps of 128, parameters 12 depth width^2; depth 9 cannot be built."""
    depth, aspect = recipe.values.integer("depth"), recipe.values.integer("aspect")
    if depth > 8:
        raise RecipeError("too deep")
    width = 128 * -(-depth * aspect // 128)
    derived = Values(width=width, num_params=12 * depth * width**2)
    return Resolved(recipe=recipe, derived=derived, effective=Values(depth=depth, width=width))


def test_faces_of_the_region_and_its_centre():
    design = surface_follow_up([A, B])
    kinds = Counter(row.kind for row in design.rows)
    # One centre: under a seed of its own row it would be the same run again.
    assert kinds == {"factorial": 4, "axial": 4, "center": 1}
    assert {row.levels for row in design.rows if row.kind == "axial"} == {(-1, 0), (1, 0), (0, -1), (0, 1)}
    assert max(abs(x) for row in design.rows for x in row.levels) == 1.0


def test_factors_without_a_level_between_are_left_out():
    assert surface_follow_up([A, D, E, B]).letters == ("A", "B")
    with pytest.raises(DesignError, match="two factors with a level between"):
        surface_follow_up([A, D, E])


def test_recipes_of_the_same_size_are_found_by_trying_all():
    study = a_study()
    bridge = Recipe(trainer="t", values=study.baseline.values.with_({"depth": 8, "aspect": 64}))
    target = 12 * 8 * 512**2
    found = matched_recipes(study, bridge, resolve, letters=("A", "B"), tolerance=0.2)
    expected = set()
    for depth in (5, 6, 7, 8):  # 9 cannot be built
        for aspect in range(36, 85):
            width = 128 * -(-depth * aspect // 128)
            if abs(12 * depth * width**2 / target - 1) <= 0.2 and (depth, width) != (8, 512):
                expected.add((depth, width))
    assert {(m.recipe.values["depth"], resolve(m.recipe).derived["width"]) for m in found} == expected
    assert expected == {(7, 512)}
    assert found[0].gap == pytest.approx(7 / 8 - 1)
    assert [abs(m.gap) for m in found] == sorted(abs(m.gap) for m in found)


def test_what_cannot_be_matched_is_said():
    study = a_study()
    with pytest.raises(DesignError, match="nothing derived is called `flops`"):
        matched_recipes(study, study.baseline, resolve, letters=("A",), quantity="flops")
    with pytest.raises(DesignError, match="no such factor"):
        matched_recipes(study, study.baseline, resolve, letters=("Z",))


def stage_of(name: str, *picks: Pick) -> Stage:
    return Stage(name=name, kind="anchors", budgets=(Budget(limit=Limit.parse("9s")),), seeds=(1,), picks=picks)


def resolve_exactly(recipe: Recipe) -> Resolved:
    """Parameters 12 depth width^2, the width not rounded."""
    depth, aspect = recipe.values.integer("depth"), recipe.values.integer("aspect")
    shape = Values(num_params=12 * depth * (depth * aspect) ** 2)
    return Resolved(recipe=recipe, derived=shape, effective=Values(depth=depth, aspect=aspect))


def test_a_pick_may_take_the_recipe_of_its_size_instead():
    study = a_study()
    recipe = Recipe(trainer="t", values=study.baseline.values.with_({"depth": 7, "aspect": 60}))
    bridge = Condition(label="bridge", role="bridge", levels=(0.0, 0.0, -1.0), recipe=recipe, derived=Values())
    plans = [expand(study, stage_of("bridges"), [bridge])]
    same = Pick(role="same size", stage="bridges", condition="bridge", match="num_params", over=("A", "B"))
    (condition,) = plan_picked(study, stage_of("anchors", same), resolve_exactly, plans, ()).conditions
    shapes = itertools.product((5, 6, 8, 9), range(36, 85))
    depth, aspect = min(shapes, key=lambda shape: abs(shape[0] ** 3 * shape[1] ** 2 / (7**3 * 60**2) - 1))
    levels = ((depth - 7) / 1, (aspect - 60) / 12, -1.0)
    assert (condition.label, condition.role) == ("bridge-same-size", "same size")
    assert condition.levels == pytest.approx(levels)
    assert condition.recipe.values == recipe.values.with_({"depth": depth, "aspect": aspect})
    assert condition.derived["num_params"] == 12 * depth * (depth * aspect) ** 2


def bridge_of(study: Study, resolve_it: Callable[[Recipe], Resolved], depth: int, aspect: int) -> Plan:
    recipe = Recipe(trainer="t", values=study.baseline.values.with_({"depth": depth, "aspect": aspect}))
    derived = resolve_it(recipe).derived
    bridge = Condition(label="bridge", role="bridge", levels=(0.0, 0.0, -1.0), recipe=recipe, derived=derived)
    return expand(study, stage_of("bridges"), [bridge])


def test_a_match_is_looked_for_beyond_the_levels_too():
    study = a_study()
    deep = Recipe(trainer="t", values=study.baseline.values.with_({"depth": 6, "aspect": 42}))
    (below,) = matched_recipes(study, deep, resolve_exactly, letters=("A",), tolerance=1.0)[:1]
    assert below.recipe.values["depth"] == 5
    assert below.levels == (-2.0,)


def test_what_matches_twice_stands_for_both():
    study = a_study()

    def one_match(recipe: Recipe) -> Resolved:
        """Depth 7 has the size of depth 8; all others are far off."""
        depth = recipe.values.integer("depth")
        size = {8: 100, 7: 95}.get(depth, 1000)
        derived = Values(num_params=size, flops_per_token=size + 1)
        return Resolved(recipe=recipe, derived=derived, effective=Values(depth=depth))

    plans = [bridge_of(study, one_match, 8, 60)]
    picks = [
        Pick(role="bridge", stage="bridges", condition="bridge"),
        Pick(role="same size", stage="bridges", condition="bridge", match="num_params", over=("A",)),
        Pick(role="same work", stage="bridges", condition="bridge", match="flops_per_token", over=("A",)),
    ]
    plan = plan_picked(study, stage_of("anchors", *picks), one_match, plans, ())
    assert [condition.role for condition in plan.conditions] == ["bridge", "same size"]
    assert plan.notes == ("what has the `flops_per_token` of bridge is picked already: bridge-same-size (same work)",)


def test_the_next_nearest_is_taken_where_the_nearest_is_picked():
    study = a_study()

    def graded(recipe: Recipe) -> Resolved:
        depth = recipe.values.integer("depth")
        derived = Values(num_params=100 + 3 * (8 - depth), flops_per_token=100 + 4 * (8 - depth))
        return Resolved(recipe=recipe, derived=derived, effective=Values(depth=depth))

    plans = [bridge_of(study, graded, 8, 60)]
    picks = [
        Pick(role="same size", stage="bridges", condition="bridge", match="num_params", over=("A",)),
        Pick(role="same work", stage="bridges", condition="bridge", match="flops_per_token", over=("A",)),
    ]
    plan = plan_picked(study, stage_of("anchors", *picks), graded, plans, ())
    assert [condition.recipe.values["depth"] for condition in plan.conditions] == [7, 9]


def test_no_match_is_run_where_the_nearest_is_near_and_refused_where_it_is_far():
    study = a_study()

    def coarse(recipe: Recipe) -> Resolved:
        depth = recipe.values.integer("depth")
        derived = Values(num_params={8: 100, 7: 80}.get(depth, 1), flops_per_token={8: 100, 7: 70}.get(depth, 1))
        return Resolved(recipe=recipe, derived=derived, effective=Values(depth=depth))

    plans = [bridge_of(study, coarse, 8, 60)]
    size = Pick(role="same size", stage="bridges", condition="bridge", match="num_params", over=("A",))
    (condition,) = plan_picked(study, stage_of("anchors", size), coarse, plans, ()).conditions
    assert condition.derived["num_params"] == 80
    work = Pick(role="same work", stage="bridges", condition="bridge", match="flops_per_token", over=("A",))
    with pytest.raises(DesignError, match=r"no other levels of A come near the `flops_per_token` of bridge.*-30%"):
        plan_picked(study, stage_of("anchors", work), coarse, plans, ())


def test_what_a_pick_changes_is_there_before_it_is_matched():
    study = a_study()

    def by_aspect(recipe: Recipe) -> Resolved:
        depth, aspect = recipe.values.integer("depth"), recipe.values.integer("aspect")
        derived = Values(num_params=100 * aspect + depth)
        return Resolved(recipe=recipe, derived=derived, effective=recipe.values)

    plans, changes = [bridge_of(study, by_aspect, 8, 60)], Values(aspect=50)
    same = Pick(role="same size", stage="bridges", condition="bridge", changes=changes, match="num_params", over=("A",))
    (condition,) = plan_picked(study, stage_of("anchors", same), by_aspect, plans, ()).conditions
    assert condition.derived["num_params"] in (5007, 5009)


def test_a_factor_that_trims_moves_as_little_as_will_do():
    study = replace(a_study(), factors=(A, M))

    def sized(recipe: Recipe) -> Resolved:
        """Depth 6 needs a multiplier of 6.5, depth 7 one of 4.4 to have the size of depth 8; depth 5 has none."""
        depth, multiplier = recipe.values.integer("depth"), recipe.values.number("multiplier")
        base = {5: 2000.0, 6: 700.0, 7: 912.0, 8: 920.0, 9: 990.0}[depth]
        return Resolved(recipe=recipe, derived=Values(num_params=base + 20.0 * multiplier), effective=recipe.values)

    bridge = Recipe(trainer="t", values=study.baseline.values.with_({"depth": 8, "multiplier": 4.0}))
    found = matched_recipes(study, bridge, sized, letters=("A",), trim="M")
    assert [match.recipe.values["depth"] for match in found][:2] == [7, 9]
    assert found[0].recipe.values["multiplier"] == 4.0  # within a hundredth as it is
    assert found[1].recipe.values["multiplier"] == pytest.approx(1.0, abs=0.51)
    assert abs(found[1].gap) <= 0.01
    for match in found:
        assert match.levels == tuple(factor.encode(match.recipe.values[factor.lever]) for factor in (A, M))
        assert match.value == sized(match.recipe).derived["num_params"]
    assert 8 not in {match.recipe.values["depth"] for match in found}  # a trimmed bridge is no other shape
    plans = [bridge_of(study, lambda recipe: Resolved(recipe=recipe, derived=Values(), effective=recipe.values), 8, 60)]
    recipe = replace(plans[0].conditions[0].recipe, values=bridge.values)
    plans = [replace(plans[0], conditions=(replace(plans[0].conditions[0], recipe=recipe, levels=(1.0, 0.0)),))]
    pick = Pick(role="same", stage="bridges", condition="bridge", match="num_params", over=("A",), trim="M")
    (condition,) = plan_picked(study, stage_of("anchors", pick), sized, plans, ()).conditions
    assert condition.levels == found[0].levels


def test_a_surface_may_stand_around_the_best_condition_of_a_screen():
    study = replace(a_study(), factors=(A, B, C))
    screen = Stage(
        name="screen", kind="screen", budgets=(Budget(limit=Limit.parse("9s")), Budget(limit=Limit.parse("90s"))),
        seeds=(1,), design=DesignRequest(runs=8),
    )  # fmt: skip
    surface = Stage(
        name="surface", kind="surface", after="screen", budgets=screen.budgets, seeds=(2,), fix=Values(A="best"),
        design=DesignRequest(runs=9, kind="faced"),
    )  # fmt: skip
    study = replace(study, stages=(screen, surface))
    plan = plan_screen(study, screen, resolve_exactly)
    means = {
        f"screen @ {budget.label()}": {c.label: turn * c.levels[0] for c in plan.conditions}
        for budget, turn in zip(screen.budgets, (1.0, -1.0), strict=True)
    }
    summaries = [
        ConditionSummary(package=name, condition=label, budget="", seeds=(1,), n=1, mean=mean, sd=None, low=None,
                         high=None, level=0.95)
        for name, own in means.items() for label, mean in own.items()
    ]  # fmt: skip
    best = best_of(study, plan, summaries)
    assert best[0] == 1.0  # at the longest budget the high level is the lower one
    held = plan_screen(study, surface, resolve_exactly, best=best)
    assert {condition.levels[0] for condition in held.conditions} == {1.0}
    with pytest.raises(DesignError, match="there is no best one"):
        best_of(study, plan, [])


def test_a_surface_is_the_faced_composite_of_what_is_left_open():
    study = replace(a_study(), factors=(A, B, C))
    stage = Stage(
        name="surface", kind="surface", budgets=(Budget(limit=Limit.parse("9s")),), seeds=(1, 2), fix=Values(A="high"),
        design=DesignRequest(runs=9, kind="faced"),
    )  # fmt: skip
    plan = plan_screen(study, stage, resolve_exactly)
    assert len(plan.conditions) == 9
    assert {condition.role for condition in plan.conditions} == {"surface"}
    assert {condition.levels for condition in plan.conditions} == {
        (1.0, b, c) for b, c in itertools.product((-1.0, 0.0, 1.0), repeat=2)
    }
    centre = next(condition for condition in plan.conditions if condition.label == "z01")
    assert (centre.recipe.values["aspect"], centre.recipe.values["rate"]) == (60, 0.4)
    assert len(plan.runs) == 18
