"""Plan, execute, collect, analyse, decide, report, status: repeated, they change nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from foldover.core import LedgerError
from foldover.lab import (
    Session,
    analyse,
    collect,
    create,
    decide,
    execute,
    execute_next,
    open_session,
    pending,
    plan_next,
    report,
    run_study,
    status,
)
from foldover.ledger import Ledger, dump
from foldover.rundir import read_ended

STAGES = ["screen", "confirm", "refine"]


def files_of(root: Path) -> dict[str, str]:
    """Digests of all files but the ledger, whose bytes may differ for equal rows."""
    paths = (p for p in root.rglob("*") if p.is_file() and not p.name.startswith(("ledger.sqlite", ".lock")))
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def rows_of(session: Session) -> dict[str, object]:
    with Ledger.open(session.workspace.ledger_path, read_only=True) as ledger:
        return {**dump(ledger), "digest": ledger.digest()}


@pytest.fixture
def done(finished: Path) -> Session:
    return open_session(finished)


# After a whole run


def test_every_stage_is_planned_in_order(done):
    assert [plan.stage for plan in done.workspace.plans()] == STAGES


def test_every_stage_is_decided_in_order(done):
    assert [decision.stage for decision in done.workspace.decisions()] == STAGES


def test_every_planned_run_ended(done):
    assert pending(done) == []


def test_no_run_folder_is_in_no_plan(done):
    planned = {run.run_id for plan in done.workspace.plans() for run in plan.runs}
    assert {path.name for path in done.workspace.runs.ended()} == planned


def test_every_run_took_one_attempt(done):
    assert {read_ended(path).attempt for path in done.workspace.runs.ended()} == {1}


def test_the_surface_of_known_truth_has_its_largest_penalty_in_d(done):
    long = [e for e in analyse(done).effects if e.package == "screen @ 5 min"]
    assert max(long, key=lambda e: abs(e.estimate)).term == "D"


def test_the_recommendation_follows_the_verdicts(done):
    document = json.loads(done.workspace.report_json.read_text())
    fixed = {v["subject"]: v["level"] for v in document["verdicts"] if v["decision"].startswith("fix")}
    values = document["recommendation"]["recipe"]["values"]
    levers = {f.letter: f.lever for f in done.study.factors}
    assert fixed
    assert {letter: values[levers[letter]] for letter in fixed} == fixed


def test_conditions_are_judged_against_the_best_one_whatever_its_stage(done):
    best = json.loads(done.workspace.report_json.read_text())["recommendation"]["condition"]
    subjects = [v.subject for d in done.workspace.decisions() if d.stage != "screen" for v in d.verdicts]
    assert subjects
    assert all(subject.startswith(f"{best} better than ") for subject in subjects)


def test_no_pair_of_conditions_is_judged_twice(done):
    subjects = [v.subject for d in done.workspace.decisions() for v in d.verdicts]
    assert len(set(subjects)) == len(subjects)


def test_the_state_of_every_package_is_told(done):
    assert [(row.package, row.planned, row.by_status) for row in status(done)] == [
        ("screen @ 2 min", 32, {"finished": 32}),
        ("screen @ 5 min", 32, {"finished": 32}),
        ("confirm @ 5 min", 6, {"finished": 6}),
        ("refine @ 5 min", 9, {"finished": 9}),
    ]


def test_ledger_and_decision_files_hold_the_same_decisions(done):
    with Ledger.open(done.workspace.ledger_path, read_only=True) as ledger:
        stored = [(d.stage, d.verdicts, d.evidence) for d in ledger.decisions()]
    assert stored == [(d.stage, d.verdicts, d.evidence) for d in done.workspace.decisions()]


# Once more


VERBS = {
    "plan": plan_next,
    "collect": collect,
    "rebuild": lambda session: collect(session, rebuild_ledger=True),
    "analyse": analyse,
    "decide": decide,
    "report": report,
    "status": status,
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_repeated_changes_no_file_and_no_row(copy, verb):
    before = files_of(copy.workspace.root), rows_of(copy)
    VERBS[verb](copy)
    assert (files_of(copy.workspace.root), rows_of(copy)) == before


def test_executing_again_changes_no_file_and_no_row(copy, settings, view):
    before = files_of(copy.workspace.root), rows_of(copy)
    assert (execute(copy, settings), execute_next(copy, settings, view)) == (0, (None, 0))
    assert (files_of(copy.workspace.root), rows_of(copy)) == before


def test_running_again_changes_no_file_and_no_row(copy, settings, view):
    before = files_of(copy.workspace.root), rows_of(copy)
    run_study(copy, settings, view)
    assert (files_of(copy.workspace.root), rows_of(copy)) == before


def test_collecting_again_finds_nothing_new(copy):
    assert collect(copy) == 0


def test_deciding_again_decides_nothing(copy):
    assert decide(copy) == ()


def test_a_rebuilt_ledger_has_the_same_rows_and_digest(copy):
    before = rows_of(copy)
    copy.workspace.ledger_path.unlink()
    assert collect(copy, rebuild_ledger=True) == 79
    assert rows_of(copy) == before


def test_a_ledger_that_is_no_ledger_any_more_is_rebuilt(copy):
    before = rows_of(copy)
    copy.workspace.ledger_path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    collect(copy, rebuild_ledger=True)
    assert rows_of(copy) == before


def test_a_lost_ledger_comes_back_by_collecting(copy):
    before = rows_of(copy)
    copy.workspace.ledger_path.unlink()
    assert (collect(copy), rows_of(copy)) == (79, before)


def test_a_decision_that_did_not_reach_the_ledger_before_a_crash_reaches_it_afterwards(copy):
    before = rows_of(copy)
    with Ledger.open(copy.workspace.ledger_path) as ledger:
        ledger._connection.execute("DELETE FROM decision WHERE stage = 'refine'")
    collect(copy)
    assert rows_of(copy) == before


def test_a_report_is_written_to_the_last_byte_as_before(copy):
    before = copy.workspace.report_html.read_bytes(), copy.workspace.report_json.read_bytes()
    copy.workspace.report_html.unlink()
    copy.workspace.report_json.unlink()
    report(copy)
    assert (copy.workspace.report_html.read_bytes(), copy.workspace.report_json.read_bytes()) == before


# Step by step


def test_single_verbs_give_what_one_call_gives(quick_path, finished, settings, view, tmp_path):
    session = create(quick_path, tmp_path / "steps")
    for _ in STAGES:
        plan_next(session)
        execute(session, settings)
        collect(session)
        decide(session)
    report(session)
    once, steps = (json.loads((root / "report.json").read_text()) for root in (finished, tmp_path / "steps"))
    keys = ("effects", "conditions", "recommendation", "design", "packages")
    assert {key: steps[key] for key in keys} == {key: once[key] for key in keys}


def test_executing_stage_by_stage_names_the_stage_and_its_runs(small_study, settings, view, tmp_path):
    session = create(small_study(), tmp_path / "s")
    first = execute_next(session, settings, view)
    assert (first, view.label) == (("screen", 16), "screen")


@pytest.fixture
def missing(copy: Session) -> str:
    """A run whose folder was taken away after it was collected."""
    run_id = copy.workspace.plans()[0].runs[0].run_id
    shutil.rmtree(copy.workspace.runs.folder(run_id))
    return run_id


def test_only_the_run_whose_folder_is_missing_is_pending(copy, missing):
    assert [spec.run_id for spec in pending(copy)] == [missing]


def test_a_run_in_the_place_of_one_that_was_collected_contradicts_the_ledger(copy, missing, settings):
    with pytest.raises(LedgerError, match=missing):
        execute(copy, settings)


def test_a_rebuild_takes_the_new_run_for_the_missing_one(copy, missing, settings):
    with pytest.raises(LedgerError):
        execute(copy, settings)
    collect(copy, rebuild_ledger=True)
    assert pending(copy) == []
    assert status(copy)[0].by_status == {"finished": 32}


def test_pending_runs_keep_the_order_of_the_plan(small_study, tmp_path):
    session = create(small_study(), tmp_path / "s")
    plan = plan_next(session)
    assert pending(session) == list(plan.runs)


def test_a_stage_is_not_decided_before_it_has_ended(small_study, settings, tmp_path):
    session = create(small_study(), tmp_path / "s")
    plan_next(session)
    assert decide(session) == ()


def test_a_study_of_one_seed_is_described_and_not_decided(small_study, settings, view, tmp_path):
    session = create(
        small_study(
            ("seeds = [1, 2]", "seeds = [1]"),
            ("best = 1\nworst = 1", "best = 1\nworst = 0"),
            ('kind = "refine"\n', 'kind = "refine"\ncenters = ["A"]\n'),
        ),
        tmp_path / "s",
    )
    run_study(session, settings, view)
    screen = session.workspace.decisions()[0]
    assert {v.decision for v in screen.verdicts} == {"undecided"}


def test_a_stage_with_nothing_to_run_is_passed(small_study, settings, view, tmp_path):
    """Without a retained factor there is nothing to refine."""
    session = create(small_study(('surface = "calibrated"', 'surface = "null"')), tmp_path / "s")
    run_study(session, settings, view)
    refine = session.workspace.plans()[-1]
    assert (refine.runs, "no factor was retained" in refine.notes[-1]) == ((), True)
    assert session.workspace.report_json.exists()


def test_runs_that_fail_are_recorded_and_leave_the_rest_to_the_analysis(small_study, settings, view, tmp_path):
    path = small_study(
        ('host = "windows"', 'host = "windows"\nfailure_rate = 0.15'), ("seeds = [1, 2]", "seeds = [1, 2, 3, 4]")
    )
    session = create(path, tmp_path / "s")
    execute_next(session, settings, view)
    counts = [row.by_status for row in status(session)]
    assert sum(count.get("failed", 0) for count in counts) > 0
    assert all(record.counts or not record.outcome.responses for record in analyse(session).records)
    assert analyse(session).effects


def test_a_study_in_which_every_run_fails_says_so_and_does_not_crash(small_study, settings, view, tmp_path):
    session = create(small_study(('host = "windows"', 'host = "windows"\nfailure_rate = 1.0')), tmp_path / "s")
    execute_next(session, settings, view)
    assert analyse(session).notes == ("no run has a result yet",)
    assert report(session)["effects"] == []


def test_evidence_is_the_digest_of_what_was_used(done):
    (first, *_) = done.workspace.decisions()
    assert {v.evidence for v in first.verdicts} == {first.evidence}


def test_a_spec_of_a_plan_is_the_spec_of_its_folder(done):
    run = done.workspace.plans()[0].runs[0]
    assert read_ended(done.workspace.runs.folder(run.run_id)).spec == run
