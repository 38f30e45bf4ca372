"""Workers that die, runs that hang."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from foldover.core import Outcome, RunSpec, Settings
from foldover.execution import LocalExecutor, Progress
from foldover.rundir import RunRoot, damage, read_ended

MakeSpec = Callable[..., RunSpec]
OutcomeOf = Callable[[RunSpec], Outcome]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL follows SIGTERM soon."""
    monkeypatch.setattr("foldover.execution.slot.KILL_AFTER_SECONDS", 0.2)


def run(specs: list[RunSpec], root: Path, *, jobs: int = 1) -> list[str]:
    ended: list[str] = []
    LocalExecutor(Settings(jobs=jobs)).run_all(specs, root, lambda path: ended.append(path.name))
    return ended


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_worker_that_crashes_each_time_ends_its_run_as_failed(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    spec = spec_of("segfault")
    assert run([spec], tmp_path) == [spec.run_id]
    outcome = outcome_of(spec)
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.kind) == ("failed", "worker_died")
    assert outcome.failure.message == "its worker died 3 times, the last time by signal SIGSEGV"


def test_attempts_of_dead_workers_are_kept(spec_of: MakeSpec, tmp_path: Path) -> None:
    spec, root = spec_of("segfault"), RunRoot(tmp_path)
    run([spec], tmp_path)
    assert [path.name for path in root.lost()] == [f"{spec.run_id}-1", f"{spec.run_id}-2"]
    assert [read_ended(path).outcome.status for path in root.lost()] == ["lost", "lost"]
    assert read_ended(root.folder(spec.run_id)).attempt == 3
    assert damage(root.folder(spec.run_id)) == ()


def test_crash_is_traced_into_the_log_and_the_failure(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    spec = spec_of("segfault")
    run([spec], tmp_path)
    log = (RunRoot(tmp_path).folder(spec.run_id) / "log.txt").read_text()
    failure = outcome_of(spec).failure
    assert failure is not None
    assert log.startswith("about to crash\nFatal Python error: Segmentation fault\n")
    assert "in train_segfault" in failure.trace


def test_one_crash_costs_one_attempt(spec_of: MakeSpec, tmp_path: Path) -> None:
    spec, others = spec_of("segfault_once"), [spec_of(number=number) for number in range(2)]
    assert sorted(run([spec, *others], tmp_path)) == sorted(other.run_id for other in (spec, *others))
    ended = read_ended(RunRoot(tmp_path).folder(spec.run_id))
    assert (ended.attempt, ended.outcome.status) == (2, "finished")


def test_run_whose_worker_died_goes_first_again(spec_of: MakeSpec, tmp_path: Path) -> None:
    crash, other = spec_of("segfault_once"), spec_of()
    assert run([crash, other], tmp_path) == [crash.run_id, other.run_id]


def test_hang_that_ignores_sigterm_ends_as_timeout(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    hang, after = spec_of("hang", limit="1 s", grace=0.5), spec_of()
    assert run([hang, after], tmp_path) == [hang.run_id, after.run_id]
    outcome = outcome_of(hang)
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.kind, dict(outcome.responses)) == ("timeout", "timeout", {})
    assert 1.5 <= outcome.counters.number("seconds") < 30
    assert outcome_of(after).status == "finished"


def test_timeout_keeps_what_the_run_had_written(soon: None, spec_of: MakeSpec, tmp_path: Path) -> None:
    spec, root = spec_of("hang", limit="1 s", grace=0.1), RunRoot(tmp_path)
    run([spec], tmp_path)
    ended = read_ended(root.folder(spec.run_id))
    assert (ended.attempt, ended.curve) == (1, ({"progress": 0.25, "step": 1},))
    assert damage(root.folder(spec.run_id)) == ()
    assert (root.folder(spec.run_id) / "log.txt").exists()
    assert root.lost() == ()


def test_timeout_ends_what_the_run_has_started(soon: None, spec_of: MakeSpec, tmp_path: Path) -> None:
    spec = spec_of("hang", limit="1 s", grace=0.1)
    run([spec], tmp_path)
    child = int((RunRoot(tmp_path).folder(spec.run_id) / "child.pid").read_text())
    assert not is_alive(child)


def test_run_in_steps_has_ten_times_its_estimate(
    soon: None, spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    hang = spec_of("hang", limit="10 steps", estimate=0.3, grace=0.2)
    slow = spec_of("ok", pause=0.5, limit="10 steps", estimate=0.3, grace=0.2)
    run([hang, slow], tmp_path, jobs=2)
    failure = outcome_of(hang).failure
    assert failure is not None
    assert "3.2 s were allowed (limit 10 steps, grace 0.2 s)" in failure.message
    assert outcome_of(slow).status == "finished"


@pytest.mark.slow
def test_runs_survive_twenty_kills_of_their_workers(
    spec_of: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldover.execution.coordinator._PROGRESS_SECONDS", 0.05)
    root = RunRoot(tmp_path)
    killed_twice = [spec_of("third_time", number=number) for number in range(10)]
    specs = [*killed_twice, *(spec_of(number=number) for number in range(6))]
    waiting = {spec.run_id for spec in killed_twice}
    ended: list[str] = []
    kills: list[tuple[str, int]] = []

    def kill_some(progress: Progress) -> None:
        for shown in progress.running:
            attempt = 1 + sum(run_id == shown.run_id for run_id, _ in kills)
            begun = (root.partial_folder(shown.run_id) / "curve.jsonl").exists() and shown.elapsed_seconds > 0
            if (
                shown.run_id in waiting
                and attempt < 3
                and begun
                and workers[shown.slot] not in {pid for _, pid in kills}
            ):
                kills.append((shown.run_id, workers[shown.slot]))
                os.kill(workers[shown.slot], signal.SIGKILL)

    executor = LocalExecutor(Settings(jobs=2), on_progress=kill_some)
    workers = _Workers(executor)
    executor.run_all(specs, tmp_path, lambda path: ended.append(path.name))
    assert len(kills) == 20
    assert sorted(ended) == sorted(spec.run_id for spec in specs)
    assert {read_ended(path).outcome.status for path in root.ended()} == {"finished"}
    assert Counter(path.name[:16] for path in root.lost()) == dict.fromkeys(waiting, 2)
    assert root.partial() == ()


class _Workers:
    """Process ids of an executor's workers, by slot."""

    def __init__(self, executor: LocalExecutor) -> None:
        self._executor = executor

    def __getitem__(self, slot: int) -> int:
        worker = self._executor._slots[slot].worker
        assert worker is not None
        return worker.pid
