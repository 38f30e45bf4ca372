"""Exclusions as a file of the study folder, so that they survive a rebuild: one JSON object a line, appended."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from foldover.core import LedgerError, from_plain, to_json
from foldover.ledger.store import Ledger
from foldover.rundir import read_json_lines

EXCLUSIONS = "exclusions.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A run that a person took out of the analysis, and why."""

    run_id: str
    reason: str


def exclude_run(ledger: Ledger, root: Path, run_id: str, reason: str) -> bool:
    """Exclude a run in the ledger and in the study folder; whether it is new. Raises LedgerError.

    Repeating it mends what a crash in between left undone.
    """
    is_new = ledger.exclude(run_id, reason)
    exclusion = Exclusion(run_id=run_id, reason=reason)
    if exclusion not in read_exclusions(root):
        append_exclusion(root, exclusion)
    return is_new


def append_exclusion(root: Path, exclusion: Exclusion) -> None:
    """Add one to the file of a study folder, through to the disk."""
    path = root / EXCLUSIONS
    with path.open("a+b") as file:
        file.seek(0)
        last = file.read().rpartition(b"\n")[2]
        if last and not _is_json(last):
            # The power went while it was written; nobody was told that it was done.
            file.truncate(file.seek(0, os.SEEK_END) - len(last))
        elif last:
            file.write(b"\n")
        file.write(to_json(exclusion).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_exclusions(root: Path) -> tuple[Exclusion, ...]:
    """All exclusions in a study folder, in the order they were made. Raises LedgerError for a damaged file."""
    path = root / EXCLUSIONS
    try:
        return tuple(from_plain(Exclusion, line) for line in read_json_lines(path))
    except json.JSONDecodeError as error:
        raise LedgerError(f"{path} is damaged: {error}", fix="Remove the damaged line.") from error


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
