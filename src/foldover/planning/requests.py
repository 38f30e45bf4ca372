"""What gates ask for: stages that a study did not declare, but allowed its gate to add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from foldover.core import DesignRequest, Stage, Study, Verdict
from foldover.designs import fractional_factorial


def with_follow_ups(study: Study, decided: Mapping[str, Sequence[Verdict]]) -> Study:
    """The study with the stages that its gates asked for, each after the screen that it follows.

    decided: verdicts by stage. A follow-up asks for nothing more, so that there is one a screen at most.
    """
    stages: list[Stage] = []
    for stage in study.stages:
        stages.append(stage)
        wanted = {verdict.decision for verdict in decided.get(stage.name, ())}
        if "fold_over" in wanted:
            stages.append(_folded(study, stage))
        elif "more_seeds" in wanted:
            asked = max(verdict.more_seeds for verdict in decided[stage.name])
            seeds = _new_seeds(study, asked or study.gate.more_seeds)
            stages.append(replace(_after(stage, f"{stage.name}-more"), seeds=seeds))
    return study if len(stages) == len(study.stages) else replace(study, stages=tuple(stages))


def folded_generators(generators: Sequence[str]) -> tuple[str, ...]:
    """Those of the fraction with every sign reversed: words of odd length change theirs (D=AB to D=-AB)."""
    found = []
    for generator in generators:
        left, _, right = generator.partition("=")
        word = right.lstrip("+-")
        is_negative = right.startswith("-") != (len(word) % 2 == 0)
        found.append(f"{left}={'-' if is_negative else ''}{word}")
    return tuple(found)


def _folded(study: Study, stage: Stage) -> Stage:
    assert stage.design is not None, "a screen has a design"
    free = tuple(factor for factor in study.factors if factor.letter not in stage.fix)
    # Those of the catalogue, where the file leaves them to it.
    generators = stage.design.generators or fractional_factorial(free, runs=stage.design.runs).generators
    design = DesignRequest(runs=stage.design.runs, generators=folded_generators(generators))
    return replace(_after(stage, f"{stage.name}-fold"), design=design, seeds=_new_seeds(study, len(stage.seeds)))


def _after(stage: Stage, name: str) -> Stage:
    """The screen again at its longest budget, accounted for with it."""
    longest = max(stage.budgets, key=lambda budget: budget.limit.amount)
    return replace(stage, name=name, follows=stage.name, budgets=(longest,), package=stage.accounted_as)


def _new_seeds(study: Study, number: int) -> tuple[int, ...]:
    first = 1 + max(seed for stage in study.stages for seed in stage.seeds)
    return tuple(range(first, first + number))
