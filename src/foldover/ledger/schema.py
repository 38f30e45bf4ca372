"""Tables of the ledger as numbered migrations; `PRAGMA user_version` counts those applied.

A migration that was ever released is never edited: append another one. Rows are inserted, never updated or
deleted, and hold nothing about when or in which order they came in, except `package.number`, which keeps the
order of execution and is not content.
"""

from __future__ import annotations

# "fold": tells a ledger from any other SQLite file.
APPLICATION_ID = 0x666F6C64

_FIRST = (
    """
    CREATE TABLE study (
        digest TEXT PRIMARY KEY,      -- of record
        name TEXT NOT NULL,
        question TEXT NOT NULL,
        response TEXT NOT NULL,       -- the one that is judged
        direction TEXT NOT NULL,
        record TEXT NOT NULL,         -- canonical JSON of the study without its source
        source TEXT NOT NULL          -- text of the study file
    )
    """,
    """
    CREATE TABLE package (
        number INTEGER PRIMARY KEY,   -- order of planning
        name TEXT NOT NULL UNIQUE,
        stage TEXT NOT NULL,
        budget TEXT NOT NULL,         -- label, e.g. '5 min'
        limit_kind TEXT NOT NULL,
        limit_amount REAL NOT NULL,
        record TEXT NOT NULL          -- canonical JSON
    )
    """,
    """
    CREATE TABLE run (
        run_id TEXT PRIMARY KEY,
        package TEXT NOT NULL REFERENCES package (name),
        position INTEGER NOT NULL,    -- in the order of execution
        condition TEXT NOT NULL,
        seed INTEGER NOT NULL,
        recipe TEXT NOT NULL,         -- its digest
        spec TEXT NOT NULL            -- canonical JSON
    )
    """,
    "CREATE INDEX run_by_package ON run (package, position)",
    """
    CREATE TABLE attempt (
        run_id TEXT NOT NULL REFERENCES run (run_id),
        attempt INTEGER NOT NULL,
        closes INTEGER NOT NULL CHECK (closes IN (0, 1)),   -- 0: its worker was lost, the run goes on
        status TEXT NOT NULL,
        measured_by TEXT NOT NULL,
        started TEXT NOT NULL,
        finished TEXT NOT NULL,
        spec_sha256 TEXT NOT NULL,        -- of the files of its run folder
        outcome_sha256 TEXT NOT NULL,
        checksums_sha256 TEXT NOT NULL,
        outcome TEXT NOT NULL,            -- canonical JSON
        events TEXT NOT NULL,             -- JSON array
        curve_header TEXT NOT NULL,       -- see curves.py
        curve BLOB NOT NULL,
        PRIMARY KEY (run_id, attempt)
    )
    """,
    "CREATE UNIQUE INDEX attempt_that_closes ON attempt (run_id) WHERE closes = 1",
    """
    CREATE TABLE response (
        run_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        name TEXT NOT NULL,
        value REAL NOT NULL,
        package TEXT NOT NULL,            -- that of the run, so that one index gives a leaderboard
        PRIMARY KEY (run_id, attempt, name),
        FOREIGN KEY (run_id, attempt) REFERENCES attempt (run_id, attempt)
    )
    """,
    "CREATE INDEX response_by_value ON response (package, name, value, run_id)",
    """
    CREATE TABLE artifact (
        run_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        path TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        codec TEXT NOT NULL,
        roundtrip REAL,
        cap INTEGER,
        PRIMARY KEY (run_id, attempt, path),
        FOREIGN KEY (run_id, attempt) REFERENCES attempt (run_id, attempt)
    )
    """,
    """
    CREATE TABLE exclusion (
        run_id TEXT PRIMARY KEY REFERENCES run (run_id),
        reason TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE decision (
        stage TEXT PRIMARY KEY,
        evidence TEXT NOT NULL,           -- digest of the records that it rests on
        verdicts TEXT NOT NULL            -- JSON array
    )
    """,
    # One row a run, for people with any SQLite tool; `response` is the one that the study judges.
    """
    CREATE VIEW runs AS
    SELECT run.run_id, run.package, package.stage, package.budget, run.condition, run.seed,
           coalesce(attempt.status, 'planned') AS status, attempt.attempt, response.value AS response,
           coalesce(exclusion.reason, '') AS exclusion, attempt.started, attempt.finished, run.recipe
    FROM run
    JOIN package ON package.name = run.package
    LEFT JOIN attempt ON attempt.run_id = run.run_id AND attempt.closes = 1
    LEFT JOIN response ON response.run_id = run.run_id AND response.attempt = attempt.attempt
        AND response.name = (SELECT study.response FROM study)
    LEFT JOIN exclusion ON exclusion.run_id = run.run_id
    """,
    """
    CREATE VIEW verdicts AS
    SELECT decision.stage, verdict.key AS position, json_extract(verdict.value, '$.subject') AS subject,
           json_extract(verdict.value, '$.decision') AS decision, json_extract(verdict.value, '$.because') AS because,
           json_extract(verdict.value, '$.rule') AS rule, decision.evidence
    FROM decision, json_each(decision.verdicts) AS verdict
    """,
)

# Lineage is in every run's spec from the start; the view shows it, and what a package is for.
_LINEAGE = (
    "DROP VIEW runs",
    """
    CREATE VIEW runs AS
    SELECT run.run_id, run.package, package.stage, package.budget,
           coalesce(json_extract(package.record, '$.role'), 'compared') AS role, run.condition, run.seed,
           json_extract(run.spec, '$.starts_from') AS starts_from,
           coalesce(attempt.status, 'planned') AS status, attempt.attempt, response.value AS response,
           coalesce(exclusion.reason, '') AS exclusion, attempt.started, attempt.finished, run.recipe
    FROM run
    JOIN package ON package.name = run.package
    LEFT JOIN attempt ON attempt.run_id = run.run_id AND attempt.closes = 1
    LEFT JOIN response ON response.run_id = run.run_id AND response.attempt = attempt.attempt
        AND response.name = (SELECT study.response FROM study)
    LEFT JOIN exclusion ON exclusion.run_id = run.run_id
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _LINEAGE)

# What is content, by table: all columns but `package.number`.
CONTENT: dict[str, tuple[str, ...]] = {
    "study": ("digest", "name", "question", "response", "direction", "record", "source"),
    "package": ("name", "stage", "budget", "limit_kind", "limit_amount", "record"),
    "run": ("run_id", "package", "position", "condition", "seed", "recipe", "spec"),
    "attempt": (
        "run_id",
        "attempt",
        "closes",
        "status",
        "measured_by",
        "started",
        "finished",
        "spec_sha256",
        "outcome_sha256",
        "checksums_sha256",
        "outcome",
        "events",
        "curve_header",
        "curve",
    ),
    "response": ("run_id", "attempt", "name", "value", "package"),
    "artifact": ("run_id", "attempt", "path", "bytes", "sha256", "codec", "roundtrip", "cap"),
    "exclusion": ("run_id", "reason"),
    "decision": ("stage", "evidence", "verdicts"),
}
