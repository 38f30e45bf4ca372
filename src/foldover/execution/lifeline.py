"""A worker does not outlive its coordinator, however that dies, nor does what its run has started.

Three lines of defence, because none covers everything. The kernel kills the worker when the thread that
started it ends (Linux). A guard, a shell of a megabyte that waits on a pipe from the coordinator, kills the
worker's whole process group, a user's scripts included, when that pipe ends; it needs nothing of the worker,
which may hang in C. And an idle worker reads the end of its own pipe.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_SHELL = "/bin/sh"
# `read` succeeds on a line, which says that all is well, and fails at the end of the pipe.
_GUARD_SCRIPT = 'read -r _ || kill -s KILL -- "-$1"'

_log = logging.getLogger(__name__)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread of process `parent` that started it ends."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It died before the request was in place.
        os.kill(os.getpid(), signal.SIGKILL)


class Guard:
    """Kills process group `group` if this process dies before `release`."""

    def __init__(self, group: int) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # A session of its own: Ctrl-C on the terminal is not for it.
            self._process = subprocess.Popen(  # noqa: S603 - a fixed script
                [_SHELL, "-c", _GUARD_SCRIPT, "guard", str(group)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except FileNotFoundError:
            _log.warning("shell=%s missing; scripts that a run has started may outlive a killed coordinator", _SHELL)

    def release(self) -> None:
        """All is well: the guard ends and kills nothing."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate(b"\n")
