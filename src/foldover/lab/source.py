"""The program as it was when a study began, and as it is: its files by digest, and an archive of them."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import foldover
from foldover.rundir import write_atomic

FROZEN = "source.csv"  # in the folder of a study
_EPOCH = (1980, 1, 1, 0, 0, 0)  # what an archive says of its files, so that equal files give an equal archive

File = tuple[str, bytes]


@cache
def contents() -> tuple[File, ...]:
    """The files of the installed package, by path."""
    root = Path(foldover.__file__).parent
    paths = [p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyc"]
    return tuple((f"foldover/{path.relative_to(root).as_posix()}", path.read_bytes()) for path in sorted(paths))


def listing(files: Sequence[File]) -> str:
    """CSV: path, bytes, sha256."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "bytes", "sha256"))
    writer.writerows((name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files)
    return text.getvalue()


def archive(files: Sequence[File]) -> bytes:
    """A zip of them, the same bytes for the same files."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files:
            packed.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def freeze(root: Path) -> None:
    """Write down in the folder of a study that begins what the program consists of."""
    write_atomic(root / FROZEN, listing(contents()))


def changed_since(root: Path) -> tuple[str, ...] | None:
    """Files that differ from those that the study began with, or came or went; None where none were written down."""
    path = root / FROZEN
    if not path.exists():
        return None
    then = set(path.read_text(encoding="utf-8").splitlines())
    now = set(listing(contents()).splitlines())
    return tuple(sorted({line.partition(",")[0] for line in then ^ now}))
