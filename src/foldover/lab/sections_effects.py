"""Sections on effects: at each budget, pooled over budgets, and how they relax."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from foldover.core import AnalysisError, Effect, Gate, Package
from foldover.lab.evidence import StageView
from foldover.report.numbers import counted, listed, percent, probability, signed
from foldover.report.section import Mark, Section, SectionPicture, SectionTable, columns, decimals_of
from foldover.stats import adjust, pooled_budgets, relaxation


def effects_by_budget(view: StageView) -> Section | None:
    """Main effects of a screen at each of its budgets, with the family's q."""
    own = [e for e in view.evidence.effects if e.package in {p.name for p in view.packages} and len(e.term) == 1]
    if not own:
        return None
    budgets = {package.name: package for package in view.packages}
    levers = {factor.letter: factor.lever for factor in view.evidence.study.factors}
    decimals = decimals_of([(e.low, e.high) for e in own])
    rows = tuple(
        (e.budget, e.term, levers.get(e.term, ""), e.estimate, e.low, e.high, e.p, e.q, _outcome(view, e), e.n)
        for e in own
    )
    return Section(
        name=f"effects-{view.slug}",
        title=f"Main effects by budget: {view.where}",
        claims=tuple(_retained(view, package, own) for package in budgets.values()),
        notes=tuple(_method_notes(view, own)),
        tables=(
            SectionTable(
                name=f"effects-{view.slug}",
                title=f"Main effects, high minus low ({view.where})",
                columns=columns(
                    "budget",
                    "term",
                    "lever",
                    "effect:signed",
                    "low:signed",
                    "high:signed",
                    "p:probability",
                    "q:probability",
                    "outcome",
                    "runs:count",
                ),
                rows=rows,
                decimals=decimals,
            ),
        ),
        pictures=(_effects_picture(view, own),),
    )


def pooled_follow_up(view: StageView) -> Section | None:
    """Main effects and two-factor interactions of a stage at all its budgets in one model, with budget interactions."""
    table = view.over_budgets()
    if table is None:
        return None
    letters = view.varying(table)
    terms = [*letters, *("".join(pair) for pair in combinations(letters, 2))]
    block = "seed" if not view.is_fixed and len(set(table.seeds)) > 1 else None
    try:
        found = pooled_budgets(table, terms=terms, block=block, level=view.evidence.study.gate.level)
    except AnalysisError:
        return None  # a saturated stage has no error to pool
    effects = {(e.budget, e.term): e for e in found.effects}
    rows = tuple((e.budget, e.term, e.estimate, e.low, e.high, e.p) for e in found.effects)
    deltas = tuple((d.term, d.reference, d.budget, d.estimate, d.low, d.high, d.p) for d in found.deltas)
    salience = tuple(_salience(effects, budget, letters) for budget in found.budgets)
    decimals = decimals_of([(e.low, e.high) for e in found.effects])
    fixed = ", ".join(f"{f} {x}" for f, x in view.evidence.study.stage(view.name).fix.items())
    df1, df2 = found.interaction_df
    return Section(
        name=f"pooled-{view.slug}",
        title=f"Follow-up pooled over budgets: {view.where}",
        claims=(
            f"In {view.where} effects change with the budget: F({df1}, {df2}) = {found.interaction_f:.1f}, "
            f"p = {probability(found.interaction_p)}{view.caveat}.",
        ),
        notes=(
            f"Model: budget x (main effects and two-factor interactions of {listed(letters)})"
            f"{f', {fixed} held' if fixed else ''}; one error on {found.df} degrees of freedom, residual sd "
            f"{found.sigma:.3g}.",
            *found.notes,
            *(("Intervals are of reruns of one seed and of lack of fit, not of seeds.",) if view.is_fixed else ()),
        ),
        tables=(
            SectionTable(
                name=f"pooled-{view.slug}",
                title=f"Effects in the pooled model ({view.where})",
                columns=columns("budget", "term", "effect:signed", "low:signed", "high:signed", "p:probability"),
                rows=rows,
                decimals=decimals,
            ),
            SectionTable(
                name=f"pooled-change-{view.slug}",
                title=f"Change of each effect with the budget ({view.where})",
                columns=columns("term", "from", "to", "change:signed", "low:signed", "high:signed", "p:probability"),
                rows=deltas,
                decimals=decimals,
            ),
            SectionTable(
                name=f"salience-{view.slug}",
                title=f"Largest interaction beside the largest main effect ({view.where})",
                columns=columns(
                    "budget",
                    "main",
                    "main_effect:signed:main effect",
                    "interaction",
                    "interaction_effect:signed:interaction effect",
                    "ratio:number:|interaction| / |main|",
                ),
                rows=salience,
                decimals=decimals,
            ),
        ),
    )


