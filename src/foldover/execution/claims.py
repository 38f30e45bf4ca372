"""What a worker has to itself on a machine where others may run foldover too: cores, and GPUs.

A claim is a name in Linux's abstract namespace of sockets: every process of the machine sees it, it leaves no file
behind, and it is free as soon as its holder is gone. On other systems nothing is pinned, and so nothing claimed.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Sequence
from itertools import chain
from typing import TypeVar

PREFIX = "foldover-"

Name = TypeVar("Name")


class Claims:
    """Those of one worker, until `release` or the end of the process that made them."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self, kind: str, wanted: Sequence[Name], others: Sequence[Name]) -> tuple[Name, ...]:
        """As many as are wanted: those, and of the others where somebody has them; none if too few are free."""
        found: list[Name] = []
        num_held = len(self._held)
        for name in chain(wanted, others):
            if len(found) == len(wanted):
                break
            if name not in found and self._is_mine(f"{PREFIX}{kind}-{name}"):
                found.append(name)
        if len(found) == len(wanted):
            return tuple(found)
        self._close(num_held)
        return ()

    def release(self) -> None:
        """All of them."""
        self._close(0)

    def _is_mine(self, name: str) -> bool:
        if sys.platform != "linux":
            return True
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0{name}")
        except OSError as error:  # a sandbox may forbid it: then nobody is asked
            held.close()
            return error.errno != errno.EADDRINUSE
        self._held.append(held)
        return True

    def _close(self, first: int) -> None:
        while len(self._held) > first:
            self._held.pop().close()
