"""Sections on bridges and hosts: refinement signals, separation (H2), order on two hosts."""

from __future__ import annotations

from itertools import combinations

from foldover.core import AnalysisError, Package
from foldover.lab.evidence import Evidence, StageView, cells, slug
from foldover.report.numbers import counted, listed, probability
from foldover.report.section import Mark, Section, SectionPicture, SectionTable, columns, decimals_of
from foldover.stats import all_pairs, host_interaction, ordering_agreement, paired_difference, welch

BRIDGE = "bridge"
# Roles whose conditions a bridge is measured against, where a package has them.
RIVALS = ("best", "screened best", "corner", "greedy", "control", "worst")


def refinement(view: StageView) -> Section | None:
    """Between bridges, and from the best bridge to the best of every other role, at each budget."""
    rows = []
    for package in view.packages:
        values = view.values(package)
        bridges = ordered(view, values, BRIDGE)
        if not bridges:
            continue
        pairs = list(combinations(bridges, 2))
        roles = [role for role in _roles(view, values) if role != BRIDGE]
        pairs += [(bridges[0], ordered(view, values, role)[0]) for role in roles]
        rows += [(package.budget.label(), *difference(view, values, a, b)) for a, b in pairs]
    if not rows:
        return None
    return Section(
        name=f"refinement-{view.slug}",
        title=f"Refinement signals: {view.where}",
        notes=(
            "First minus second. The best of a role is the best of these means, so its difference is flattered; paired "
            "under common seeds where there are two or more, else Welch.",
        ),
        tables=(
            SectionTable(
                name=f"refinement-{view.slug}",
                title=f"Bridges and what stands beside them ({view.where})",
                columns=columns(
                    "budget",
                    "first",
                    "second",
                    "second_role:text:role of the second",
                    "difference:signed",
                    "low:signed",
                    "high:signed",
                    "p:probability",
                    "how",
                ),
                rows=tuple(rows),
                decimals=decimals_of([(row[5], row[6]) for row in rows]),
            ),
        ),
    )


def separation(view: StageView) -> Section | None:
    """H2: whether the bridge lies below every other anchor of its package, by Welch's tests under Holm."""
    claims, rows = [], []
    for package in view.packages:
        found = cells(view.values(package))
        bridges = ordered(view, {label: {} for label in found}, BRIDGE, means={c: m.mean for c, m in found.items()})
        others = [label for label in found if view.role(label) != BRIDGE]
        if not bridges or not others:
            continue
        best = bridges[0]
        chosen = {label: found[label] for label in (best, *others)}
        pairs = all_pairs(chosen, method="holm_welch", level=view.evidence.study.gate.level).pairs
        resolved = []
        for pair in (p for p in pairs if best in (p.a, p.b)):
            turn = 1.0 if pair.a == best else -1.0
            other = pair.b if pair.a == best else pair.a
            low, high = sorted((turn * pair.low, turn * pair.high))
            rows.append(
                (
                    package.budget.label(), best, other, view.role(other), found[best].n, turn * pair.difference,
                    pair.se, pair.df, low, high, pair.p,
                )
            )  # fmt: skip
            is_below = view.evidence.sign * turn * pair.difference < 0
            if is_below and pair.p <= 1.0 - view.evidence.study.gate.level:
                resolved.append(other)
        claims.append(_separated(view, package, best, others, resolved))
    if not rows:
        return None
    return Section(
        name=f"separation-{view.slug}",
        title=f"Separation of the bridge (H2): {view.where}",
        claims=tuple(claims),
        notes=("p by Welch, adjusted by Holm over all pairs of the package; intervals by Bonferroni.",),
        tables=(
            SectionTable(
                name=f"separation-{view.slug}",
                title=f"Bridge less each anchor ({view.where})",
                columns=columns(
                    "budget",
                    "bridge",
                    "anchor",
                    "role",
                    "n:count",
                    "difference:signed",
                    "se:number",
                    "df:number",
                    "low:signed",
                    "high:signed",
                    "p:probability",
                ),
                rows=tuple(rows),
                decimals=decimals_of([(row[8], row[9]) for row in rows]),
            ),
        ),
    )


def across_hosts(evidence: Evidence) -> list[Section]:
    """The order of the same recipes at one budget on two hosts, for every pair of stages of one regime."""
    sections = []
    views = [view for view in evidence.stages() if view.host and not view.is_fixed]
    for first, second in combinations(views, 2):
        if first.host == second.host:
            continue
        for a in first.packages:
            for b in (p for p in second.packages if p.budget.limit == a.budget.limit):
                section = _two_hosts(first, a, second, b)
                sections += [section] if section is not None else []
    return sections


