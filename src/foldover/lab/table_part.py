"""The runs at one budget: effects, contrasts, conditional effects, means, lack of fit, curvature, residuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from foldover.core import AnalysisError, Correction, Effect
from foldover.lab.coding import Coded
from foldover.lab.fit_plan import FitPlan, corners_of, main_and_interactions
from foldover.lab.recognise import pairs_of
from foldover.lab.surface_analysis import analyse_surface
from foldover.lab.table_checks import checks, diagnosis, fits, levels_by_condition, same_results
from foldover.report import Caution, Interaction, Part
from foldover.stats import (
    Anova,
    Curvature,
    HalfNormalPoint,
    LackOfFit,
    LenthResult,
    Table,
    anova_of_table,
    conditional_effects,
    contrasts,
    curvature_of_table,
    estimate_effects,
    half_normal,
    lack_of_fit,
    lenth,
    level_means,
    parse_term,
    summarize_table,
    term_text,
)

SHOWN_INTERACTIONS = 6
# Beyond this many conditions every contrast of the means is more than a picture holds.
MOST_CONTRASTS = 256


def analyse_part(table: Table, coded: Coded, plan: FitPlan, label: str) -> Part:
    """All findings of the runs at one budget. Raises AnalysisError for data that cannot carry the model."""
    if not plan.corners_only:
        return analyse_surface(table, coded, plan.request, label)
    corners = table.rows(np.flatnonzero(corners_of(table)).tolist())
    request = plan.request
    correction: Correction = request.correction  # type: ignore[assignment]  # checked by `adjust`
    method, limits = _method(corners, plan)
    effects = estimate_effects(
        corners,
        terms=plan.terms,
        block=plan.block,
        method=method,
        level=request.level,
        correction=correction,
        q=request.q,
        family=plan.family,
        aliases=plan.aliases,
        adjust_for=request.adjust_for,
    )
    method = effects[0].method
    points, margins, notes = _contrasts(corners, method, request.level)
    diagnosed = _diagnosed(plan.terms, method, margins, corners)
    diagnostics, found = diagnosis(corners, diagnosed, plan.block, request.adjust_for)
    misfit, misfit_model = _lack_of_fit(corners, plan)
    curved = _curvature(table, plan)
    effects, said = _without_common_notes(effects, (*corners.notes, *corners.left_out_note()))
    return Part(
        budget=label,
        num_runs=len(table),
        method=method,
        terms=plan.terms,
        effects=effects,
        conditional=_conditional(corners, effects, plan, method),
        conditions=summarize_table(table, level=request.level),
        levels=levels_by_condition(table),
        contrasts=points,
        lenth=margins,
        margin=margins.margin if margins is not None else _common_margin(effects),
        main_means=tuple(level_means(table, [letter]) for letter in table.letters),
        interactions=_interactions(corners, effects, points),
        lack_of_fit=misfit,
        lack_of_fit_model=misfit_model,
        curvature=curved,
        anova=_anova(corners, plan),
        diagnostics=diagnostics,
        diagnosed=diagnosed,
        surface=None,
        cautions=(*limits, *said, *notes, *same_results(table), *found, *checks(misfit, misfit_model, curved)),
    )


def _method(corners: Table, plan: FitPlan) -> tuple[str, list[Caution]]:
    """The method asked for; single runs of very many conditions are judged by what the model leaves, not by Lenth."""
    num_conditions = len({tuple(row) for row in corners.levels.tolist()})
    is_single = num_conditions == len(corners)
    if plan.method != "auto" or not is_single or num_conditions <= MOST_CONTRASTS:
        return plan.method, []
    words = f"{num_conditions:,} single runs: the terms outside the model serve as error (method paper)"
    return "paper", [Caution(kind="effects", message=words)]


def _without_common_notes(
    effects: tuple[Effect, ...], known: Sequence[str]
) -> tuple[tuple[Effect, ...], list[Caution]]:
    """Notes that every effect repeats are said once, as cautions of the part; those of the table are said there."""
    whole = set(known)
    own = [[note for note in effect.notes if note not in whole] for effect in effects]
    common = [note for note in own[0] if all(note in notes for notes in own)]
    kept = tuple(
        replace(effect, notes=tuple(note for note in notes if note not in common))
        for effect, notes in zip(effects, own, strict=True)
    )
    return kept, [
        Caution(kind="unbalanced" if note.startswith("unbalanced") else "effects", message=note) for note in common
    ]


def _contrasts(
    corners: Table, method: str, level: float
) -> tuple[tuple[HalfNormalPoint, ...], LenthResult | None, list[Caution]]:
    """Every contrast of the condition means; Lenth's margins where the effects rest on them."""
    by_level: dict[tuple[float, ...], list[float]] = {}
    for row, value in zip(corners.levels.tolist(), corners.y.tolist(), strict=True):
        by_level.setdefault(tuple(row), []).append(value)
    if len(by_level) > MOST_CONTRASTS:
        return (), None, []
    levels = np.array(list(by_level), dtype=np.float64)
    means = np.array([float(np.mean(values)) for values in by_level.values()])
    found = contrasts(levels, means, corners.letters)
    points = half_normal(found)
    if method != "lenth":
        return points, None, []
    margins = lenth(found, level=level)
    return points, margins, [Caution(kind="effects", message=note) for note in margins.notes]


