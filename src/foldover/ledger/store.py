"""The ledger: open, append, query. One writer; as many readers as there are."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from foldover.core import (
    LedgerError,
    Outcome,
    Package,
    RunRecord,
    RunSpec,
    Scalar,
    Study,
    Values,
    Verdict,
    digest,
    from_json,
    from_plain,
    to_json,
)
from foldover.ledger.connection import connect, plain_errors, transaction
from foldover.ledger.curves import Columns, PackedCurve, columns_of
from foldover.ledger.folder import AttemptRows, FolderKey, Seals, key_of, read_attempt, seals_of
from foldover.ledger.rows import HeldAttempt, Standing, StoredDecision, difference, numbers_of, plain_value
from foldover.ledger.schema import CONTENT

_ASK_VERIFY = "`foldover verify DIR` says what is different."


class Ledger:
    """Rows of one study in one SQLite file. Open it with `Ledger.open` and `with`.

    Every method that adds is one transaction and does nothing the second time; what contradicts a row that is
    there raises LedgerError, for rows are facts. One connection belongs to one thread.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
        self.path = path
        self._connection = connection
        self._is_read_only = read_only

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Ledger:
        """The ledger in a file, made if it is not there (unless `read_only`).

        Raises LedgerError for a file that is damaged, of a newer foldover or not a ledger at all.
        """
        return cls(connect(path, read_only=read_only), path, read_only=read_only)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_study(self, study: Study) -> bool:
        """Make this the ledger of a study; whether it is new. LedgerError if it is that of another one.

        Studies are compared without their source: comments and layout of the file may change.
        """
        bare = replace(study, source="")
        row = (
            digest(bare),
            study.name,
            study.question,
            study.response,
            study.direction,
            to_json(bare),
            study.source,
        )
        with self._writing():
            held = self._one("SELECT digest, record FROM study")
            if held is None:
                self._insert("study", row)
                return True
            if held[0] != row[0]:
                raise LedgerError(
                    f"the ledger {self.path} holds another study: it differs in {difference(held[1], row[5])}",
                    fix="Use another folder for this study.",
                )
            return False

    def add_package(self, package: Package, specs: Sequence[RunSpec]) -> bool:
        """Add a package and all its runs, planned; whether it is new.

        specs: exactly the runs of the package. The package of a search may have grown at its end. Raises LedgerError if
        specs and package do not agree, or if a package of that name was planned otherwise.
        """
        by_id = {spec.run_id: spec for spec in specs}
        if sorted(by_id) != sorted(package.runs) or any(spec.package != package.name for spec in specs):
            raise LedgerError(f"package {package.name} and its runs do not agree", fix="Plan the stage again.")
        # Which runs it has is in their own rows, to which rows can be added.
        record = to_json(replace(package, runs=()))
        with self._writing():
            held = self._one("SELECT record FROM package WHERE name = ?", package.name)
            known: tuple[str, ...] = ()
            if held is None:
                if self._one("SELECT 1 FROM study") is None:
                    raise LedgerError(f"the ledger {self.path} has no study yet", fix="Add the study first.")
                limit = package.budget.limit
                row = (None, package.name, package.stage, package.budget.label(), limit.kind, limit.amount, record)
                self._insert("package", row)
            else:
                known = self._runs_of(package.name)
                is_same = to_json(replace(from_json(Package, held[0]), runs=())) == record
                if not is_same or package.runs[: len(known)] != known:
                    text = f"package {package.name} is in the ledger with other runs"
                    raise LedgerError(text, fix="A stage is planned once; use another folder for another plan.")
            for position, run_id in enumerate(package.runs[len(known) :], start=len(known)):
                spec = by_id[run_id]
                planned = (run_id, package.name, position, spec.condition, spec.seed, spec.recipe.digest, to_json(spec))
                self._insert("run", planned)
            return held is None or len(package.runs) > len(known)

    def ingest(self, path: Path) -> bool:
        """Take in a complete run folder, of a run that ended or of a lost attempt; whether it is new.

        Raises LedgerError naming the run if its checksums do not agree, if no package plans it, or if it is in
        the ledger with other content.
        """
        key = key_of(path)
        if self._is_held(key, path):
            return False
        rows = read_attempt(path)
        with self._writing():
            if self._is_held(key, path):
                return False
            package = self._one("SELECT package FROM run WHERE run_id = ?", rows.run_id)
            if package is None:
                text = f"run {rows.run_id} is in no plan of the ledger {self.path}"
                raise LedgerError(text, fix="Is the folder of another study? Move it out of `runs`.")
            if self._one("SELECT 1 FROM attempt WHERE run_id = ? AND attempt = ?", rows.run_id, rows.attempt):
                raise LedgerError(f"run {rows.run_id} has attempt {rows.attempt} in the ledger twice", fix=_ASK_VERIFY)
            self._insert_attempt(rows, str(package[0]))
            return True

    def records(self) -> tuple[RunRecord, ...]:
        """Runs that ended, whatever came of them, in order of package, condition, seed."""
        return self._records(closes=1)

    def lost_attempts(self) -> tuple[RunRecord, ...]:
        """Attempts whose worker died, in the same order."""
        return self._records(closes=0)

    def packages(self) -> tuple[Package, ...]:
        """All packages, in order of planning."""
        found = [from_json(Package, row[0]) for row in self._all("SELECT record FROM package ORDER BY number")]
        return tuple(replace(package, runs=self._runs_of(package.name)) for package in found)

    def responses(self, package: str, name: str) -> dict[str, float | None]:
        """A response of every run of a package that has ended, by id; None where the run has none that counts."""
        rows = self._all(
            "SELECT run.run_id, response.value FROM run "
            "JOIN attempt ON attempt.run_id = run.run_id AND attempt.closes = 1 "
            "LEFT JOIN response ON response.run_id = run.run_id AND response.attempt = attempt.attempt "
            "AND response.name = ? AND attempt.status = 'finished' "
            "AND NOT EXISTS (SELECT 1 FROM exclusion WHERE exclusion.run_id = run.run_id) WHERE run.package = ?",
            name,
            package,
        )
        return dict(rows)

    def pending(self) -> tuple[str, ...]:
        """Ids of planned runs that have not ended, in order of planning and execution."""
        rows = self._all(
            "SELECT run.run_id FROM run JOIN package ON package.name = run.package "
            "WHERE NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.run_id = run.run_id AND closes = 1) "
            "ORDER BY package.number, run.position"
        )
        return tuple(str(row[0]) for row in rows)

    def curves(self, run_ids: Sequence[str]) -> dict[str, Columns]:
        """Training curves of ended runs by id: columns of one length, None where a point lacks a name.

        A run without a curve, or that has not ended, is left out.
        """
        curves = {}
        for run_id in run_ids:
            row = self._one("SELECT curve_header, curve FROM attempt WHERE run_id = ? AND closes = 1", run_id)
            columns = {} if row is None else columns_of(PackedCurve(header=row[0], data=row[1]))
            if columns:
                curves[run_id] = columns
        return curves

    def counts(self) -> dict[str, dict[str, int]]:
        """Runs by package, in order of planning, and by status; `planned` for those that have not ended."""
        rows = self._all(
            "SELECT package.name, coalesce(attempt.status, 'planned'), count(*) FROM run "
            "JOIN package ON package.name = run.package "
            "LEFT JOIN attempt ON attempt.run_id = run.run_id AND attempt.closes = 1 "
            "GROUP BY package.number, 2 ORDER BY package.number, 2"
        )
        counts: dict[str, dict[str, int]] = {}
        for package, status, number in rows:
            counts.setdefault(package, {})[status] = number
        return counts

    def leaderboard(self, package: str, *, limit: int = 10) -> tuple[Standing, ...]:
        """The best runs of a package by the response that the study judges, without excluded ones.

        Read off an index: the time does not grow with the ledger.
        """
        study = self._one("SELECT response, direction FROM study")
        if study is None:
            return ()
        response, order = study[0], "ASC" if study[1] == "minimize" else "DESC"
        # `order` is one of the two words above; a column's direction cannot be a parameter.
        query = (
            "SELECT response.run_id, run.condition, run.seed, response.value FROM response "  # noqa: S608
            "CROSS JOIN run ON run.run_id = response.run_id WHERE response.package = ? AND response.name = ? "
            "AND NOT EXISTS (SELECT 1 FROM exclusion WHERE exclusion.run_id = response.run_id) "
            f"ORDER BY response.value {order}, response.run_id {order} LIMIT ?"
        )
        rows = self._all(query, package, response, limit)
        return tuple(Standing(run_id=r[0], condition=r[1], seed=r[2], value=r[3]) for r in rows)

    def add_decision(self, stage: str, verdicts: Sequence[Verdict], evidence: str) -> bool:
        """Store what was decided after a stage; whether it is new. LedgerError if something else was."""
        row = (stage, evidence, to_json(tuple(verdicts)))
        with self._writing():
            held = self._one("SELECT stage, evidence, verdicts FROM decision WHERE stage = ?", stage)
            if held is None:
                self._insert("decision", row)
                return True
            if held != row:
                raise LedgerError(f"stage {stage} was decided otherwise before", fix="A decision is not rewritten.")
            return False

    def decisions(self) -> tuple[StoredDecision, ...]:
        """All decisions, in the order in which they were taken."""
        rows = self._all("SELECT stage, evidence, verdicts FROM decision ORDER BY rowid")
        return tuple(
            StoredDecision(
                stage=stage,
                evidence=evidence,
                verdicts=tuple(from_plain(Verdict, verdict) for verdict in json.loads(verdicts)),
            )
            for stage, evidence, verdicts in rows
        )

    def exclude(self, run_id: str, reason: str) -> bool:
        """Take a run out of the analysis, with a reason; whether that is new.

        Raises LedgerError for an unknown run, an empty reason, or a run that was excluded for another one.
        """
        if not reason.strip():
            raise LedgerError(f"run {run_id} cannot be excluded without a reason", fix="Say why.")
        with self._writing():
            if self._one("SELECT 1 FROM run WHERE run_id = ?", run_id) is None:
                raise LedgerError(f"run {run_id} is in no plan of the ledger {self.path}", fix="Check its id.")
            held = self._one("SELECT reason FROM exclusion WHERE run_id = ?", run_id)
            if held is not None:
                if held[0] != reason:
                    raise LedgerError(f"run {run_id} is excluded already", value=held[0])
                return False
            self._insert("exclusion", (run_id, reason))
            return True

    def table(self, name: str) -> tuple[tuple[Scalar, ...], ...]:
        """The content of one table, in an order that depends on nothing else; blobs by their sha256.

        name: a key of `schema.CONTENT`; KeyError otherwise.
        """
        columns = ", ".join(CONTENT[name])
        rows = self._all(f"SELECT {columns} FROM {name} ORDER BY {columns}")  # noqa: S608
        return tuple(tuple(plain_value(value) for value in row) for row in rows)

    def digest(self) -> str:
        """sha256 over all content: equal for equal rows, whenever and in whatever order they came in."""
        whole = hashlib.sha256()
        for name in CONTENT:
            for row in self.table(name):
                whole.update(to_json([name, *row]).encode() + b"\n")
        return whole.hexdigest()

    def seals(self) -> Mapping[FolderKey, Seals]:
        """The checksums of every attempt's folder as it was when it came in."""
        rows = self._all(
            "SELECT run_id, attempt, closes, spec_sha256, outcome_sha256, checksums_sha256 FROM attempt "
            "ORDER BY run_id, attempt"
        )
        return {
            FolderKey(run_id=row[0], attempt=None if row[2] else row[1]): Seals(
                spec=row[3], outcome=row[4], checksums=row[5]
            )
            for row in rows
        }

    def held(self, key: FolderKey) -> HeldAttempt:
        """One attempt as the ledger has it. KeyError if it has not."""
        condition = "closes = 1 AND ? IS NULL" if key.attempt is None else "closes = 0 AND attempt = ?"
        row = self._one(
            "SELECT attempt, status, outcome, events, curve_header, curve, "  # noqa: S608
            "(SELECT spec FROM run WHERE run.run_id = attempt.run_id) "
            f"FROM attempt WHERE run_id = ? AND {condition}",
            key.run_id,
            key.attempt,
        )
        if row is None:
            raise KeyError(key)
        responses = self._all("SELECT name, value FROM response WHERE run_id = ? AND attempt = ?", key.run_id, row[0])
        return HeldAttempt(
            spec=row[6],
            status=row[1],
            responses=Values(dict(responses)),
            outcome=row[2],
            events=row[3],
            curve=PackedCurve(header=row[4], data=row[5]),
        )

    def damage(self) -> tuple[str, ...]:
        """What SQLite finds wrong with the file itself, a line each; empty if nothing."""
        lines = [str(row[0]) for row in self._all("PRAGMA integrity_check")]
        lines += [f"row {row[1]} of {row[0]} refers to nothing" for row in self._all("PRAGMA foreign_key_check")]
        return tuple(line for line in lines if line != "ok")

    def _records(self, *, closes: int) -> tuple[RunRecord, ...]:
        rows = self._all(
            "SELECT run.spec, attempt.attempt, attempt.outcome, coalesce(exclusion.reason, '') FROM attempt "
            "JOIN run ON run.run_id = attempt.run_id LEFT JOIN exclusion ON exclusion.run_id = attempt.run_id "
            "WHERE attempt.closes = ? ORDER BY run.package, run.condition, run.seed, run.run_id, attempt.attempt",
            closes,
        )
        return tuple(
            RunRecord(
                spec=from_json(RunSpec, spec), attempt=attempt, outcome=from_json(Outcome, outcome), exclusion=exclusion
            )
            for spec, attempt, outcome, exclusion in rows
        )

    def _runs_of(self, package: str) -> tuple[str, ...]:
        rows = self._all("SELECT run_id FROM run WHERE package = ? ORDER BY position", package)
        return tuple(str(row[0]) for row in rows)

    def _is_held(self, key: FolderKey, path: Path) -> bool:
        """Whether this very folder is in the ledger. LedgerError if it is there with other content."""
        if key.attempt is None:
            held = self._one("SELECT checksums_sha256 FROM attempt WHERE run_id = ? AND closes = 1", key.run_id)
        else:
            query = "SELECT checksums_sha256 FROM attempt WHERE run_id = ? AND attempt = ? AND closes = 0"
            held = self._one(query, key.run_id, key.attempt)
        if held is None:
            return False
        if held[0] != seals_of(path).checksums:
            raise LedgerError(f"run folder {path.name} was changed after it was collected", fix=_ASK_VERIFY)
        return True

    def _insert_attempt(self, rows: AttemptRows, package: str) -> None:
        outcome, seals = rows.outcome, rows.seals
        key = (rows.run_id, rows.attempt)
        self._insert(
            "attempt",
            (
                *key,
                int(rows.closes),
                outcome.status,
                outcome.measured_by,
                outcome.started,
                outcome.finished,
                seals.spec,
                seals.outcome,
                seals.checksums,
                rows.outcome_json,
                rows.events_json,
                rows.curve.header,
                rows.curve.data,
            ),
        )
        for name, value in numbers_of(outcome).items():
            self._insert("response", (*key, name, value, package))
        made = outcome.artifact
        if made is not None:
            row = (*key, made.path, made.bytes, made.sha256, made.codec, made.roundtrip, made.cap)
            self._insert("artifact", row)

    def _insert(self, table: str, row: Sequence[object]) -> None:
        marks = ", ".join("?" * len(row))
        self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._is_read_only:
            raise LedgerError(f"the ledger {self.path} was opened for reading only", fix="Open it for writing.")
        with plain_errors(self.path), transaction(self._connection):
            yield

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        with plain_errors(self.path):
            row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
            return row

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with plain_errors(self.path):
            return self._connection.execute(query, values).fetchall()
