"""One call of `run_all` on this machine: hands runs to slots, listens, enforces deadlines, survives deaths."""

from __future__ import annotations

import logging
import selectors
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from foldover.core import EMPTY, Limit, Resolved, RunSpec, Status, TrainerError, UserError
from foldover.execution.dead import end_as_timeout, end_as_trunk_failed, end_as_worker_died
from foldover.execution.interrupts import Interrupts
from foldover.execution.lineage import Lineage, status_of
from foldover.execution.messages import Answer, Busy, Claimed, Died, Ended, Estimated, Ready
from foldover.execution.process import Death
from foldover.execution.progress import Progress, Running, Timing, fraction_done, seconds_left
from foldover.execution.slot import Assignment, Slot
from foldover.ports import Branches, Trainer
from foldover.rundir import RunRoot, read_ended
from foldover.trainers import estimated_seconds, get_trainer

MAX_DEATHS = 3
_TICK_SECONDS = 0.1
_PROGRESS_SECONDS = 0.5
_BUSY_RETRY_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Coordinator:
    """The state of one call. Everything that must survive it is in the run folders."""

    def __init__(
        self,
        specs: Sequence[RunSpec],
        root: Path,
        slots: Sequence[Slot],
        *,
        on_ended: Callable[[Path], None],
        on_progress: Callable[[Progress], None] | None,
        interrupts: Interrupts,
    ) -> None:
        self._specs = tuple({spec.run_id: spec for spec in specs}.values())
        self._root_path = root
        self._root = RunRoot(root)
        self._lineage = Lineage(self._root)
        self._slots = slots
        self._on_ended = on_ended
        self._on_progress = on_progress
        self._interrupts = interrupts
        self._queue: deque[RunSpec] = deque()
        self._busy: deque[tuple[float, RunSpec]] = deque()
        self._unannounced: deque[str] = deque()
        self._by_status: Counter[Status] = Counter()
        self._num_ended = 0
        self._deaths: Counter[str] = Counter()
        self._startup_deaths = 0
        self._timings: list[Timing] = []
        self._estimates: dict[tuple[str, str, bool], float | None] = {}
        self._reported = (0.0, -1)

    def run(self) -> None:
        """Return when every run has ended.

        Raises KeyboardInterrupt, TrainerError, what `on_ended` raises, and UserError for a run that would never begin.
        """
        self._root.put_aside_dead()
        self._lineage.check(self._specs)
        for spec in self._specs:
            if self._root.has_ended(spec.run_id):
                self._count(spec)
            else:
                self._queue.append(spec)
        while self._queue or self._busy or any(slot.assignment for slot in self._slots):
            self._fill_slots()
            self._announce()
            self._report()
            self._interrupts.raise_if_any()
            self._listen()
            for slot in self._slots:
                slot.enforce_deadline(time.monotonic())
        self._announce()
        self._report(is_last=True)

    # Handing out

    def _fill_slots(self) -> None:
        while self._busy and self._busy[0][0] <= time.monotonic():
            self._queue.append(self._busy.popleft()[1])
        num_coming = sum(slot.worker is not None and slot.assignment is None for slot in self._slots)
        for slot in self._slots:
            if slot.assignment is not None:
                continue
            place = self._place_of_next()
            if place is None:
                return
            if slot.worker is None:
                # Started only if no worker that is idle or on its way will take the run.
                if num_coming < sum(self._lineage.standing(spec) != "waiting" for spec in self._queue):
                    slot.start(self._queue[place].recipe.trainer)
                    num_coming += 1
            elif slot.is_ready:
                spec = self._queue[place]
                del self._queue[place]
                slot.assign(spec, str(self._root_path))
                num_coming -= 1
        self._place_of_next()

    def _place_of_next(self) -> int | None:
        """Where in the queue the first run stands that may begin; None if all that are left wait for others.

        On the way, those that another coordinator has ended leave the queue, and those whose trunk has failed end.
        """
        place = 0
        while place < len(self._queue):
            spec = self._queue[place]
            standing = self._lineage.standing(spec)
            if standing == "waiting":
                place += 1
            elif self._root.has_ended(spec.run_id):
                del self._queue[place]
                self._ended(spec)
            elif standing == "barren":
                del self._queue[place]
                self._end_barren(spec)
            else:
                return place
        return None

    def _end_barren(self, spec: RunSpec) -> None:
        try:
            end_as_trunk_failed(spec, self._root, machine=EMPTY)
        except TimeoutError:
            self._busy.append((time.monotonic() + _BUSY_RETRY_SECONDS, spec))
        else:
            self._ended(spec)

    # Listening

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            for slot in self._slots:
                if slot.worker is not None:
                    selector.register(slot.worker, selectors.EVENT_READ, slot)
            events = selector.select(_TICK_SECONDS)
        for key, _ in events:
            slot = cast(Slot, key.data)
            assert slot.worker is not None
            answers, is_alive = slot.worker.receive()
            for answer in answers:
                self._handle(slot, answer)
            if not is_alive and slot.worker is not None:
                self._handle_death(slot)

    def _handle(self, slot: Slot, answer: Answer) -> None:
        if isinstance(answer, Ready):
            slot.is_ready, slot.machine = True, answer.machine
            self._startup_deaths = 0
            return
        run = slot.assignment
        if run is None or run.spec.run_id != answer.run_id:
            raise TrainerError("a worker answered for a run that it was not given", value=answer.run_id)
        if isinstance(answer, Claimed):
            run.claim(time.monotonic())
        elif isinstance(answer, Estimated):
            run.estimate(answer.seconds)
        elif isinstance(answer, Busy):
            slot.release()
            self._busy.append((time.monotonic() + _BUSY_RETRY_SECONDS, run.spec))
        elif isinstance(answer, Died):
            slot.release()
            self._handle_death_of_run(slot, run, Death(how=answer.how, said=""))
        elif isinstance(answer, Ended):
            slot.release()
            if not answer.by_another:
                seconds = run.elapsed(time.monotonic())
                self._timings.append(
                    Timing(
                        trainer=run.spec.recipe.trainer,
                        budget=run.spec.budget,
                        seconds=seconds,
                        estimated=self._estimate(run.spec),
                        is_continued=run.spec.starts_from is not None,
                    )
                )
            self._ended(run.spec)

    # Deaths

    def _handle_death(self, slot: Slot) -> None:
        was_ready, run = slot.is_ready, slot.assignment
        death = slot.bury()
        if run is not None:
            self._handle_death_of_run(slot, run, death)
        elif not was_ready:
            self._startup_deaths += 1
            _log.warning("slot=%d worker died at start-up by %s", slot.index, death.how)
            if self._startup_deaths >= MAX_DEATHS:
                raise TrainerError(
                    f"workers die at start-up ({death.how}), {self._startup_deaths} times in a row",
                    fix=f"The last one wrote:\n{death.said or '(nothing)'}",
                )

    def _handle_death_of_run(self, slot: Slot, run: Assignment, death: Death) -> None:
        spec, seconds = run.spec, run.elapsed(time.monotonic())
        machine = slot.machine.with_(threads=slot.settings.threads)
        _log.warning("run=%s slot=%d worker died by %s after %.1f s", spec.run_id, slot.index, death.how, seconds)
        try:
            if run.terminated is not None:
                end_as_timeout(
                    spec, self._root, seconds=seconds, allowance_seconds=run.allowance_seconds, machine=machine
                )
            elif not self._root.has_ended(spec.run_id):
                self._deaths[spec.run_id] += 1
                deaths = self._deaths[spec.run_id]
                if deaths < MAX_DEATHS:
                    self._queue.appendleft(spec)
                    return
                end_as_worker_died(spec, self._root, deaths=deaths, death=death, seconds=seconds, machine=machine)
        except TimeoutError:
            self._busy.append((time.monotonic() + _BUSY_RETRY_SECONDS, spec))
        else:
            self._ended(spec)

    # Telling

    def _ended(self, spec: RunSpec) -> None:
        self._count(spec)
        self._unannounced.append(spec.run_id)

    def _count(self, spec: RunSpec) -> None:
        self._num_ended += 1
        status = status_of(self._root.folder(spec.run_id))
        if status is not None:
            self._by_status[status] += 1

    def _announce(self) -> None:
        while self._unannounced:
            self._on_ended(self._root.folder(self._unannounced.popleft()))

    def _report(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        last, num_ended = self._reported
        if self._on_progress is None or not (
            is_last or num_ended != self._num_ended or now - last >= _PROGRESS_SECONDS
        ):
            return
        self._reported = (now, self._num_ended)
        self._on_progress(self._progress(now))

    def _progress(self, now: float) -> Progress:
        at_work = [(slot, slot.assignment) for slot in self._slots if slot.assignment is not None]
        running = tuple(
            Running(
                run_id=run.spec.run_id,
                condition=run.spec.condition,
                seed=run.spec.seed,
                budget=run.spec.budget.label(),
                slot=slot.index,
                elapsed_seconds=run.elapsed(now),
                fraction=fraction_done(self._root.partial_folder(run.spec.run_id)),
            )
            for slot, run in at_work
        )
        return Progress(
            planned=len(self._specs),
            ended=self._num_ended,
            by_status=tuple(sorted(self._by_status.items())),
            running=running,
            seconds_left=seconds_left(
                [
                    (run.spec, each.elapsed_seconds, each.fraction)
                    for (_, run), each in zip(at_work, running, strict=True)
                ],
                [*self._queue, *(spec for _, spec in self._busy)],
                self._timings,
                len(self._slots),
                estimate=self._estimate,
            ),
        )

    def _estimate(self, spec: RunSpec) -> float | None:
        """What the trainer says of a run of this budget; the first one that is asked for stands for all."""
        key = (spec.recipe.trainer, spec.budget.label(), spec.starts_from is not None)
        if key not in self._estimates:
            try:
                trainer = get_trainer(spec.recipe.trainer)
                resolved = trainer.resolve(spec.recipe)
                seconds = estimated_seconds(trainer, spec, resolved, spent=self._spent(trainer, spec, resolved))
            except UserError:
                self._estimates[key] = None  # the run itself will say why
            else:
                self._estimates[key] = seconds
        return self._estimates[key]

    def _spent(self, trainer: Trainer, spec: RunSpec, resolved: Resolved) -> Limit | None:
        """What of the training of a run the one that it starts from does for it."""
        if spec.starts_from is None or not isinstance(trainer, Branches):
            return None
        trunk = next((each for each in self._specs if each.run_id == spec.starts_from), None)
        if trunk is None:
            trunk = read_ended(self._root.folder(spec.starts_from)).spec
        return spec.budget.limit if trunk.keeps_state else trainer.branch_point(resolved, spec.budget)
