"""A run folder as rows: what is read from it, checked against its own checksums."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foldover.core import LedgerError, Outcome, to_json
from foldover.ledger.curves import PackedCurve, pack_curve
from foldover.rundir import CHECKSUMS, OUTCOME, SPEC, damage, read_ended, sha256_of_file

LOST = ".lost"
REPAIR = "Restore it, or move it out of `runs` to run it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderKey:
    """Which attempt a folder is of, by its place alone; attempt None: the one that closes the run."""

    run_id: str
    attempt: int | None

    @property
    def name(self) -> str:
        """Where it lies under `runs`."""
        return self.run_id if self.attempt is None else f"{LOST}/{self.run_id}-{self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seals:
    """sha256 of the files that say what a run was and what came of it."""

    spec: str
    outcome: str
    checksums: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRows:
    """One attempt as the ledger holds it."""

    run_id: str
    attempt: int
    closes: bool
    outcome: Outcome
    outcome_json: str
    events_json: str
    curve: PackedCurve
    seals: Seals


def key_of(path: Path) -> FolderKey:
    """Which attempt lies at `runs/RUN_ID` or `runs/.lost/RUN_ID-N`. Raises LedgerError for another name."""
    if path.parent.name != LOST:
        return FolderKey(run_id=path.name, attempt=None)
    run_id, _, number = path.name.rpartition("-")
    if not run_id or not number.isdecimal():
        raise LedgerError(f"{path} is not the folder of a lost attempt", fix="Move it out of `runs`.")
    return FolderKey(run_id=run_id, attempt=int(number))


def seals_of(path: Path) -> Seals:
    """Checksums of the checksums, so that editing those too is noticed. Raises LedgerError for a missing file."""
    try:
        spec, outcome, checksums = (sha256_of_file(path / name) for name in (SPEC, OUTCOME, CHECKSUMS))
    except OSError as error:
        raise LedgerError(f"run folder {path.name} is damaged: {error}", fix=REPAIR) from error
    return Seals(spec=spec, outcome=outcome, checksums=checksums)


def read_attempt(path: Path) -> AttemptRows:
    """The rows of a complete run folder. Raises LedgerError naming the run if anything is wrong with it."""
    problems = damage(path)
    if problems:
        raise LedgerError(f"run folder {path.name} is damaged: {'; '.join(problems)}", fix=REPAIR)
    key, ended = key_of(path), read_ended(path)
    if ended.spec.run_id != key.run_id or ended.outcome.run_id != key.run_id:
        raise LedgerError(
            f"run folder {path.name} holds another run", value=(ended.spec.run_id, ended.outcome.run_id), fix=REPAIR
        )
    if key.attempt not in (None, ended.attempt):
        raise LedgerError(f"run folder {path.name} holds another attempt", value=ended.attempt, fix=REPAIR)
    return AttemptRows(
        run_id=key.run_id,
        attempt=ended.attempt,
        closes=key.attempt is None,
        outcome=ended.outcome,
        outcome_json=to_json(ended.outcome),
        events_json=to_json(ended.events),
        curve=pack_curve(ended.curve),
        seals=seals_of(path),
    )
