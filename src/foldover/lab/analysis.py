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
    Gate,
    LeverSet,
    Package,
    Recommendation,
    RunRecord,
    Stage,
    Study,
    Verdict,
    digest,
)
from foldover.core.finding import FEWEST_SEEDS
from foldover.planning import Candidate, Plan, best_candidate, candidates, compare, judge, recommend, send_back
from foldover.stats import (
    TRUNK,
    Table,
    effects_of_many,
    estimate_effects,
    split_plot_effects,
    summarize_table,
    tabulate,
)

# Stages of many conditions, the best of which is flattered: it is carried on, and compared where it is run afresh.
MANY = ("search", "surface")


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
                found = _effects_of(_rows_of(table, study, plan, package), study, package, plan.design)
            except AnalysisError as error:
                notes.append(f"{package.name}: no effects: {error}")
                continue
            named = [replace(effect, package=package.name, budget=package.budget.label()) for effect in found]
            if _is_fold(study, plan, plans):
                named = [replace(effect, aliased_with=_left_by_fold(effect)) for effect in named]
            effects += [note_unfired(effect, package, study, records, levers) for effect in named]
    conditions = summarize_table(table, level=study.gate.level)
    return Analysis(records=tuple(records), effects=tuple(effects), conditions=conditions, notes=tuple(notes))


def _rows_of(table: Table, study: Study, plan: Plan, package: Package) -> Table:
    """The rows of a package; with those of the screen that it follows, at the same budget, where it follows one."""
    followed = study.stage(plan.stage).follows
    if not followed:
        return table.where(package=package.name)
    other = f"{followed} @ {package.budget.label()}"
    return table.rows([i for i, name in enumerate(table.packages) if name in (package.name, other)])


def _is_fold(study: Study, plan: Plan, plans: Sequence[Plan]) -> bool:
    """Whether the plan is the other half of the screen that it follows."""
    followed = next((other for other in plans if other.stage == study.stage(plan.stage).follows), None)
    return followed is not None and _signs(plan) != _signs(followed)


def _signs(plan: Plan) -> tuple[str, ...]:
    return () if plan.design is None else plan.design.generators


def _left_by_fold(effect: Effect) -> tuple[str, ...]:
    """What is aliased in both halves alike: words of even length keep their sign when all signs are reversed."""
    return tuple(term for term in effect.aliased_with if len(set(effect.term) ^ set(term.lstrip("-"))) % 2 == 0)


def _effects_of(table: Table, study: Study, package: Package, design: Design) -> tuple[Effect, ...]:
    """The effects of one package.

    Where runs share training they make a split plot: effects of what is trained are tested between trainings, those of
    what is done afterwards within them. The method `per_seed` tells the strata apart by itself, and a single seed
    describes only.
    """
    gate = study.gate
    if package.regime == "fixed":
        # Under one seed a block would be nothing, and reruns are all the error that there is.
        found = estimate_effects(
            table,
            terms=design.letters,
            block=None,
            level=gate.level,
            correction=gate.correction,
            q=gate.q,
            aliases=dict(design.aliases),
        )
        return _by_margin(found, table, design, gate) if found[0].method == "lenth" else found
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


def _by_margin(found: Sequence[Effect], table: Table, design: Design, gate: Gate) -> tuple[Effect, ...]:
    """Effects of one fixed seed, retained where they exceed Lenth's margin: no error is there to say more with.

    A study that declares its seed fixed asks what one realisation shows, and follows it up under others.
    """
    many = effects_of_many(table, table.y[None, :], terms=design.letters, block=None, method="lenth", level=gate.level)
    margins = {term: float(many.high[0, j] - many.estimate[0, j]) for j, term in enumerate(many.terms)}
    return tuple(replace(effect, retained=abs(effect.estimate) > margins[effect.term]) for effect in found)


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
    compared = sorted(plan.compared, key=lambda p: p.budget.limit.amount)
    names, stage = [p.name for p in compared], study.stage(plan.stage)
    used = [r for r in analysis.records if r.spec.stage == plan.stage]
    if stage.kind == "screen":
        before = [other for other in _up_to(plan, plans)[:-1] if _may_speak_against(study, other, stage)]
        earlier = [verdict for other in before for verdict in _judge_screen(study, other, analysis)]
        return send_back(_judge_screen(study, plan, analysis), earlier)
    found = fresh_candidates(study, _up_to(plan, plans), analysis, like=compared[-1])
    own = tuple(c for c in found if c.summary.package in names)
    if not own:
        own = _candidates_of(study, [plan], [compared[-1]], analysis)
    if not own:
        return ()
    if stage.kind in MANY:
        return (_carry(study, stage, own, evidence_of(used)),)
    best = best_candidate(found, study.direction)
    # Two conditions of earlier stages were compared after those.
    rivals = [c for c in found if c is not best and {best.summary.package, c.summary.package} & set(names)]
    evidence = evidence_of([r for r in analysis.records if r.spec.package in {c.summary.package for c in found}])
    verdicts = tuple(_compare(study, plan.stage, best, rival, evidence) for rival in rivals)
    return verdicts or (_carry(study, stage, own, evidence),)


def _judge_screen(study: Study, plan: Plan, analysis: Analysis) -> tuple[Verdict, ...]:
    """The verdicts on factors of one screen by itself."""
    stage = study.stage(plan.stage)
    return judge(
        analysis.effects,
        [factor for factor in study.factors if factor.letter not in stage.fix],
        # A follow-up asks for nothing more.
        replace(study.gate, more_seeds=0, fold_over=False) if stage.follows else study.gate,
        stage=plan.stage,
        packages=[p.name for p in sorted(plan.compared, key=lambda p: p.budget.limit.amount)],
        direction=study.direction,
        evidence=evidence_of([r for r in analysis.records if r.spec.stage == plan.stage]),
        regime=stage.regime,
        seeds=len(stage.seeds),
    )


