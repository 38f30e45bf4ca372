"""Several processes, killed ones, and files that are not ledgers."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys

import pytest

from foldover.core import LedgerError
from foldover.ledger import Ledger
from foldover.ledger.schema import MIGRATIONS

# One interpreter that forks: sixteen would take seconds to start.
SIXTEEN_WRITERS = """
import os, sys
from pathlib import Path
from foldover.ledger import Ledger
path, run_ids = Path(sys.argv[1]), sys.argv[2:]
children = []
for run_id in run_ids:
    child = os.fork()
    if child == 0:
        try:
            with Ledger.open(path) as ledger:
                ledger.exclude(run_id, "heat")
                for stage in range(4):
                    ledger.add_decision(f"{run_id}-{stage}", (), "d")
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    children.append(child)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))
"""
SIXTEEN_OPENERS = """
import os, sys
from pathlib import Path
from foldover.ledger import Ledger
children = []
for _ in range(16):
    child = os.fork()
    if child == 0:
        try:
            Ledger.open(Path(sys.argv[1])).close()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    children.append(child)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))
"""
KILLED_IN_A_TRANSACTION = """
import os, sys
from pathlib import Path
from foldover.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]))
with ledger._writing():
    ledger._connection.execute("PRAGMA cache_size = 1")  # spills to the log before the commit
    for stage in range(500):
        ledger._insert("decision", (f"stage {stage}", "x" * 1000, "[]"))
    print("writing", flush=True)
    os.kill(os.getpid(), 9)
"""


def run_script(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


def test_sixteen_processes_write_without_an_error(lab):
    lab.planned().close()
    run_ids = [spec.run_id for spec in lab.specs]
    done = run_script(SIXTEEN_WRITERS, lab.db, *run_ids)
    assert (done.returncode, done.stdout) == (0, "")
    with Ledger.open(lab.db) as ledger:
        assert len(ledger.decisions()) == 64
        assert len(ledger.table("exclusion")) == 16


def test_sixteen_processes_make_one_ledger_at_once(lab):
    done = run_script(SIXTEEN_OPENERS, lab.db)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_writer_killed_in_a_transaction_leaves_the_old_state(filled):
    with Ledger.open(filled.db, read_only=True) as ledger:
        before = ledger.digest()
    killed = run_script(KILLED_IN_A_TRANSACTION, filled.db)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "writing\n")
    with Ledger.open(filled.db) as ledger:
        assert ledger.digest() == before
        assert ledger.damage() == ()


def test_readers_are_not_stopped_by_a_writer_and_see_what_was_committed(lab, ledger):
    with Ledger.open(lab.db, read_only=True) as reader:
        with ledger._writing():
            ledger._insert("exclusion", (lab.specs[0].run_id, "heat"))
            assert reader.table("exclusion") == ()
        assert len(reader.table("exclusion")) == 1


def test_a_writer_is_not_stopped_by_a_reader_in_the_middle_of_reading(lab, ledger):
    with Ledger.open(lab.db, read_only=True) as reader:
        reader._connection.execute("BEGIN")
        assert reader.table("exclusion") == ()
        ledger.exclude(lab.specs[0].run_id, "heat")
        assert reader.table("exclusion") == ()
        reader._connection.execute("COMMIT")
        assert len(reader.table("exclusion")) == 1


def test_an_error_in_a_transaction_leaves_nothing_behind(lab, ledger):
    with contextlib.suppress(RuntimeError), ledger._writing():
        ledger._insert("exclusion", (lab.specs[0].run_id, "heat"))
        raise RuntimeError
    assert ledger.table("exclusion") == ()
    assert ledger.exclude(lab.specs[0].run_id, "heat")


def test_a_busy_ledger_is_an_error_that_says_so(lab, ledger):
    with Ledger.open(lab.db) as other:
        other._connection.execute("PRAGMA busy_timeout = 0")
        with ledger._writing(), pytest.raises(LedgerError, match="has been busy"):
            other.exclude(lab.specs[0].run_id, "heat")


def test_a_missing_ledger_cannot_be_read(tmp_path):
    with pytest.raises(LedgerError, match="there is no ledger"):
        Ledger.open(tmp_path / "ledger.sqlite", read_only=True)


def test_a_database_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "other.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(LedgerError, match="no ledger of foldover"):
        Ledger.open(path)


def test_a_ledger_of_a_newer_foldover_is_refused(lab, ledger):
    ledger._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(LedgerError, match="newer foldover"):
        Ledger.open(lab.db)


def test_an_empty_file_cannot_be_read_as_a_ledger(tmp_path):
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(LedgerError, match="older foldover or empty"):
        Ledger.open(tmp_path / "ledger.sqlite", read_only=True)


def test_a_path_with_awkward_characters_is_opened(tmp_path):
    folder = tmp_path / "what? 100% #1"
    folder.mkdir()
    Ledger.open(folder / "ledger.sqlite").close()
    with Ledger.open(folder / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.records() == ()


def test_a_closed_ledger_is_one_file(filled):
    assert sorted(path.name for path in filled.root.iterdir()) == ["ledger.sqlite", "runs"]
