"""Which conditions a stage runs, given what earlier stages found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from foldover.core import (
    ConditionSummary,
    Decision,
    Design,
    DesignError,
    Factor,
    Recipe,
    RecipeError,
    Resolved,
    Row,
    Stage,
    Study,
    Values,
    Verdict,
)
from foldover.designs import check_design, fractional_factorial
from foldover.planning.expand import expand, package_name
from foldover.planning.plan import Condition, Plan

Resolve = Callable[[Recipe], Resolved]

BETTER_LEVEL: Mapping[Decision, float] = {"fix_low": -1.0, "fix_high": 1.0}


def plan_screen(study: Study, stage: Stage, resolve: Resolve) -> Plan:
    """Every row of the stage's design."""
    assert stage.design is not None, "a screen has a design"
    design = fractional_factorial(
        study.factors,
        runs=stage.design.runs,
        generators=stage.design.generators,
        name=stage.name,
        seed=study.seed,
    )
    conditions = [_condition(study, row.label, "screen", row.levels, resolve) for row in design.rows]
    notes = [note.message for note in check_design(design, lambda levels: _effective(study, levels, resolve))]
    return expand(study, stage, conditions, design=design, notes=notes)


def plan_confirm(
    study: Study, stage: Stage, resolve: Resolve, screened: Plan, summaries: Sequence[ConditionSummary]
) -> Plan:
    """The best and worst conditions of the earlier stage at its longest budget.

    Raises DesignError if fewer conditions have a result than are asked for.
    """
    assert stage.after is not None, "a confirmation follows a stage"
    source = study.stage(stage.after)
    package = package_name(source, longest_budget(source))
    ordered = ordered_conditions(summaries, package, study)
    if len(ordered) < stage.best + stage.worst:
        raise DesignError(
            f"stage `{stage.name}` asks for {stage.best} best and {stage.worst} worst conditions, "
            f"but only {len(ordered)} of `{package}` have a result",
            fix="Look at the failures with `foldover status`.",
        )
    labels = [(s.condition, "best") for s in ordered[: stage.best]]
    labels += [(s.condition, "worst") for s in ordered[len(ordered) - stage.worst :]]
    conditions = []
    for label, role in labels:
        origin = screened.condition(label)
        conditions.append(_condition(study, label, role, origin.levels, resolve))
    return expand(study, stage, conditions, design=screened.design)


def plan_refine(study: Study, stage: Stage, resolve: Resolve, best: Condition, verdicts: Sequence[Verdict]) -> Plan:
    """The better corner and the bridges from it to the centre, inside the space that the verdicts leave.

    Retained factors stand at their better level, the others where the best condition has them. A bridge
    moves one factor to its centre; the last bridge moves all. What resolves to a condition that is in the
    plan already, or to `best`, is left out and said.
    """
    decided = {v.subject: BETTER_LEVEL[v.decision] for v in verdicts if v.decision in BETTER_LEVEL}
    corner = tuple(decided.get(f.letter, x) for f, x in zip(study.factors, best.levels, strict=True))
    moved = [f for f in study.factors if f.letter in (stage.centers or tuple(decided)) and f.kind != "choice"]
    wanted = [("corner", "corner", corner)]
    wanted += [(f"bridge-{f.letter}", "bridge", _centred(study.factors, corner, [f])) for f in moved]
    if len(moved) > 1:
        wanted.append(("bridge-all", "bridge", _centred(study.factors, corner, moved)))
    seen = {_effective(study, best.levels, resolve): best.label}
    conditions, notes = [], []
    for label, role, levels in wanted:
        effective = _effective(study, levels, resolve)
        if effective in seen:
            notes.append(f"{label} resolves to the same run as {seen[effective]} and is left out")
            continue
        seen[effective] = label
        conditions.append(_condition(study, label, role, levels, resolve))
    if not moved:
        notes.append("no factor was retained, so there is nothing to build a bridge to")
    design = Design(
        name=stage.name,
        kind="bridges",
        factors=study.factors,
        rows=tuple(
            Row(label=c.label, levels=c.levels, order=i, kind="center" if c.role == "bridge" else "anchor")
            for i, c in enumerate(conditions)
        ),
        notes=tuple(notes),
    )
    return expand(study, stage, conditions, design=design, notes=notes)


def ordered_conditions(summaries: Sequence[ConditionSummary], package: str, study: Study) -> list[ConditionSummary]:
    """Conditions of a package, best first."""
    sign = 1.0 if study.direction == "minimize" else -1.0
    return sorted((s for s in summaries if s.package == package), key=lambda s: (sign * s.mean, s.condition))


def longest_budget(stage: Stage) -> int:
    """Index of the stage's largest limit."""
    return max(range(len(stage.budgets)), key=lambda i: stage.budgets[i].limit.amount)


def natural_levels(factors: Sequence[Factor], levels: Sequence[float]) -> Values:
    """Lever values at coded levels."""
    return Values({f.lever: f.decode(x) for f, x in zip(factors, levels, strict=True)})


def recipe_at(study: Study, levels: Sequence[float]) -> Recipe:
    """The baseline with the factors at coded levels."""
    baseline = study.baseline
    return Recipe(trainer=baseline.trainer, values=baseline.values.with_(natural_levels(study.factors, levels)))


def _condition(study: Study, label: str, role: str, levels: tuple[float, ...], resolve: Resolve) -> Condition:
    recipe = recipe_at(study, levels)
    try:
        resolved = resolve(recipe)
    except RecipeError as error:
        raise DesignError(f"condition {label} cannot be built: {error}") from error
    return Condition(label=label, role=role, levels=levels, recipe=recipe, derived=resolved.derived)


def _effective(study: Study, levels: Sequence[float], resolve: Resolve) -> Values:
    return resolve(recipe_at(study, levels)).effective


def _centred(factors: Sequence[Factor], levels: Sequence[float], moved: Sequence[Factor]) -> tuple[float, ...]:
    letters = {f.letter for f in moved}
    return tuple(0.0 if f.letter in letters else x for f, x in zip(factors, levels, strict=True))