def _may_speak_against(study: Study, plan: Plan, stage: Stage) -> bool:
    """Whether a screen is one that another has to agree with: of the same host, and not of one seed against many.

    A follow-up is judged with the runs of the screen that it follows, and says more than that one.
    """
    other = study.stage(plan.stage)
    is_as_strong = other.regime == "explicit" or stage.regime == "fixed"
    is_apart = other.name != stage.follows
    return other.kind == "screen" and is_as_strong and is_apart and study.host_of(other) == study.host_of(stage)


def screen_verdicts(study: Study, plans: Sequence[Plan], analysis: Analysis) -> tuple[Verdict, ...]:
    """Those of every screen; of several on a factor the last of the study's own host and of explicit seeds stands."""
    found: dict[str, Verdict] = {}
    screens = [plan for plan in plans if study.stage(plan.stage).kind == "screen"]
    for plan in sorted(screens, key=lambda plan: _weight(study, study.stage(plan.stage))):
        found |= {verdict.subject: verdict for verdict in judge_stage(study, plan, plans, analysis)}
    return tuple(found[factor.letter] for factor in study.factors if factor.letter in found)


def fresh_candidates(
    study: Study, plans: Sequence[Plan], analysis: Analysis, *, like: Package | None = None
) -> tuple[Candidate, ...]:
    """Conditions of the stages after the screens, at the longest budget that any of them ran.

    Hosts and regimes are never mixed, and conditions of searches and surfaces are not fresh. like: the package whose
    host, regime and budget are asked for; by default the study's own host, and explicit seeds where there are any.
    """
    kinds = {plan.stage: study.stage(plan.stage).kind for plan in plans}
    later = [plan for plan in plans if kinds[plan.stage] not in ("screen", *MANY)]
    packages = [package for plan in later for package in plan.compared]
    if not packages:
        later = [plan for plan in plans if kinds[plan.stage] == "screen"]
        packages = [package for plan in later for package in plan.compared]
    if like is not None:
        packages = [
            p for p in packages if (p.host, p.regime, p.budget.limit) == (like.host, like.regime, like.budget.limit)
        ]
        return _candidates_of(study, later, packages, analysis)
    at_home = [p for p in packages if p.host == study.host] or packages
    packages = [p for p in at_home if p.regime == "explicit"] or at_home
    longest = max((p.budget.limit.amount for p in packages), default=0.0)
    return _candidates_of(study, later, [p for p in packages if p.budget.limit.amount == longest], analysis)


def _candidates_of(
    study: Study, plans: Sequence[Plan], packages: Sequence[Package], analysis: Analysis
) -> tuple[Candidate, ...]:
    names = {package.name: package.regime for package in packages}
    conditions = {(p.name, c.label): c for plan in plans for p in plan.compared for c in plan.conditions}
    return candidates(analysis.records, analysis.conditions, conditions, packages=names, response=study.response)


def recommendation_of(study: Study, plans: Sequence[Plan], analysis: Analysis) -> Recommendation | None:
    """What the study recommends so far; None before anything finished."""
    found = fresh_candidates(study, plans, analysis)
    return recommend(study, found, screen_verdicts(study, plans, analysis)) if found else None


def _weight(study: Study, stage: Stage) -> tuple[bool, bool]:
    """How much the verdicts of a screen count, beside its place in the order of stages."""
    return study.host_of(stage) == study.host, stage.regime == "explicit"


def _up_to(plan: Plan, plans: Sequence[Plan]) -> list[Plan]:
    stages = [p.stage for p in plans]
    return list(plans[: stages.index(plan.stage) + 1])


def _carry(study: Study, stage: Stage, own: Sequence[Candidate], evidence: str) -> Verdict:
    """The best of conditions that are compared with nothing."""
    best = best_candidate(own, study.direction)
    runs = sum(c.summary.n for c in own)
    because = f"{best.summary.mean:.4f} at {best.summary.budget}, n = {best.summary.n}"
    rule = "the only condition is carried on"
    if len(own) > 1:
        because += f", the best of {len(own)} conditions in {runs} runs: flattered by chance until it is run afresh"
        rule = "the condition of the best mean is carried on"
    return Verdict(
        stage=stage.name, subject=best.condition.label, decision="carry", because=because, rule=rule, evidence=evidence
    )


def _compare(study: Study, stage: str, best: Candidate, rival: Candidate, evidence: str) -> Verdict:
    difference = compare(best, rival, level=study.gate.level)
    decision: Decision = "undecided"
    because = "no error can be estimated: fewer than two common seeds, or reruns that are all alike"
    how = "difference of reruns under one seed" if best.is_fixed else "seed-paired difference"
    if difference is not None:
        is_resolved = difference.high < 0 if study.direction == "minimize" else difference.low > 0
        decision = "confirm" if is_resolved else "undecided"
        because = f"{difference.what} {difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}] "
        because += f"over {difference.n} {'reruns: it says nothing of other seeds' if best.is_fixed else 'seeds'}"
        because += ": descriptive only" if not best.is_fixed and difference.n < FEWEST_SEEDS else ""
    return Verdict(
        stage=stage,
        subject=f"{best.condition.label} better than {rival.condition.label}",
        decision=decision,
        because=because,
        rule=f"confirmed if the {study.gate.level:.0%} interval of the {how} excludes 0",
        evidence=evidence,
    )
