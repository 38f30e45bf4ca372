"""Coordinators in processes of their own: killed, stopped, and two at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foldover.rundir import RunRoot, damage, read_ended

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are looked up in /proc")

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts coordinators on `tmp_path`; those left are killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*, jobs: int = 2, count: int = 6, pause: float = 0.3, mode: str = "ok") -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "coordinate.py"), str(tmp_path), str(jobs), str(count), str(pause), mode]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def processes_working_in(root: Path) -> set[int]:
    """Workers whose log lies under `root`, and what they have started."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if str(root) in str((process / "fd" / "1").readlink()):
                    found.add(int(process.name))
            except OSError:
                continue
    return found


def ended(output: str) -> list[str]:
    return [line.split()[1] for line in output.splitlines() if line.startswith("ended ")]


def assert_every_run_ended_once(root: Path, count: int, pause: float) -> None:
    from coordinate import planned  # beside this file, which is on the path within tests only

    runs = RunRoot(root)
    assert [path.name for path in runs.ended()] == sorted(spec.run_id for spec in planned(count, pause))
    assert [damage(path) for path in runs.ended()] == [()] * count
    assert {read_ended(path).outcome.status for path in runs.ended()} == {"finished"}
    assert runs.partial() == ()


def test_kill_of_the_coordinator_ends_its_workers(start: Start, tmp_path: Path) -> None:
    coordinator = start(pause=600.0)
    until(lambda: len(processes_working_in(tmp_path)) == 2)
    coordinator.kill()
    coordinator.wait()
    until(lambda: not processes_working_in(tmp_path))


def test_kill_of_the_coordinator_ends_what_runs_have_started(start: Start, tmp_path: Path) -> None:
    # Two workers that hang, each with a child; all four ignore SIGTERM.
    coordinator = start(mode="hang")
    until(lambda: len(processes_working_in(tmp_path)) == 4)
    coordinator.kill()
    coordinator.wait()
    until(lambda: not processes_working_in(tmp_path))


def test_study_ends_whole_however_often_it_is_killed(start: Start, tmp_path: Path) -> None:
    count, pause = 20, 0.3
    chance = random.Random(5)  # noqa: S311 - which moments are hit
    runs = RunRoot(tmp_path)
    for target in (2, 5, 7, 8, 12, 15):
        coordinator = start(count=count, pause=pause)
        until(lambda target=target: len(runs.ended()) >= target)
        time.sleep(chance.random() * pause)
        if target % 2:  # a worker too
            for pid in list(processes_working_in(tmp_path))[:1]:
                os.kill(pid, signal.SIGKILL)
        coordinator.kill()
        coordinator.wait()
    before = {path.name: (path / "outcome.json").read_bytes() for path in runs.ended()}
    output, _ = start(count=count, pause=pause).communicate(timeout=120)
    assert_every_run_ended_once(tmp_path, count, pause)
    assert set(ended(output)).isdisjoint(before)
    assert {path.name: (path / "outcome.json").read_bytes() for path in runs.ended() if path.name in before} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_leaves_no_processes_and_no_partial_folder(
    number: signal.Signals, start: Start, tmp_path: Path
) -> None:
    coordinator = start(pause=600.0)
    until(lambda: len(processes_working_in(tmp_path)) == 2)
    coordinator.send_signal(number)
    output, _ = coordinator.communicate(timeout=60)
    assert (coordinator.returncode, output) == (130, "interrupted\n")
    assert processes_working_in(tmp_path) == set()
    assert RunRoot(tmp_path).partial() == ()
    assert len(RunRoot(tmp_path).lost()) == 2


def test_stopped_study_goes_on_where_it_was(start: Start, tmp_path: Path) -> None:
    coordinator = start()
    until(lambda: len(RunRoot(tmp_path).ended()) >= 2)
    coordinator.terminate()
    first, _ = coordinator.communicate(timeout=60)
    second, _ = start().communicate(timeout=60)
    # A run that ended in the moment of the signal may go unannounced; its folder is there.
    assert len({*ended(first), *ended(second)}) >= 4
    assert set(ended(first)).isdisjoint(ended(second))
    assert_every_run_ended_once(tmp_path, 6, 0.3)


def test_two_coordinators_run_nothing_twice(start: Start, tmp_path: Path) -> None:
    both = [start(count=10, jobs=1) for _ in range(2)]
    outputs = [coordinator.communicate(timeout=120)[0] for coordinator in both]
    assert_every_run_ended_once(tmp_path, 10, 0.3)
    assert RunRoot(tmp_path).lost() == ()
    assert {path.name for path in RunRoot(tmp_path).ended()} == {*ended(outputs[0]), *ended(outputs[1])}


def test_second_coordinator_takes_the_next_run_instead_of_waiting(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        start(jobs=1, pause=600.0)
    until(lambda: len(RunRoot(tmp_path).partial()) == 2)
