"""A C source as a library of this machine: built on first use, kept in a folder, or done without.

    FOLDER/DIGEST.so     complete: it appears by one rename
    FOLDER/DIGEST.lock   held by who builds it

DIGEST covers the source, the compiler, its options and the processor.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from foldover.native.processor import processor

BUILD_SECONDS = 120
_LIBRARY = ("-march=native", "-shared", "-fPIC", "-std=gnu11")


class Absent(Exception):  # noqa: N818 - not a fault: others do the work
    """There is no such library on this machine; the text says why."""


def open_library(folder: Path, source: Path, options: Sequence[str]) -> ctypes.CDLL:
    """The library of a source, built where the folder has none yet. Raises Absent."""
    try:
        return ctypes.CDLL(str(built(folder, source=source, options=options)))
    except subprocess.CalledProcessError as error:
        lines = [line for line in str(error.stderr).splitlines() if "error" in line]
        raise Absent(f"loops in C do not compile: {lines[0] if lines else error.stderr!r}") from error
    except (OSError, Timeout, subprocess.SubprocessError) as error:
        raise Absent(f"loops in C are not there: {error}") from error


def built(folder: Path, *, source: Path, options: Sequence[str] = ()) -> Path:
    """Path of the library in a folder. Raises OSError, Timeout or SubprocessError where it cannot be built."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        raise OSError("no C compiler (cc)")
    every = (*_LIBRARY, *options)
    place = folder / f"{_digest(source, compiler, every)}.so"
    if place.exists():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock"), timeout=BUILD_SECONDS):
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
                made = Path(building) / place.name
                subprocess.run(  # noqa: S603 - the user's compiler on our source
                    [compiler, *every, "-o", str(made), str(source), "-lm"],
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=BUILD_SECONDS,
                )
                made.replace(place)
    return place


def _digest(source: Path, compiler: str, options: Sequence[str]) -> str:
    found = Path(compiler).resolve()
    facts = found.stat()
    known = (str(found), facts.st_size, facts.st_mtime_ns, tuple(options), processor())
    return hashlib.sha256(source.read_bytes() + repr(known).encode()).hexdigest()[:16]
