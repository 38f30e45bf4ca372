"""A run in a fork of its warm worker: what it does to its process ends with it.

The child begins with interpreter, libraries and caches as its parent has them. Of threads only the one that forks
lives on in it, and it would wait for the others for ever: before a fork a worker must have computed with one thread
at most and have touched no GPU.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from foldover.execution.lifeline import die_with_parent
from foldover.execution.process import how_it_ended

_READ_BYTES = 4096  # a pipe takes as many at once everywhere, so that a child never waits for its parent to read


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkDied:
    """A child that ended without its result. how: in words."""

    how: str


def in_fork(work: Callable[[], bytes]) -> bytes | ForkDied:
    """What `work` gives in a child of this process, up to 4 KiB; returns when the child has been reaped.

    A child that is killed, exits or raises costs nothing but its work; what it raises is printed. It dies with
    this process.
    """
    reading, writing = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # else the child would write it once more
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _live(work, writing, parent)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as file:
        _, status = os.waitpid(child, 0)
        # Without waiting: a process that the run has left behind may hold the other end.
        os.set_blocking(file.fileno(), False)
        result: bytes | None = None
        with contextlib.suppress(BlockingIOError):
            result = file.read(_READ_BYTES)
    return result or ForkDied(how=how_it_ended(os.waitstatus_to_exitcode(status)))


def _live(work: Callable[[], bytes], writing: int, parent: int) -> None:
    """The whole life of the child; does not return."""
    try:
        die_with_parent(parent)
        os.write(writing, work())
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
