"""What goes in comes out, once, and facts are not rewritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import foldover.ledger
from foldover.core import LedgerError
from foldover.ledger import Ledger
from foldover.rundir import RunRoot


def test_every_planned_run_is_a_row_from_the_start(lab, ledger):
    assert ledger.counts() == {"screen-2s": {"planned": 8}, "screen-6s": {"planned": 8}}


def test_pending_runs_come_in_order_of_planning_and_execution(lab, ledger):
    assert ledger.pending() == tuple(spec.run_id for spec in lab.specs)


def test_an_ingested_run_is_no_longer_pending(lab, ledger):
    ledger.ingest(lab.run(lab.root, lab.specs[0]))
    assert ledger.pending() == tuple(spec.run_id for spec in lab.specs[1:])


def test_a_record_is_what_the_folder_says(lab, ledger):
    ledger.ingest(lab.run(lab.root, lab.specs[0]))
    (record,) = ledger.records()
    assert record.spec == lab.specs[0]
    assert record.outcome.responses["val_bpb"] == pytest.approx(1.91)
    assert record.attempt == 1
    assert record.counts


def test_ingesting_twice_stores_once(lab, ledger):
    folder = lab.run(lab.root, lab.specs[0])
    assert ledger.ingest(folder)
    assert not ledger.ingest(folder)
    assert len(ledger.records()) == 1


def test_planning_twice_plans_once(lab, ledger):
    package, specs = lab.packages[0]
    assert not ledger.add_study(lab.study)
    assert not ledger.add_package(package, specs)


def test_a_study_whose_comments_changed_is_the_same(lab, ledger):
    assert not ledger.add_study(replace(lab.study, source="# another comment"))


def test_another_study_is_refused_by_what_differs(lab, ledger):
    with pytest.raises(LedgerError, match="another study: it differs in `question`"):
        ledger.add_study(replace(lab.study, question="Another?"))


def test_a_package_of_the_same_name_with_other_runs_is_refused(lab, ledger):
    package, specs = lab.packages[0]
    with pytest.raises(LedgerError, match="screen-2s is in the ledger with other runs"):
        ledger.add_package(replace(package, runs=package.runs[:4]), specs[:4])


def test_a_package_must_come_with_exactly_its_runs(lab):
    with Ledger.open(lab.db) as ledger:
        ledger.add_study(lab.study)
        package, specs = lab.packages[0]
        with pytest.raises(LedgerError, match="do not agree"):
            ledger.add_package(package, specs[1:])
        assert ledger.pending() == ()


def test_an_unknown_run_is_refused_by_name(lab):
    with Ledger.open(lab.db) as ledger:
        ledger.add_study(lab.study)
        folder = lab.run(lab.root, lab.specs[0])
        with pytest.raises(LedgerError, match=f"run {lab.specs[0].run_id} is in no plan"):
            ledger.ingest(folder)


def test_a_damaged_folder_is_refused_by_name_and_file(lab, ledger):
    folder = lab.run(lab.root, lab.specs[0])
    (folder / "curve.jsonl").write_text("")
    with pytest.raises(LedgerError, match=rf"{lab.specs[0].run_id} is damaged: curve.jsonl was changed"):
        ledger.ingest(folder)
    assert ledger.records() == ()


def test_a_folder_under_another_name_is_refused(lab, ledger):
    folder = lab.run(lab.root, lab.specs[0])
    moved = folder.rename(folder.with_name(lab.specs[1].run_id))
    with pytest.raises(LedgerError, match="holds another run"):
        ledger.ingest(moved)


def test_a_run_that_was_run_again_elsewhere_does_not_replace_the_first(lab, ledger, tmp_path):
    ledger.ingest(lab.run(lab.root, lab.specs[0]))
    second = lab.run(tmp_path / "elsewhere", lab.specs[0], "failed")
    with pytest.raises(LedgerError, match="was changed after it was collected"):
        ledger.ingest(second)


def test_a_failed_run_ends_and_does_not_count(lab, ledger):
    ledger.ingest(lab.run(lab.root, lab.specs[0], "failed"))
    (record,) = ledger.records()
    assert not record.counts
    assert lab.specs[0].run_id not in ledger.pending()


def test_a_lost_attempt_is_kept_and_its_run_stays_pending(lab, ledger):
    ledger.ingest(lab.lose(lab.root, lab.specs[0]))
    assert ledger.records() == ()
    assert [record.outcome.status for record in ledger.lost_attempts()] == ["lost"]
    assert lab.specs[0].run_id in ledger.pending()


def test_a_run_ends_after_lost_attempts_with_the_next_number(lab, ledger):
    for _ in range(2):
        ledger.ingest(lab.lose(lab.root, lab.specs[0]))
    ledger.ingest(lab.run(lab.root, lab.specs[0]))
    assert [record.attempt for record in ledger.lost_attempts()] == [1, 2]
    assert [record.attempt for record in ledger.records()] == [3]


def test_ingesting_a_lost_attempt_twice_stores_once(lab, ledger):
    folder = lab.lose(lab.root, lab.specs[0])
    assert ledger.ingest(folder)
    assert not ledger.ingest(folder)


def test_records_come_in_order_of_package_condition_and_seed(lab, ledger):
    for spec in reversed(lab.specs):
        ledger.ingest(lab.run(lab.root, spec))
    keys = [(r.spec.package, r.spec.condition, r.spec.seed) for r in ledger.records()]
    assert keys == sorted(keys)
    assert len(keys) == 16


def test_curves_come_back_as_columns(lab, ledger):
    ledger.ingest(lab.run(lab.root, lab.specs[0]))
    curves = ledger.curves([lab.specs[0].run_id, lab.specs[1].run_id])
    assert curves == {lab.specs[0].run_id: {"loss": (4.0, 2.0, 4.0 / 3, 1.0, 0.8), "step": (0, 1, 2, 3, 4)}}


def test_a_decision_is_stored_once_and_comes_back(lab, ledger):
    assert ledger.add_decision("screen", lab.verdicts, "d" * 64)
    assert not ledger.add_decision("screen", lab.verdicts, "d" * 64)
    (decision,) = ledger.decisions()
    assert (decision.stage, decision.verdicts, decision.evidence) == ("screen", lab.verdicts, "d" * 64)


def test_a_decision_without_verdicts_is_a_decision(lab, ledger):
    assert ledger.add_decision("confirm", (), "d" * 64)
    assert not ledger.add_decision("confirm", (), "d" * 64)


def test_a_decision_is_not_rewritten(lab, ledger):
    ledger.add_decision("screen", lab.verdicts, "d" * 64)
    with pytest.raises(LedgerError, match="stage screen was decided otherwise"):
        ledger.add_decision("screen", lab.verdicts[:1], "d" * 64)


def test_an_excluded_run_is_kept_with_its_reason_and_does_not_count(lab, ledger):
    ledger.ingest(lab.run(lab.root, lab.specs[0]))
    assert ledger.exclude(lab.specs[0].run_id, "the fan stood still")
    (record,) = ledger.records()
    assert record.exclusion == "the fan stood still"
    assert not record.counts


def test_excluding_twice_for_one_reason_is_once_and_for_another_is_refused(lab, ledger):
    run_id = lab.specs[0].run_id
    assert ledger.exclude(run_id, "heat")
    assert not ledger.exclude(run_id, "heat")
    with pytest.raises(LedgerError, match="excluded already"):
        ledger.exclude(run_id, "noise")


@pytest.mark.parametrize(("run_id", "reason"), [("0" * 16, "heat"), (None, "  ")])
def test_an_exclusion_needs_a_known_run_and_a_reason(lab, ledger, run_id, reason):
    with pytest.raises(LedgerError):
        ledger.exclude(run_id or lab.specs[0].run_id, reason)


def test_the_leaderboard_has_the_best_finished_runs_of_a_package(filled):
    with Ledger.open(filled.db, read_only=True) as ledger:
        standings = ledger.leaderboard("screen-2s", limit=3)
    assert [(s.condition, s.seed) for s in standings] in (
        [("c01", 1), ("c03", 1), ("c01", 2)],
        [("c03", 1), ("c01", 1), ("c01", 2)],
        [("c01", 1), ("c03", 1), ("c03", 2)],
        [("c03", 1), ("c01", 1), ("c03", 2)],
    )


def test_an_excluded_run_is_not_on_the_leaderboard(filled):
    with Ledger.open(filled.db) as ledger:
        best = ledger.leaderboard("screen-2s", limit=1)[0].run_id
        ledger.exclude(best, "heat")
        assert best not in [s.run_id for s in ledger.leaderboard("screen-2s", limit=100)]


def test_the_leaderboard_is_read_off_an_index_without_sorting(filled):
    with Ledger.open(filled.db) as ledger:
        seen = []
        ledger._connection.set_trace_callback(seen.append)
        ledger.leaderboard("screen-2s")
        ledger._connection.set_trace_callback(None)
        query = next(text for text in seen if "ORDER BY" in text)
        plan = " ".join(row[3] for row in ledger._connection.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert "response_by_value" in plan
    assert "TEMP B-TREE" not in plan


def test_the_view_has_one_row_a_run(filled):
    with Ledger.open(filled.db, read_only=True) as ledger:
        rows = ledger._all("SELECT status, count(*), count(response) FROM runs GROUP BY status ORDER BY status")
    assert rows == [("failed", 1, 0), ("finished", 15, 15)]


def test_the_view_of_verdicts_has_one_row_a_verdict(filled):
    with Ledger.open(filled.db, read_only=True) as ledger:
        rows = ledger._all("SELECT stage, position, subject, decision FROM verdicts")
    assert rows == [("screen", 0, "A", "fix_low"), ("screen", 1, "B", "keep_open")]


def test_the_digest_does_not_depend_on_the_order_of_ingestion(filled, lab, tmp_path):
    runs = RunRoot(filled.root)
    with Ledger.open(filled.db, read_only=True) as ledger:
        first = ledger.digest()
    with Ledger.open(tmp_path / "other.sqlite") as ledger:
        ledger.add_study(lab.study)
        for package, specs in reversed(lab.packages):
            ledger.add_package(package, specs)
        for folder in reversed((*runs.lost(), *runs.ended())):
            ledger.ingest(folder)
        for decision in lab.decisions:
            ledger.add_decision(*decision)
        assert ledger.digest() == first


def test_the_digest_changes_with_any_row(filled):
    with Ledger.open(filled.db) as ledger:
        before = ledger.digest()
        ledger.exclude(filled.specs[0].run_id, "heat")
        assert ledger.digest() != before


def test_a_ledger_opened_for_reading_refuses_to_write(filled):
    with Ledger.open(filled.db, read_only=True) as ledger, pytest.raises(LedgerError, match="reading only"):
        ledger.exclude(filled.specs[0].run_id, "heat")


def test_the_package_exports_what_it_says():
    names = foldover.ledger.__all__
    assert sorted(names) == names
    assert all(hasattr(foldover.ledger, name) for name in names)
    assert Path(foldover.ledger.__file__).parent.name == "ledger"
