"""All of a study in one call, or the next step of it; and single runs outside a study."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from foldover.core import Outcome, RunSpec, Settings
from foldover.execution import InlineExecutor, LocalExecutor, Progress, deferred_interrupts
from foldover.lab.machine import Follows, check_settings
from foldover.lab.session import Session
from foldover.lab.verbs import analyse, collect, decide, elsewhere, execute, pending, plan_next, report, undecided
from foldover.lm.place import place_of
from foldover.ports import Executor
from foldover.rundir import RunRoot, read_ended
from foldover.trainers import get_trainer


class View(Protocol):
    """Who watches: a terminal, or nobody."""

    label: str

    def show(self, progress: Progress) -> None:
        """Where the runs stand."""

    def prepare(self, phase: str, share: float) -> None:
        """How far the preparation of data is."""

    def say(self, text: str) -> None:
        """A line that stays."""


class Nobody:
    """A view that nobody looks at."""

    label = ""

    def show(self, progress: Progress) -> None:
        """Nothing."""

    def prepare(self, phase: str, share: float) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


def run_study(session: Session, settings: Settings, view: View | None = None) -> dict[str, Any]:
    """Plan, execute, collect and decide stage after stage, then report; gives the report as data.

    Continues where an earlier call ended. Raises UserError while another process is at work in the folder.
    """
    watched = view or Nobody()
    with session.workspace.hold(), LocalExecutor(settings, on_progress=watched.show) as executor:
        collect(session)
        while execute_next(session, settings, watched, executor)[0] is not None:
            continue  # the workers stay warm from stage to stage
        for host, runs in elsewhere(session).items():
            watched.say(f"{runs} runs wait for host {host}: `foldover execute DIR --host {host}` there")
        return report(session)


def execute_next(
    session: Session, settings: Settings, view: View, executor: Executor | None = None
) -> tuple[str | None, int]:
    """Execute the planned runs that have not ended, or plan the next stage and execute that.

    executor: one whose workers are warm already; None starts a local one with `settings` for this call. Gives
    the stage and how many runs ended; (None, 0) if every stage has been executed.
    """
    if not pending(session):
        if undecided(session):
            decide(session)
        if plan_next(session) is None:
            return None, 0
    planned = pending(session)
    if not planned:
        return session.workspace.plans()[-1].stage, 0
    view.label = planned[0].stage
    ended = execute(session, settings, executor=executor, on_progress=view.show, on_prepare=view.prepare)
    # A search asks for runs again and again before there is anything to decide.
    decisions = decide(session) if undecided(session) else ()
    for decision in decisions:
        view.say(f"{decision.stage}: " + ", ".join(f"{v.subject} {v.decision}" for v in decision.verdicts))
    for note in analyse(session).notes if decisions else ():
        view.say(f"note: {note}")
    return planned[0].stage, ended


def train_once(
    spec: RunSpec,
    root: Path,
    settings: Settings,
    *,
    on_progress: Callable[[Progress], None],
    on_prepare: Callable[[str, float], None],
) -> tuple[Path, Outcome] | None:
    """One run outside a study, in its own folder under `root`; gives the folder and the outcome.

    None in processes that torchrun has started with other ranks than 0: they help, and record nothing.
    """
    standing, trainer = place_of(settings, os.environ), get_trainer(spec.recipe.trainer)
    check_settings(trainer, settings)
    trainer.prepare(spec.recipe, spec.constants, on_prepare)
    if standing.rank and isinstance(trainer, Follows):
        trainer.follow(spec, settings)
        return None
    if standing.by_torchrun:
        # In this process, and whole: when one of them dies torchrun ends the others, which must not cut the record.
        with deferred_interrupts():
            InlineExecutor(settings, on_progress=on_progress).run_all([spec], root, lambda folder: None)
    else:
        with LocalExecutor(settings, on_progress=on_progress) as executor:
            executor.run_all([spec], root, lambda folder: None)
    place = RunRoot(root).folder(spec.run_id)
    return place, read_ended(place).outcome
