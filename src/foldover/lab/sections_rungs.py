"""Sections on searches over rungs, and on all searches that might spend as much as each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import Limit, RunSpec, Scalar, Search, Stage
from foldover.lab.evidence import Evidence, StageView
from foldover.lab.sections_searches import is_in_region, region_of, region_words, runs_of
from foldover.planning import carried_on, spent_by, what_is_left
from foldover.report.numbers import coded, counted, listed, plain
from foldover.report.section import Section, SectionTable, columns

TITLES: Mapping[str, str] = {
    "greedy": "greedy search",
    "random": "random batches",
    "tpe": "TPE",
    "halving": "successive halving",
    "hyperband": "Hyperband",
    "asha": "ASHA",
    "bohb": "BOHB",
    "population": "population-based search",
}
_FRESH = (
    "Every run trains from its first step: a rate that has fallen to zero at the end of a budget leaves nothing to "
    "continue, so that a point pays again at each rung."
)
_NO_WEIGHTS = (
    "In population-based training as published a copy inherits the weights of what it copies and trains on. Here no "
    "weights are inherited: each member of a generation is a fresh run at the budget of its generation."
)
_MATCHED = (
    "Each value is the best of so many single runs at that budget, and flattered by chance, the more so the more they "
    "are. One search of each kind ranks no strategies: `foldover race` repeats them."
)
_REGION = "The region is {}: the largest effects that the last screen under explicit seeds retained."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to at the budget that counts.

    condition, levels, value: of its best run there; hit: number of its first run there in the region; hit_cost: what
    had been spent up to and with that run.
    """

    runs: tuple[RunSpec, ...]
    at_target: int
    condition: str | None
    levels: str | None
    value: float | None
    hit: int | None
    hit_cost: Limit | None


def over_rungs(view: StageView) -> Section | None:
    """The rungs of a search, what it spent, and its best run at the last of them."""
    stage = view.evidence.study.stage(view.name)
    search = stage.search
    if search is None or search.cost is None or not runs_of(view):
        return None
    region = region_of(view.evidence)
    found = found_by(view, region, stage.budgets[-1].limit)
    target, spent = stage.budgets[-1].label(), spent_by(found.runs)
    left = what_is_left(search.cost, spent)
    claims = [
        f"{_title(search)} ({view.where}) spent {_amount(search.cost, spent)} of {search.cost.label()} on "
        f"{counted(len(found.runs), 'run')}" + (f"; {left.label()} are unspent." if left is not None else ".")
    ]
    if found.condition is None:
        claims.append(f"No run of it at {target} has a result.")
    else:
        among = "the only one" if found.at_target == 1 else f"the best of {found.at_target} single runs"
        best = f"Its best run at {target} is of {found.condition} ({plain(found.value)}), {among}."
        claims.append(best + _first_hits(view, found, region, target))
    end = next((plan.end for plan in view.plans if plan.end), "")
    notes = [_NO_WEIGHTS if search.strategy == "population" else _FRESH]
    if search.strategy == "asha":
        notes.append(f"Runs are asked for {search.batch} at a time; promotions wait for the whole batch.")
    if end:
        notes.append(f"It ended because {end}.")
    return Section(
        name=f"rungs-{view.slug}",
        title=f"{_title(search)}: {view.where}",
        claims=tuple(claims),
        notes=tuple(notes),
        tables=(_rungs(view, stage, search),),
    )


def matched_searches(evidence: Evidence) -> list[Section]:
    """Searches that might spend as much as each other, for the same last budget on the same host: a table of each lot.

    Searches under one fixed seed and under explicit ones are kept apart.
    """
    lots: dict[tuple[str, bool, Limit, Limit], list[StageView]] = {}
    for view in evidence.stages("search"):
        stage = evidence.study.stage(view.name)
        if view.packages:
            key = (view.host, view.is_fixed, stage.budgets[-1].limit, _allowed(stage))
            lots.setdefault(key, []).append(view)
    several = [(target, cost, views) for (_, _, target, cost), views in lots.items() if len(views) > 1]
    return [_lot(evidence, target, cost, views) for target, cost, views in several]


def found_by(view: StageView, region: Mapping[str, float], target: Limit) -> Found:
    """The runs of a stage, its best at a budget, and its first there that lies in the region."""
    done = runs_of(view)
    there = [(i, run, value) for i, (run, value) in enumerate(done) if run.budget.limit == target and value is not None]
    best = min(there, key=lambda item: view.evidence.sign * item[2], default=None)
    hit = next((i for i, run, _ in there if is_in_region(view, run, region)), None)
    return Found(
        runs=tuple(run for run, _ in done),
        at_target=len(there),
        condition=None if best is None else best[1].condition,
        levels=None if best is None else " ".join(coded(level) for level in best[1].levels),
        value=None if best is None else best[2],
        hit=None if hit is None else hit + 1,
        hit_cost=None if hit is None else _sum(target, [run for run, _ in done[: hit + 1]]),
    )


def _rungs(view: StageView, stage: Stage, search: Search) -> SectionTable:
    done = runs_of(view)
    budgets = [run.budget for run, _ in done]
    taken = Counter(carried_on(search, stage.budgets, budgets, [value is not None for _, value in done]))
    rows: list[tuple[Scalar, ...]] = []
    for i, budget in enumerate(stage.budgets):
        own = [(run, value) for run, value in done if run.budget == budget]
        results = [(run, value) for run, value in own if value is not None]
        best = min(results, key=lambda item: view.evidence.sign * item[1], default=None)
        is_last = i == len(stage.budgets) - 1
        rows.append(
            (
                budget.label(),
                len(own),
                len(results),
                None if best is None else best[0].condition,
                None if best is None else best[1],
                None if is_last and not taken[i] else taken[i],
            )
        )
    taken_on = "carried on unchanged" if search.strategy == "population" else "promoted"
    return SectionTable(
        name=f"rungs-{view.slug}",
        title=f"Rungs ({view.where})",
        columns=columns(
            "budget",
            "runs:count",
            "results:count:with a result",
            "condition:text:best condition",
            "value:number:its value",
            f"taken_on:count:{taken_on}",
        ),
        rows=tuple(rows),
        decimals=6,
        note="The best of many single runs is flattered by chance.",
    )


