"""The ledger made anew from what it was made of: study, plans, decisions, exclusions and run folders."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from foldover.core import LedgerError, Package, RunSpec, Study, Verdict
from foldover.ledger.connection import NotALedgerError, connect, is_busy, transaction
from foldover.ledger.exclusions import read_exclusions
from foldover.ledger.store import Ledger
from foldover.rundir import RunRoot, sync_folder

_SIDE_FILES = ("-wal", "-shm", "-journal")


def rebuild(
    db_path: Path,
    study: Study,
    packages: Sequence[tuple[Package, Sequence[RunSpec]]],
    decisions: Sequence[tuple[str, Sequence[Verdict], str]],
    root: Path,
) -> None:
    """Make the ledger of a study folder anew and put it in the place of the old one, which may be damaged.

    packages: each with its runs, in order of planning; decisions: (stage, verdicts, digest of the evidence) in
    the order they were taken; root: the study folder, whose exclusions are read as well. The new file is
    complete before the old one goes. Raises LedgerError naming every run folder that cannot be taken in; then
    the old ledger stays.
    """
    beside = db_path.with_name(f".{db_path.name}.{os.getpid()}.new")
    _remove(beside)
    try:
        _fill(beside, study, packages, decisions, root)
        _wait_for_writer(db_path)
        # The old log must be gone before the new file is there: SQLite would play it into that.
        for suffix in _SIDE_FILES:
            db_path.with_name(db_path.name + suffix).unlink(missing_ok=True)
        beside.replace(db_path)
        sync_folder(db_path.parent)
    finally:
        _remove(beside)


def _fill(
    path: Path,
    study: Study,
    packages: Sequence[tuple[Package, Sequence[RunSpec]]],
    decisions: Sequence[tuple[str, Sequence[Verdict], str]],
    root: Path,
) -> None:
    runs = RunRoot(root)
    problems = []
    with Ledger.open(path) as ledger:
        ledger.add_study(study)
        for package, specs in packages:
            ledger.add_package(package, specs)
        for folder in (*runs.lost(), *runs.ended()):
            try:
                ledger.ingest(folder)
            except LedgerError as error:
                problems.append(str(error))
        if problems:
            raise LedgerError("\n".join(["these run folders cannot be collected:", *problems]))
        for stage, verdicts, evidence in decisions:
            ledger.add_decision(stage, verdicts, evidence)
        for exclusion in read_exclusions(root):
            ledger.exclude(exclusion.run_id, exclusion.reason)


def _wait_for_writer(path: Path) -> None:
    """Let a transaction that is going on in the old ledger end; a damaged one has none."""
    if not path.exists():
        return
    try:
        old = connect(path, read_only=False)
    except NotALedgerError:
        raise
    except LedgerError:
        return
    with contextlib.closing(old):
        try:
            with transaction(old):
                pass
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                fix = "End the process that holds it, then repeat."
                raise LedgerError(f"the ledger {path} is being written", fix=fix) from error


def _remove(path: Path) -> None:
    for suffix in ("", *_SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
