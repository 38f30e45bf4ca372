"""Sections on conditions: their order, win counts by role, shares of the sum of squares, reruns of one seed."""

from __future__ import annotations

from itertools import combinations

from foldover.core import AnalysisError, ConditionSummary, Package
from foldover.lab.evidence import StageView, cells, slug
from foldover.planning import Condition
from foldover.report.numbers import counted, decimals_for, listed, percent, plain
from foldover.report.section import Mark, Section, SectionPicture, SectionTable, columns, decimals_of
from foldover.stats import all_pairs, anova_of_table, measure_noise, win_counts


def ordering(view: StageView) -> Section | None:
    """Conditions of each package in the order of their means, with Student intervals over seeds."""
    claims, tables, pictures = [], [], []
    for package in view.packages:
        own = sorted(
            (s for s in view.evidence.conditions if s.package == package.name),
            key=lambda s: (view.evidence.sign * s.mean, s.condition),
        )
        if not own:
            continue
        name, budget = f"ordering-{slug(package.name)}", package.budget.label()
        tables.append(
            SectionTable(
                name=name,
                title=f"Conditions in order of their mean at {budget} ({view.where})",
                columns=columns(
                    "rank:count",
                    "condition",
                    "role",
                    "mean:number",
                    "low:number",
                    "high:number",
                    "sd:number",
                    "n:count",
                ),
                rows=tuple(
                    (i, s.condition, view.role(s.condition), s.mean, s.low, s.high, s.sd, s.n)
                    for i, s in enumerate(own, start=1)
                ),
                decimals=decimals_of([(s.low, s.high) for s in own]),
                note=_limits(view, package),
            )
        )
        if len(own) == 1:
            continue  # nothing to order
        claims.append(_best(view, package, own))
        runs = view.runs(package)
        pictures.append(
            SectionPicture(
                name=f"figure-{name}",
                title=f"Conditions at {budget} ({view.where})",
                axis=view.evidence.study.response,
                marks=tuple(
                    Mark(
                        label=s.condition,
                        series=view.role(s.condition),
                        value=s.mean,
                        low=s.low,
                        high=s.high,
                        hollow=view.is_descriptive(package),
                        runs=tuple(runs.get(s.condition, ())),
                    )
                    for s in own
                ),
            )
        )
    if not tables:
        return None
    return Section(
        name=f"ordering-{view.slug}",
        title=f"Order of conditions: {view.where}",
        claims=tuple(claims),
        tables=tuple(tables),
        pictures=tuple(pictures),
    )


def carried(view: StageView) -> Section | None:
    """What a stage picked, beside how the same recipe stood where it was picked: at the same budget if it ran there."""
    if not view.packages:
        return None
    here = view.packages[-1]
    now = {s.condition: s for s in view.evidence.conditions if s.package == here.name}
    rows = []
    for label, condition in view.conditions.items():
        found = _before(view, condition, here)
        if label in now and found is not None:
            source, package, s = found
            where = package.name + (f", {view.evidence.study.title_of(source.host)}" if source.host else "")
            own = now[label]
            rows.append((label, condition.role, where, s.mean, s.n, own.mean, own.low, own.high, own.n))
    if len(rows) < 2:
        return None
    return Section(
        name=f"carried-{view.slug}",
        title=f"Where the conditions stood before: {view.where}",
        notes=(
            "The packages differ in seeds, budget or host: their values stand side by side and are not pooled. What "
            "was picked there as the best of several is flattered there.",
        ),
        tables=(
            SectionTable(
                name=f"carried-{view.slug}",
                title=f"Means before, and at {here.budget.label()} ({view.where})",
                columns=columns(
                    "condition",
                    "role",
                    "before",
                    "mean_before:number:mean there",
                    "n_before:count:n there",
                    "mean:number",
                    "low:number",
                    "high:number",
                    "n:count",
                ),
                rows=tuple(rows),
                decimals=decimals_of([(row[6], row[7]) for row in rows]),
            ),
        ),
    )


def _before(view: StageView, condition: Condition, here: Package) -> tuple[StageView, Package, ConditionSummary] | None:
    """The stage that a condition was picked from, the package there, and its mean; None where it ran changed."""
    if not condition.origin:
        return None
    source = StageView(evidence=view.evidence, name=condition.origin)
    labels = {c.label for c in source.conditions.values() if c.recipe.digest == condition.recipe.digest}
    packages = [p for p in source.packages if p.budget.limit == here.budget.limit] or source.packages[-1:]
    for s in view.evidence.conditions:
        if packages and s.package == packages[0].name and s.condition in labels:
            return source, packages[0], s
    return None


def wins(view: StageView) -> Section | None:
    """In how many pairs of runs the conditions of one role beat those of another, with the members of each group."""
    roles = list(dict.fromkeys(condition.role for condition in view.conditions.values()))
    if len(roles) < 2:
        return None
    less = view.evidence.study.direction == "minimize"
    rows = []
    for package in view.packages:
        runs = view.runs(package)
        groups = {role: {c: v for c, v in runs.items() if view.role(c) == role} for role in roles}
        for a, b in combinations([role for role in roles if groups[role]], 2):
            found = win_counts(groups[a], groups[b], name_a=a, name_b=b, lower_is_better=less)
            rows.append(
                (
                    package.budget.label(), a, b, found.label, found.ties, found.cliffs_delta,
                    _members(found.members_a), _members(found.members_b),
                )
            )  # fmt: skip
    if not rows:
        return None
    return Section(
        name=f"wins-{view.slug}",
        title=f"Win counts by role: {view.where}",
        notes=("The pairs of a count share runs, so a count is a description and has no p-value of its own.",),
        tables=(
            SectionTable(
                name=f"wins-{view.slug}",
                title=f"Runs of the first role that beat runs of the second ({view.where})",
                columns=columns(
                    "budget",
                    "first",
                    "second",
                    "wins",
                    "ties:count",
                    "cliffs_delta:signed:Cliff's delta",
                    "first_members:text:first, runs",
                    "second_members:text:second, runs",
                ),
                rows=tuple(rows),
                decimals=3,
            ),
        ),
    )


