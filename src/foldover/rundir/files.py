"""Reading and writing single files so that a crash leaves the old file or the new one, never half."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write beside, flush to disk, rename. Where that fails, as on a full disk, nothing is left beside."""
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, where the platform can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; a last line cut short by a crash is left out.

    An absent file has no lines. Raises ValueError for damage before the last line.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    whole, last = lines[:-1], lines[-1]
    rows = [json.loads(line) for line in whole if line]
    if last:
        with contextlib.suppress(ValueError):
            rows.append(json.loads(last))
    return rows
