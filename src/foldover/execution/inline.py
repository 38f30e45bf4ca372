"""Runs in this process, one after another: for tests and for a debugger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from foldover.core import EMPTY, RunSpec, Settings, Status
from foldover.execution.dead import end_as_trunk_failed
from foldover.execution.lineage import Lineage
from foldover.execution.perform import perform
from foldover.execution.progress import Progress
from foldover.rundir import RunRoot, read_ended


class InlineExecutor:
    """An `Executor` (see `foldover.ports`) without worker processes.

    The same claim, folder and handling of exceptions as in a worker, but no deadline: nobody is there to
    enforce it. A crash of the trainer is a crash of this process. is_captured: the run's output goes to its
    log; False leaves it on the terminal, for a debugger.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        is_captured: bool = True,
    ) -> None:
        self._settings = settings
        self._on_progress = on_progress
        self._is_captured = is_captured

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def run_all(self, specs: Sequence[RunSpec], root: Path, on_ended: Callable[[Path], None]) -> None:
        """Run every spec that has not ended yet, in the given order."""
        runs = RunRoot(root)
        runs.put_aside_dead()
        specs = tuple({spec.run_id: spec for spec in specs}.values())
        earlier = {spec.run_id for spec in specs if runs.has_ended(spec.run_id)}
        by_status: Counter[Status] = Counter()
        lineage = Lineage(runs)
        lineage.check(specs)
        for done, spec in enumerate(_trunks_first(specs), start=1):
            if spec.run_id not in earlier:
                if lineage.standing(spec) == "barren":
                    end_as_trunk_failed(spec, runs, machine=EMPTY)
                else:
                    perform(spec, runs, self._settings, is_captured=self._is_captured)
                on_ended(runs.folder(spec.run_id))
            by_status[read_ended(runs.folder(spec.run_id)).outcome.status] += 1
            if self._on_progress is not None:
                counts = tuple(sorted(by_status.items()))
                self._on_progress(
                    Progress(planned=len(specs), ended=done, by_status=counts, running=(), seconds_left=None)
                )


def _trunks_first(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Each run behind the one that it starts from, else in the given order."""
    by_id = {spec.run_id: spec for spec in specs}
    ordered: dict[str, RunSpec] = {}

    def place(run_id: str) -> None:
        spec = by_id[run_id]
        if spec.starts_from in by_id and spec.starts_from not in ordered:
            place(spec.starts_from)
        ordered.setdefault(run_id, spec)

    for run_id in by_id:
        place(run_id)
    return list(ordered.values())
