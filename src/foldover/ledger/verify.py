"""Whether the run folders are still what the ledger took in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foldover.core import LedgerError, to_json
from foldover.ledger.curves import pack_curve
from foldover.ledger.folder import LOST, FolderKey, Seals, key_of, seals_of
from foldover.ledger.rows import numbers_of
from foldover.ledger.store import Ledger
from foldover.rundir import CHECKSUMS, OUTCOME, SPEC, RunRoot, damage, read_ended


def verify_folders(ledger: Ledger, root: Path) -> tuple[tuple[str, str], ...]:
    """(run id, what is wrong), sorted; empty if folders and ledger agree.

    Each folder is held against its own checksums, its checksums and its spec and outcome against those stored
    when it came in, and the ledger's rows against the folder's content. Missing and extra folders count.
    """
    runs = RunRoot(root)
    seals = ledger.seals()
    problems = [(key.run_id, what) for key in seals for what in _problems(ledger, runs, key, seals[key])]
    for path in (*runs.ended(), *runs.lost()):
        try:
            key = key_of(path)
        except LedgerError as error:
            problems.append((path.name, str(error)))
            continue
        if key not in seals:
            problems.append((key.run_id, f"the folder runs/{key.name} is not in the ledger"))
    return tuple(sorted(problems))


def _problems(ledger: Ledger, runs: RunRoot, key: FolderKey, seals: Seals) -> Iterator[str]:
    path = runs.path / key.name
    if not path.is_dir():
        yield f"the folder runs/{key.name} is missing"
        return
    where = f"{LOST}/{path.name}: " if key.attempt is not None else ""
    found = [f"{where}{problem}" for problem in damage(path)]
    yield from found
    if found:
        return
    try:
        now = seals_of(path)
    except LedgerError as error:
        yield str(error)
        return
    for name, then, today in (
        (SPEC, seals.spec, now.spec),
        (OUTCOME, seals.outcome, now.outcome),
        (CHECKSUMS, seals.checksums, now.checksums),
    ):
        if then != today:
            yield f"{where}{name} is not the one that was collected"
    if now == seals:
        yield from (f"{where}{problem}" for problem in _differing_rows(ledger, path, key))


def _differing_rows(ledger: Ledger, path: Path, key: FolderKey) -> Iterator[str]:
    """The folder is as it was collected, so what differs was changed in the ledger."""
    try:
        ended = read_ended(path)
    except LedgerError as error:
        yield str(error)
        return
    held = ledger.held(key)
    for what, agrees in (
        ("spec", held.spec == to_json(ended.spec)),
        ("status", held.status == ended.outcome.status),
        ("responses", held.responses == numbers_of(ended.outcome)),
        ("outcome", held.outcome == to_json(ended.outcome)),
        ("events", held.events == to_json(ended.events)),
        ("curve", held.curve == pack_curve(ended.curve)),
    ):
        if not agrees:
            yield f"{what} in the ledger: not what the folder says"
