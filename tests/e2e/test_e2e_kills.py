"""Kill anything at any moment, call again: every run ends once, and what was finished stays as it was."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from foldover.core import LedgerError
from foldover.rundir import CHECKSUMS
from foldover.rundir.folder import read_spec

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")

# In the order in which a run of a study writes them.
MOMENTS = [
    "study.toml",
    "plans",
    "ledger.sqlite",
    "runs",
    "decisions",
    "plans/02-confirm.json",
    "decisions/03-refine.json",
]


def children_of(pid: int) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                # The name may have blanks: fields are counted behind its closing bracket.
                fields = (process / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(process.name))
    return found


def state_of(pid: int) -> str:
    """The letter of proc(5), T for stopped; Z for one that is gone."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def is_alive(pid: int) -> bool:
    return state_of(pid) != "Z"


def workers_of(pid: int) -> list[int]:
    def command(child: int) -> bytes:
        try:
            return (Path("/proc") / str(child) / "cmdline").read_bytes()
        except OSError:
            return b""

    return [child for child in children_of(pid) if b"foldover.execution.worker" in command(child)]


def test_a_coordinator_killed_again_and_again_loses_and_repeats_no_run(start, foldover, folder, paced, until):
    killed = 0
    for _ in range(3):
        before = len(folder.runs.ended())
        process = start("run", paced, "--dir", folder.root, "--jobs", "2", "--quiet")
        until(
            lambda before=before, process=process: len(folder.runs.ended()) >= before + 3 or process.poll() is not None
        )
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        kept = folder.kept()
        assert kept.files
    assert killed, "all calls ended by themselves: nothing was tested"
    code, _, err = foldover("run", paced, "--dir", folder.root, "--jobs", "2", "--quiet")
    assert code == 0, err
    folder.assert_kept(kept)
    folder.assert_whole()
    assert (folder.root / "report.html").stat().st_size > 0
    assert foldover("verify", folder.root)[0] == 0


def test_a_study_killed_at_each_moment_of_its_life_is_finished_by_the_next_call(start, foldover, folder, paced, until):
    study = paced.parent / "swift.toml"
    study.write_text(paced.read_text().replace("pace = 0.0015", "pace = 0.0"))
    for moment in MOMENTS:
        kept = folder.kept()
        process = start("run", study, "--dir", folder.root, "--jobs", "2", "--quiet")
        until(lambda moment=moment, process=process: (folder.root / moment).exists() or process.poll() is not None)
        process.kill()
        process.wait()
        folder.assert_kept(kept)
    code, _, err = foldover("run", study, "--dir", folder.root, "--jobs", "2", "--quiet")
    assert code == 0, err
    folder.assert_whole()
    code, out, _ = foldover("verify", folder.root)
    assert (code, out) == (0, "run folders, ledger, decisions and report agree\n")


def halt(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def at_work(folder: Path) -> bool:
    """Whether its worker has said what it runs and has not sealed it: dying now loses this attempt."""
    try:
        read_spec(folder)
    except LedgerError:
        return False
    return not (folder / CHECKSUMS).exists()


def test_killed_workers_lose_only_their_attempts(start, foldover, folder, paced, until):
    process = start("run", paced, "--dir", folder.root, "--jobs", "2", "--quiet")
    killed: set[str] = set()
    for _ in range(3):
        before = len(folder.runs.ended())
        stopped: list[int] = []

        def is_caught(before=before, stopped=stopped) -> bool:
            """Stops the workers; leaves them so if they hold runs that no worker has died of yet."""
            if len(folder.runs.ended()) <= before:
                return False
            stopped[:] = workers_of(process.pid)
            halt(stopped, signal.SIGSTOP)
            until(lambda: all(state_of(worker) in "TZ" for worker in stopped))
            held = {run.name for run in folder.runs.partial() if at_work(run)}
            if held and not held & killed:
                killed.update(held)
                return True
            halt(stopped, signal.SIGCONT)
            return False

        until(lambda is_caught=is_caught: is_caught() or process.poll() is not None)
        kept = folder.kept()
        halt(stopped, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert killed, "the study ended before a worker could be killed: nothing was tested"
    assert {run.name.rpartition("-")[0] for run in folder.runs.lost()} == killed
    folder.assert_kept(kept)
    folder.assert_whole()
    assert foldover("verify", folder.root)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process_and_the_next_call_finishes(start, foldover, folder, paced, until, number):
    process = start("run", paced, "--dir", folder.root, "--jobs", "2", "--quiet")
    until(lambda: len(folder.runs.ended()) >= 2 and folder.runs.partial())
    children = children_of(process.pid)
    assert len(workers_of(process.pid)) == 2
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "interrupted; the same command continues")
    until(lambda: not any(is_alive(child) for child in children))
    kept = folder.kept()
    code, _, err = foldover("run", paced, "--dir", folder.root, "--jobs", "2", "--quiet")
    assert code == 0, err
    folder.assert_kept(kept)
    folder.assert_whole()


def test_a_second_foldover_in_the_same_folder_is_refused(start, foldover, folder, paced, until):
    process = start("run", paced, "--dir", folder.root, "--jobs", "1", "--quiet")
    until(lambda: folder.runs.ended())
    code, _, err = foldover("run", paced, "--dir", folder.root, "--jobs", "1")
    assert (code, "another foldover is at work in" in err) == (2, True)
    assert process.poll() is None
    assert foldover("status", folder.root)[0] == 0