def _lot(evidence: Evidence, target: Limit, cost: Limit, views: Sequence[StageView]) -> Section:
    region = region_of(evidence)
    found = {view.name: found_by(view, region, target) for view in views}
    rows = [*_matched_screens(evidence, target, views)]
    for view in views:
        own, search = found[view.name], evidence.study.stage(view.name).search
        assert search is not None, "they are searches"
        rows.append(
            (
                view.name,
                TITLES[search.strategy],
                _amount(cost, spent_by(own.runs)),
                len(own.runs),
                own.at_target,
                own.condition,
                own.levels,
                own.value,
                own.hit,
                None if own.hit_cost is None else own.hit_cost.label(),
            )
        )
    where = evidence.study.title_of(views[0].host)
    at = f"{target.label()}{f' on {where}' if where else ''}{', one fixed seed' if views[0].is_fixed else ''}"
    return Section(
        name="matched-" + "-".join((views[0].slug, str(len(views)))),
        title=f"Searches at matched cost: {cost.label()} for {at}",
        claims=tuple(_claims(evidence, found, target, cost, region)),
        notes=(_MATCHED, *([_REGION.format(region_words(region))] if region else [])),
        tables=(
            SectionTable(
                name="matched-" + views[0].slug,
                title=f"Searches that might spend {cost.label()}, by what they found at {at}",
                columns=columns(
                    "stage",
                    "strategy",
                    "spent",
                    "runs:count",
                    f"target_runs:count:of {target.label()}",
                    "condition:text:best condition",
                    f"levels:text:{' '.join(evidence.letters)}",
                    "value:number:its value",
                    "hit_run:count:first run in the region",
                    "hit_cost:text:spent until then",
                ),
                rows=tuple(rows),
                decimals=6,
            ),
        ),
    )


def _matched_screens(evidence: Evidence, target: Limit, views: Sequence[StageView]) -> list[tuple[Scalar, ...]]:
    """The stages that the searches are matched to, beside them; they do not search, so nothing is a first hit."""
    names = dict.fromkeys(evidence.study.stage(view.name).matched_to for view in views)
    rows: list[tuple[Scalar, ...]] = []
    for other in evidence.stages():
        if other.name in names and other.kind != "search":
            own = found_by(other, {}, target)
            kind, runs = f"{other.kind}, as designed", [r for r in own.runs if r.budget.limit.kind == target.kind]
            spent = _sum(target, runs).label() if runs else None
            best = (own.condition, own.levels, own.value)
            rows.append((other.name, kind, spent, len(own.runs), own.at_target, *best, None, None))
    return rows


def _claims(
    evidence: Evidence, found: Mapping[str, Found], target: Limit, cost: Limit, region: Mapping[str, float]
) -> list[str]:
    claims = []
    valued = {name: own.value for name, own in found.items() if own.value is not None}
    if valued:
        best = min(valued, key=lambda name: evidence.sign * valued[name])
        claims.append(
            f"Of {len(found)} searches that might each spend {cost.label()}, {best} has the best single run at "
            f"{target.label()} ({plain(valued[best])}, of {counted(found[best].at_target, 'run')} there)."
        )
    hits = {name: own.hit_cost for name, own in found.items() if own.hit_cost is not None}
    if hits and region:
        least = min(hits.values(), key=lambda limit: limit.amount)
        first = listed(name for name, limit in hits.items() if limit == least)
        claims.append(
            f"{len(hits)} of {len(found)} had a run of {target.label()} in the region {region_words(region)}, the "
            f"first after {least.label()} ({first})."
        )
    return claims


def _first_hits(view: StageView, found: Found, region: Mapping[str, float], target: str) -> str:
    if not region:
        return ""
    done = runs_of(view)
    first = next((i for i, (run, _) in enumerate(done) if is_in_region(view, run, region)), None)
    if first is None:
        return f" No run of it lies in the region {region_words(region)}."
    cost = _sum(done[0][0].budget.limit, [run for run, _ in done[: first + 1]])
    text = f" Its first run in the region {region_words(region)} was number {first + 1}, after {cost.label()}"
    if found.hit is None or found.hit_cost is None:
        return f"{text}; none at {target}."
    return f"{text}; at {target} it was number {found.hit}, after {found.hit_cost.label()}."


def _allowed(stage: Stage) -> Limit:
    """What the search of a stage may spend."""
    assert stage.search is not None, "it is a search"
    limit = stage.budgets[-1].limit
    if stage.search.cost is not None:
        return stage.search.cost
    assert stage.search.runs is not None, "a search has runs or a cost"
    return Limit(kind=limit.kind, amount=stage.search.runs * limit.amount)


def _sum(unit: Limit, runs: Sequence[RunSpec]) -> Limit:
    return Limit(kind=unit.kind, amount=spent_by(runs))


def _amount(unit: Limit, amount: float) -> str:
    return Limit(kind=unit.kind, amount=amount).label()


def _title(search: Search) -> str:
    title = TITLES[search.strategy]
    return title[0].upper() + title[1:]