def _common_margin(effects: Sequence[Effect]) -> float | None:
    """Half of the intervals' width where it is the same for all effects."""
    halves = [(e.high - e.low) / 2.0 for e in effects if e.high is not None and e.low is not None]
    if not halves or max(halves) - min(halves) > 1e-9 * max(halves):
        return None
    return halves[0]


def _diagnosed(terms: tuple[str, ...], method: str, margins: LenthResult | None, corners: Table) -> tuple[str, ...]:
    """The model whose residuals are looked at: single runs carry only the terms beyond Lenth's margin."""
    if method != "lenth" or margins is None:
        return terms
    active = [parse_term(name, corners.letters) for name in margins.active]
    parents = [(letter,) for letter in corners.letters if any(letter in term for term in active)]
    return tuple(term_text(term) for term in dict.fromkeys([*parents, *active]))


def _conditional(corners: Table, effects: Sequence[Effect], plan: FitPlan, method: str) -> tuple[Effect, ...]:
    """Both conditional effects behind each interaction whose interval excludes 0, the largest first."""
    if method == "lenth":
        return ()
    clear = [
        (parse_term(e.term, corners.letters), abs(e.estimate))
        for e in effects
        if e.low is not None and e.high is not None and not e.low <= 0.0 <= e.high
    ]
    pairs = sorted((item for item in clear if len(set(item[0])) == 2), key=lambda item: -item[1])
    found: list[Effect] = []
    for (one, other), _ in pairs[:SHOWN_INTERACTIONS]:
        if one not in plan.terms:
            continue
        found += conditional_effects(
            corners,
            one,
            other,
            terms=plan.terms,
            block=plan.block,
            method=method,
            level=plan.request.level,
            adjust_for=plan.request.adjust_for,
        )
    return tuple(replace(effect, notes=()) for effect in found)


def _interactions(
    corners: Table, effects: Sequence[Effect], points: Sequence[HalfNormalPoint]
) -> tuple[Interaction, ...]:
    size = {effect.term: abs(effect.estimate) for effect in effects} or {p.name: p.size for p in points}
    pairs = [pair for pair in pairs_of(corners.letters) if "".join(pair) in size]
    pairs = pairs or list(pairs_of(corners.letters))
    pairs.sort(key=lambda pair: -size.get("".join(pair), 0.0))
    return tuple(
        Interaction(one=one, other=other, means=level_means(corners, [one, other]))
        for one, other in pairs[:SHOWN_INTERACTIONS]
    )


def _lack_of_fit(corners: Table, plan: FitPlan) -> tuple[LackOfFit | None, str]:
    """Of main effects against main effects and interactions, as far as the runs can carry those."""
    letters = corners.letters
    larger = plan.terms if set(plan.terms) > set(letters) else main_and_interactions(letters)
    if len(letters) < 2 or not fits(corners, larger):
        return None, ""
    try:
        found = lack_of_fit(corners, terms=letters, larger=larger, block=plan.block, adjust_for=plan.request.adjust_for)
    except AnalysisError:
        return None, ""  # no degree of freedom is left to test it
    return found, "main effects"


def _curvature(table: Table, plan: FitPlan) -> Curvature | None:
    if not (np.abs(table.levels) < 1e-9).all(axis=1).any():
        return None
    for block in dict.fromkeys([plan.block, None]):
        try:
            return curvature_of_table(table, block=block, level=plan.request.level)
        except AnalysisError:
            continue  # blocks without centre points, or a single centre: nothing to test with
    return None


def _anova(corners: Table, plan: FitPlan) -> Anova | None:
    terms = [*plan.terms, *([plan.block] if plan.block is not None else []), *plan.request.adjust_for]
    try:
        return anova_of_table(corners, terms=terms)
    except AnalysisError:
        return None  # what the effects can be told from, shares of variance sometimes cannot
