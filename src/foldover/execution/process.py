"""The coordinator's handle of one worker process."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO

from foldover.core import Settings
from foldover.execution.claims import Claims
from foldover.execution.lifeline import Guard
from foldover.execution.messages import Answer, Request, decode_answer, encode
from foldover.execution.profile import (
    cores_of_slot,
    gpus_of_slot,
    usable_cores,
    visible_gpus,
    worker_environment,
)

_log = logging.getLogger(__name__)
_READ_BYTES = 1 << 16
_STDERR_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a worker ended, in words, and the last lines that it wrote outside a run."""

    how: str
    said: str


class WorkerProcess:
    """Starts at construction, in a session of its own; `close` or `kill` ends it."""

    def __init__(self, slot: int, settings: Settings) -> None:
        self._claims = Claims()
        cores = self._claims.take("core", cores_of_slot(slot, settings, usable_cores()), usable_cores())
        visible = visible_gpus(os.environ)
        own = gpus_of_slot(slot, settings, visible)
        gpus = self._claims.take("gpu", own, visible) or own  # too few are free: share them
        # -P: a file named as a library in the current folder must not be imported instead of it.
        command = [sys.executable, "-P", "-m", "foldover.execution.worker", "--parent", str(os.getpid())]
        command += ["--slot", str(slot), "--cores", ",".join(map(str, cores))]
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `kill`
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=worker_environment(settings, os.environ, gpus=gpus),
            start_new_session=True,
        )
        self._guard = Guard(self._process.pid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._unread = b""
        self.started = time.monotonic()
        _log.info("slot=%d worker=%d cores=%s started", slot, self.pid, ",".join(map(str, cores)) or "any")

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    def fileno(self) -> int:
        """What becomes readable when it answers or dies."""
        return self._answers.fileno()

    def send(self, request: Request) -> None:
        """Hand it a request. A worker that has died is noticed when its answers end."""
        with contextlib.suppress(BrokenPipeError):
            self._jobs.write(encode(request))
            self._jobs.flush()

    def receive(self) -> tuple[list[Answer], bool]:
        """The answers that have come, without waiting, and whether it is still there to give more."""
        is_open = True
        with contextlib.suppress(BlockingIOError):
            while True:
                data = os.read(self._answers.fileno(), _READ_BYTES)
                if not data:
                    is_open = False
                    break
                self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        return [decode_answer(line) for line in lines], is_open

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group: the worker and what its run has started."""
        # Its id cannot be another's: the process is reaped only by `kill`, which is the last thing done to it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def kill(self) -> Death:
        """Kill its process group and reap it. To be called once."""
        self._guard.release()
        self.signal(signal.SIGKILL)
        code = self._process.wait()
        for pipe in (self._jobs, self._answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._claims.release()
        with self._stderr as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _READ_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return Death(how=how_it_ended(code), said="\n".join(lines[-_STDERR_LINES:]))

    def close(self, seconds: float = 2.0) -> None:
        """Tell an idle worker to end; kill it if it does not."""
        self.close_jobs()
        # Its end is seen by its answers' end: it must not be reaped before the signal, or the id could be another's.
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and select.select([self._answers], [], [], left)[0]:
            if not self.receive()[1]:
                break
        self.kill()

    def close_jobs(self) -> None:
        """Tell it that there are no more jobs; an idle worker ends."""
        with contextlib.suppress(BrokenPipeError):
            self._jobs.close()


def how_it_ended(code: int) -> str:
    """An exit code, negative for a signal, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
