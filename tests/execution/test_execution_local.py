"""The local executor with real worker processes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from foldover.core import Outcome, RunSpec, Settings, TrainerError
from foldover.execution import InlineExecutor, LocalExecutor, Progress
from foldover.execution.profile import usable_cores
from foldover.rundir import RunRoot, damage, read_ended

MakeSpec = Callable[..., RunSpec]
OutcomeOf = Callable[[RunSpec], Outcome]


def run(specs: list[RunSpec], root: Path, *, jobs: int = 1) -> list[str]:
    ended: list[str] = []
    LocalExecutor(Settings(jobs=jobs)).run_all(specs, root, lambda path: ended.append(path.name))
    return ended


def child_processes() -> set[int]:
    """Of this process; none are seen where there is no /proc."""
    if not Path("/proc/self/task").exists():
        return set()
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_runs_end_in_the_given_order_on_one_slot(spec_of: MakeSpec, tmp_path: Path) -> None:
    specs = [spec_of(number=number) for number in (5, 3, 9, 1)]
    assert run(specs, tmp_path) == [spec.run_id for spec in specs]


def test_every_folder_is_whole_before_it_is_announced(spec_of: MakeSpec, tmp_path: Path) -> None:
    problems: list[str] = []
    specs = [spec_of(number=number) for number in range(4)]
    LocalExecutor(Settings(jobs=2)).run_all(specs, tmp_path, lambda path: problems.extend(damage(path)))
    assert problems == []
    assert len(RunRoot(tmp_path).ended()) == 4


def test_two_slots_start_the_first_two_runs_first(spec_of: MakeSpec, tmp_path: Path) -> None:
    specs = [spec_of(number=number, pause=0.3) for number in range(4)]
    run(specs, tmp_path, jobs=2)
    started = [read_ended(RunRoot(tmp_path).folder(spec.run_id)).outcome.started for spec in specs]
    assert max(started[:2]) < min(started[2:])


def test_ended_runs_are_not_run_again(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    first, second = spec_of(number=1), spec_of(number=2)
    run([first], tmp_path)
    before = outcome_of(first)
    assert run([first, second], tmp_path) == [second.run_id]
    assert outcome_of(first) == before


def test_spec_given_twice_runs_once(spec_of: MakeSpec, tmp_path: Path) -> None:
    spec = spec_of()
    assert run([spec, spec], tmp_path, jobs=2) == [spec.run_id]


def test_call_from_another_thread_works(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    spec = spec_of()
    thread = threading.Thread(target=run, args=([spec], tmp_path))
    thread.start()
    thread.join()
    assert outcome_of(spec).status == "finished"


def test_no_spec_starts_no_worker(tmp_path: Path) -> None:
    before = child_processes()
    assert run([], tmp_path) == []
    assert child_processes() == before


def test_one_process_serves_many_runs(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    specs = [spec_of(number=number) for number in range(3)]
    run(specs, tmp_path)
    machines = [outcome_of(spec).machine for spec in specs]
    assert len({machine["pid"] for machine in machines}) == 1
    assert [machine["runs_before_in_process"] for machine in machines] == [0, 1, 2]


def test_workers_stay_warm_between_calls_within_with(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    first, second = spec_of(number=1), spec_of(number=2)
    before = child_processes()
    with LocalExecutor(Settings()) as executor:
        executor.run_all([first], tmp_path, lambda path: None)
        executor.run_all([second], tmp_path, lambda path: None)
    assert outcome_of(first).machine["pid"] == outcome_of(second).machine["pid"]
    assert child_processes() == before


def test_call_leaves_no_child_processes(spec_of: MakeSpec, tmp_path: Path) -> None:
    before = child_processes()
    run([spec_of(number=number) for number in range(2)], tmp_path, jobs=2)
    assert child_processes() == before


def test_worker_is_pinned_and_single_threaded(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldover.execution.claims.PREFIX", f"foldover-test-{os.getpid()}-")  # others may run here
    spec = spec_of()
    run([spec], tmp_path)
    machine = outcome_of(spec).machine
    assert machine["omp"] == "1"
    assert machine["cores"] == machine["pinned_cores"] == str(usable_cores()[0])
    assert machine["num_cores"] == len(usable_cores())


def test_more_threads_than_cores_are_not_pinned(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    spec = spec_of()
    LocalExecutor(Settings(threads=len(usable_cores()) + 1)).run_all([spec], tmp_path, lambda path: None)
    assert outcome_of(spec).machine["pinned_cores"] == ""
    assert outcome_of(spec).machine["cores"] == ",".join(map(str, usable_cores()))


def test_output_is_captured_at_the_level_of_descriptors(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf, capfd: pytest.CaptureFixture[str]
) -> None:
    talk, quiet = spec_of("talk"), spec_of()
    run([talk, quiet], tmp_path)
    runs = RunRoot(tmp_path)
    assert outcome_of(talk).status == "finished"
    log = (runs.folder(talk.run_id) / "log.txt").read_text()
    said = {"from python", "to stderr", "from the descriptor", "from C", "from a child"}
    assert said == set(log.splitlines())
    assert (runs.folder(quiet.run_id) / "log.txt").read_text() == ""
    assert capfd.readouterr() == ("", "")


def test_run_sees_nothing_of_the_one_before(spec_of: MakeSpec, tmp_path: Path) -> None:
    specs = [spec_of("leave_behind", number=number) for number in range(2)]
    run(specs, tmp_path)
    first, second = (json.loads((RunRoot(tmp_path).folder(spec.run_id) / "seen.json").read_text()) for spec in specs)
    assert first == second


def test_reused_and_fresh_process_give_equal_responses(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    warm = [spec_of(number=number, seed=number) for number in range(3)]
    run(warm, tmp_path)
    run([warm[2]], tmp_path / "fresh")
    fresh = read_ended(RunRoot(tmp_path / "fresh").folder(warm[2].run_id)).outcome
    assert outcome_of(warm[2]).responses == fresh.responses


def test_exception_ends_the_run_and_not_the_worker(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    bad, worse, good = spec_of("raise"), spec_of("exit"), spec_of()
    run([bad, worse, good], tmp_path)
    assert [outcome_of(spec).status for spec in (bad, worse, good)] == ["failed", "failed", "finished"]
    assert outcome_of(good).machine["runs_before_in_process"] == 2


def test_local_and_inline_give_the_same_failure(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    spec = spec_of("raise")
    run([spec], tmp_path)
    InlineExecutor(Settings()).run_all([spec], tmp_path / "inline", lambda path: None)
    inline = read_ended(RunRoot(tmp_path / "inline").folder(spec.run_id)).outcome
    assert outcome_of(spec).failure == inline.failure


def test_trainer_is_preloaded_before_its_first_run(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    spec = spec_of(trainer="preloading")
    run([spec], tmp_path)
    assert outcome_of(spec).machine["is_loaded"] is True


def test_preloading_that_fails_leaves_the_verdict_to_the_run(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    spec = spec_of(trainer="unloadable")
    run([spec], tmp_path)
    assert outcome_of(spec).status == "finished"


def test_workers_that_die_at_start_up_stop_the_call(
    spec_of: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainerError, match=r"(?s)die at start-up \(exit code 7\), 3 times.*no GPU driver here"):
        run([spec_of(trainer="deadly")], tmp_path, jobs=2)


def test_error_of_the_caller_kills_the_workers_and_keeps_what_ended(spec_of: MakeSpec, tmp_path: Path) -> None:
    quick, slow = spec_of(number=1), spec_of(number=2, pause=600.0)

    def refuse(path: Path) -> None:
        raise OSError("ledger on fire")

    before = child_processes()
    with pytest.raises(OSError, match="ledger on fire"):
        LocalExecutor(Settings(jobs=2)).run_all([slow, quick], tmp_path, refuse)
    assert child_processes() == before
    assert [path.name for path in RunRoot(tmp_path).ended()] == [quick.run_id]
    assert RunRoot(tmp_path).partial() == ()


def test_progress_counts_and_shows_what_runs(spec_of: MakeSpec, tmp_path: Path) -> None:
    seen: list[Progress] = []
    done, slow, bad = spec_of(number=1), spec_of(number=2, pause=1.2, limit="2 s"), spec_of("raise")
    run([done], tmp_path)
    LocalExecutor(Settings(), on_progress=seen.append).run_all([done, slow, bad], tmp_path, lambda path: None)
    assert (seen[0].planned, seen[0].ended, seen[0].by_status) == (3, 1, (("finished", 1),))
    assert (seen[-1].ended, seen[-1].by_status, seen[-1].running) == (3, (("failed", 1), ("finished", 2)), ())
    assert seen[-1].seconds_left == 0.0
    shown = [shown for progress in seen for shown in progress.running if shown.run_id == slow.run_id]
    assert {(s.condition, s.seed, s.budget, s.slot) for s in shown} == {("c02", 1, "2 s", 0)}
    assert any(s.fraction is not None and 0 < s.fraction < 1 for s in shown)
    assert all(progress.seconds_left is not None for progress in seen)


def test_relative_root_is_that_of_the_caller(
    spec_of: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = spec_of()
    run([spec], Path("here"))
    assert RunRoot(tmp_path / "here").has_ended(spec.run_id)


def test_module_beside_the_caller_does_not_replace_a_library(
    spec_of: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome_of: OutcomeOf
) -> None:
    (tmp_path / "filelock.py").write_text("raise RuntimeError('imported from the current folder')\n")
    monkeypatch.chdir(tmp_path)
    spec = spec_of()
    run([spec], tmp_path)
    assert outcome_of(spec).status == "finished"
    assert os.getcwd() == str(tmp_path)  # noqa: PTH109 - compared as text
