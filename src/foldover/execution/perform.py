"""One run from claim to complete folder, in this process: what every executor's worker does."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime

from foldover.core import EMPTY, Failure, Outcome, RunSpec, Settings, TrainerError, Values
from foldover.execution.capture import captured
from foldover.ports import Trainer
from foldover.rundir import RunFolder, RunRoot
from foldover.trainers import estimated_seconds, get_trainer

TRACE_LINES = 20


def perform(
    spec: RunSpec,
    root: RunRoot,
    settings: Settings,
    *,
    machine: Values = EMPTY,
    timeout: float = -1.0,
    is_captured: bool = True,
    on_claimed: Callable[[RunFolder], None] = lambda folder: None,
    on_estimated: Callable[[float], None] = lambda seconds: None,
) -> bool:
    """Claim the run, train, finish its folder; False if it had ended already.

    Whatever the trainer raises becomes the outcome `failed`. machine: added to what the trainer records of
    it. timeout: seconds to wait for the run's lock (negative: for ever); raises TimeoutError after that.
    Raises OSError where the folder cannot be written, and lets KeyboardInterrupt through, which leaves a
    partial folder.
    """
    with root.claim(spec, timeout=timeout) as folder:
        if folder is None:
            return False
        on_claimed(folder)
        log: AbstractContextManager[None] = captured(folder.log_path) if is_captured else nullcontext()
        with log:
            outcome = _train(spec, folder, settings, on_estimated)
        root.finish(folder, replace(outcome, machine=Values({**machine, **outcome.machine})))
    return True


def utc_now() -> str:
    """ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _train(spec: RunSpec, folder: RunFolder, settings: Settings, on_estimated: Callable[[float], None]) -> Outcome:
    started, clock, derived = utc_now(), time.monotonic(), EMPTY
    try:
        trainer = get_trainer(spec.recipe.trainer)
        resolved = trainer.resolve(spec.recipe)
        derived = resolved.derived
        on_estimated(estimated_seconds(trainer, spec, resolved))
        outcome = trainer.train(spec, folder, settings)
        _check(outcome, spec, trainer)
    except (Exception, SystemExit) as error:
        # The one place where anything is caught: a failure is a recorded status. SystemExit too, since a
        # user's trainer that calls sys.exit must not end the worker.
        os.write(2, "".join(traceback.format_exception(error)).encode(errors="replace"))
        return Outcome(
            run_id=spec.run_id,
            status="failed",
            started=started,
            finished=utc_now(),
            counters=Values(seconds=time.monotonic() - clock),
            derived=derived,
            machine=Values(threads=settings.threads, python=platform.python_version()),
            failure=failure_of(error),
        )
    return outcome


def failure_of(error: BaseException) -> Failure:
    """Class, message and the last lines of the traceback."""
    lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    message = str(error) or type(error).__name__
    return Failure(kind=type(error).__name__, message=message, trace="\n".join(lines[-TRACE_LINES:]))


def _check(outcome: object, spec: RunSpec, trainer: Trainer) -> None:
    name = f"trainer `{spec.recipe.trainer}`"
    if not isinstance(outcome, Outcome):
        raise TrainerError(f"{name} did not return an Outcome", value=outcome)
    if outcome.run_id != spec.run_id:
        raise TrainerError(
            f"{name} returned the outcome of another run", value=outcome.run_id, fix=f"It is run {spec.run_id}."
        )
    main = trainer.responses[0]
    if outcome.status == "finished" and main not in outcome.responses:
        raise TrainerError(
            f"{name} finished without its response `{main}`",
            value=sorted(outcome.responses),
            fix="Return it, or another status.",
        )
