"""Plan, execute, collect, analyse, decide, report, verify, status: each can be repeated at any time.

Every verb fetches, calls one pure function and stores; there is no arithmetic here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import foldover
from foldover.core import EMPTY, PackageRole, RunRecord, RunSpec, Settings, Stage, Values, Verdict
from foldover.execution import LocalExecutor, Progress
from foldover.lab.analysis import Analysis, analyse_records, evidence_of, judge_stage, recommendation_of
from foldover.lab.changes import amended, amendments
from foldover.lab.machine import check_settings
from foldover.lab.sections import sections_of
from foldover.lab.session import Session, specs_of
from foldover.lab.staging import plan_stage
from foldover.lab.workspace import StageDecision
from foldover.ledger import rebuild, verify_folders
from foldover.planning import Plan, is_whole
from foldover.ports import Executor
from foldover.report import ReportInputs, build_report, render_html, render_json
from foldover.rundir import write_atomic


def plan_next(session: Session) -> Plan | None:
    """Plan the first stage that can be planned, or what its search asks for next, and write it down.

    None when nothing can be planned: all stages are, or wait for runs that have not ended.
    """
    workspace, study = session.workspace, session.study
    plans = {plan.stage: plan for plan in workspace.plans()}
    ended = {name for name, plan in plans.items() if _has_ended(session, plan)}
    done = {name for name in ended if is_whole(plans[name], study.stage(name))}
    for stage in study.stages:
        held = plans.get(stage.name)
        is_its_turn = held is None or stage.name in ended - done
        if not is_its_turn or not done.issuperset(stage.sources):
            continue
        plan = _plan(session, stage, tuple(plans.values()))
        if held is not None and plan == held:
            continue  # its strategy has nothing more to ask for
        workspace.save_plan(plan)
        return plan
    return None


def _plan(session: Session, stage: Stage, plans: Sequence[Plan]) -> Plan:
    held = next((plan for plan in plans if plan.stage == stage.name), None)
    values: dict[str, float | None] = {}
    if held is not None:
        collect_ended(session, held)
        with session.ledger() as ledger:
            for package in held.packages:
                values |= ledger.responses(package.name, session.study.response)
    analysis = analyse(session) if stage.sources else None
    return plan_stage(session.study, session.trainer, stage, plans, analysis, values=values)


def _has_ended(session: Session, plan: Plan) -> bool:
    """Whether nothing of a stage is outstanding; of a search: of what it has asked for so far."""
    return all(session.workspace.runs.has_ended(run.run_id) for run in plan.runs)


def pending(session: Session) -> list[RunSpec]:
    """Planned runs that have not ended and are for this machine, in order of execution."""
    runs, here = session.workspace.runs, session.hosts
    planned = (run for plan in session.workspace.plans() for run in plan.runs)
    return [run for run in planned if run.host in here and not runs.has_ended(run.run_id)]


def elsewhere(session: Session) -> dict[str, int]:
    """How many planned runs wait for machines of other labels, by label."""
    runs = session.workspace.runs
    planned = (run for plan in session.workspace.plans() for run in plan.runs)
    return dict(
        Counter(run.host for run in planned if run.host not in session.hosts and not runs.has_ended(run.run_id))
    )


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
    for recipe in {spec.recipe.digest: spec.recipe for spec in specs}.values():
        session.trainer.prepare(recipe, session.study.constants, on_prepare or _ignore)
    ended = 0
    with session.ledger() as ledger:

        def collect_one(folder: Path) -> None:
            nonlocal ended
            ended += ledger.ingest(folder)

        for host in dict.fromkeys(spec.host for spec in specs):
            own = [spec for spec in specs if spec.host == host]
            on_host = settings_on(session, host, settings)
            check_settings(session.trainer, on_host)
            if executor is not None and on_host == settings:
                executor.run_all(own, session.workspace.root, collect_one)
                continue
            with LocalExecutor(on_host, on_progress=on_progress) as fresh:
                fresh.run_all(own, session.workspace.root, collect_one)
    return ended


def settings_on(session: Session, host: str, settings: Settings) -> Settings:
    """The settings of runs that are planned for a host: those given, but for what the study says of that host."""
    said = next((each.settings for each in session.study.hosts if each.label == host), EMPTY)
    return replace(settings, **said) if said else settings  # type: ignore[arg-type]


def collect_ended(session: Session, plan: Plan) -> None:
    """Bring the runs of a plan that have ended into the ledger, where they are not: nobody may have collected them."""
    runs = session.workspace.runs
    with session.ledger() as ledger:
        for package in plan.packages:
            held = ledger.responses(package.name, session.study.response)
            for run_id in package.runs:
                if run_id not in held and runs.has_ended(run_id):
                    ledger.ingest(runs.folder(run_id))


def collect(session: Session, *, rebuild_ledger: bool = False) -> int:
    """Bring every complete run folder into the ledger; gives how many were new (all of them in a rebuild)."""
    workspace = session.workspace
    folders = [*workspace.runs.lost(), *workspace.runs.ended()]
    if rebuild_ledger:
        plans = workspace.plans()
        packages = [(package, specs_of(plan, package.name)) for plan in plans for package in plan.packages]
        decisions = [(d.stage, d.verdicts, d.evidence) for d in workspace.decisions()]
        rebuild(workspace.ledger_path, session.declared, packages, decisions, workspace.root)
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
    workspace, study = session.workspace, session.study
    plans, ready = workspace.plans(), undecided(session)
    analysis = analyse(session)
    made = []
    for plan in ready:
        verdicts = judge_stage(study, plan, plans, analysis)
        evidence = evidence_of([r for r in analysis.records if r.spec.stage == plan.stage])
        decision = StageDecision(stage=plan.stage, verdicts=verdicts, evidence=evidence, version=foldover.__version__)
        workspace.save_decision(decision)
        with session.ledger():
            pass  # opening it brings the decision in
        made.append(decision)
    return tuple(made)


def undecided(session: Session) -> tuple[Plan, ...]:
    """The plans of stages that have ended and are not decided yet."""
    decided = {decision.stage for decision in session.workspace.decisions()}
    return tuple(
        plan
        for plan in session.workspace.plans()
        if plan.stage not in decided and is_whole(plan, session.study.stage(plan.stage)) and _has_ended(session, plan)
    )


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
            sections=(*sections_of(study, plans, analysis), *amended(amendments(workspace.root))),
            roles={(p.name, c.label): c.role for plan in plans for p in plan.packages for c in plan.conditions},
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
