"""Sections on searches at one budget: what greedy search accepted, when a region was hit, and random batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median

from foldover.core import Package, RunRecord, RunSpec
from foldover.lab.evidence import Evidence, StageView
from foldover.report.numbers import counted, listed, plain
from foldover.report.section import Section, SectionTable, columns

# The region of a first hit is spanned by so many of the largest retained effects.
REGION_FACTORS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run of a search. accepted: it replaced what the search held."""

    number: int
    condition: str
    levels: tuple[float, ...]
    seed: int
    value: float | None
    accepted: bool
    held: str
    in_region: bool


def greedy_updates(view: StageView) -> Section | None:
    """The runs that a greedy search accepted, and its first run in the region that the screens found."""
    search = view.evidence.study.stage(view.name).search
    if search is None or search.strategy != "greedy":
        return None
    region = region_of(view.evidence)
    claims: list[str] = []
    tables: list[SectionTable] = []
    for package in view.packages:
        steps = steps_of(view, package, region)
        if not steps:
            continue
        kept = [step for step in steps if step.accepted]
        hit = next((step.number for step in steps if step.in_region), None)
        last = kept[-1] if kept else steps[0]
        budget = package.budget.label()
        claims.append(
            f"Greedy search at {budget} ({package.name}, {counted(len(steps), 'run')}) accepted "
            f"{counted(len(kept), 'run')} and ended with {last.held}"
            f"{f' ({plain(last.value)}, the value of one selected run)' if last.value is not None else ''}."
            + (f" Its first run in the region {region_words(region)} was number {hit}." if hit and region else "")
        )
        tables.append(
            SectionTable(
                name=f"greedy-{view.slug}-{len(tables) + 1}",
                title=f"Accepted updates at {budget} ({view.where})",
                columns=columns("run:count", "condition", "seed", "value:number", "in_region:text:in the region"),
                rows=tuple((s.number, s.condition, str(s.seed), s.value, "yes" if s.in_region else "no") for s in kept),
                decimals=6,
            )
        )
    if not tables:
        return None
    return Section(
        name=f"greedy-{view.slug}",
        title=f"Greedy search: {view.where}",
        claims=tuple(claims),
        notes=(
            "A run is accepted if it beats the value that is held, the first in any case; a held recipe that is run "
            "again replaces its value. What is kept is the best of many single runs, and flattered by chance.",
        ),
        tables=tuple(tables),
    )


def random_batches(view: StageView) -> Section | None:
    """The best run of every random batch, beside the best single run of the screens and of greedy search."""
    search = view.evidence.study.stage(view.name).search
    if search is None or search.strategy != "random":
        return None
    claims: list[str] = []
    tables: list[SectionTable] = []
    region = region_of(view.evidence)
    for package in view.packages:
        steps = steps_of(view, package, region)
        batches = [steps[i : i + search.batch] for i in range(0, len(steps), search.batch)]
        bests = [min(found, key=lambda s: view.evidence.sign * (s.value or 0.0)) for batch in batches
                 if (found := [s for s in batch if s.value is not None])]  # fmt: skip
        if not bests:
            continue
        values = [step.value for step in bests if step.value is not None]
        budget = package.budget.label()
        marks = benchmarks(view, package)
        tables += [
            SectionTable(
                name=f"random-{view.slug}-{len(tables) + 1}",
                title=f"Best run of each batch of {search.batch} at {budget} ({view.where})",
                columns=columns("batch:count", "condition", "value:number", "in_region:text:in the region"),
                rows=tuple(
                    (i, s.condition, s.value, "yes" if s.in_region else "no") for i, s in enumerate(bests, start=1)
                ),
                decimals=6,
            ),
            SectionTable(
                name=f"random-beside-{view.slug}-{len(tables) + 1}",
                title=f"Batches beside the other ways at {budget} ({view.where})",
                columns=columns("beside", "value:number", "batches_better:count:batches at or better", "batches:count"),
                rows=tuple(
                    (name, value, sum(view.evidence.sign * (x - value) <= 0 for x in values), len(values))
                    for name, value in marks.items()
                ),
                decimals=6,
                note="Each is the best of some single runs: minima beside minima, and no means.",
            ),
        ]
        claims.append(
            f"The best of a random batch of {search.batch} at {budget} ({package.name}) is {plain(fmean(values), 4)} "
            f"in the mean and {plain(median(values), 4)} in the median of the {len(values)} batches."
        )
    if not tables:
        return None
    return Section(
        name=f"random-{view.slug}",
        title=f"Random batches: {view.where}",
        claims=tuple(claims),
        tables=tuple(tables),
    )


