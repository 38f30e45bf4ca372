"""All sections of a report, chosen by what a study has run: kinds of stages, budgets, hosts, regimes. None by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from foldover.core import DesignError, Study, Verdict
from foldover.lab.analysis import Analysis
from foldover.lab.evidence import Evidence, StageView, evidence_from
from foldover.lab.sections_bridges import across_hosts, refinement, separation, sizes
from foldover.lab.sections_budgets import by_speed, fidelity, pairing
from foldover.lab.sections_conditions import ordering, reruns, shares, wins
from foldover.lab.sections_effects import effects_by_budget, pooled_follow_up, relaxing
from foldover.lab.sections_overview import over_hosts, over_screens
from foldover.lab.sections_program import accounting, program
from foldover.lab.sections_rungs import matched_searches, over_rungs
from foldover.lab.sections_searches import greedy_updates, other_searches, random_batches
from foldover.planning import Plan
from foldover.planning.followup import surface_follow_up
from foldover.report.numbers import listed, setting
from foldover.report.section import Section, SectionTable, columns

Maker = Callable[[StageView], Section | None]

# What can be said of a stage, by its kind; each maker looks for itself whether the runs carry it.
_OF_SCREENS: tuple[Maker, ...] = (
    effects_by_budget,
    pooled_follow_up,
    relaxing,
    ordering,
    fidelity,
    pairing,
    by_speed,
    reruns,
)
_OF_CONDITIONS: tuple[Maker, ...] = (ordering, wins, shares, refinement, separation, sizes, fidelity, reruns)
_OF_SEARCHES: tuple[Maker, ...] = (greedy_updates, random_batches, other_searches, over_rungs)


def sections_of(
    study: Study, plans: Sequence[Plan], analysis: Analysis, verdicts: Sequence[Verdict] = ()
) -> tuple[Section, ...]:
    """Accounting and design, then the stages in order, then what crosses hosts, then what could come next."""
    evidence = evidence_from(study, plans, analysis, verdicts)
    if not evidence.plans:
        return ()
    first = (accounting(evidence), program(evidence), over_screens(evidence))
    found = [section for section in first if section is not None]
    for view in evidence.stages():
        makers = {"screen": _OF_SCREENS, "search": _OF_SEARCHES}.get(view.kind, _OF_CONDITIONS)
        found += [section for make in makers if (section := make(view)) is not None]
    found += matched_searches(evidence)
    found += across_hosts(evidence)
    last = (over_hosts(evidence), next_surface(evidence))
    return tuple(_with_own_names([*found, *(section for section in last if section is not None)]))


def next_surface(evidence: Evidence) -> Section | None:
    """The response surface that would follow: retained factors but the largest, which is held at its better level."""
    for view in reversed(evidence.stages("screen")):
        if view.is_fixed or not view.packages:
            continue
        kept = [e for e in evidence.effects if e.package == view.packages[-1].name and e.retained and len(e.term) == 1]
        if len(kept) < 3:
            continue
        ordered = sorted(kept, key=lambda e: -abs(e.estimate))
        largest = ordered[0]
        factors = {factor.letter: factor for factor in evidence.study.factors}
        open_ = [factors[effect.term] for effect in ordered[1:]]
        try:
            design = surface_follow_up(open_)
        except DesignError:
            return None
        held = factors[largest.term]
        level = held.low if largest.estimate * evidence.sign > 0 else held.high
        letters = design.letters
        return Section(
            name="next-surface",
            title="A response surface that could follow",
            notes=(
                f"Face-centred composite of {listed(letters)} with {held.letter} (`{held.lever}`) held at "
                f"{setting(level)}, its better level in {view.where}: {len(design.rows)} runs a seed. It would tell "
                "curvature from the straight lines that two levels suppose. Nothing of it has run.",
            ),
            tables=(
                SectionTable(
                    name="next-surface",
                    title="Rows of the response surface",
                    columns=columns("row", *(f"{f.letter}:setting:{f.lever}" for f in design.factors)),
                    rows=tuple(
                        (row.label, *(f.decode(x) for f, x in zip(design.factors, row.levels, strict=True)))
                        for row in design.rows
                    ),
                ),
            ),
        )
    return None


def _with_own_names(sections: Sequence[Section]) -> list[Section]:
    """Names told apart where two stages' names read the same in a file name."""
    seen: dict[str, int] = {}
    found = []
    for section in sections:
        seen[section.name] = seen.get(section.name, 0) + 1
        count = seen[section.name]
        found.append(section if count == 1 else replace(section, name=f"{section.name}-{count}"))
    return found
