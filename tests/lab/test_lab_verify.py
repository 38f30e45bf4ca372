"""`verify` agrees after a run, and names what was changed since."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from foldover.lab import Session, collect, open_session, verify
from foldover.ledger import Ledger, exclude_run


def flip(path: Path, at: int = -3) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


@pytest.fixture
def run(copy: Session) -> Path:
    """The folder of one run."""
    return copy.workspace.runs.ended()[5]


def test_a_finished_study_agrees_with_itself(finished):
    assert verify(open_session(finished)) == ()


def test_verifying_writes_nothing(copy):
    root = copy.workspace.root
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file() and p.suffix not in (".sqlite-shm",)}
    verify(copy)
    after = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file() and p.suffix not in (".sqlite-shm",)}
    assert {p for p in before if before[p] != after.get(p)} == set()


@pytest.mark.parametrize(
    "name", ["spec.json", "outcome.json", "curve.jsonl", "events.jsonl", "log.txt", "checksums.json"]
)
def test_one_changed_byte_names_the_run(copy, run, name):
    path = run / name
    if path.stat().st_size:
        flip(path)
    else:
        path.write_bytes(b"x")
    problems = verify(copy)
    assert problems
    assert all(problem.startswith(f"run {run.name}: ") for problem in problems)


def test_the_changed_file_is_named(copy, run):
    flip(run / "curve.jsonl")
    assert verify(copy) == (f"run {run.name}: curve.jsonl was changed",)


def test_a_file_changed_together_with_its_checksum_is_noticed(copy, run):
    outcome = json.loads((run / "outcome.json").read_text())
    outcome["responses"]["val_bpb"] -= 0.5
    (run / "outcome.json").write_text(json.dumps(outcome))
    checksums = json.loads((run / "checksums.json").read_text())
    import hashlib

    checksums["outcome.json"] = hashlib.sha256((run / "outcome.json").read_bytes()).hexdigest()
    (run / "checksums.json").write_text(json.dumps(checksums))
    assert any("outcome.json is not the one that was collected" in problem for problem in verify(copy))


@pytest.mark.parametrize("name", ["curve.jsonl", "log.txt", "outcome.json"])
def test_a_missing_file_names_the_run(copy, run, name):
    (run / name).unlink()
    assert verify(copy) == (f"run {run.name}: {name} is missing",)


def test_an_added_file_names_the_run(copy, run):
    (run / "more.txt").write_text("more")
    assert verify(copy) == (f"run {run.name}: more.txt was added",)


def test_a_missing_run_folder_is_named(copy, run):
    run.rename(copy.workspace.root / "aside")
    assert verify(copy) == (f"run {run.name}: the folder runs/{run.name} is missing",)


def test_two_changed_runs_are_both_named(copy):
    one, other = copy.workspace.runs.ended()[:2]
    flip(one / "log.txt") if (one / "log.txt").stat().st_size else (one / "log.txt").write_text("x")
    flip(other / "curve.jsonl")
    assert {problem.split()[1].rstrip(":") for problem in verify(copy)} == {one.name, other.name}


def test_a_number_changed_in_the_ledger_is_noticed_with_its_run_and_in_the_report(copy, run):
    with sqlite3.connect(copy.workspace.ledger_path) as connection:
        connection.execute("UPDATE response SET value = value - 0.5 WHERE run_id = ?", (run.name,))
    connection.close()
    assert f"run {run.name}: responses in the ledger: not what the folder says" in verify(copy)


def test_an_edited_report_is_told(copy):
    path = copy.workspace.report_json
    path.write_text(path.read_text().replace('"q": 0.05', '"q": 0.01'))
    assert verify(copy) == ("report.json is not what the ledger gives today",)


def test_an_edited_page_is_told(copy):
    flip(copy.workspace.report_html)
    assert verify(copy) == ("report.html is not what the ledger gives today",)


def test_missing_reports_are_told(copy):
    copy.workspace.report_html.unlink()
    copy.workspace.report_json.unlink()
    assert set(verify(copy)) == {"report.html is missing", "report.json is missing"}


def test_an_edited_decision_is_told(copy):
    (path, *_) = sorted((copy.workspace.root / "decisions").iterdir())
    path.write_text(path.read_text().replace("fix_low", "fix_high"))
    problems = verify(copy)
    assert "stage screen: the decision in its file is not the one in the ledger" in problems
    assert "stage screen: D was decided fix_high, today's analysis says fix_low" in problems


def test_a_decision_that_todays_analysis_would_make_otherwise_is_told(copy):
    # Without half of its runs the screen does not resolve what it did.
    runs = [run for run in copy.workspace.plans()[0].runs if run.package == "screen @ 5 min" and run.seed == 1]
    with Ledger.open(copy.workspace.ledger_path) as ledger:
        for run in runs[:14]:
            exclude_run(ledger, copy.workspace.root, run.run_id, "the fan was broken")
    told = [problem for problem in verify(copy) if problem.startswith("stage screen: ")]
    assert told
    assert all("was decided fix_low, today's analysis says" in problem for problem in told)


def test_exclusions_survive_a_rebuild(copy):
    (run, *_) = copy.workspace.plans()[0].runs
    with Ledger.open(copy.workspace.ledger_path) as ledger:
        exclude_run(ledger, copy.workspace.root, run.run_id, "the fan was broken")
        before = ledger.digest()
    collect(copy, rebuild_ledger=True)
    with Ledger.open(copy.workspace.ledger_path) as ledger:
        assert ledger.digest() == before


def test_a_decision_that_is_not_in_the_ledger_is_told(copy):
    with Ledger.open(copy.workspace.ledger_path) as ledger:
        ledger._connection.execute("DELETE FROM decision WHERE stage = 'refine'")
    assert "stage refine: the decision in its file is not the one in the ledger" in verify(copy)
