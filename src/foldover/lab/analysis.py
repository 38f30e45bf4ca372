"""Records -> effects, condition means and verdicts: plain joining of `stats` and `planning`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from foldover.core import (
    AnalysisError,
    ConditionSummary,
    Decision,
    Design,
    Effect,
    LeverSet,
    Package,
    Recommendation,
    RunRecord,
    Study,
    Verdict,
    digest,
)
from foldover.planning import Candidate, Plan, best_candidate, candidates, compare, judge, recommend
from foldover.stats import (
    TRUNK,
    Table,
    estimate_effects,
    split_plot_effects,
    summarize_table,
    tabulate,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What the records of a study say. notes: what could not be said, and why."""

    records: tuple[RunRecord, ...]
    effects: tuple[Effect, ...]
    conditions: tuple[ConditionSummary, ...]
    notes: tuple[str, ...]


def analyse_records(study: Study, plans: Sequence[Plan], records: Sequence[RunRecord], levers: LeverSet) -> Analysis:
    """Effects of every screen at every budget, and means of every condition of every package.

    Trunks are left out: they stand for no condition.
    """
    compared = [record for record in records if not record.spec.is_trunk]
    if not any(record.counts for record in compared):
        return Analysis(records=tuple(records), effects=(), conditions=(), notes=("no run has a result yet",))
    table = tabulate(compared, response=study.response, letters=[f.letter for f in study.factors])
    effects: list[Effect] = []
    notes = list(table.notes)
    for plan in plans:
        if study.stage(plan.stage).kind != "screen" or plan.design is None:
            continue
        for package in plan.compared:
            try:
                found = _effects_of(table.where(package=package.name), study, package, plan.design)
            except AnalysisError as error:
                notes.append(f"{package.name}: no effects: {error}")
                continue
            effects += [note_unfired(effect, package, study, records, levers) for effect in found]
    conditions = summarize_table(table, level=study.gate.level)
    return Analysis(records=tuple(records), effects=tuple(effects), conditions=conditions, notes=tuple(notes))


def _effects_of(table: Table, study: Study, package: Package, design: Design) -> tuple[Effect, ...]:
    """The effects of one package.

    Where runs share training they make a split plot: effects of what is trained are tested between trainings, those of
    what is done afterwards within them. The method `per_seed` tells the strata apart by itself, and a single seed
    describes only.
    """
    gate = study.gate
    if len(package.seeds) > 1 and gate.method != "per_seed" and _shares_training(table):
        plots = table.column(TRUNK)
        return split_plot_effects(
            table,
            whole_plots=plots,
            terms=design.letters,
            # Where each seed has one training, trainings are the blocks.
            block="seed" if len(set(plots)) > len(set(table.seeds)) else None,
            level=gate.level,
            correction=gate.correction,
            q=gate.q,
            aliases=dict(design.aliases),
        )
    return estimate_effects(
        table,
        terms=design.letters,
        block="seed" if len(package.seeds) > 1 else None,
        method=gate.method if len(package.seeds) > 1 else "lenth",
        level=gate.level,
        correction=gate.correction,
        q=gate.q,
        aliases=dict(design.aliases),
    )


def _shares_training(table: Table) -> bool:
    return TRUNK in table.others and len(set(table.column(TRUNK))) < len(table)


def note_unfired(
    effect: Effect, package: Package, study: Study, records: Sequence[RunRecord], levers: LeverSet
) -> Effect:
    """The effect, with a note if the lever names an event that some of its runs lack."""
    factor = next((f for f in study.factors if f.letter == effect.term), None)
    event = levers[factor.lever].fires if factor is not None else ""
    if factor is None or not event:
        return effect
    used = [r for r in records if r.counts and r.spec.package == package.name]
    neutral = levers[factor.lever].neutral
    acting = [r for r in used if r.spec.recipe.values[factor.lever] != neutral]
    silent = sum(event not in r.outcome.fired for r in acting)
    if not silent:
        return effect
    return replace(effect, notes=(*effect.notes, f"`{event}` never fired in {silent} of {len(acting)} runs"))


def evidence_of(records: Sequence[RunRecord]) -> str:
    """Digest of the records a decision rests on."""
    return digest(sorted((r.spec.run_id, r.attempt, digest(r.outcome), r.exclusion) for r in records))


def judge_stage(study: Study, plan: Plan, plans: Sequence[Plan], analysis: Analysis) -> tuple[Verdict, ...]:
    """The verdicts of one stage: on factors after a screen, on conditions after the others.

    Stages planned after it are left out of account, so that the decision is the same whenever it is made.
    """
    names = [p.name for p in sorted(plan.compared, key=lambda p: p.budget.limit.amount)]
    used = [r for r in analysis.records if r.spec.stage == plan.stage]
    if study.stage(plan.stage).kind == "screen":
        return judge(
            analysis.effects,
            study.factors,
            study.gate,
            stage=plan.stage,
            packages=names,
            direction=study.direction,
            evidence=evidence_of(used),
        )
    found = fresh_candidates(study, _up_to(plan, plans), analysis)
    if not any(c.summary.package in names for c in found):
        return ()
    best = best_candidate(found, study.direction)
    # Two conditions of earlier stages were compared after those.
    rivals = [c for c in found if c is not best and {best.summary.package, c.summary.package} & set(names)]
    evidence = evidence_of([r for r in analysis.records if r.spec.package in {c.summary.package for c in found}])
    return tuple(_compare(study, plan.stage, best, rival, evidence) for rival in rivals)


def fresh_candidates(study: Study, plans: Sequence[Plan], analysis: Analysis) -> tuple[Candidate, ...]:
    """Conditions of the stages after the screens, at the longest budget that any of them ran."""
    later = [p for p in plans if study.stage(p.stage).kind != "screen"]
    packages = [package for plan in later for package in plan.compared]
    if not packages:
        later = list(plans)
        packages = [package for plan in later for package in plan.compared]
    longest = max((p.budget.limit.amount for p in packages), default=0.0)
    names = [p.name for p in packages if p.budget.limit.amount == longest]
    conditions = {(p.name, c.label): c for plan in later for p in plan.compared for c in plan.conditions}
    return candidates(analysis.records, analysis.conditions, conditions, packages=names, response=study.response)


def recommendation_of(study: Study, plans: Sequence[Plan], analysis: Analysis) -> Recommendation | None:
    """What the study recommends so far; None before anything finished."""
    found = fresh_candidates(study, plans, analysis)
    screens = [p for p in plans if study.stage(p.stage).kind == "screen"]
    verdicts = [v for plan in screens for v in judge_stage(study, plan, plans, analysis)]
    return recommend(study, found, verdicts) if found else None


def _up_to(plan: Plan, plans: Sequence[Plan]) -> list[Plan]:
    stages = [p.stage for p in plans]
    return list(plans[: stages.index(plan.stage) + 1])


def _compare(study: Study, stage: str, best: Candidate, rival: Candidate, evidence: str) -> Verdict:
    difference = compare(best, rival, level=study.gate.level)
    decision: Decision = "undecided"
    because = "fewer than two common seeds"
    if difference is not None:
        is_resolved = difference.high < 0 if study.direction == "minimize" else difference.low > 0
        decision = "confirm" if is_resolved else "undecided"
        because = (
            f"paired difference {difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}] "
            f"over {difference.n} seeds"
        )
    return Verdict(
        stage=stage,
        subject=f"{best.condition.label} better than {rival.condition.label}",
        decision=decision,
        because=because,
        rule=f"confirmed if the {study.gate.level:.0%} interval of the seed-paired difference excludes 0",
        evidence=evidence,
    )
