"""Opening the database file, transactions, and what its errors mean in words.

WAL, `BEGIN IMMEDIATE` always (a deferred transaction that turns from reading to writing fails at once instead
of waiting), a busy timeout, and `synchronous = NORMAL`: what was committed survives the death of any process; a
power cut may take the last commits, and a rebuild from the run folders brings them back. SQLite's locks are not
reliable on network file systems: keep a study folder on a local disk.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foldover.core import LedgerError
from foldover.ledger.schema import APPLICATION_ID, MIGRATIONS

BUSY_SECONDS = 60.0


class NotALedgerError(LedgerError):
    """The file is somebody else's database: never to be written over."""


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection to a ledger of this version; made or migrated unless `read_only`. Raises LedgerError."""
    if read_only and not path.is_file():
        raise LedgerError(f"there is no ledger at {path}", fix=f"Run `foldover collect {path.parent} --rebuild`.")
    with plain_errors(path):
        connection = sqlite3.connect(_uri(path, read_only=read_only), uri=True, timeout=BUSY_SECONDS)
        try:
            connection.isolation_level = None  # transactions are begun and ended here, by name
            connection.execute("PRAGMA foreign_keys = ON")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
            _refuse_foreign(connection, path)
            if not read_only:
                _use_wal(connection)
                connection.execute("PRAGMA synchronous = NORMAL")
                _migrate(connection, path)
            elif _pragma(connection, "user_version") < len(MIGRATIONS):
                fix = f"Run `foldover collect {path.parent}` once."
                raise LedgerError(f"the ledger {path} is of an older foldover or empty", fix=fix)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, and nobody else writes meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """SQLite's errors as LedgerError with what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if is_busy(error):
            text = f"the ledger {path} has been busy for {BUSY_SECONDS:.0f} s"
            raise LedgerError(text, fix="Another process holds it: end that one, then repeat.") from error
        fix = f"Check the disk and the rights; if they are fine, run `foldover collect {path.parent} --rebuild`."
        raise LedgerError(f"the ledger {path} cannot be used: {error}", fix=fix) from error
    except sqlite3.DatabaseError as error:
        fix = f"Run `foldover collect {path.parent} --rebuild`: it is made anew from the run folders."
        raise LedgerError(f"the ledger {path} is damaged: {error}", fix=fix) from error


def _uri(path: Path, *, read_only: bool) -> str:
    uri = path.resolve().as_uri()
    if not read_only:
        return f"{uri}?mode=rwc"
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return f"{uri}?mode=rw"  # and query_only: a connection that may not write leaves its index files behind
    # A WAL database needs a place for its index; where there is none and nobody has it open, it cannot change.
    is_still = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return f"{uri}?immutable=1" if is_still else f"{uri}?mode=ro"


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    version = _pragma(connection, "user_version")
    num_objects = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if _pragma(connection, "application_id") == APPLICATION_ID:
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"the ledger {path} was written by a newer foldover",
                value=version,
                fix=f"This one knows versions up to {len(MIGRATIONS)}. Update foldover.",
            )
    elif num_objects or version:
        raise NotALedgerError(f"{path} is an SQLite database, but no ledger of foldover", fix="Give another path.")


def _use_wal(connection: sqlite3.Connection) -> None:
    # Changing the mode needs the file alone, and SQLite does not wait for that as it does elsewhere.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "user_version") == len(MIGRATIONS):
        return
    with transaction(connection):
        # Somebody else may have done it, or more, while this process waited.
        _refuse_foreign(connection, path)
        done = _pragma(connection, "user_version")
        for statements in MIGRATIONS[done:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def is_busy(error: sqlite3.Error) -> bool:
    """Whether it says that somebody else holds the file."""
    with contextlib.suppress(AttributeError):
        return (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return False
