"""What could come next: a face-centred composite, and recipes of the same size."""

from __future__ import annotations

from collections import Counter

import pytest

from foldover.core import (
    Budget,
    DesignError,
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
from foldover.planning import Condition, expand
from foldover.planning.followup import matched_recipes, surface_follow_up
from foldover.planning.stages import plan_picked

A = Factor(letter="A", lever="depth", low=6, high=8, kind="int")
B = Factor(letter="B", lever="aspect", low=48, high=72, kind="int")
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
    assert kinds == {"factorial": 4, "axial": 4, "center": 3}
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
    for depth in (6, 7, 8):
        for aspect in (48, 54, 60, 66, 72):
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
    # 12 x 7 x 420^2 is 14.8 million; 12 x 8 x 384^2 is 4.5% less, 12 x 6 x 432^2 is 9.3% less.
    assert (condition.label, condition.role, condition.levels) == ("bridge-same-size", "same size", (1.0, -1.0, -1.0))
    assert condition.recipe.values == recipe.values.with_({"depth": 8, "aspect": 48})
    assert condition.derived["num_params"] == 12 * 8 * 384**2
    alone = Pick(role="same size", stage="bridges", condition="bridge", match="num_params", over=("B",))
    with pytest.raises(DesignError, match="no other levels of B come within a tenth of the `num_params`"):
        plan_picked(study, stage_of("anchors", alone), resolve_exactly, plans, ())
