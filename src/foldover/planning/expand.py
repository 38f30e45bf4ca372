"""Conditions x budgets x seeds x reruns -> runs with deterministic ids and a randomised order."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from foldover.core import Budget, Design, Package, RunSpec, Stage, Study
from foldover.planning.plan import Condition, Plan


def expand(
    study: Study,
    stage: Stage,
    conditions: Sequence[Condition],
    *,
    design: Design | None = None,
    notes: Sequence[str] = (),
) -> Plan:
    """One package a budget. Each seed is a block in time: all its runs, in an order drawn from the study's seed.

    Blocking in time lets the seed term of the analysis take up what drifts on the machine. Each rerun is a block too.
    """
    runs: list[RunSpec] = []
    host = study.host_of(stage)
    members: dict[str, list[str]] = {package_name(stage, i): [] for i in range(len(stage.budgets))}
    for rerun, seed in itertools.product(range(stage.reruns), stage.seeds):
        block = [
            RunSpec(
                study=study.name,
                stage=stage.name,
                package=name,
                condition=condition.label,
                levels=condition.levels,
                recipe=condition.recipe,
                budget=budget,
                seed=seed,
                constants=study.constants,
                host=host,
                rerun=rerun,
            )
            for name, budget in zip(members, stage.budgets, strict=True)
            for condition in conditions
        ]
        _generator(study.seed, stage.name, seed, *([rerun] if rerun else [])).shuffle(block)
        for run in block:
            members[run.package].append(run.run_id)
        runs += block
    packages = tuple(package_of(study, stage, i, sorted(members[name])) for i, name in enumerate(members))
    return Plan(
        stage=stage.name,
        design=design,
        conditions=tuple(conditions),
        packages=packages,
        runs=tuple(runs),
        notes=tuple(notes),
    )


def package_of(study: Study, stage: Stage, budget_index: int, runs: Sequence[str]) -> Package:
    """The runs of a stage at one of its budgets."""
    return Package(
        name=package_name(stage, budget_index),
        stage=stage.name,
        budget=stage.budgets[budget_index],
        seeds=stage.seeds,
        runs=tuple(runs),
        host=study.host_of(stage),
        regime=stage.regime,
    )


def count_reruns(plan: Plan, earlier: Iterable[Plan]) -> Plan:
    """The plan with its reruns counted on from the runs of the same recipe, budget, seed and host in earlier plans."""
    done = Counter(cell_of(run) for other in earlier for run in other.runs if not run.is_trunk)
    if not any(done[cell_of(run)] for run in plan.runs):
        return plan
    renamed: dict[str, RunSpec] = {run.run_id: replace(run, rerun=run.rerun + done[cell_of(run)]) for run in plan.runs}
    packages = tuple(
        replace(package, runs=tuple(sorted(renamed[run_id].run_id for run_id in package.runs)))
        for package in plan.packages
    )
    return replace(plan, runs=tuple(renamed.values()), packages=packages)


def cell_of(run: RunSpec) -> tuple[str, Budget, int, str]:
    """What reruns have in common."""
    return run.recipe.digest, run.budget, run.seed, run.host


def package_name(stage: Stage, budget_index: int) -> str:
    """`screen @ 2 s`: a stage at one budget."""
    return f"{stage.name} @ {stage.budgets[budget_index].label()}"


def _generator(*name: str | int) -> random.Random:
    text = "/".join(str(part) for part in ("foldover", "order", *name))
    return random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 (an order, not a secret)
