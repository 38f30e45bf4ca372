"""The manifest has one row a package; totals are kept apart."""

from __future__ import annotations

import csv
import io

from foldover.ledger import Ledger, dump, manifest, manifest_csv, totals
from foldover.ledger.schema import CONTENT


def accounts_of(lab):
    with Ledger.open(lab.db, read_only=True) as ledger:
        return manifest(ledger)


def test_the_manifest_has_one_row_a_package_in_order_of_planning(filled):
    rows = list(csv.DictReader(io.StringIO(manifest_csv(accounts_of(filled)))))
    assert [row["package"] for row in rows] == ["screen-2s", "screen-6s"]
    assert rows[0]["seeds"] == "1 2"


def test_each_account_adds_up_to_what_was_planned(filled):
    for account in accounts_of(filled):
        ended = account.finished + account.failed + account.diverged + account.timeout + account.over_cap
        assert ended + account.cancelled + account.lost + account.pending == account.planned == 8


def test_a_failure_and_a_lost_attempt_are_accounted_for(filled):
    first, second = accounts_of(filled)
    assert (first.failed, first.finished, first.lost_attempts) == (1, 7, 1)
    assert (second.failed, second.finished, second.lost_attempts) == (0, 8, 0)


def test_totals_are_sums_over_the_packages(filled):
    accounts = accounts_of(filled)
    total = totals(accounts)
    assert (total["packages"], total["planned"], total["finished"]) == (2, 16, 15)
    assert total["seconds"] == sum(account.seconds for account in accounts)


def test_a_ledger_without_runs_has_accounts_of_pending_runs(lab, ledger):
    assert [account.pending for account in manifest(ledger)] == [8, 8]


def test_seconds_are_those_of_the_wall_clock(filled):
    assert accounts_of(filled)[1].seconds == 8 * 3.0


def test_the_dump_has_all_eight_tables_and_their_columns(filled):
    with Ledger.open(filled.db, read_only=True) as ledger:
        tables = dump(ledger)
        names = {row[0] for row in ledger._all("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert set(tables) == names
        assert len(tables) == 8
        for name, columns in CONTENT.items():
            held = {row[1] for row in ledger._all(f"PRAGMA table_info({name})")}
            assert held - set(columns) == ({"number"} if name == "package" else set())
            assert all(len(row) == len(columns) for row in tables[name])
