"""A process that helps rank 0 with its run: `python -m foldover.lm.member`, told its task by a line on stdin."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from foldover.core import from_json
from foldover.lm.parallel.members import Task
from foldover.lm.run import follow


def main() -> None:
    """Do the task, then stay until rank 0 says that all is over, by ending the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 decides
    task = from_json(Task, sys.stdin.readline())
    meeting, done = Path(task.store).parent, threading.Event()
    watch = threading.Thread(target=_end_with_rank_0, args=(meeting, done), daemon=True)
    watch.start()
    try:
        follow(task)
    except BaseException:
        shutil.rmtree(meeting, ignore_errors=True)  # rank 0 may be dead, and nobody else left to do it
        raise
    done.set()
    watch.join()


def _end_with_rank_0(meeting: Path, done: threading.Event) -> None:
    while os.read(0, 1024):  # not by `sys.stdin`, whose lock would be held when the interpreter ends
        pass
    if done.is_set():
        os._exit(0)
    # Rank 0 is dead; what the run has written is its. Nothing else ends a process that waits in a driver for ever.
    shutil.rmtree(meeting, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
