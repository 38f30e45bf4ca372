"""Recipes and runs: digests, differences, what counts."""

from __future__ import annotations

import pytest

from foldover.core import Budget, Gate, Limit, Outcome, Recipe, RunRecord, RunSpec, Stage, Study, Values


def recipe(**values: object) -> Recipe:
    return Recipe(trainer="toy", values=Values(values))  # type: ignore[arg-type]


def record(status: str = "finished", exclusion: str = "") -> RunRecord:
    spec = RunSpec(
        study="s",
        stage="screen",
        package="p",
        condition="c01",
        levels=(),
        recipe=recipe(depth=2),
        budget=Budget(limit=Limit.parse("1s")),
        seed=1,
    )
    outcome = Outcome(run_id=spec.run_id, status=status, started="", finished="")  # type: ignore[arg-type]
    return RunRecord(spec=spec, attempt=1, outcome=outcome, exclusion=exclusion)


def test_equal_recipes_have_equal_digests():
    assert recipe(a=1, b=2).digest == recipe(b=2, a=1).digest


def test_recipes_of_two_trainers_differ():
    assert recipe(a=1).digest != Recipe(trainer="other", values=Values(a=1)).digest


def test_a_difference_lists_lever_old_and_new():
    assert recipe(a=1, b=3, c=4).diff(recipe(a=1, b=2, d=5)) == (("b", 2, 3), ("c", None, 4), ("d", 5, None))


def test_a_recipe_does_not_differ_from_itself():
    assert recipe(a=1).diff(recipe(a=1)) == ()


def test_a_run_is_named_by_16_hexadecimal_digits():
    run_id = record().spec.run_id
    assert (len(run_id), set(run_id) <= set("0123456789abcdef")) == (16, True)


@pytest.mark.parametrize("status", ["failed", "diverged", "timeout", "over_cap", "lost", "cancelled"])
def test_only_finished_runs_count(status):
    assert record().counts
    assert not record(status).counts


def test_an_excluded_run_does_not_count():
    assert not record(exclusion="the machine was shared").counts


def test_a_stage_is_found_by_name():
    stage = Stage(name="screen", kind="screen", budgets=(), seeds=())
    study = Study(
        name="s",
        question="?",
        response="y",
        direction="minimize",
        baseline=recipe(a=1),
        factors=(),
        stages=(stage,),
        gate=Gate(),
        constants=Values(),
    )
    assert study.stage("screen") is stage
    with pytest.raises(KeyError, match="later"):
        study.stage("later")
