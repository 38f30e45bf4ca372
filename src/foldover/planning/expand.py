"""Conditions x budgets x seeds -> runs with deterministic ids and a randomised order."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from foldover.core import Design, Package, RunSpec, Stage, Study
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

    Blocking in time lets the seed term of the analysis take up what drifts on the machine.
    """
    runs: list[RunSpec] = []
    members: dict[str, list[str]] = {package_name(stage, i): [] for i in range(len(stage.budgets))}
    for seed in stage.seeds:
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
            )
            for name, budget in zip(members, stage.budgets, strict=True)
            for condition in conditions
        ]
        _generator(study.seed, stage.name, seed).shuffle(block)
        for run in block:
            members[run.package].append(run.run_id)
        runs += block
    packages = tuple(
        Package(name=name, stage=stage.name, budget=budget, seeds=stage.seeds, runs=tuple(sorted(members[name])))
        for name, budget in zip(members, stage.budgets, strict=True)
    )
    return Plan(
        stage=stage.name,
        design=design,
        conditions=tuple(conditions),
        packages=packages,
        runs=tuple(runs),
        notes=tuple(notes),
    )


def package_name(stage: Stage, budget_index: int) -> str:
    """`screen @ 2 s`: a stage at one budget."""
    return f"{stage.name} @ {stage.budgets[budget_index].label()}"


def _generator(*name: str | int) -> random.Random:
    text = "/".join(str(part) for part in ("foldover", "order", *name))
    return random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 (an order, not a secret)
