"""The ledger made anew is the ledger that was."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from foldover.core import LedgerError
from foldover.ledger import Ledger, append_exclusion, dump, exclude_run, read_exclusions, rebuild
from foldover.ledger.exclusions import Exclusion


def content_of(lab):
    with Ledger.open(lab.db, read_only=True) as ledger:
        return ledger.digest(), dump(ledger)


def rebuild_lab(lab):
    rebuild(lab.db, lab.study, lab.packages, lab.decisions, lab.root)


def test_a_rebuild_gives_the_same_rows_and_digest(filled):
    before = content_of(filled)
    filled.db.unlink()
    rebuild_lab(filled)
    assert content_of(filled) == before


def test_a_rebuild_keeps_the_order_of_pending_runs(lab):
    with lab.planned() as ledger:
        before = ledger.pending()
    rebuild_lab(lab)
    with Ledger.open(lab.db) as ledger:
        assert ledger.pending() == before


def test_exclusions_survive_a_rebuild(filled):
    run_id = filled.specs[5].run_id
    with Ledger.open(filled.db) as ledger:
        exclude_run(ledger, filled.root, run_id, "the fan stood still")
    before = content_of(filled)
    rebuild_lab(filled)
    assert content_of(filled) == before
    with Ledger.open(filled.db) as ledger:
        assert [r.exclusion for r in ledger.records() if r.spec.run_id == run_id] == ["the fan stood still"]


def test_a_damaged_ledger_says_how_to_rebuild_it(filled):
    filled.db.write_bytes(b"this is not a database" * 1000)
    with pytest.raises(LedgerError, match=r"foldover collect .* --rebuild"):
        Ledger.open(filled.db)


def test_a_ledger_whose_pages_were_overwritten_says_how_to_rebuild_it(filled):
    pages = bytearray(filled.db.read_bytes())
    pages[4096:] = b"\xff" * (len(pages) - 4096)
    filled.db.write_bytes(bytes(pages))
    with pytest.raises(LedgerError, match=r"damaged.*foldover collect .* --rebuild"):
        Ledger.open(filled.db).records()


@pytest.mark.parametrize("size", [0, 100, 4096, 10_000])
def test_a_rebuild_replaces_a_ledger_that_was_cut_short(filled, size):
    before = content_of(filled)
    filled.db.write_bytes(filled.db.read_bytes()[:size])
    rebuild_lab(filled)
    assert content_of(filled) == before


def test_a_rebuild_is_not_disturbed_by_the_log_of_a_killed_writer(filled):
    before = content_of(filled)
    script = (
        "import os, sys; from pathlib import Path; from foldover.ledger import Ledger\n"
        "Ledger.open(Path(sys.argv[1])).exclude(sys.argv[2], 'heat'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(filled.db), filled.specs[0].run_id], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert filled.db.with_name("ledger.sqlite-wal").stat().st_size > 0
    rebuild_lab(filled)
    assert content_of(filled) == before


def test_a_damaged_run_folder_is_named_and_the_old_ledger_stays(filled):
    before = content_of(filled)
    for spec in filled.specs[:2]:
        (filled.root / "runs" / spec.run_id / "outcome.json").write_text("{")
    with pytest.raises(LedgerError) as caught:
        rebuild_lab(filled)
    assert all(
        f"run folder {spec.run_id} is damaged: outcome.json was changed" in str(caught.value)
        for spec in filled.specs[:2]
    )
    assert content_of(filled) == before
    assert [path.name for path in filled.root.iterdir() if ".new" in path.name] == []


def test_a_rebuild_never_writes_over_another_database(lab):
    with sqlite3.connect(lab.db) as other:
        other.execute("CREATE TABLE precious (x)")
    other.close()
    with pytest.raises(LedgerError, match="no ledger of foldover"):
        rebuild_lab(lab)
    assert b"precious" in lab.db.read_bytes()


def test_a_reader_of_the_old_ledger_reads_on_while_it_is_replaced(filled):
    with Ledger.open(filled.db, read_only=True) as reader:
        before = reader.digest()
        rebuild_lab(filled)
        assert reader.digest() == before
    assert content_of(filled)[0] == before


def test_exclusions_are_read_in_the_order_they_were_made(tmp_path):
    made = (Exclusion(run_id="b", reason="heat"), Exclusion(run_id="a", reason="noise"))
    for exclusion in made:
        append_exclusion(tmp_path, exclusion)
    assert read_exclusions(tmp_path) == made


def test_no_file_means_no_exclusions(tmp_path):
    assert read_exclusions(tmp_path) == ()


def test_an_exclusion_after_one_that_was_cut_short_stands_on_its_own_line(tmp_path):
    append_exclusion(tmp_path, Exclusion(run_id="a", reason="heat"))
    path = tmp_path / "exclusions.jsonl"
    os.truncate(path, path.stat().st_size - 1)
    append_exclusion(tmp_path, Exclusion(run_id="b", reason="noise"))
    assert [exclusion.run_id for exclusion in read_exclusions(tmp_path)] == ["a", "b"]


def test_an_exclusion_half_written_when_the_power_went_is_dropped_for_good(tmp_path):
    append_exclusion(tmp_path, Exclusion(run_id="a", reason="heat"))
    path = tmp_path / "exclusions.jsonl"
    with path.open("a") as file:
        file.write('{"reason":"no')
    append_exclusion(tmp_path, Exclusion(run_id="b", reason="noise"))
    assert [exclusion.run_id for exclusion in read_exclusions(tmp_path)] == ["a", "b"]


def test_an_unreadable_line_of_exclusions_is_an_error(tmp_path):
    (tmp_path / "exclusions.jsonl").write_text("{}}\n")
    with pytest.raises(LedgerError, match=r"exclusions.jsonl is damaged"):
        read_exclusions(tmp_path)


def test_repeating_an_exclusion_mends_the_file(lab, ledger):
    ledger.exclude(lab.specs[0].run_id, "heat")
    assert not exclude_run(ledger, lab.root, lab.specs[0].run_id, "heat")
    assert [exclusion.reason for exclusion in read_exclusions(lab.root)] == ["heat"]
