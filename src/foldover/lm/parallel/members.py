"""The other processes of a run: started by rank 0, watched, and ended with it, however either ends.

A member is told what to do by one line on its standard input, and ends when that pipe does: so it cannot outlive
rank 0. The other way round a thread of rank 0 watches. When a member dies, the rest are killed, which breaks every
sum that rank 0 may be waiting in; should it wait on regardless, in a driver say, its process ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from foldover.core import RunSpec, Settings, TrainerError, to_json
from foldover.lm.parallel.ranks import RankDiedError

_POLL_SECONDS = 0.05
_START_SECONDS = 300.0  # python and torch from a cold disk take tens of seconds
_NOTICE_SECONDS = 60.0
_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a member is told. store: path of the file where the ranks meet."""

    spec: RunSpec
    settings: Settings
    rank: int
    store: str


class Members:
    """Ranks 1 and up. Use it in a `with`."""

    def __init__(self, spec: RunSpec, settings: Settings, store: str) -> None:
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watch_them, name="foldover-members", daemon=True)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._died = ""  # the first news: what follows is their being killed
        try:
            for rank in range(1, settings.processes):
                self._start(Task(spec=spec, settings=settings, rank=rank, store=store))
        except BaseException:
            self._kill()
            raise

    def __enter__(self) -> Members:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell them to end; after an error kill them."""
        self._over.set()
        if error is None:
            self._end()
        self._kill()

    def meet(self, are_there: Callable[[], bool]) -> None:
        """Return when all are there; the watch begins.

        Raises RankDiedError if one dies, TrainerError if one is late.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not are_there():
            died = self.died()
            if died:
                raise RankDiedError(died)
            if time.monotonic() > deadline:
                raise TrainerError(f"the other processes of the run did not start within {_START_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        self._watch.start()

    def died(self, *, within_seconds: float = 0.0) -> str:
        """Who has died and how, "" if nobody did. within_seconds: how long to wait for the news."""
        deadline = time.monotonic() + within_seconds
        while not self._died and time.monotonic() <= deadline:
            dead = [(rank, process.poll()) for rank, process in enumerate(self._processes, start=1)]
            self._died = self._died or ", ".join(f"rank {rank} was ended by {_cause(c)}" for rank, c in dead if c)
            if not self._died and within_seconds:
                time.sleep(_POLL_SECONDS)
        return self._died

    def _start(self, task: Task) -> None:
        # -P: a file named as a library in the current folder must not be imported instead of it. In the process
        # group of rank 0: who kills that, kills the members.
        process = subprocess.Popen([sys.executable, "-P", "-m", "foldover.lm.member"], stdin=subprocess.PIPE)
        self._processes.append(process)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead: `meet` will say so
            process.stdin.write(to_json(task).encode() + b"\n")
            process.stdin.flush()

    def _watch_them(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            died = self.died()
            if not died:
                continue
            # Once nobody else is there, no one can be waited for. The dead one stays in the list as it is.
            for process in self._processes:
                if process.poll() is None:
                    process.kill()
            if not self._over.wait(_NOTICE_SECONDS):
                os.write(2, f"{died}, and rank 0 did not notice\n".encode())
                os._exit(1)
            return

    def _end(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)

    def _kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
        for process in self._processes:
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
        if self._watch.is_alive():
            self._watch.join()


def _cause(code: int) -> str:
    return f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
