"""A search stage: what its strategy asks for next, given what became of the runs that it had."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from foldover.core import DesignError, RecipeError, RunSpec, Search, Stage, Study
from foldover.planning.expand import package_of
from foldover.planning.plan import Condition, Plan, Resolve
from foldover.planning.stages import recipe_at
from foldover.planning.strategies import Moves, Result, Space, Trial, continue_with, greedy, random_batches, tpe


def plan_search(
    study: Study,
    stage: Stage,
    resolve: Resolve,
    *,
    held: Plan | None,
    values: Mapping[str, float | None],
    earlier: Sequence[Plan] = (),
) -> Plan:
    """The plan of a search with the runs that it asks for next; as it is where it asks for no more.

    held: its plan so far; values: the response of each of those runs by id, None where a run has none. Under a fixed
    seed repetitions of a recipe are reruns; else each run has a seed of its own, counted on from the stage's.
    Raises DesignError for a point that cannot be built.
    """
    assert stage.search is not None, "a search has a strategy"
    runs = list(held.runs) if held is not None else []
    conditions = {c.label: c for c in held.conditions} if held is not None else {}
    space = space_of(study, stage.search)
    labels = {levels: f"p{i:02d}" for i, levels in enumerate(space.points(), start=1)}
    sign = 1.0 if study.direction == "minimize" else -1.0
    amount = stage.budgets[0].limit.amount
    results = [
        Result(
            trial=Trial(levels=run.levels, budget=amount, seed=number),
            value=None if (value := values[run.run_id]) is None else sign * value,
        )
        for number, run in enumerate(runs, start=1)
    ]
    asked = continue_with(_moves(study, stage, space), results)[: stage.search.runs - len(runs)]
    done = Counter(
        (run.recipe.digest, run.seed, run.host)
        for plan in (*earlier, *([held] if held is not None else []))
        for run in plan.runs
        if run.budget == stage.budgets[0]
    )
    for trial in asked:
        label = labels[trial.levels]
        if label not in conditions:
            conditions[label] = _condition(study, stage, label, trial.levels, resolve)
        recipe, host = conditions[label].recipe, study.host_of(stage)
        seed = stage.seeds[0] + (0 if stage.regime == "fixed" else len(runs))
        cell = (recipe.digest, seed, host)
        runs.append(
            RunSpec(
                study=study.name,
                stage=stage.name,
                package=package_of(study, stage, 0, ()).name,
                condition=label,
                levels=trial.levels,
                recipe=recipe,
                budget=stage.budgets[0],
                seed=seed,
                constants=study.constants,
                host=host,
                rerun=done[cell],
            )
        )
        done[cell] += 1
    package = package_of(study, stage, 0, [run.run_id for run in runs])
    blank = Plan(stage=stage.name, design=None, conditions=(), packages=(), runs=())
    return replace(held or blank, conditions=tuple(conditions.values()), packages=(package,), runs=tuple(runs))


def is_whole(plan: Plan, stage: Stage) -> bool:
    """Whether nothing more will be added to the plan of a stage."""
    return stage.search is None or len(plan.runs) >= stage.search.runs


def space_of(study: Study, search: Search) -> Space:
    """The coded levels that the search may take, every factor of the study."""
    given = dict(zip(search.letters, search.levels, strict=True))
    return Space(levels={factor.letter: given.get(factor.letter, (-1.0, 1.0)) for factor in study.factors})


def _moves(study: Study, stage: Stage, space: Space) -> Moves:
    search, budget = stage.search, stage.budgets[0].limit.amount
    assert search is not None, "a search has a strategy"
    # Stages of one study must not draw the same order of proposals.
    seed = int.from_bytes(hashlib.sha256(f"{study.seed}/{stage.name}".encode()).digest()[:4], "big")
    if search.strategy == "greedy":
        return greedy(space, budget=budget, seed=seed)
    if search.strategy == "random":
        return random_batches(space, budget=budget, batch=search.batch, seed=seed)
    return tpe(space, budget=budget, seed=seed)


def _condition(study: Study, stage: Stage, label: str, levels: tuple[float, ...], resolve: Resolve) -> Condition:
    recipe = recipe_at(study, levels)
    try:
        derived = resolve(recipe).derived
    except RecipeError as error:
        raise DesignError(f"stage `{stage.name}`: point {label} cannot be built: {error}") from error
    return Condition(label=label, role="search", levels=levels, recipe=recipe, derived=derived)
