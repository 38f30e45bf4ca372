"""Sections on what budgets are worth: fidelity of short ones, effects split into per-step and speed parts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise

from foldover.core import AnalysisError, Package, Scalar
from foldover.lab.evidence import StageView
from foldover.report.numbers import listed, percent, signed
from foldover.report.section import Mark, Section, SectionPicture, SectionTable, columns, decimals_of
from foldover.stats import (
    Curve,
    decompose_by_speed,
    order_fidelity,
    relaxation,
    same_sign_probability,
)

FactorRow = tuple[Scalar, ...]
SpeedRow = tuple[str, str, float, float, float, float, float | None, float | None, float, float | None, float | None]

_SHARED = (
    "Warm-downs of this stage branch from common trunks: its budgets share most of their training, and agree better "
    "than runs apart would.",
)
_SAME_STEPS = 0.005  # relative; below it a level changes the number of steps by rounding only


def fidelity(view: StageView) -> Section | None:
    """What each shorter budget says of each longer one: the order of conditions, and factor by factor."""
    packages = [package for package in view.packages if len(view.values(package)) > 2]
    if len(packages) < 2:
        return None
    level, less = view.evidence.study.gate.level, view.evidence.study.direction == "minimize"
    orders, factors, marks, claims = [], [], [], []
    for short, long in combinations(packages, 2):
        a, b = short.budget.label(), long.budget.label()
        try:
            found = order_fidelity(view.values(short), view.values(long), lower_is_better=less, level=level)
        except AnalysisError:
            continue
        orders.append(
            (
                a, b, found.conditions, found.seeds, found.tau, found.low, found.high, found.kept,
                "yes" if found.best_kept else "no", found.loss,
            )
        )  # fmt: skip
        marks.append(
            Mark(label=f"{a} for {b}", series="tau", value=found.tau, low=found.low, high=found.high,
                 hollow=found.low is None)
        )  # fmt: skip
        within = f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None and found.high is not None else ""
        if not view.is_fixed:
            claims.append(
                f"In {view.where} the order at {a} predicts that at {b} with Kendall's tau {found.tau:.2f}{within}; "
                f"taking the best of {a} costs {found.loss:.4f} at {b}."
            )
        own = _factor_fidelity(view, short, long)
        factors += own
        claims += _factor_claim(view, a, b, own)
    if not orders:
        return None
    return Section(
        name=f"fidelity-{view.slug}",
        title=f"What short budgets say of long ones: {view.where}",
        claims=tuple(claims),
        notes=(
            f"Intervals of tau resample whole seeds ({percent(level)}, percentile, seed 0), which adds noise, so that "
            "they lean to the low side; none below three seeds. The ratio of an effect has Fieller's interval and "
            "needs a short effect that is told from 0.",
            *(_SHARED if view.evidence.study.stage(view.name).branch else ()),
        ),
        tables=(
            SectionTable(
                name=f"fidelity-order-{view.slug}",
                title=f"Order of conditions ({view.where})",
                columns=columns(
                    "short",
                    "long",
                    "conditions:count",
                    "seeds:count",
                    "tau:number",
                    "low:number",
                    "high:number",
                    "pairs_kept:share:pairs in order",
                    "best_kept:text:same best",
                    "loss:number:cost of the short best",
                ),
                rows=tuple(orders),
            ),
            *_factor_table(view, factors),
        ),
        pictures=(
            SectionPicture(
                name=f"fidelity-{view.slug}",
                title=f"How well a short budget orders the conditions of a longer one ({view.name})",
                axis="Kendall's tau",
                marks=tuple(marks),
            ),
        ),
    )


def by_speed(view: StageView) -> Section | None:
    """Effects at equal seconds, tokens or FLOPs split: what a level does per step, and what to the number of steps.

    Curves are of runs at several budgets, so that no schedule is read before its end.
    """
    kinds = Counter(package.budget.limit.kind for package in view.packages if package.budget.limit.kind != "steps")
    kind = kinds.most_common(1)[0][0] if kinds else ""
    packages = [package for package in view.packages if package.budget.limit.kind == kind]
    table = view.rows()
    if table is None or len(packages) < 2 or view.is_fixed:
        return None
    steps = _steps_of_runs(view)
    rows: list[SpeedRow] = []
    left: list[str] = []
    for letter in view.varying(table):
        sides = [_curves(view, packages, letter, side, steps) for side in (-1.0, 1.0)]
        common = sorted(set(sides[0]) & set(sides[1]))
        for package in packages[1:] if common else ():
            amount = package.budget.limit.amount
            try:
                found = decompose_by_speed(
                    {seed: sides[0][seed] for seed in common},
                    {seed: sides[1][seed] for seed in common},
                    seconds=amount,
                    level=view.evidence.study.gate.level,
                )
            except AnalysisError:
                left.append(f"{letter} at {package.budget.label()}")
                continue
            rows.append(
                (
                    package.budget.label(), letter, found.steps_low, found.steps_high, found.total.estimate,
                    found.per_step.estimate, found.per_step.low, found.per_step.high, found.speed.estimate,
                    found.speed.low, found.speed.high,
                )
            )  # fmt: skip
    if not rows:
        return None
    return Section(
        name=f"speed-{view.slug}",
        title=f"Per step and through speed: {view.where}",
        claims=tuple(_speed_claims(view, rows)),
        notes=(
            f"At equal {'FLOPs' if kind == 'flops' else kind} a level also changes how many steps are done. The effect "
            "is what it does at equal steps plus the rest; both are read between the runs of this stage's budgets, "
            "linear in the logarithm of steps. Student intervals over seeds, each by itself.",
            *(
                [f"Not split: {listed(left)}; the slower level's steps lie below the shortest run of the faster."]
                if left
                else []
            ),
        ),
        tables=(
            SectionTable(
                name=f"speed-{view.slug}",
                title=f"Effects split by speed ({view.where})",
                columns=columns(
                    "budget",
                    "term",
                    "steps_low:setting:steps at low",
                    "steps_high:setting:steps at high",
                    "effect:signed",
                    "per_step:signed:per step",
                    "per_step_low:signed:low",
                    "per_step_high:signed:high",
                    "speed:signed:through speed",
                    "speed_low:signed:low",
                    "speed_high:signed:high",
                ),
                rows=tuple(rows),
                decimals=decimals_of([(row[6], row[7]) for row in rows]),
            ),
        ),
    )


def _speed_claims(view: StageView, rows: Sequence[SpeedRow]) -> list[str]:
    """At the longest budget: of each factor that changes the number of steps, which part is told from 0."""
    decimals = decimals_of([(row[6], row[7]) for row in rows])
    claims = []
    for row in (row for row in rows if row[0] == rows[-1][0]):
        budget, letter, at_low, at_high, total = row[:5]
        if abs(at_high / at_low - 1.0) < _SAME_STEPS:
            continue
        texts = []
        for what, estimate, low, high in (("per step", *row[5:8]), ("through speed", *row[8:])):
            open_ = low is None or high is None or low <= 0.0 <= high
            within = "" if low is None or high is None else f" [{signed(low, decimals)}, {signed(high, decimals)}]"
            texts.append(f"{signed(estimate, decimals)}{within} {what}{', not told from 0' if open_ else ''}")
        claims.append(
            f"At {budget} in {view.where} the effect of {letter}, {signed(total, decimals)}, is {' and '.join(texts)}: "
            f"its high level takes {at_high / at_low:.2f} times the steps of the low one."
        )
    return claims


def _factor_claim(view: StageView, short: str, long: str, rows: Sequence[FactorRow]) -> list[str]:
    """Whether signs at a short budget are those at a long one, as far as the errors tell."""
    level = view.evidence.study.gate.level
    known = [(str(row[0]), row[-1]) for row in rows]
    kept = [term for term, p in known if isinstance(p, float) and p >= level]
    turned = [term for term, p in known if isinstance(p, float) and p <= 1.0 - level]
    open_ = [term for term, _ in known if term not in (*kept, *turned)]
    says = [f"keeps the sign of {listed(kept)}"] if kept else []
    says += [f"turns that of {listed(turned)}"] if turned else []
    says += [f"does not tell that of {listed(open_)}"] if open_ else []
    if not says:
        return []
    text = f"Factor by factor in {view.where}, {short} {'; it '.join(says)} at {long}"
    return [f"{text} (each with a probability of {percent(level)} or more)."]


def _factor_table(view: StageView, rows: Sequence[FactorRow]) -> list[SectionTable]:
    if not rows:
        return []
    return [
        SectionTable(
            name=f"fidelity-factors-{view.slug}",
            title=f"Factor by factor ({view.where})",
            columns=columns(
                "term",
                "short",
                "long",
                "short_effect:signed:effect at short",
                "long_effect:signed:effect at long",
                "ratio:number",
                "low:number",
                "high:number",
                "same_sign:share:probability of one sign",
            ),
            rows=tuple(rows),
        ),
    ]


def _factor_fidelity(view: StageView, short: Package, long: Package) -> list[FactorRow]:
    tables = [view.rows(package) for package in (short, long)]
    if view.kind != "screen" or view.is_fixed or any(t is None or len(set(t.seeds)) < 2 for t in tables):
        return []
    both = view.over_budgets()
    assert both is not None, "it has two budgets"
    labels = (short.budget.label(), long.budget.label())
    pair = both.rows([i for i, budget in enumerate(both.budgets) if budget in labels])
    try:
        found = relaxation(pair, terms=view.varying(pair), level=view.evidence.study.gate.level)
    except AnalysisError:
        return []
    rows: list[FactorRow] = []
    for step in found.steps:
        first, second = found.curve(step.term)
        ratio = step.ratio
        rows.append(
            (
                step.term, step.short, step.long, first.estimate, second.estimate,
                None if ratio is None else ratio.ratio, None if ratio is None else ratio.low,
                None if ratio is None else ratio.high, same_sign_probability(first, second),
            )
        )  # fmt: skip
    return rows


def _steps_of_runs(view: StageView) -> dict[str, float]:
    found = {}
    for record in view.evidence.records:
        steps = record.outcome.counters.get("steps")
        if record.counts and record.spec.stage == view.name and isinstance(steps, int | float):
            found[record.spec.run_id] = float(steps)
    return found


def _curves(
    view: StageView, packages: list[Package], letter: str, side: float, steps: dict[str, float]
) -> dict[int, Curve]:
    """Seed to the mean curve of the conditions at one level: geometric mean steps, mean response, at each budget."""
    points: dict[int, list[tuple[float, float, float]]] = {}
    for package in packages:
        table = view.rows(package)
        if table is None:
            continue
        column = table.levels[:, table.letters.index(letter)]
        for seed in set(table.seeds):
            keep = [
                i for i in range(len(table))
                if table.seeds[i] == seed and column[i] == side and steps.get(table.run_ids[i], 0.0) > 0.0
            ]  # fmt: skip
            if keep:
                log_steps = sum(math.log(steps[table.run_ids[i]]) for i in keep) / len(keep)
                value = sum(float(table.y[i]) for i in keep) / len(keep)
                points.setdefault(seed, []).append((package.budget.limit.amount, math.exp(log_steps), value))
    return {
        seed: Curve(seconds=tuple(p[0] for p in own), steps=tuple(p[1] for p in own), values=tuple(p[2] for p in own))
        for seed, own in points.items()
        if len(own) == len(packages) and all(a[1] < b[1] for a, b in pairwise(own))
    }
