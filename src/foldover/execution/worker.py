"""The one entry point of worker processes: `python -m foldover.execution.worker --parent PID --slot N --cores 0`.

A warm process: it reads one request a line on its standard input, runs it, and answers a line on what was
its standard output (see `messages`). Interpreter, libraries and data stay loaded from run to run, which
makes the fixed cost of a run tens of milliseconds instead of seconds; the numbers are those of a fresh process.
A run has the process to itself while it lasts, or by the settings a fork of it (see `fork`).

SIGINT is ignored: the coordinator decides. SIGTERM ends the worker at once and leaves a partial folder.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import io
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from foldover.core import Values
from foldover.execution.fork import ForkDied, in_fork
from foldover.execution.lifeline import die_with_parent
from foldover.execution.messages import (
    Answer,
    Busy,
    Claimed,
    Died,
    Ended,
    Estimated,
    Job,
    Preload,
    Ready,
    decode_answer,
    decode_request,
    encode,
)
from foldover.execution.perform import perform
from foldover.execution.pristine import pristine
from foldover.execution.profile import ask_for_huge_pages, pin, set_up_process
from foldover.rundir import RunFolder, RunRoot
from foldover.trainers import get_trainer


@runtime_checkable
class Preloads(Protocol):
    """A trainer that can import what it needs ahead of its first run."""

    def preload(self) -> None:
        """Import it."""


class Worker:
    """Serves requests until its job pipe ends."""

    def __init__(self, jobs: BinaryIO, answers: BinaryIO, machine: Values, cores: tuple[int, ...]) -> None:
        self._jobs = jobs
        self._answers = answers
        self._machine = machine
        self._cores = cores
        self._runs_before = 0

    def serve(self) -> None:
        """Read, run, answer."""
        for line in self._jobs:
            request = decode_request(line)
            if isinstance(request, Preload):
                _preload(request.trainer)
                _settle()
                self._answer(Ready(pid=os.getpid(), machine=self._machine))
            elif request.settings.workers == "fork":
                self._answer(self._run_in_fork(request))
            else:
                self._answer(self._run_here(request))

    def _run_in_fork(self, job: Job) -> Answer:
        def live() -> bytes:
            ask_for_huge_pages()
            return encode(self._run(job))

        found = in_fork(live)
        if isinstance(found, ForkDied):
            return Died(run_id=job.spec.run_id, how=found.how)
        return decode_answer(found)

    def _run_here(self, job: Job) -> Answer:
        with pristine():
            answer = self._run(job)
        pin(self._cores)
        if not self._runs_before:
            _settle()
        self._runs_before += isinstance(answer, Ended) and not answer.by_another
        return answer

    def _run(self, job: Job) -> Ended | Busy:
        run_id = job.spec.run_id

        is_claimed = False

        def claimed(folder: RunFolder) -> None:
            nonlocal is_claimed
            is_claimed = True
            self._answer(Claimed(run_id=run_id, attempt=folder.attempt))

        machine = self._machine.with_(workers=job.settings.workers, runs_before_in_process=self._runs_before)
        try:
            ran = perform(
                job.spec,
                RunRoot(Path(job.root)),
                job.settings,
                machine=machine,
                timeout=0.0,
                on_claimed=claimed,
                on_estimated=lambda seconds: self._answer(Estimated(run_id=run_id, seconds=seconds)),
            )
        except TimeoutError:
            if is_claimed:  # not the lock: a network file system gave up
                raise
            return Busy(run_id=run_id)
        return Ended(run_id=run_id, by_another=not ran)

    def _answer(self, answer: Answer) -> None:
        self._answers.write(encode(answer))
        self._answers.flush()


def main(arguments: list[str] | None = None) -> None:
    """Set the process up and serve."""
    parser = argparse.ArgumentParser(prog="foldover.execution.worker")
    parser.add_argument("--parent", type=int, required=True, help="process id of the coordinator")
    parser.add_argument("--slot", type=int, default=0, help="number of its slot, for the record")
    parser.add_argument("--cores", default="", help="cores to stay on, separated by commas")
    options = parser.parse_args(arguments)
    cores = tuple(int(core) for core in options.cores.split(",") if core)

    die_with_parent(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.enable(file=2)  # the descriptor, so that a crash in C is traced into the log of its run
    jobs, answers = _private_channels()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    Worker(jobs, answers, set_up_process(cores).with_(slot=options.slot), cores).serve()
    # Nothing here needs the interpreter's own way down, which takes a noticeable time once torch is loaded.
    os._exit(0)


def _private_channels() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the coordinator, out of reach of whatever reads standard input or prints."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What was printed before a crash is in the log, and no character can make printing fail.
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    return jobs, answers


def _preload(name: str) -> None:
    try:
        trainer = get_trainer(name)
        if isinstance(trainer, Preloads):
            trainer.preload()
    except Exception:
        # Not the place to fail: the run will, with its own record of why.
        traceback.print_exc()


def _settle() -> None:
    """Spare later collections what was imported by now: 10 to 100 ms a run, with torch, for objects that stay."""
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main()
