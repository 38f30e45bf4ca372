"""sha256 of source files, remembered: a file whose size, times and inode are those of last time is not read again.

CACHE/.fingerprints/KEY     KEY is a digest of path, size, times and inode; the content is the sha256
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from foldover.core import DataError, digest
from foldover.rundir import sha256_of_file, write_atomic

FOLDER = ".fingerprints"


def file_digest(path: Path, *, cache: Path) -> str:
    """sha256 (hex) of a file's bytes. Raises DataError if it cannot be read."""
    try:
        found = path.stat()
        key = digest([str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino])
        noted = cache / FOLDER / key
        with contextlib.suppress(OSError, UnicodeDecodeError):
            known = noted.read_text(encoding="ascii")
            if len(known) == 64:
                return known
        computed = sha256_of_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    with contextlib.suppress(OSError):  # a note spares time, nothing else
        noted.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(noted, computed)
    return computed


def content_digest(kind: str, sides: Iterable[tuple[str, Path]], *, cache: Path) -> str:
    """sha256 (hex) over the files' contents in order, each under its side; names and places do not count."""
    sha = hashlib.sha256(f"{kind}\n".encode())
    for side, path in sides:
        sha.update(f"{side} {file_digest(path, cache=cache)}\n".encode())
    return sha.hexdigest()
