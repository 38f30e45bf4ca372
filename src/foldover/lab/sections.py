"""All sections of a report, chosen by what a study has run: kinds of stages, budgets, hosts, regimes. None by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from foldover.core import Study, Verdict
from foldover.lab.analysis import Analysis
from foldover.lab.evidence import StageView, evidence_from
from foldover.lab.sections_bridges import across_hosts, refinement, separation
from foldover.lab.sections_budgets import by_speed, fidelity
from foldover.lab.sections_conditions import carried, ordering, reruns, shares, wins
from foldover.lab.sections_effects import effects_by_budget, pooled_follow_up, relaxing
from foldover.lab.sections_overview import over_hosts, over_screens
from foldover.lab.sections_program import accounting, program
from foldover.lab.sections_rungs import matched_searches, over_rungs
from foldover.lab.sections_savings import pairing, pairing_of_anchors, trunks
from foldover.lab.sections_searches import greedy_updates, other_searches, random_batches
from foldover.lab.sections_sizes import sizes
from foldover.lab.sections_surface import next_surface, response_surface
from foldover.planning import Plan
from foldover.report.section import Section

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
    trunks,
    reruns,
)
_OF_SURFACES: tuple[Maker, ...] = (response_surface, ordering, fidelity, trunks, reruns)
_OF_CONDITIONS: tuple[Maker, ...] = (
    ordering,
    carried,
    wins,
    shares,
    refinement,
    separation,
    sizes,
    fidelity,
    pairing_of_anchors,
    trunks,
    reruns,
)
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
        makers = {"screen": _OF_SCREENS, "search": _OF_SEARCHES, "surface": _OF_SURFACES}.get(view.kind, _OF_CONDITIONS)
        found += [section for make in makers if (section := make(view)) is not None]
    found += matched_searches(evidence)
    found += across_hosts(evidence)
    last = (over_hosts(evidence), next_surface(evidence))
    return tuple(_with_own_names([*found, *(section for section in last if section is not None)]))


def _with_own_names(sections: Sequence[Section]) -> list[Section]:
    """Names told apart where two stages' names read the same in a file name."""
    seen: dict[str, int] = {}
    found = []
    for section in sections:
        seen[section.name] = seen.get(section.name, 0) + 1
        count = seen[section.name]
        found.append(section if count == 1 else replace(section, name=f"{section.name}-{count}"))
    return found
