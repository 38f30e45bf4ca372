"""A slot of this machine: at most one worker process and at most one run at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM

from foldover.core import EMPTY, RunSpec, Settings, Values
from foldover.execution.messages import Job, Preload
from foldover.execution.process import Death, WorkerProcess

# A run whose limit is not in seconds may take this many times its trainer's estimate, and the grace.
ESTIMATE_FACTOR = 10.0
KILL_AFTER_SECONDS = 3.0
# Python and torch from a cold disk take tens of seconds; a worker that has said nothing by now hangs.
STARTUP_SECONDS = 300.0


@dataclass(slots=True, kw_only=True)
class Assignment:
    """A run in a slot. Times are those of the monotonic clock; claimed: when its time began to run."""

    spec: RunSpec
    claimed: float | None = None
    allowance_seconds: float = 0.0
    terminated: float | None = None

    def claim(self, now: float) -> None:
        """The worker holds the run's lock."""
        budget = self.spec.budget
        self.claimed = now
        self.allowance_seconds = budget.grace_seconds
        if budget.limit.kind == "seconds":
            self.allowance_seconds += budget.limit.amount

    def estimate(self, seconds: float) -> None:
        """The trainer's estimate has come; it counts where the limit itself is not in seconds."""
        if self.spec.budget.limit.kind != "seconds":
            self.allowance_seconds = ESTIMATE_FACTOR * seconds + self.spec.budget.grace_seconds

    def elapsed(self, now: float) -> float:
        """Seconds since the claim."""
        return 0.0 if self.claimed is None else now - self.claimed

    def is_over_time(self, now: float) -> bool:
        """Whether limit and grace are spent."""
        return self.claimed is not None and self.elapsed(now) > self.allowance_seconds


@dataclass(slots=True, kw_only=True)
class Slot:
    """Keeps its worker warm from run to run and from call to call."""

    index: int
    settings: Settings
    worker: WorkerProcess | None = None
    is_ready: bool = False
    machine: Values = field(default=EMPTY)
    assignment: Assignment | None = None

    def start(self, trainer: str) -> None:
        """Start a worker and have it import what the trainer needs."""
        self.is_ready = False
        self.worker = WorkerProcess(self.index, self.settings)
        self.worker.send(Preload(trainer=trainer))

    def assign(self, spec: RunSpec, root: str) -> None:
        """Hand the ready worker a run."""
        assert self.worker is not None
        assert self.is_ready
        self.assignment = Assignment(spec=spec)
        self.worker.send(Job(spec=spec, root=root, settings=self.settings))

    def release(self) -> None:
        """The run has left its worker, which lives on for the next one if the settings let it."""
        self.assignment = None
        if self.settings.workers == "fresh":
            self.close()

    def enforce_deadline(self, now: float) -> None:
        """SIGTERM when the run's time is up, SIGKILL to the whole group when that did not help."""
        if self.worker is None:
            return
        run = self.assignment
        if run is None:
            if not self.is_ready and now - self.worker.started > STARTUP_SECONDS:
                self.worker.signal(SIGKILL)
        elif run.terminated is not None:
            if now - run.terminated > KILL_AFTER_SECONDS:
                self.worker.signal(SIGKILL)
        elif run.is_over_time(now):
            run.terminated = now
            self.worker.signal(SIGTERM)

    def bury(self) -> Death:
        """Reap the dead worker."""
        assert self.worker is not None
        death = self.worker.kill()
        self.worker, self.is_ready, self.assignment = None, False, None
        return death

    def tell_to_end(self) -> None:
        """Have the idle worker end by itself."""
        if self.worker is not None:
            self.worker.close_jobs()

    def close(self) -> None:
        """End the worker, idle as it must be."""
        if self.worker is not None:
            self.worker.close()
        self.worker, self.is_ready, self.assignment = None, False, None

    def kill(self) -> None:
        """End the worker, whatever it does."""
        if self.worker is not None:
            self.bury()
