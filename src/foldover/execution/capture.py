"""A run's own output goes to its log, at the level of file descriptors: C libraries and children included."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def captured(log: Path) -> Iterator[None]:
    """Send standard output and standard error to the file `log`, which exists afterwards in any case.

    What a child process left behind still writes after that goes nowhere: the log is sealed with the folder.
    """
    _flush()
    saved = [os.dup(1), os.dup(2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        _flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (file, *saved):
            os.close(descriptor)
        _detach(log)


def last_lines(path: Path, count: int = 20, *, at_most_bytes: int = 1 << 16) -> str:
    """The last lines of a text file, however long it is; "" if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - at_most_bytes))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-count:])


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError, AttributeError):  # closed or replaced by the run's own code
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


def _detach(log: Path) -> None:
    """Give the log a file of its own that nobody holds open."""
    beside = log.with_name(f".{log.name}.tmp")
    beside.write_bytes(log.read_bytes() if log.exists() else b"")
    beside.replace(log)
