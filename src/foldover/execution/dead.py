"""Ending runs that no worker will: the coordinator writes what their worker could not, under the run's lock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from foldover.core import Failure, Outcome, RunSpec, Status, Values
from foldover.execution.capture import last_lines
from foldover.execution.lineage import status_of
from foldover.execution.perform import utc_now
from foldover.execution.process import Death
from foldover.rundir import RunRoot

# The dead worker's lock is free; only another coordinator that has just taken the run can hold it.
_LOCK_SECONDS = 5.0


def end_as_timeout(spec: RunSpec, root: RunRoot, *, seconds: float, allowance_seconds: float, machine: Values) -> None:
    """The run did not end by its limit and grace. Raises TimeoutError if another process holds the run."""
    limit = f"limit {spec.budget.label()}, grace {spec.budget.grace_seconds:g} s"
    message = f"stopped after {seconds:.1f} s; {allowance_seconds:.1f} s were allowed ({limit})"
    _end(spec, root, "timeout", Failure(kind="timeout", message=message), seconds, machine)


def end_as_worker_died(
    spec: RunSpec, root: RunRoot, *, deaths: int, death: Death, seconds: float, machine: Values
) -> None:
    """The run's worker died too often. death: the last one. Raises TimeoutError as above."""
    message = f"its worker died {deaths} times, the last time by {death.how}"
    _end(spec, root, "failed", Failure(kind="worker_died", message=message, trace=death.said), seconds, machine)


def end_as_trunk_failed(spec: RunSpec, root: RunRoot, *, machine: Values) -> None:
    """The run that it starts from ended without a result. Raises TimeoutError as above."""
    assert spec.starts_from is not None, "it starts from nothing"
    status = status_of(root.folder(spec.starts_from))
    message = f"run {spec.starts_from}, which it starts from, ended as {status}"
    _end(spec, root, "failed", Failure(kind="trunk_failed", message=message), 0.0, machine)


def _end(spec: RunSpec, root: RunRoot, status: Status, failure: Failure, seconds: float, machine: Values) -> None:
    """The last lines of the run's log replace the failure's trace where there are any."""
    started = datetime.now(UTC) - timedelta(seconds=seconds)
    with root.take_over(spec, timeout=_LOCK_SECONDS) as folder:
        if folder is None:
            return
        folder.log_path.touch()
        outcome = Outcome(
            run_id=spec.run_id,
            status=status,
            started=started.isoformat(timespec="milliseconds"),
            finished=utc_now(),
            counters=Values(seconds=seconds),
            machine=machine,
            failure=replace(failure, trace=last_lines(folder.log_path) or failure.trace),
        )
        root.finish(folder, outcome)
