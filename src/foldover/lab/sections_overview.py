"""Sections that look over several stages: effects over all budgets, conditions over hosts. Nothing is pooled."""

from __future__ import annotations

from foldover.core import Effect, Limit, Package
from foldover.lab.evidence import Evidence, StageView
from foldover.report.numbers import counted, listed
from foldover.report.section import Mark, Section, SectionPicture, SectionTable, columns, decimals_of

FEWEST_COMMON = 3  # conditions of two packages that make an order

Place = tuple[str, Limit]
Part = tuple[StageView, Package]


def over_screens(evidence: Evidence) -> Section | None:
    """Main effects at every budget of each host, all of one budget from the one package that says most of them.

    None where a single stage has them all: its own section shows them.
    """
    best: dict[Place, tuple[Part, list[Effect]]] = {}
    for view, package in _parts(evidence.stages()):
        own = [e for e in evidence.effects if e.package == package.name and len(e.term) == 1]
        place = (view.host, package.budget.limit)
        if own and (place not in best or _weight(package, own) > _weight(best[place][0][1], best[place][1])):
            best[place] = ((view, package), own)
    if len({view.name for (view, _), _ in best.values()}) < 2 or len(best) < 2:
        return None
    found = [best[place] for place in sorted(best, key=lambda p: (p[0], p[1].kind, p[1].amount))]
    size: dict[str, float] = {}
    for effect in (effect for _, own in found for effect in own):
        size[effect.term] = max(size.get(effect.term, 0.0), abs(effect.estimate))
    terms = sorted(size, key=lambda term: -size[term])
    hosts = {view.host for (view, _), _ in found}
    rows, marks = [], []
    for term in terms:
        for (view, package), own in found:
            host = evidence.study.title_of(view.host)
            regime = "one fixed seed" if view.is_fixed else counted(len(package.seeds), "seed")
            for e in (e for e in own if e.term == term):
                rows.append((host, package.budget.label(), package.name, regime, term, e.estimate, e.low, e.high, e.q))
                marks.append(
                    Mark(
                        label=evidence.named(term),
                        series=f"{package.budget.label()} ({view.name})",
                        value=e.estimate,
                        low=e.low,
                        high=e.high,
                        hollow=e.retained is None or view.is_fixed,
                        panel=host if len(hosts) > 1 else "",
                    )
                )
    decimals = decimals_of([(e.low, e.high) for _, own in found for e in own])
    return Section(
        name="over-screens",
        title="Main effects over all budgets",
        notes=(
            "At each budget from one package: explicit seeds before a fixed one, then the most factors, then the most "
            "runs. Packages are shown side by side and never pooled; hollow points are descriptive only.",
        ),
        tables=(
            SectionTable(
                name="effects-over-screens",
                title="Main effects, high minus low, over all budgets",
                columns=columns(
                    "host",
                    "budget",
                    "package",
                    "regime",
                    "term",
                    "effect:signed",
                    "low:signed",
                    "high:signed",
                    "q:probability",
                ),
                rows=tuple(rows),
                decimals=decimals,
            ),
        ),
        pictures=(
            SectionPicture(
                name="figure-effects-over-screens",
                title="Main effects at each budget",
                axis=f"effect on {evidence.study.response}, high minus low",
                marks=tuple(marks),
                zero=True,
            ),
        ),
    )


def over_hosts(evidence: Evidence) -> Section | None:
    """Packages that share conditions with one of another host at the same budget, a panel each; explicit seeds only."""
    views = [view for view in evidence.stages() if view.kind not in ("screen", "search") and view.host]
    parts = [part for part in _parts(views) if not part[0].is_fixed]
    home = evidence.study.host
    parts.sort(key=lambda part: (part[1].budget.limit.kind, part[1].budget.limit.amount, part[0].host != home))
    found = [part for part in parts if any(_are_same_elsewhere(part, other) for other in parts)]
    marks = [mark for view, package in found for mark in _conditions(view, package)]
    if not marks:
        return None
    return Section(
        name="over-hosts",
        title="Conditions at each budget on each host",
        claims=tuple(_leaders(found)),
        notes=("Each package has its own panel and its own axis; ticks are single runs. Nothing is pooled.",),
        pictures=(
            SectionPicture(
                name="figure-over-hosts",
                title="Conditions at each budget on each host",
                axis=evidence.study.response,
                marks=tuple(marks),
            ),
        ),
    )


def _parts(views: list[StageView]) -> list[Part]:
    return [(view, package) for view in views for package in view.packages]


def _are_same_elsewhere(part: Part, other: Part) -> bool:
    (one, here), (two, there) = part, other
    common = {c.recipe.digest for c in one.conditions.values()} & {c.recipe.digest for c in two.conditions.values()}
    return one.host != two.host and here.budget.limit == there.budget.limit and len(common) >= FEWEST_COMMON


def _weight(package: Package, effects: list[Effect]) -> tuple[bool, int, int]:
    return package.regime == "explicit", len(effects), effects[0].n


def _conditions(view: StageView, package: Package) -> list[Mark]:
    """Means with intervals and single runs, the better first."""
    evidence, runs = view.evidence, view.runs(package)
    own = [s for s in evidence.conditions if s.package == package.name]
    return [
        Mark(
            label=s.condition,
            series=view.role(s.condition),
            value=s.mean,
            low=s.low,
            high=s.high,
            hollow=view.is_descriptive(package),
            runs=tuple(runs.get(s.condition, ())),
            panel=f"{evidence.study.title_of(view.host)}, {package.budget.label()} (n = {len(package.seeds)})",
        )
        for s in sorted(own, key=lambda s: (evidence.sign * s.mean, s.condition))
    ]


def _leaders(parts: list[Part]) -> list[str]:
    """Which condition has the best mean in which packages: a sentence a leader, most packages first."""
    led: dict[str, list[Part]] = {}
    for view, package in parts:
        marks = _conditions(view, package)
        if marks:
            led.setdefault(marks[0].label, []).append((view, package))
    number = sum(len(own) for own in led.values())
    sentences = []
    for label, own in sorted(led.items(), key=lambda item: (-len(item[1]), item[0])):
        names = [package.name for _, package in own]
        thin = [package.name for view, package in own if view.is_descriptive(package)]
        says = f"{label} has the best mean in {len(own)} of {counted(number, 'package')} on two hosts or more"
        caveat = f"; descriptive only, fewer than 3 seeds: {listed(thin)}" if thin else ""
        sentences.append(f"{says} ({listed(names)}{caveat}).")
    return sentences
