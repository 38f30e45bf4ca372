"""The ledger as plain data: all rows, and a manifest of packages with the totals kept apart from its rows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from foldover.core import Package, RunRecord, Scalar, Values
from foldover.ledger.schema import CONTENT
from foldover.ledger.store import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageAccount:
    """What a package planned and what became of it.

    pending: planned and not ended; seconds: of wall clock, over all its attempts, lost ones too; seeds: those
    of the package, separated by blanks; role: `trunk` where its runs are there for others to begin with, else
    `compared`; continued: ended runs that began with the state of another.
    """

    package: str
    stage: str
    budget: str
    seeds: str
    role: str
    planned: int
    pending: int
    finished: int
    failed: int
    diverged: int
    timeout: int
    over_cap: int
    cancelled: int
    lost: int
    lost_attempts: int
    excluded: int
    continued: int
    seconds: float


_COUNTED = tuple(field.name for field in fields(PackageAccount) if field.type in ("int", "float"))


def dump(ledger: Ledger) -> Mapping[str, tuple[tuple[Scalar, ...], ...]]:
    """Every table's content rows (columns as in `schema.CONTENT`), ordered; blobs by their sha256."""
    return {name: ledger.table(name) for name in CONTENT}


def manifest(ledger: Ledger) -> tuple[PackageAccount, ...]:
    """One account a package, in order of planning."""
    ended, lost = _by_package(ledger.records()), _by_package(ledger.lost_attempts())
    return tuple(
        _account(package, ended.get(package.name, []), lost.get(package.name, [])) for package in ledger.packages()
    )


def manifest_csv(accounts: Sequence[PackageAccount]) -> str:
    """The manifest as CSV: a header, then one row a package. Totals are not in it: see `totals`."""
    text = io.StringIO()
    names = [field.name for field in fields(PackageAccount)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(account, name) for name in names] for account in accounts)
    return text.getvalue()


def totals(accounts: Sequence[PackageAccount]) -> Values:
    """Sums over the packages, and how many they are; `to_json` writes them."""
    return Values(
        {name: sum(getattr(account, name) for account in accounts) for name in _COUNTED}, packages=len(accounts)
    )


def _account(package: Package, ended: Sequence[RunRecord], lost: Sequence[RunRecord]) -> PackageAccount:
    by_status = Counter(record.outcome.status for record in ended)
    return PackageAccount(
        package=package.name,
        stage=package.stage,
        budget=package.budget.label(),
        seeds=" ".join(str(seed) for seed in package.seeds),
        role=package.role,
        planned=len(package.runs),
        pending=len(package.runs) - len(ended),
        finished=by_status["finished"],
        failed=by_status["failed"],
        diverged=by_status["diverged"],
        timeout=by_status["timeout"],
        over_cap=by_status["over_cap"],
        cancelled=by_status["cancelled"],
        lost=by_status["lost"],
        lost_attempts=len(lost),
        excluded=sum(bool(record.exclusion) for record in ended),
        continued=sum(record.spec.starts_from is not None for record in ended),
        seconds=sum(_seconds(record) for record in (*ended, *lost)),
    )


def _seconds(record: RunRecord) -> float:
    started, finished = (datetime.fromisoformat(text) for text in (record.outcome.started, record.outcome.finished))
    return (finished - started).total_seconds()


def _by_package(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    grouped: dict[str, list[RunRecord]] = {}
    for record in records:
        grouped.setdefault(record.spec.package, []).append(record)
    return grouped
