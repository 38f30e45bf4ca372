"""Runs that share training: one is trained, the others begin with its state.

Two cases. What levers of the phases `export` and `evaluate` vary is done after training, so runs that differ in nothing
else need one training. And runs that differ in their budget or warm-down alone are one run up to where the warm-down
begins: a trunk at constant rates, trained once (the stage asks for it by `branch`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from foldover.core import Budget, LeverSet, Limit, Package, Recipe, RunSpec, Stage
from foldover.planning.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What a trainer knows of runs that share training: see `ports.Branches`."""

    levers: LeverSet
    trunk_recipe: Callable[[Recipe], Recipe]
    branch_point: Callable[[Recipe, Budget], Limit | None]

    def training(self, recipe: Recipe) -> Recipe:
        """The recipe with all levers of later phases at rest."""
        return Recipe(trainer=recipe.trainer, values=self.levers.at_rest_after_training(recipe.values))


def share_training(plan: Plan, stage: Stage, sharing: Sharing) -> Plan:
    """The plan with trunks where runs can share training, each first in the block of its seed.

    Trunks are runs of packages of their own (role `trunk`) and stand for no condition; a run that would be alone on its
    trunk trains by itself. Where the stage asks for branches it raises what `branch_point` and `trunk_recipe` do.
    """
    runs, notes = plan.runs, plan.notes
    if stage.branch == "warmdown":
        branched = _branch(runs, sharing)
        notes += (_branch_note(runs, branched, sharing),)
        runs = branched
    shared = _train_once(runs, sharing)
    if len(shared) > len(runs):
        notes += (_training_note(runs, shared),)
    runs = shared
    packages = tuple(
        replace(package, runs=tuple(sorted(run.run_id for run in runs if run.package == package.name)))
        for package in plan.packages
    )
    return replace(plan, runs=runs, packages=(*packages, *_trunk_packages(stage, runs)), notes=notes)


def spent_before(run: RunSpec, runs: Mapping[str, RunSpec], sharing: Sharing) -> Limit | None:
    """What of a run's training its trunk does for it; None if it trains from its first step. runs: by id."""
    if run.starts_from is None:
        return None
    return run.budget.limit if runs[run.starts_from].keeps_state else sharing.branch_point(run.recipe, run.budget)


def _branch(runs: Sequence[RunSpec], sharing: Sharing) -> tuple[RunSpec, ...]:
    points = [sharing.branch_point(run.recipe, run.budget) for run in runs]
    recipes = [sharing.trunk_recipe(sharing.training(run.recipe)) for run in runs]
    groups: dict[tuple[str, int, str, str, int], list[int]] = {}
    for i, (run, point, recipe) in enumerate(zip(runs, points, recipes, strict=True)):
        if point is not None:
            groups.setdefault((recipe.digest, run.seed, point.kind, run.host, run.rerun), []).append(i)
    numbers = _numbers([recipe.digest for recipe in recipes], runs)
    made: dict[int, RunSpec] = {}
    for members in groups.values():
        if len({_unit(runs[i], sharing) for i in members}) < 2:
            continue
        kept = sorted({point for i in members if (point := points[i])}, key=lambda point: point.amount)
        budget = Budget(limit=kept[-1], grace_seconds=max(runs[i].budget.grace_seconds for i in members))
        first = runs[members[0]]
        trunk = replace(
            first,
            package=f"{first.stage} trunk @ {budget.label()}",
            condition=f"trunk-{numbers[recipes[members[0]].digest]:02d}",
            levels=(),
            recipe=recipes[members[0]],
            budget=budget,
            branch_points=tuple(kept),
        )
        made |= dict.fromkeys(members, trunk)
    return _with_trunks(runs, made)