def shares(view: StageView) -> Section | None:
    """Type II analysis of variance over budgets, conditions and seeds, as shares of the sum of squares."""
    table = view.over_budgets()
    if table is None or view.is_fixed or len(set(table.seeds)) < 2 or len(set(table.conditions)) < 2:
        return None
    try:
        found = anova_of_table(table, terms=["budget", "condition", "budget:condition", "seed"])
    except AnalysisError:
        return None  # a cell is empty, or nothing is left for the error
    rows = [(row.term, row.df, row.sum_squares, row.eta_sq, row.f, row.p) for row in found.rows]
    rows.append(("residual", found.residual_df, found.residual_sum_squares, found.residual_share, None, None))
    return Section(
        name=f"shares-{view.slug}",
        title=f"Shares of the sum of squares: {view.where}",
        notes=("\u03b7\u00b2 describes these runs; it is no variance component.", *found.notes),
        tables=(
            SectionTable(
                name=f"eta-{view.slug}",
                title=f"Analysis of variance, type II ({view.where})",
                columns=columns(
                    "term",
                    "df:count",
                    "sum_squares:number:sum of squares",
                    "eta_sq:number:\u03b7\u00b2",
                    "f:number:F",
                    "p:probability",
                ),
                rows=tuple(rows),
                decimals=4,
            ),
        ),
        pictures=(
            SectionPicture(
                name=f"figure-eta-{view.slug}",
                title=f"Shares of the sum of squares ({view.where})",
                axis="\u03b7\u00b2",
                marks=tuple(Mark(label=str(row[0]), series="share", value=row[3]) for row in rows),
                zero=True,
                bars=True,
            ),
        ),
    )


def reruns(view: StageView) -> Section | None:
    """What the machine does to reruns of one seed, beside nothing else: no spread over seeds is in it."""
    if not view.is_fixed:
        return None
    rows = []
    for package in view.packages:
        runs = view.runs(package)
        if not any(len(values) > 1 for values in runs.values()):
            continue
        flat = [(label, value) for label, values in runs.items() for value in values]
        noise = measure_noise([label for label, _ in flat], [value for _, value in flat])
        rows.append((package.budget.label(), len(noise.cells), noise.sd, noise.low, noise.high, noise.df))
    if not rows:
        return None
    return Section(
        name=f"reruns-{view.slug}",
        title=f"Reruns of one seed: {view.where}",
        notes=("This is repeatability. It is no error for a difference between recipes under other seeds.",),
        tables=(
            SectionTable(
                name=f"reruns-{view.slug}",
                title=f"Spread of reruns within conditions ({view.where})",
                columns=columns("budget", "conditions:count", "sd:number", "low:number", "high:number", "df:count"),
                rows=tuple(rows),
                decimals=decimals_for([row[2] for row in rows]),
            ),
        ),
    )


def _best(view: StageView, package: Package, own: list[ConditionSummary]) -> str:
    first = own[0]
    host = view.evidence.study.title_of(view.host)
    decimals = decimals_of([(s.low, s.high) for s in own])
    where = f"At {package.budget.label()} ({package.name}{f', {host}' if host else ''}) {first.condition}"
    mean = f"the best mean of {len(own)} conditions, {plain(first.mean, decimals)}"
    if first.low is not None and first.high is not None:
        level, low, high = percent(first.level), plain(first.low, decimals), plain(first.high, decimals)
        mean += f" ({level} interval {low} to {high}, n = {first.n})"
    else:
        mean += f" ({counted(first.n, 'run')}, no interval)"
    if view.is_descriptive(package):
        why = "one fixed seed" if view.is_fixed else f"{counted(len(package.seeds), 'seed')}"
        return f"{where} has {mean}: descriptive only, {why}."
    found = cells(view.values(package))
    if first.condition not in found or len(found) < 2:
        return f"{where} has {mean}."
    pairs = all_pairs(found, method="holm_welch", level=view.evidence.study.gate.level).pairs
    alpha = 1.0 - view.evidence.study.gate.level
    open_ = sorted(
        (p.b if p.a == first.condition else p.a) for p in pairs if first.condition in (p.a, p.b) and p.p > alpha
    )
    told = f"not told apart from {listed(open_)}" if open_ else "told apart from each of the others"
    return f"{where} has {mean}; it is {told} (Welch, Holm over all pairs)."


def _limits(view: StageView, package: Package) -> str:
    if view.is_fixed:
        return "Descriptive only: one fixed seed."
    if view.is_descriptive(package):
        return f"Descriptive only: {counted(len(package.seeds), 'seed')}."
    return "The best of several means is flattered by chance."


def _members(members: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in members)