def _two_hosts(first: StageView, a: Package, second: StageView, b: Package) -> Section | None:
    x, y = first.values(a), second.values(b)
    names = {first.conditions[label].recipe.digest: label for label in x if label in first.conditions}
    there = {second.conditions[label].recipe.digest: label for label in y if label in second.conditions}
    common = {names[digest]: there[digest] for digest in names if digest in there}
    if len(common) < 3:
        return None
    here = {label: list(x[label].values()) for label in common}
    other = {label: list(y[common[label]].values()) for label in common}
    study = first.evidence.study
    one, two = study.title_of(first.host), study.title_of(second.host)
    try:
        found = ordering_agreement(here, other, level=study.gate.level)
    except AnalysisError:
        return None
    try:
        crossed = host_interaction({one: here, two: other})
        test = f"Host x condition: F({crossed.df1:.0f}, {crossed.df2:.1f}) = {crossed.f:.1f}, "
        test += f"p = {probability(crossed.p)}."
    except AnalysisError:
        test = "Host x condition is not tested: a condition has fewer than two runs, or no spread."
    is_thin = first.is_descriptive(a) or second.is_descriptive(b)
    budget = a.budget.label()
    supported = [f"{r.a} with {r.b}" for r in found.reversals if r.supported and not is_thin]
    turned = [f"{r.a} with {r.b}" for r in found.reversals]
    says = f"tau {found.tau:.2f} over {counted(len(common), 'condition')}"
    says += f"; places change: {', '.join(turned)}" if turned else "; no pair changes places"
    if supported:
        says += f" (told apart on both hosts: {', '.join(supported)})"
    caveat = ": descriptive only, two seeds" if is_thin else ""
    means = [(sum(here[c]) / len(here[c]), sum(other[c]) / len(other[c]), c) for c in common]
    rank_here = {c: i for i, (_, c) in enumerate(sorted((first.evidence.sign * m, c) for m, _, c in means), 1)}
    rank_other = {c: i for i, (_, c) in enumerate(sorted((first.evidence.sign * m, c) for _, m, c in means), 1)}
    name = slug(f"hosts {a.name} {b.name}")
    summaries = {(s.package, s.condition): s for s in first.evidence.conditions}
    marks = []
    for label in sorted(common, key=rank_here.__getitem__):
        for package, host, condition in ((a, one, label), (b, two, common[label])):
            s = summaries.get((package.name, condition))
            if s is not None:
                marks.append(Mark(label=label, series=host, value=s.mean, low=s.low, high=s.high, hollow=is_thin))
    return Section(
        name=name,
        title=f"Order on two hosts at {budget}: {a.name} and {b.name}",
        claims=(f"At {budget} {one} ({a.name}) and {two} ({b.name}): {says}{caveat}.",),
        notes=(
            test,
            "Conditions are those whose recipes are the same; runs of the two hosts are compared by their order, and "
            "not pooled.",
            *found.notes,
        ),
        tables=(
            SectionTable(
                name=name,
                title=f"Means on two hosts at {budget}",
                columns=columns(
                    "condition",
                    "role",
                    f"first:number:{one}",
                    f"second:number:{two}",
                    "first_rank:count:rank",
                    "second_rank:count:rank there",
                ),
                rows=tuple(
                    (c, first.role(c), m, n, rank_here[c], rank_other[c])
                    for m, n, c in sorted(means, key=lambda row: rank_here[row[2]])
                ),
                decimals=6,
            ),
            SectionTable(
                name=f"{name}-reversals",
                title=f"Pairs that change places at {budget}",
                columns=columns(
                    "first",
                    "second",
                    f"here:signed:difference on {one}",
                    f"there:signed:difference on {two}",
                    "probability:share:probability that the true orders differ",
                    "supported",
                ),
                rows=tuple(
                    (r.a, r.b, r.first, r.second, r.probability, "yes" if r.supported and not is_thin else "no")
                    for r in found.reversals
                ),
                decimals=6,
            ),
        ),
        pictures=(
            SectionPicture(
                name=f"figure-{name}",
                title=f"The same recipes on two hosts at {budget}",
                axis=study.response,
                marks=tuple(marks),
            ),
        ),
    )


def _separated(view: StageView, package: Package, best: str, others: list[str], resolved: list[str]) -> str:
    host = view.evidence.study.title_of(view.host)
    where = f"at {package.budget.label()} ({package.name}{f', {host}' if host else ''}; n = {len(package.seeds)})"
    if view.is_descriptive(package):
        why = "one fixed seed" if view.is_fixed else counted(len(package.seeds), "seed")
        return f"H2 {where}: descriptive only, {why}."
    if len(resolved) == len(others):
        return f"H2 {where}: {best} is better than each of {listed(others)}."
    left = [label for label in others if label not in resolved]
    return f"H2 {where}: {best} is not shown to be better than {listed(left)}."


def difference(
    view: StageView, values: dict[str, dict[int, float]], a: str, b: str
) -> tuple[str, str, str, float, float | None, float | None, float | None, str]:
    """Labels, role of the second, first less second with interval and p (None without error), and how they came about.

    Paired by seed where two or more are common, else Welch; of a fixed seed the difference alone.
    """
    level = view.evidence.study.gate.level
    x, y = values[a], values[b]
    plain_gap = sum(x.values()) / len(x) - sum(y.values()) / len(y)
    shared = sorted(set(x) & set(y))
    try:
        if len(shared) > 1 and not view.is_fixed:
            paired = paired_difference({s: x[s] for s in shared}, {s: y[s] for s in shared}, level=level)
            return a, b, view.role(b), paired.mean, paired.low, paired.high, paired.p, f"paired, {paired.n} seeds"
        if not view.is_fixed:
            found = welch(list(x.values()), list(y.values()), level=level)
            return a, b, view.role(b), found.difference, found.low, found.high, found.p, "Welch"
    except AnalysisError:
        pass
    return a, b, view.role(b), plain_gap, None, None, None, "descriptive"


def _roles(view: StageView, values: dict[str, dict[int, float]]) -> list[str]:
    found = list(dict.fromkeys(view.role(label) for label in values))
    return sorted(found, key=lambda role: (RIVALS.index(role) if role in RIVALS else len(RIVALS), role))


def ordered(
    view: StageView, values: dict[str, dict[int, float]], role: str, *, means: dict[str, float] | None = None
) -> list[str]:
    """The conditions of a role, the better mean first."""
    known = means if means is not None else {c: sum(v.values()) / len(v) for c, v in values.items()}
    return sorted((c for c in known if view.role(c) == role), key=lambda c: (view.evidence.sign * known[c], c))