def relaxing(view: StageView) -> Section | None:
    """H1: whether each penalty shrinks as the budget grows, paired by seed where the seeds are the same."""
    table = view.over_budgets()
    if table is None or view.is_fixed or len(set(table.seeds)) < 2:
        return None
    try:
        found = relaxation(table, terms=view.varying(table), level=view.evidence.study.gate.level)
    except AnalysisError:
        return None
    steps = found.steps
    rows = tuple(
        (
            step.term, step.short, step.long, step.shrinkage, step.low, step.high, step.p,
            None if step.ratio is None else step.ratio.ratio, None if step.ratio is None else step.ratio.low,
            None if step.ratio is None else step.ratio.high, "yes" if step.changes_sign else "no",
        )
        for step in steps
    )  # fmt: skip
    span = (found.budgets[0], found.budgets[-1])
    whole = [step for step in steps if (step.short, step.long) == span]
    shown = [step.term for step in whole if step.p is not None and step.p <= view.evidence.study.gate.q]
    open_ = [step.term for step in whole if step.term not in shown]
    says = f"|effect| shrinks from {span[0]} to {span[1]} for {listed(shown) if shown else 'no factor'}"
    return Section(
        name=f"relaxation-{view.slug}",
        title=f"Relaxation of the effects (H1): {view.where}",
        claims=(
            f"H1 in {view.where}: {says} (one-sided p at most {view.evidence.study.gate.q:g} each, "
            f"{counted(len(set(table.seeds)), 'seed')})" + (f"; not shown for {listed(open_)}." if open_ else "."),
        ),
        notes=(
            "Shrinkage is |effect| at the shorter budget less that at the longer; p is one-sided, of no shrinkage, "
            "each factor by itself.",
        ),
        tables=(
            SectionTable(
                name=f"relaxation-{view.slug}",
                title=f"Relaxation ({view.where})",
                columns=columns(
                    "term",
                    "from",
                    "to",
                    "shrinkage:signed",
                    "low:signed",
                    "high:signed",
                    "p:probability",
                    "ratio:number:long / short",
                    "ratio_low:number:ratio low",
                    "ratio_high:number:ratio high",
                    "changes_sign:text:changes sign",
                ),
                rows=rows,
                decimals=decimals_of([(step.low, step.high) for step in steps]),
            ),
        ),
    )


def _outcome(view: StageView, effect: Effect) -> str:
    if effect.retained is None or view.is_fixed:
        return "descriptive, stands out" if effect.retained else "descriptive"
    return "retained" if effect.retained else "not retained"


def _retained(view: StageView, package: Package, effects: list[Effect]) -> str:
    own = [effect for effect in effects if effect.package == package.name]
    host = view.evidence.study.title_of(view.host)
    where = f"{package.budget.label()} ({package.name}{f', {host}' if host else ''}; "
    where += f"n = {counted(len(package.seeds), 'seed')} a condition)"
    if not own:
        return f"At {where} no effect could be estimated."
    if all(effect.retained is None for effect in own) or view.is_fixed:
        largest = max(own, key=lambda effect: abs(effect.estimate))
        why = "one fixed seed" if view.is_fixed else "one run a condition"
        return f"At {where} the largest effect is {largest.term} ({signed(largest.estimate)}): descriptive only, {why}."
    kept = [f"{effect.term} ({signed(effect.estimate)})" for effect in own if effect.retained]
    rest = [effect.term for effect in own if not effect.retained]
    says = f"{listed(kept)} {'is' if len(kept) == 1 else 'are'} retained" if kept else "no factor is retained"
    return f"At {where} {says}" + (f", {listed(rest)} not." if kept and rest else ".")


def _method_notes(view: StageView, effects: list[Effect]) -> Iterator[str]:
    gate = view.evidence.study.gate
    yield (
        f"Method {listed(dict.fromkeys(e.method for e in effects))}; {percent(gate.level)} intervals; q by "
        f"{gate.correction.upper()} over the main effects of one budget."
    )
    if view.is_fixed:
        yield "All runs have one fixed seed: what another seed would give is not known."
    elif len(view.packages) > 1:
        yield from _one_family(view, effects)


def _one_family(view: StageView, effects: list[Effect]) -> Iterator[str]:
    """Whether the same effects are retained if all budgets share one error rate: nothing is decided by it."""
    gate = view.evidence.study.gate
    tested = [e for e in effects if e.p is not None]
    if len({e.budget for e in tested}) < 2:
        return
    q = adjust([e.p for e in tested], gate.correction)
    moved = [
        f"{e.term} at {e.budget}" for e, x in zip(tested, q, strict=True) if bool(e.retained) != _keeps(e, x, gate)
    ]
    says = f"the verdict on {listed(moved)} changes" if moved else "the same effects are retained"
    yield f"With {gate.correction.upper()} over all {len(tested)} tests of the stage at once {says}."


def _keeps(effect: Effect, q: float | None, gate: Gate) -> bool:
    """Whether an effect of such a q is retained."""
    if q is None or effect.low is None or effect.high is None:
        return False
    return q <= gate.q and not effect.low <= 0.0 <= effect.high


def _effects_picture(view: StageView, effects: list[Effect]) -> SectionPicture:
    size = {e.term: max(abs(other.estimate) for other in effects if other.term == e.term) for e in effects}
    marks = [
        Mark(
            label=view.evidence.named(effect.term),
            series=effect.budget,
            value=effect.estimate,
            low=effect.low,
            high=effect.high,
            hollow=effect.retained is None or view.is_fixed,
        )
        for effect in sorted(effects, key=lambda e: -size[e.term])
    ]
    return SectionPicture(
        name=f"figure-effects-{view.slug}",
        title=f"Main effects with intervals, by budget ({view.where})",
        axis=f"effect on {view.evidence.study.response}, high minus low",
        marks=tuple(marks),
        zero=True,
    )


def _salience(
    effects: dict[tuple[str, str], Effect], budget: str, letters: list[str]
) -> tuple[str, str, float, str, float, float | None]:
    own = [effect for (at, _), effect in effects.items() if at == budget]
    main = max((e for e in own if e.term in letters), key=lambda e: abs(e.estimate))
    crossed = [e for e in own if e.term not in letters]
    other = max(crossed, key=lambda e: abs(e.estimate))
    ratio = abs(other.estimate / main.estimate) if main.estimate else None
    return budget, main.term, main.estimate, other.term, other.estimate, ratio
