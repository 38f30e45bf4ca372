"""Plan, execute, collect, analyse, decide, report, verify, status: each can be repeated at any time.

Every verb fetches, calls one pure function and stores; there is no arithmetic here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import foldover
from foldover.core import EMPTY, PackageRole, RunRecord, RunSpec, Settings, Values, Verdict
from foldover.execution import LocalExecutor, Progress
from foldover.lab.analysis import Analysis, analyse_records, evidence_of, judge_stage, recommendation_of
from foldover.lab.machine import check_settings
from foldover.lab.session import Session, specs_of
from foldover.lab.staging import plan_stage
from foldover.lab.workspace import StageDecision
from foldover.ledger import rebuild, verify_folders
from foldover.planning import Plan
from foldover.ports import Executor
from foldover.report import ReportInputs, build_report, render_html, render_json
from foldover.rundir import write_atomic


def plan_next(session: Session) -> Plan | None:
    """Plan the first stage that has no plan, and write the plan down; None when all stages are planned."""
    plans = session.workspace.plans()
    done = {plan.stage for plan in plans}
    stage = next((s for s in session.study.stages if s.name not in done), None)
    if stage is None:
        return None
    analysis = analyse(session) if plans else None
    plan = plan_stage(session.study, session.trainer, stage, plans, analysis)
    session.workspace.save_plan(plan)
    return plan


def pending(session: Session) -> list[RunSpec]:
    """Planned runs that have not ended, in order of execution."""
    runs = session.workspace.runs
    return [run for plan in session.workspace.plans() for run in plan.runs if not runs.has_ended(run.run_id)]


def execute(
    session: Session,
    settings: Settings,
    *,
    executor: Executor | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_prepare: Callable[[str, float], None] | None = None,
) -> int:
    """Run what is pending, collecting each run as it ends; gives how many runs ended. Needs `Workspace.hold`.

    executor: one whose workers are warm already; None starts a local one with `settings` for this call.
    """
    specs = pending(session)
    if not specs:
        return 0
    check_settings(session.trainer, settings)
    for recipe in {spec.recipe.digest: spec.recipe for spec in specs}.values():
        session.trainer.prepare(recipe, session.study.constants, on_prepare or _ignore)
    ended = 0
    with session.ledger() as ledger:

        def collect_one(folder: Path) -> None:
            nonlocal ended
            ended += ledger.ingest(folder)

        if executor is not None:
            executor.run_all(specs, session.workspace.root, collect_one)
        else:
            with LocalExecutor(settings, on_progress=on_progress) as own:
                own.run_all(specs, session.workspace.root, collect_one)
    return ended


def collect(session: Session, *, rebuild_ledger: bool = False) -> int:
    """Bring every complete run folder into the ledger; gives how many were new (all of them in a rebuild)."""
    workspace = session.workspace
    folders = [*workspace.runs.lost(), *workspace.runs.ended()]
    if rebuild_ledger:
        plans = workspace.plans()
        packages = [(package, specs_of(plan, package.name)) for plan in plans for package in plan.packages]
        decisions = [(d.stage, d.verdicts, d.evidence) for d in workspace.decisions()]
        rebuild(workspace.ledger_path, session.study, packages, decisions, workspace.root)
        return len(folders)
    with session.ledger() as ledger:
        return sum(ledger.ingest(folder) for folder in folders)


def analyse(session: Session) -> Analysis:
    """Effects and condition means of everything in the ledger; writes nothing."""
    with session.ledger(read_only=True) as ledger:
        records = ledger.records()
    return analyse_records(session.study, session.workspace.plans(), records, session.trainer.levers)


def decide(session: Session) -> tuple[StageDecision, ...]:
    """Judge every stage that has ended and is not decided yet; decisions are stored as facts."""
    # A run may have ended, or been lost, without anybody there to collect it.
    collect(session)
    workspace = session.workspace
    plans, decided = workspace.plans(), {d.stage for d in workspace.decisions()}
    analysis = analyse(session)
    made = []
    for plan in plans:
        if plan.stage in decided or any(not workspace.runs.has_ended(run.run_id) for run in plan.runs):
            continue
        verdicts = judge_stage(session.study, plan, plans, analysis)
        evidence = evidence_of([r for r in analysis.records if r.spec.stage == plan.stage])
        decision = StageDecision(stage=plan.stage, verdicts=verdicts, evidence=evidence, version=foldover.__version__)
        workspace.save_decision(decision)
        with session.ledger():
            pass  # opening it brings the decision in
        made.append(decision)
    return tuple(made)


def report_document(session: Session) -> dict[str, Any]:
    """The report as data, from the ledger and the plans alone."""
    workspace, study = session.workspace, session.study
    plans = workspace.plans()
    with session.ledger(read_only=True) as ledger:
        records, lost = ledger.records(), ledger.lost_attempts()
        curves = ledger.curves([r.spec.run_id for r in records])
        ledger_digest = ledger.digest()
    analysis = analyse_records(study, plans, records, session.trainer.levers)
    screen = next((p.design for p in plans if study.stage(p.stage).kind == "screen"), None)
    return build_report(
        ReportInputs(
            study=study,
            design=screen,
            records=(*records, *lost),
            effects=analysis.effects,
            conditions=analysis.conditions,
            verdicts=tuple(v for d in workspace.decisions() for v in d.verdicts),
            packages=tuple(package for plan in plans for package in plan.packages),
            recommendation=recommendation_of(study, plans, analysis),
            curves=curves,
            references=references_of(records),
            ledger_digest=ledger_digest,
            version=foldover.__version__,
        )
    )


def report(session: Session) -> dict[str, Any]:
    """Write report.json and report.html; gives the document."""
    document = report_document(session)
    write_atomic(session.workspace.report_json, render_json(document))
    write_atomic(session.workspace.report_html, render_html(document))
    return document


def verify(session: Session) -> tuple[str, ...]:
    """What does not agree, a sentence each: run folders with the ledger, decisions and report with today's records."""
    workspace = session.workspace
    problems = []
    with session.ledger(read_only=True) as ledger:
        problems += [f"run {run_id}: {what}" for run_id, what in verify_folders(ledger, workspace.root)]
        stored = {decision.stage: (decision.verdicts, decision.evidence) for decision in ledger.decisions()}
    document = report_document(session)
    for path, expected in (
        (workspace.report_json, render_json(document)),
        (workspace.report_html, render_html(document)),
    ):
        if not path.exists():
            problems.append(f"{path.name} is missing")
        elif path.read_text(encoding="utf-8") != expected:
            problems.append(f"{path.name} is not what the ledger gives today")
    analysis = analyse(session)
    plans = {plan.stage: plan for plan in workspace.plans()}
    for decision in workspace.decisions():
        if stored.get(decision.stage) != (decision.verdicts, decision.evidence):
            problems.append(f"stage {decision.stage}: the decision in its file is not the one in the ledger")
        today = judge_stage(session.study, plans[decision.stage], tuple(plans.values()), analysis)
        problems += _differences(decision, today)
    return tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One package: how many runs are planned and what became of them.

    role: `trunk` where its runs are there for others to begin with; continued: how many begin with another's state.
    """

    package: str
    planned: int
    by_status: Mapping[str, int]
    role: PackageRole = "compared"
    continued: int = 0


def status(session: Session) -> tuple[StatusRow, ...]:
    """How far each planned package is."""
    with session.ledger(read_only=True) as ledger:
        records = ledger.records()
    found = {r.spec.run_id: r.outcome.status for r in records}
    rows = []
    for plan in session.workspace.plans():
        for package in plan.packages:
            counts: dict[str, int] = {}
            for run_id in package.runs:
                name = found.get(run_id, "pending")
                counts[name] = counts.get(name, 0) + 1
            continued = sum(run.starts_from is not None for run in specs_of(plan, package.name))
            rows.append(
                StatusRow(
                    package=package.name,
                    planned=len(package.runs),
                    by_status=counts,
                    role=package.role,
                    continued=continued,
                )
            )
    return tuple(rows)


def references_of(records: Sequence[RunRecord]) -> Values:
    """The yardsticks that the runs recorded."""
    return next((r.outcome.references for r in records if len(r.outcome.references)), EMPTY)


def _differences(decision: StageDecision, today: Sequence[Verdict]) -> list[str]:
    then = {v.subject: v.decision for v in decision.verdicts}
    now = {v.subject: v.decision for v in today}
    return [
        f"stage {decision.stage}: {subject} was decided {then.get(subject)}, today's analysis says {now.get(subject)}"
        for subject in sorted({*then, *now})
        if then.get(subject) != now.get(subject)
    ]


def _ignore(phase: str, share: float) -> None:
    """Progress that nobody watches."""
