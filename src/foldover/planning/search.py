"""A search stage: what its strategy asks for next, given what became of the runs that it had."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from foldover.core import DesignError, Limit, RecipeError, RunSpec, Search, Stage, Study
from foldover.planning.expand import cell_of, package_of
from foldover.planning.plan import Condition, Plan, Resolve
from foldover.planning.rungs import moves_over, what_is_left
from foldover.planning.stages import recipe_at
from foldover.planning.strategies import (
    SLACK,
    Moves,
    Result,
    Space,
    Trial,
    continue_with,
    greedy,
    random_batches,
    tpe,
)


def plan_search(
    study: Study,
    stage: Stage,
    resolve: Resolve,
    *,
    held: Plan | None,
    values: Mapping[str, float | None],
    earlier: Sequence[Plan] = (),
) -> Plan:
    """The plan of a search with the runs that it asks for next, as far as they fit; as it is where it asks for no more.

    held: its plan so far; values: the response of each of those runs by id, None where a run has none. One package a
    budget that has runs. Under a fixed seed repetitions of a recipe are reruns; else each run has a seed of its own,
    counted on from the stage's. Raises DesignError for a point that cannot be built.
    """
    assert stage.search is not None, "a search has a strategy"
    runs = list(held.runs) if held is not None else []
    conditions = {c.label: c for c in held.conditions} if held is not None else {}
    space = space_of(study, stage.search)
    labels = {levels: f"p{i:02d}" for i, levels in enumerate(space.points(), start=1)}
    sign = 1.0 if study.direction == "minimize" else -1.0
    results = [
        Result(
            trial=Trial(levels=run.levels, budget=run.budget.limit.amount, seed=number),
            value=None if (value := values[run.run_id]) is None else sign * value,
        )
        for number, run in enumerate(runs, start=1)
    ]
    asked = continue_with(_moves(study, stage, space), results)
    fitting = _fitting(stage.search, asked, runs)
    done = Counter(cell_of(run) for plan in (*earlier, *([held] if held is not None else [])) for run in plan.runs)
    budgets = {budget.limit.amount: i for i, budget in enumerate(stage.budgets)}
    for trial in fitting:
        label = labels[trial.levels]
        if label not in conditions:
            conditions[label] = _condition(study, stage, label, trial.levels, resolve)
        at = budgets[trial.budget]
        run = RunSpec(
            study=study.name,
            stage=stage.name,
            package=package_of(study, stage, at, ()).name,
            condition=label,
            levels=trial.levels,
            recipe=conditions[label].recipe,
            budget=stage.budgets[at],
            seed=stage.seeds[0] + (0 if stage.regime == "fixed" else len(runs)),
            constants=study.constants,
            host=study.host_of(stage),
        )
        runs.append(replace(run, rerun=done[cell_of(run)]))
        done[cell_of(run)] += 1
    blank = Plan(stage=stage.name, design=None, conditions=(), packages=(), runs=())
    return replace(
        held or blank,
        conditions=tuple(conditions.values()),
        packages=tuple(
            package_of(study, stage, i, own)
            for i, budget in enumerate(stage.budgets)
            if (own := [run.run_id for run in runs if run.budget == budget])
        ),
        runs=tuple(runs),
        end=_end(stage, runs, asked[len(fitting) :]),
    )


def is_whole(plan: Plan, stage: Stage) -> bool:
    """Whether nothing more will be added to the plan of a stage."""
    if stage.search is None:
        return True
    return bool(plan.end) if stage.search.runs is None else len(plan.runs) >= stage.search.runs


def space_of(study: Study, search: Search) -> Space:
    """The coded levels that the search may take, every factor of the study."""
    given = dict(zip(search.letters, search.levels, strict=True))
    return Space(levels={factor.letter: given.get(factor.letter, (-1.0, 1.0)) for factor in study.factors})


def spent_by(runs: Sequence[RunSpec]) -> float:
    """The sum of the limits of runs, in their unit."""
    return sum(run.budget.limit.amount for run in runs)


def _fitting(search: Search, asked: Sequence[Trial], runs: Sequence[RunSpec]) -> Sequence[Trial]:
    """Of what is asked for, in its order, as much as `runs` or the cost leave room for."""
    if search.runs is not None:
        return asked[: search.runs - len(runs)]
    assert search.cost is not None, "a search has runs or a cost"
    fitting: list[Trial] = []
    spent = spent_by(runs)
    for trial in asked:
        spent += trial.budget
        if spent > search.cost.amount * (1.0 + SLACK):
            break
        fitting.append(trial)
    return fitting


def _end(stage: Stage, runs: Sequence[RunSpec], unasked: Sequence[Trial]) -> str:
    """Why a search by cost asks for nothing after these runs; "" where it may. unasked: what of a batch did not fit."""
    if stage.search is None or stage.search.cost is None:
        return ""
    cost, shortest = stage.search.cost, stage.budgets[0].limit
    left = what_is_left(cost, spent_by(runs))
    if left is None:
        return f"the whole cost of {cost.label()} is spent"
    if left.amount * (1.0 + SLACK) < shortest.amount:
        return f"{left.label()} of {cost.label()} are left, less than the shortest run"
    if unasked:
        asked = Limit(kind=cost.kind, amount=unasked[0].budget)
        return f"{left.label()} of {cost.label()} are left, less than the run of {asked.label()} that came next"
    return ""


def _moves(study: Study, stage: Stage, space: Space) -> Moves:
    search, budget = stage.search, stage.budgets[0].limit.amount
    assert search is not None, "a search has a strategy"
    # Stages of one study must not draw the same order of proposals.
    seed = int.from_bytes(hashlib.sha256(f"{study.seed}/{stage.name}".encode()).digest()[:4], "big")
    if search.cost is not None:
        return moves_over(search, stage.budgets, space, seed=seed)
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