def other_searches(view: StageView) -> Section | None:
    """The best run of a search at one budget that is neither greedy nor random."""
    search = view.evidence.study.stage(view.name).search
    if search is None or search.cost is not None or search.strategy in ("greedy", "random"):
        return None
    rows = []
    for package in view.packages:
        done = [s for s in steps_of(view, package, region_of(view.evidence)) if s.value is not None]
        if done:
            best = min(done, key=lambda s: view.evidence.sign * (s.value or 0.0))
            rows.append((package.budget.label(), len(done), best.condition, best.value, best.number))
    if not rows:
        return None
    return Section(
        name=f"search-{view.slug}",
        title=f"Search by {search.strategy.upper()}: {view.where}",
        tables=(
            SectionTable(
                name=f"search-{view.slug}",
                title=f"Best run ({view.where})",
                columns=columns("budget", "runs:count", "condition", "value:number", "number:count:found as run"),
                rows=tuple(rows),
                decimals=6,
                note="The best of many single runs is flattered by chance.",
            ),
        ),
    )


def region_of(evidence: Evidence) -> Mapping[str, float]:
    """The better level of the factors with the largest retained effects, () where none is retained.

    Of the last screen of explicit seeds at its longest budget.
    """
    for view in reversed(evidence.stages("screen")):
        if view.is_fixed or not view.packages:
            continue
        own = [e for e in evidence.effects if e.package == view.packages[-1].name and e.retained and len(e.term) == 1]
        if own:
            largest = sorted(own, key=lambda e: -abs(e.estimate))[:REGION_FACTORS]
            return {e.term: -1.0 if e.estimate * evidence.sign > 0 else 1.0 for e in largest}
    return {}


def steps_of(view: StageView, package: Package, region: Mapping[str, float]) -> list[Step]:
    """The runs of a search in the order in which they were asked for, with what was held after each."""
    steps: list[Step] = []
    held, mark = "", None
    own = [(run, value) for run, value in runs_of(view) if run.package == package.name]
    for number, (run, value) in enumerate(own, start=1):
        again = held == run.condition
        accepted = value is not None and not again and (mark is None or view.evidence.sign * (value - mark) < 0)
        if value is not None and (accepted or again):
            held, mark = run.condition, value
        steps.append(
            Step(
                number=number,
                condition=run.condition,
                levels=run.levels,
                seed=run.seed,
                value=value,
                accepted=accepted,
                held=held,
                in_region=is_in_region(view, run, region),
            )
        )
    return steps


def runs_of(view: StageView) -> list[tuple[RunSpec, float | None]]:
    """The runs of a stage in the order in which they were asked for, each with its response; None where it has none."""
    records = {r.spec.run_id: r for r in view.evidence.records}
    asked = [run for plan in view.plans for run in plan.runs if not run.is_trunk]
    return [(run, _value(records.get(run.run_id), view.evidence.study.response)) for run in asked]


def is_in_region(view: StageView, run: RunSpec, region: Mapping[str, float]) -> bool:
    """Whether a run stands on the better side of every factor that spans the region."""
    place = dict(zip(view.evidence.letters, run.levels, strict=False))
    return bool(region) and all(place.get(letter, 0.0) * level > 0 for letter, level in region.items())


def benchmarks(view: StageView, package: Package) -> dict[str, float]:
    """The best single run of every screen and greedy search at the same budget on the same host."""
    found: dict[str, float] = {}
    for other in view.evidence.stages("screen", "search"):
        search = view.evidence.study.stage(other.name).search
        if other.name == view.name or other.host != view.host or (search and search.strategy == "random"):
            continue
        for there in (p for p in other.packages if p.budget.limit == package.budget.limit):
            values = [value for runs in other.runs(there).values() for value in runs]
            if values:
                best = min(values, key=lambda x: view.evidence.sign * x)
                found[f"best single run of {there.name} ({counted(len(values), 'run')})"] = best
    return found


def _value(record: RunRecord | None, response: str) -> float | None:
    if record is None or not record.counts:
        return None
    value = record.outcome.responses.get(response)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def region_words(region: Mapping[str, float]) -> str:
    """`A low and D low`."""
    return listed(f"{letter} {'low' if level < 0 else 'high'}" for letter, level in region.items())
