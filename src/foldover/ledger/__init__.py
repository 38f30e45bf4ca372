"""The ledger: what was planned, what became of it, what was decided. SQLite, one writer, rows never edited.

Everything in it can be made anew from the study folder by `rebuild`; once made, it stands alone.
"""

from foldover.ledger.curves import Columns
from foldover.ledger.dump import PackageAccount, dump, manifest, manifest_csv, totals
from foldover.ledger.exclusions import Exclusion, append_exclusion, exclude_run, read_exclusions
from foldover.ledger.rebuild import rebuild
from foldover.ledger.rows import Standing, StoredDecision
from foldover.ledger.store import Ledger
from foldover.ledger.verify import verify_folders

__all__ = [
    "Columns",
    "Exclusion",
    "Ledger",
    "PackageAccount",
    "Standing",
    "StoredDecision",
    "append_exclusion",
    "dump",
    "exclude_run",
    "manifest",
    "manifest_csv",
    "read_exclusions",
    "rebuild",
    "totals",
    "verify_folders",
]
