"""What lies in a folder of prepared corpora."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foldover.core import DataError, Values
from foldover.data.prepared import CHECKSUMS, META, damage, read_prepared

Condition = Literal["whole", "damaged", "unfinished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedFolder:
    """One folder. disk_bytes: of its own files; damaged: files that are not what was written; meta: as in `Facts`."""

    folder: str
    condition: Condition
    disk_bytes: int
    meta: Values
    digests: Values
    references: Values
    damaged: tuple[str, ...] = ()


def list_prepared(cache: Path, *, is_thorough: bool = False) -> tuple[PreparedFolder, ...]:
    """The prepared corpora in a cache folder, by name; also what builders left unfinished.

    is_thorough: read every byte of folders of any size, not only of the small ones.
    """
    if not cache.is_dir():
        return ()
    found = []
    for folder in sorted(cache.iterdir()):
        is_partial = folder.name.startswith(".") and folder.name.endswith(".partial")
        if folder.is_dir() and (is_partial or (folder / META).exists() or (folder / CHECKSUMS).exists()):
            found.append(_describe(folder, is_partial=is_partial, is_thorough=is_thorough))
    return tuple(found)


def _describe(folder: Path, *, is_partial: bool, is_thorough: bool) -> PreparedFolder:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    damaged = () if is_partial else damage(folder, is_thorough=is_thorough)
    meta = digests = references = Values()
    condition: Condition = "unfinished" if is_partial else "damaged" if damaged else "whole"
    if condition == "whole":
        try:
            facts = read_prepared(folder).facts
            meta, digests, references = facts.meta, facts.digests, facts.references
        except DataError:
            condition = "damaged"
    return PreparedFolder(
        folder=str(folder),
        condition=condition,
        disk_bytes=size,
        meta=meta,
        digests=digests,
        references=references,
        damaged=damaged,
    )
