"""Which conditions a stage runs, given what earlier stages found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from foldover.core import (
    ConditionSummary,
    Design,
    DesignError,
    Factor,
    Pick,
    Recipe,
    RecipeError,
    Row,
    Stage,
    Study,
    Values,
    Verdict,
    natural_levels,
)
from foldover.designs import check_design, fractional_factorial, one_at_a_time
from foldover.planning.expand import expand, package_name
from foldover.planning.followup import FARTHEST, TOLERANCE, Matched, faced_design, matched_recipes
from foldover.planning.gate import BETTER_LEVEL
from foldover.planning.plan import Condition, Plan, Resolve


def plan_screen(
    study: Study, stage: Stage, resolve: Resolve, verdicts: Sequence[Verdict] = (), *, best: Sequence[float] = ()
) -> Plan:
    """Every row of the stage's design over the factors that it does not fix: a screen, or a response surface.

    verdicts: of the stage that it follows; best: coded levels of that one's best condition. Raises DesignError where
    verdicts do not say at which level a factor is better.
    """
    assert stage.design is not None, "screens and surfaces have a design"
    at_best = {factor.letter: level for factor, level in zip(study.factors, best, strict=False)}
    held = {
        letter: at_best[letter] if level == "best" else _held_level(study, stage, letter, str(level), verdicts)
        for letter, level in stage.fix.items()
    }
    free = tuple(factor for factor in study.factors if factor.letter not in held)
    if stage.design.kind == "one_at_a_time":
        design = one_at_a_time(free, name=stage.name, seed=study.seed)
    elif stage.design.kind == "faced":
        design = faced_design(free, name=stage.name, seed=study.seed)
    else:
        design = fractional_factorial(
            free,
            runs=stage.design.runs,
            generators=stage.design.generators,
            name=stage.name,
            seed=study.seed,
        )

    def whole(levels: Sequence[float]) -> tuple[float, ...]:
        at = {**held, **{factor.letter: level for factor, level in zip(free, levels, strict=True)}}
        return tuple(at[factor.letter] for factor in study.factors)

    conditions = [_condition(study, row.label, stage.kind, whole(row.levels), resolve) for row in design.rows]
    notes = [note.message for note in check_design(design, lambda levels: _effective(study, whole(levels), resolve))]
    by_letter = {factor.letter: factor for factor in study.factors}
    notes += [f"factor {letter} is held at {by_letter[letter].decode(level)!r}" for letter, level in held.items()]
    return expand(study, stage, conditions, design=design, notes=notes)


def _held_level(study: Study, stage: Stage, letter: str, level: str, verdicts: Sequence[Verdict]) -> float:
    """Coded. A factor that was dropped stands where the baseline has it, if that is its high level, else at its low."""
    if level != "better":
        return -1.0 if level == "low" else 1.0
    own = next((verdict for verdict in verdicts if verdict.subject == letter), None)
    if own is not None and own.decision in BETTER_LEVEL:
        return BETTER_LEVEL[own.decision]
    if own is not None and own.decision == "drop":
        factor = next(each for each in study.factors if each.letter == letter)
        return 1.0 if study.baseline.values.get(factor.lever) == factor.high else -1.0
    raise DesignError(
        f"stage `{stage.name}` fixes factor {letter} by the verdict of `{stage.after}`, which is: "
        f"{'not judged' if own is None else own.decision}",
        fix=f'Say where it stands, `fix = {{ {letter} = "low" }}` or `"best"`, by `foldover amend`.',
    )


def plan_picked(
    study: Study, stage: Stage, resolve: Resolve, plans: Sequence[Plan], summaries: Sequence[ConditionSummary]
) -> Plan:
    """The conditions that the stage picks from earlier ones, with its changes, each under its role.

    What resolves to the same run as one that is picked already is passed over: of the best, the next one is taken, and
    of what matches in size, the next nearest; where all of these are picked, they stand for the match. Raises
    DesignError where fewer conditions have a result than are asked for, and where nothing matches.
    """
    by_name = {plan.stage: plan for plan in plans}
    seen: dict[Values, str] = {}
    conditions: list[Condition] = []
    notes: list[str] = []
    for pick in stage.picks:
        left = pick.best + pick.worst or 1
        for origin in _candidates(study, stage, pick, by_name[pick.stage], summaries):
            if not left:
                break
            options = _options(study, pick, origin, resolve, taken=[c.label for c in conditions])
            of_each = {resolve(condition.recipe).effective: condition for condition in options}
            new = next((effective for effective in of_each if effective not in seen), None)
            if new is None:
                notes.append(_passed_over(pick, origin, [seen[effective] for effective in of_each]))
                left -= bool(pick.match)
                continue
            conditions.append(of_each[new])
            seen[new] = of_each[new].label
            left -= 1
        if left:
            raise DesignError(
                f"stage `{stage.name}`: {left} too few conditions of `{pick.stage}` for the role {pick.role!r}: the "
                "others have no result or are picked already",
                fix="Look at the failures with `foldover status`, or let it pick others by `foldover amend`.",
            )
    return expand(study, stage, conditions, notes=notes)


def _candidates(
    study: Study, stage: Stage, pick: Pick, source: Plan, summaries: Sequence[ConditionSummary]
) -> list[Condition]:
    """Conditions in the order in which the pick would take them."""
    if pick.condition:
        found = [condition for condition in source.conditions if condition.label == pick.condition]
        if not found:
            raise DesignError(
                f"stage `{stage.name}` picks `{pick.condition}` of `{pick.stage}`, which did not run it",
                fix=f"It ran {', '.join(condition.label for condition in source.conditions)}: amend the study.",
            )
        return found
    of = study.stage(pick.stage)
    labels = [budget.label() for budget in of.budgets]
    at = labels.index(pick.budget) if pick.budget else longest_budget(of)
    ordered = [source.condition(s.condition) for s in ordered_conditions(summaries, package_name(of, at), study)]
    if pick.among:
        ordered = [condition for condition in ordered if condition.role == pick.among]
    if pick.best and pick.worst:
        # The worst ones are taken after the best, in the order from better to worse, as far as they are others.
        return [*ordered[: pick.best], *ordered[max(pick.best, len(ordered) - pick.worst) :]]
    return ordered if pick.best else ordered[::-1]


def _passed_over(pick: Pick, origin: Condition, same: Sequence[str]) -> str:
    if pick.match:
        return f"what has the `{pick.match}` of {origin.label} is picked already: {', '.join(same)} ({pick.role})"
    return f"{origin.label} ({pick.role}) is the same run as {same[0]} and is passed over"


def _options(study: Study, pick: Pick, origin: Condition, resolve: Resolve, *, taken: Sequence[str]) -> list[Condition]:
    """What the pick makes of a condition: one, or all that match it in size, the nearest first."""
    recipe = Recipe(trainer=origin.recipe.trainer, values=origin.recipe.values.with_(pick.changes))
    try:
        resolved = resolve(recipe)
    except RecipeError as error:
        raise DesignError(f"{pick.role} of {origin.label} cannot be built: {error}") from error
    levels = tuple(
        factor.encode(pick.changes[factor.lever]) if factor.lever in pick.changes else level
        for factor, level in zip(study.factors, origin.levels, strict=True)
    )
    is_changed = pick.changes or pick.match
    label = pick.label or (f"{origin.label}-{_slug(pick.role)}" if is_changed else origin.label)
    while label in taken:
        label = f"{label}-{_slug(pick.role)}"
    plain = Condition(
        label=label, role=pick.role, levels=levels, recipe=recipe, derived=resolved.derived, origin=pick.stage
    )
    return _matches(study, pick, plain, resolve, origin=origin.label)[: len(taken) + 1] if pick.match else [plain]


def _matches(study: Study, pick: Pick, wanted: Condition, resolve: Resolve, *, origin: str) -> list[Condition]:
    """Conditions of the size of another, nearest first: all that match, or the one that is nearest to it.

    Raises DesignError where even that is far off.
    """
    found = matched_recipes(
        study, wanted.recipe, resolve, letters=pick.over, trim=pick.trim, quantity=pick.match, tolerance=math.inf
    )
    near = [match for match in found if abs(match.gap) <= TOLERANCE]
    if not near and (not found or abs(found[0].gap) > FARTHEST):
        nearest = f": the nearest is {found[0].gap:+.0%}" if found else ""
        raise DesignError(
            f"no other levels of {', '.join((*pick.over, *pick.trim))} come near the `{pick.match}` of {origin}, for "
            f"the role {pick.role!r}{nearest}",
            fix="Let another factor move (`over`), or trim the size by one (`trim`), or leave the match out.",
        )
    return [_matched(study, pick, wanted, match, resolve) for match in near or found[:1]]


def _matched(study: Study, pick: Pick, wanted: Condition, match: Matched, resolve: Resolve) -> Condition:
    moved = dict(zip((*pick.over, *pick.trim), match.levels, strict=True))
    levels = tuple(moved.get(f.letter, level) for f, level in zip(study.factors, wanted.levels, strict=True))
    return replace(wanted, recipe=match.recipe, levels=levels, derived=resolve(match.recipe).derived)


def _slug(role: str) -> str:
    return "-".join(role.split())


def best_of(study: Study, source: Plan, summaries: Sequence[ConditionSummary]) -> tuple[float, ...]:
    """Coded levels of a screen's best condition at its longest budget. Raises DesignError where none has a result."""
    stage = study.stage(source.stage)
    ordered = ordered_conditions(summaries, package_name(stage, longest_budget(stage)), study)
    if not ordered:
        raise DesignError(
            f"no condition of `{stage.name}` has a result at its longest budget: there is no best one",
            fix="Look at the failures with `foldover status`.",
        )
    return source.condition(ordered[0].condition).levels


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
