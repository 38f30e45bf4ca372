"""Killed between a training and what begins with its state: the same runs, and nothing is trained twice.

Runs wait at a gate, a file, so that each kill comes when it is meant to (see `sharing_trainer`).
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from foldover.core import LedgerError, RunSpec
from foldover.lab import open_session
from foldover.rundir import CHECKSUMS, read_json_lines
from foldover.rundir.folder import read_spec

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")

TRAINER = Path(__file__).parents[1] / "lab"
STUDY = """\
[study]
name = "exports"
question = "What is lost after training?"
trainer = "sharing"

[factors.A]
lever = "rate"
low = 0.05
high = 0.2

[factors.B]
lever = "bits"
low = 3
high = 12

[[stages]]
name = "screen"
kind = "screen"
runs = 4
budgets = ["10 steps", "20 steps"]
seeds = [1, 2]
branch = "warmdown"
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{TRAINER}{os.pathsep}{path}" if path else str(TRAINER))
    monkeypatch.setenv("FOLDOVER_TRAINERS", "sharing=sharing_trainer:SharingTrainer")
    monkeypatch.syspath_prepend(TRAINER)
    gate = tmp_path / "gate"
    gate.touch()
    monkeypatch.setenv("SHARING_GATE", str(gate))
    return gate


def at_gate(folder, held: str) -> list[RunSpec]:
    """What has been claimed, is not sealed and will not be before the gate opens."""
    found = []
    for path in folder.runs.partial():
        with suppress(LedgerError):
            if not (path / CHECKSUMS).exists():
                found.append(read_spec(path)[0])
    return [run for run in found if held == "training" or run.starts_from is not None]


def workers_of(pid: int) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and b"foldover.execution.worker" in (process / "cmdline").read_bytes():
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                found += [int(process.name)] if int(fields[1]) == pid else []
    return found


def planned(folder) -> list[RunSpec]:
    return [run for plan in open_session(folder.root).workspace.plans() for run in plan.runs]


def assert_trained_once(folder) -> None:
    """A trunk at constant rates for each rate and seed, and on each of its two branches what was left."""
    folder.assert_whole()
    steps = {
        run.run_id: len(read_json_lines(folder.runs.folder(run.run_id) / "curve.jsonl")) for run in planned(folder)
    }
    assert sum(steps.values()) == 2 * 2 * (10 + 5 + 10)
    assert all(steps[run.run_id] == 0 for run in planned(folder) if not run.is_trunk)


@pytest.mark.parametrize("held", ["begun", "training"])
def test_a_coordinator_killed_around_a_trunk_is_taken_up_without_training_again(
    held, start, foldover, folder, study, gate, until, monkeypatch
):
    monkeypatch.setenv("SHARING_HELD", held)
    process = start("run", study, "--dir", folder.root, "--jobs", "2", "--quiet")
    until(lambda: len(at_gate(folder, held)) == 2)
    caught = at_gate(folder, held)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept, ids = folder.kept(), [run.run_id for run in planned(folder)]
    assert bool(kept.files) == (held == "begun")
    gate.unlink()
    code, _, err = foldover("run", study, "--dir", folder.root, "--jobs", "2", "--quiet")
    assert code == 0, err
    assert [run.run_id for run in planned(folder)] == ids
    folder.assert_kept(kept)
    assert_trained_once(folder)
    assert {path.name.rpartition("-")[0] for path in folder.runs.lost()} == {run.run_id for run in caught}
    assert foldover("verify", folder.root)[0] == 0


@pytest.mark.parametrize("held", ["begun", "training"])
def test_killed_workers_cost_their_attempts_and_no_training_that_had_ended(
    held, start, foldover, folder, study, gate, until, monkeypatch
):
    monkeypatch.setenv("SHARING_HELD", held)
    process = start("run", study, "--dir", folder.root, "--jobs", "2", "--quiet")
    until(lambda: len(at_gate(folder, held)) == 2)
    caught, kept = at_gate(folder, held), folder.kept()
    workers = workers_of(process.pid)
    assert len(workers) == 2
    for number in (signal.SIGSTOP, signal.SIGKILL):  # both are stopped before the first death starts another
        for worker in workers:
            os.kill(worker, number)
    gate.unlink()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    folder.assert_kept(kept)
    assert_trained_once(folder)
    assert {path.name.rpartition("-")[0] for path in folder.runs.lost()} == {run.run_id for run in caught}
    assert foldover("verify", folder.root)[0] == 0
