"""`loops.c` as a library of this machine: built on first use, kept in the cache folder, checked, or done without.

    CACHE/loops/DIGEST.so     complete: it appears by one rename
    CACHE/loops/DIGEST.lock   held by who builds it

DIGEST covers the source, the compiler, its options and the processor. Whatever fails, the torch loops serve
instead, and the run record says why.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from foldover.data.places import cache_folder
from foldover.lm.ops.check import first_difference
from foldover.lm.ops.native import NativePrimitives
from foldover.lm.processor import processor

SOURCE = Path(__file__).with_name("loops.c")
# What -ffast-math allows but for infinities and NaN, which must get through: a run may diverge.
OPTIONS = (
    *("-O3", "-march=native", "-shared", "-fPIC", "-std=gnu11"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math"),
)
BUILD_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Native:
    """The loops in C, or why there are none."""

    primitives: NativePrimitives | None
    note: str = ""


@cache
def native_primitives() -> Native:
    """The checked library of this process; built the first time on this machine, in some two seconds."""
    try:
        primitives = NativePrimitives(ctypes.CDLL(str(built(cache_folder() / "loops"))))
    except (OSError, Timeout, subprocess.SubprocessError, AttributeError) as error:
        return Native(primitives=None, note=_said(error))
    difference = first_difference(primitives)
    if difference:
        return Native(primitives=None, note=f"loops in C differ from torch: {difference}")
    return Native(primitives=primitives)


def built(folder: Path, *, source: Path = SOURCE) -> Path:
    """Path of the library in a cache folder. Raises OSError, Timeout or SubprocessError where it cannot be built."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        raise OSError("no C compiler (cc)")
    place = folder / f"{_digest(source, compiler)}.so"
    if place.exists():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock"), timeout=BUILD_SECONDS):
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
                made = Path(building) / place.name
                subprocess.run(  # noqa: S603 - the user's compiler on our source
                    [compiler, *OPTIONS, "-o", str(made), str(source), "-lm"],
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=BUILD_SECONDS,
                )
                made.replace(place)
    return place


def _digest(source: Path, compiler: str) -> str:
    found = Path(compiler).resolve()
    facts = found.stat()
    known = (str(found), facts.st_size, facts.st_mtime_ns, OPTIONS, processor())
    return hashlib.sha256(source.read_bytes() + repr(known).encode()).hexdigest()[:16]


def _said(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in str(error.stderr).splitlines() if "error" in line]
        return f"loops in C do not compile: {lines[0] if lines else error.stderr!r}"
    return f"loops in C are not there: {error}"
