"""Real processes: `python -m foldover`, killed and started again."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from foldover.core import RunRecord, Settings
from foldover.lab import Session, create, open_session, run_study
from foldover.ledger import Ledger
from foldover.rundir import RunRoot, damage, read_ended

# Seconds a run takes: 0.0015 of its simulated 2 or 5 minutes.
PACE = 0.0015


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Content and time of every file of every finished run."""

    files: Mapping[str, tuple[str, int]]


class Folder:
    """A study folder seen from outside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = RunRoot(root)

    def kept(self) -> Kept:
        found = {}
        for folder in self.runs.ended():
            for path in folder.rglob("*"):
                content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
                found[str(path.relative_to(self.root))] = (content, path.stat().st_mtime_ns)
        return Kept(files=found)

    def records(self) -> tuple[tuple[RunRecord, ...], tuple[RunRecord, ...]]:
        """Ended and lost attempts in the ledger."""
        with Ledger.open(self.root / "ledger.sqlite", read_only=True) as ledger:
            return ledger.records(), ledger.lost_attempts()

    def assert_kept(self, before: Kept) -> None:
        """What was finished is as it was, to the byte and the nanosecond."""
        now = self.kept().files
        assert {name: now.get(name) for name in before.files} == dict(before.files)

    def assert_whole(self) -> None:
        """Every planned run ended once, in folders and ledger; nothing finished was tried again."""
        planned = sorted(run.run_id for plan in open_session(self.root).workspace.plans() for run in plan.runs)
        ended = self.runs.ended()
        records, lost = self.records()
        assert sorted(path.name for path in ended) == planned
        assert sorted(record.spec.run_id for record in records) == planned
        assert {record.outcome.status for record in records} == {"finished"}
        assert self.runs.partial() == ()
        assert all(damage(path) == () for path in ended)
        attempts = {path.name: read_ended(path).attempt for path in ended}
        assert all(attempt.attempt < attempts[attempt.spec.run_id] for attempt in lost)
        lost_folders = sorted(path.name for path in self.runs.lost())
        assert sorted(f"{attempt.spec.run_id}-{attempt.attempt}" for attempt in lost) == lost_folders


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `python -m foldover ...`; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "foldover", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def foldover(start: Start) -> Callable[..., tuple[int, str, str]]:
    """Calls it and waits: exit code, stdout, stderr."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        process = start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "study")


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Waits for what another process does."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.005)

    return wait


@pytest.fixture
def killed_twice(
    start: Start,
    foldover: Callable[..., tuple[int, str, str]],
    folder: Folder,
    until: Callable[..., None],
    tmp_path: Path,
) -> Callable[[Path], tuple[Session, Session]]:
    """Runs a study in one go, and in `folder` killed after a third and two thirds of it; both agree in what was run."""

    def run(study: Path) -> tuple[Session, Session]:
        whole = create(study, tmp_path / "whole")
        run_study(whole, Settings(jobs=2))
        total = sum(len(plan.runs) for plan in whole.workspace.plans())
        command, killed = ("run", study, "--dir", folder.root, "--jobs", "2", "--quiet"), 0
        for goal in (total // 3, 2 * total // 3):
            process = start(*command)
            until(lambda goal=goal, process=process: len(folder.runs.ended()) >= goal or process.poll() is not None)
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        assert killed, "all calls ended by themselves: nothing was tested"
        code, _, err = foldover(*command)
        assert code == 0, err
        folder.assert_whole()
        again = open_session(folder.root)
        assert again.workspace.plans() == whole.workspace.plans()
        code, out, _ = foldover("verify", folder.root)
        assert (code, out.strip()) == (0, "run folders, ledger, decisions and report agree")
        return whole, again

    return run


@pytest.fixture
def paced(quick_path: Path, tmp_path: Path) -> Path:
    """The quick study with two factors, and runs that take their time."""
    text = quick_path.read_text(encoding="utf-8")
    for letter in "ABC":
        head, _, rest = text.partition(f"[factors.{letter}]")
        text = head + rest[rest.index("[") :]
    text = text.replace('design = "2^(5-1)"\ngenerators = ["E=ABCD"]', "runs = 4")
    path = tmp_path / "paced.toml"
    path.write_text(text.replace('host = "windows"', f'host = "windows"\npace = {PACE}'), encoding="utf-8")
    return path
