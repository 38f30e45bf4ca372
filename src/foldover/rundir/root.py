"""The folder of all runs of a study."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from foldover.core import LedgerError, Outcome, RunSpec
from foldover.rundir.files import sync_folder
from foldover.rundir.folder import CHECKSUMS, LOST, OUTCOME, SPEC, RunFolder, damage, read_ended, read_spec


class RunRoot:
    """`ROOT/runs`: which runs ended, which are at work, which were lost."""

    def __init__(self, root: Path) -> None:
        self.path = root / "runs"
        self._partial = self.path / ".partial"
        self._lost = self.path / LOST

    def ended(self) -> tuple[Path, ...]:
        """Folders of runs that ended, by name."""
        if not self.path.exists():
            return ()
        return tuple(sorted(p for p in self.path.iterdir() if p.is_dir() and not p.name.startswith(".")))

    def lost(self) -> tuple[Path, ...]:
        """Folders of attempts whose worker died, by name."""
        if not self._lost.exists():
            return ()
        return tuple(sorted(p for p in self._lost.iterdir() if p.is_dir()))

    def partial(self) -> tuple[Path, ...]:
        """Folders of runs at work, or whose worker died unnoticed so far."""
        if not self._partial.exists():
            return ()
        return tuple(sorted(p for p in self._partial.iterdir() if p.is_dir()))

    def folder(self, run_id: str) -> Path:
        """Where a run lies once it ended."""
        return self.path / run_id

    def partial_folder(self, run_id: str) -> Path:
        """Where a run lies while it is at work."""
        return self._partial / run_id

    def has_ended(self, run_id: str) -> bool:
        """Whether the run is complete."""
        return self.folder(run_id).is_dir()

    @contextmanager
    def claim(self, spec: RunSpec, *, timeout: float = -1.0) -> Iterator[RunFolder | None]:
        """Hold a run's lock; gives its fresh folder, or None if the run has ended meanwhile.

        Waits while another process holds the lock, `timeout` seconds at most (negative: for ever); raises
        TimeoutError after that. What a dead worker left is moved to its place if it was
        sealed, else to `.lost`. The lock is the kernel's, so it is free again when its holder dies, however it dies.
        """
        self._partial.mkdir(parents=True, exist_ok=True)
        with FileLock(self._partial / f"{spec.run_id}.lock", timeout=timeout):
            self._put_aside(spec.run_id)
            if self.has_ended(spec.run_id):
                yield None
                return
            folder = RunFolder(self._partial / spec.run_id, spec, attempt=self._next_attempt(spec.run_id))
            folder.begin()
            yield folder

    @contextmanager
    def take_over(self, spec: RunSpec, *, timeout: float = -1.0) -> Iterator[RunFolder | None]:
        """Hold the lock of a run whose worker is dead; gives the folder as that worker left it, to be finished.

        A fresh folder if it left none, None if the run has ended. Waits and raises as `claim` does.
        """
        self._partial.mkdir(parents=True, exist_ok=True)
        left = self.partial_folder(spec.run_id)
        with FileLock(self._partial / f"{spec.run_id}.lock", timeout=timeout):
            if left.exists() and (not _says_what_it_is(left) or (left / CHECKSUMS).exists()):
                self._put_aside(spec.run_id)
            if self.has_ended(spec.run_id):
                yield None
                return
            if left.exists():
                yield RunFolder(left, *read_spec(left))
                return
            folder = RunFolder(left, spec, attempt=self._next_attempt(spec.run_id))
            folder.begin()
            yield folder

    def finish(self, folder: RunFolder, outcome: Outcome) -> Path:
        """Seal a claimed run and move it to its place by one rename; the caller holds the lock."""
        folder.seal(outcome)
        return self._move_in(folder.path)

    def put_aside_dead(self) -> tuple[str, ...]:
        """Move every unsealed partial folder that no process holds to `.lost`; gives their run ids."""
        moved = []
        for path in self.partial():
            lock = FileLock(self._partial / f"{path.name}.lock", blocking=False)
            try:
                with lock:
                    if self._put_aside(path.name):
                        moved.append(path.name)
            except TimeoutError:
                continue
        return tuple(moved)

    def _put_aside(self, run_id: str) -> bool:
        left = self._partial / run_id
        if not left.exists():
            return False
        if not _says_what_it_is(left):
            # Its worker died before it had written what it was going to do: there is nothing to keep.
            shutil.rmtree(left)
            return False
        if (left / CHECKSUMS).exists() and not damage(left):
            # Somebody died between a seal and its rename: what was sealed is whole.
            sealed = read_ended(left)
            if sealed.outcome.status == "lost":
                self._move_to_lost(left, sealed.attempt)
                return True
            self._move_in(left)
            return False
        spec, attempt = read_spec(left)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        started = datetime.fromtimestamp((left / SPEC).stat().st_mtime, UTC).isoformat(timespec="seconds")
        (left / OUTCOME).unlink(missing_ok=True)
        RunFolder(left, spec, attempt).seal(Outcome(run_id=run_id, status="lost", started=started, finished=now))
        self._move_to_lost(left, attempt)
        return True

    def _move_to_lost(self, left: Path, attempt: int) -> None:
        self._lost.mkdir(exist_ok=True)
        left.rename(self._lost / f"{left.name}-{attempt}")
        sync_folder(self._lost)

    def _move_in(self, sealed: Path) -> Path:
        place = self.folder(sealed.name)
        sealed.rename(place)
        sync_folder(self.path)
        return place

    def _next_attempt(self, run_id: str) -> int:
        # The highest number counts, not how many there are: folders of lost attempts may have been moved away.
        names = (path.name.rpartition("-") for path in self.lost())
        return 1 + max((int(number) for name, _, number in names if name == run_id and number.isdecimal()), default=0)


def _says_what_it_is(left: Path) -> bool:
    try:
        read_spec(left)
    except LedgerError:
        return False
    return True