def _train_once(runs: Sequence[RunSpec], sharing: Sharing) -> tuple[RunSpec, ...]:
    groups: dict[tuple[str, Budget, int, str | None, str, int], list[int]] = {}
    for i, run in enumerate(runs):
        if not run.is_trunk:
            key = (run.recipe.train_digest(sharing.levers), run.budget, run.seed, run.starts_from, run.host, run.rerun)
            groups.setdefault(key, []).append(i)
    trained = [run for run in runs if not run.is_trunk]
    numbers = _numbers([run.recipe.train_digest(sharing.levers) for run in trained], trained)
    made: dict[int, RunSpec] = {}
    for (train_digest, *_), members in groups.items():
        if len({runs[i].recipe.digest for i in members}) < 2:
            continue
        first = runs[members[0]]
        trunk = replace(
            first,
            package=f"{first.stage} trained @ {first.budget.label()}",
            condition=f"trained-{numbers[train_digest]:02d}",
            levels=(),
            recipe=sharing.training(first.recipe),
            budget=replace(first.budget, artifact_bytes=None),
            keeps_state=True,
        )
        made |= dict.fromkeys(members, trunk)
    return _with_trunks(runs, made)


def _with_trunks(runs: Sequence[RunSpec], trunks: Mapping[int, RunSpec]) -> tuple[RunSpec, ...]:
    """trunks: by the position of the run that starts from it. A block of a seed begins with its own trunks."""
    ordered: list[RunSpec] = []
    for seed in dict.fromkeys(run.seed for run in runs):
        block = [i for i, run in enumerate(runs) if run.seed == seed]
        own = {trunks[i].run_id: trunks[i] for i in block if i in trunks}
        earlier = [i for i in block if runs[i].is_trunk]
        ordered += [runs[i] for i in earlier]
        ordered += own.values()
        ordered += [
            replace(runs[i], starts_from=trunks[i].run_id) if i in trunks else runs[i]
            for i in block
            if i not in earlier
        ]
    return tuple(ordered)


def _trunk_packages(stage: Stage, runs: Sequence[RunSpec]) -> tuple[Package, ...]:
    members: dict[str, list[RunSpec]] = {}
    for run in runs:
        if run.is_trunk:
            members.setdefault(run.package, []).append(run)
    return tuple(
        Package(
            name=name,
            stage=stage.name,
            budget=own[0].budget,
            seeds=stage.seeds,
            runs=tuple(sorted(run.run_id for run in own)),
            role="trunk",
        )
        for name, own in members.items()
    )


def _unit(run: RunSpec, sharing: Sharing) -> tuple[str, Budget, int]:
    """What is trained once, whatever is done with it afterwards."""
    return run.recipe.train_digest(sharing.levers), run.budget, run.seed


def _numbers(digests: Sequence[str], runs: Sequence[RunSpec]) -> dict[str, int]:
    """Numbers from 1 on for the digests of some runs, in the order of their conditions."""
    ordered = [digest for _, digest in sorted((run.condition, d) for run, d in zip(runs, digests, strict=True))]
    return {digest: i for i, digest in enumerate(dict.fromkeys(ordered), start=1)}


def _branch_note(runs: Sequence[RunSpec], branched: Sequence[RunSpec], sharing: Sharing) -> str:
    trunks = [run for run in branched if run.is_trunk]
    if not trunks:
        return "no two runs have a trunk in common: each trains from its first step"
    units = {_unit(run, sharing): run for run in branched if not run.is_trunk}
    points = {key: sharing.branch_point(run.recipe, run.budget) for key, run in units.items() if run.starts_from}
    text = []
    for kind in dict.fromkeys(run.budget.limit.kind for run in runs):
        own = {key: run.budget.limit.amount for key, run in units.items() if run.budget.limit.kind == kind}
        whole = sum(own.values())
        saved = sum(point.amount for key, point in points.items() if key in own and point)
        cost = whole - saved + sum(run.budget.limit.amount for run in trunks if run.budget.limit.kind == kind)
        text.append(f"{cost:,.6g} {kind} of training instead of {whole:,.6g} ({1 - cost / whole:.0%} less)")
    dependents = sum(run.starts_from is not None for run in branched)
    return f"{_counted(len(trunks), 'trunk')} at constant rates for {_counted(dependents, 'run')}: {', '.join(text)}"


def _training_note(runs: Sequence[RunSpec], shared: Sequence[RunSpec]) -> str:
    made = len(shared) - len(runs)
    trained = {run.run_id for run in shared if run.keeps_state}
    dependents = sum(run.starts_from in trained for run in shared)
    return (
        f"{_counted(made, 'training')} for {_counted(dependents, 'run')}: these differ in what is done after training "
        "and begin with its state; each kind of factor is judged by the error of its stratum (a split plot)"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
