"""Runs on this machine: as many warm worker processes as the settings say, each in its slot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from foldover.core import RunSpec, Settings
from foldover.execution.coordinator import Coordinator
from foldover.execution.interrupts import deferred_interrupts
from foldover.execution.progress import Progress
from foldover.execution.slot import Slot
from foldover.rundir import RunRoot


class LocalExecutor:
    """An `Executor` (see `foldover.ports`) with worker processes on this machine.

    Workers start when they are needed. Within `with LocalExecutor(...) as executor:` they stay warm from
    call to call; else each call ends them. Interrupting a call kills them and raises KeyboardInterrupt.
    A call belongs to the thread that makes it: when that thread ends, the kernel ends its workers.
    on_progress is called about twice a second and after each run that ends.
    """

    def __init__(self, settings: Settings, *, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._slots = tuple(Slot(index=index, settings=settings) for index in range(settings.jobs))
        self._on_progress = on_progress
        self._is_kept_warm = False

    def __enter__(self) -> LocalExecutor:
        self._is_kept_warm = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_kept_warm = False
        self.close()

    def close(self) -> None:
        """End the idle workers."""
        for slot in self._slots:
            slot.tell_to_end()
        for slot in self._slots:
            slot.close()

    def run_all(self, specs: Sequence[RunSpec], root: Path, on_ended: Callable[[Path], None]) -> None:
        """Run every spec that has not ended yet, in the given order as slots come free.

        A worker that dies loses only its attempt; after three deaths in this call its run ends as `failed`
        with the kind `worker_died`. A run beyond limit and grace ends as `timeout`. Raises TrainerError if
        workers die before they can begin, KeyboardInterrupt for SIGINT, SIGTERM and SIGHUP. A run whose
        folder is completed in the moment of an interrupt may go unannounced.
        """
        with deferred_interrupts() as interrupts:
            try:
                Coordinator(
                    specs,
                    root.absolute(),
                    self._slots,
                    on_ended=on_ended,
                    on_progress=self._on_progress,
                    interrupts=interrupts,
                ).run()
            except BaseException:
                with interrupts.held():
                    self._kill()
                    RunRoot(root).put_aside_dead()
                raise
            if not self._is_kept_warm:
                self.close()

    def _kill(self) -> None:
        for slot in self._slots:
            slot.kill()
