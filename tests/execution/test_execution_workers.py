"""What a run has of a worker process: all of it, a fork, or one of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from foldover.core import EMPTY, Budget, BudgetError, Limit, Outcome, RunSpec, Settings
from foldover.core.settings import WORKERS, Workers
from foldover.execution import LocalExecutor, Progress
from foldover.execution.fork import ForkDied, in_fork
from foldover.execution.profile import ask_for_huge_pages, set_up_process
from foldover.lm.levers import CONSTANTS, LEVERS
from foldover.lm.resolve import baseline_recipe
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot, damage, read_ended

MakeSpec = Callable[..., RunSpec]
OutcomeOf = Callable[[RunSpec], Outcome]


def run(specs: list[RunSpec], root: Path, *, workers: Workers = "fork", jobs: int = 1) -> list[str]:
    ended: list[str] = []
    settings = Settings(jobs=jobs, workers=workers, device="cpu")
    LocalExecutor(settings).run_all(specs, root, lambda path: ended.append(path.name))
    return ended


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_unknown_kind_of_workers_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"unknown kind of workers \(got 'warm'\).*Use reset, fork, fresh"):
        Settings(workers="warm")  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", WORKERS)
def test_folders_are_whole_and_say_how_they_were_made(
    workers: Workers, spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    specs = [spec_of(number=number) for number in range(4)]
    assert sorted(run(specs, tmp_path, workers=workers, jobs=2)) == sorted(spec.run_id for spec in specs)
    assert {damage(path) for path in RunRoot(tmp_path).ended()} == {()}
    assert {outcome_of(spec).machine["workers"] for spec in specs} == {workers}


def test_forks_have_one_parent_and_leave_no_zombie(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    specs = [spec_of(number=number) for number in range(3)]
    run(specs, tmp_path)
    machines = [outcome_of(spec).machine for spec in specs]
    assert len({machine["pid"] for machine in machines}) == 3
    assert len({machine["parent"] for machine in machines}) == 1
    assert [(machine["siblings"], machine["runs_before_in_process"]) for machine in machines] == [(0, 0)] * 3


def test_fresh_runs_have_a_process_each_and_leave_none(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    specs = [spec_of(number=number) for number in range(3)]
    run(specs, tmp_path, workers="fresh")
    machines = [outcome_of(spec).machine for spec in specs]
    assert len({machine["pid"] for machine in machines}) == 3
    assert {machine["parent"] for machine in machines} == {os.getpid()}
    assert not any(is_alive(machine.integer("pid")) for machine in machines)


def test_crash_of_a_fork_costs_its_attempt_and_not_the_worker(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    before, crash, after = spec_of(number=1), spec_of("segfault_once"), spec_of(number=2)
    assert run([before, crash, after], tmp_path) == [before.run_id, crash.run_id, after.run_id]
    assert read_ended(RunRoot(tmp_path).folder(crash.run_id)).attempt == 2
    assert [path.name for path in RunRoot(tmp_path).lost()] == [f"{crash.run_id}-1"]
    assert len({outcome_of(spec).machine["parent"] for spec in (before, crash, after)}) == 1
    assert outcome_of(after).machine["siblings"] == 0


@pytest.mark.parametrize(("mode", "how"), [("segfault", "signal SIGSEGV"), ("vanish", "exit code 0")])
def test_fork_that_dies_each_time_ends_its_run_as_failed(
    mode: str, how: str, spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    spec = spec_of(mode)
    run([spec], tmp_path)
    failure = outcome_of(spec).failure
    assert failure is not None
    assert failure.kind == "worker_died"
    assert failure.message == f"its worker died 3 times, the last time by {how}"


def test_output_of_a_fork_is_in_its_log(spec_of: MakeSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    talk, crash = spec_of("talk"), spec_of("segfault")
    run([talk, crash], tmp_path)
    log = (RunRoot(tmp_path).folder(talk.run_id) / "log.txt").read_text()
    assert set(log.splitlines()) == {"from python", "to stderr", "from the descriptor", "from C", "from a child"}
    assert "in train_segfault" in (RunRoot(tmp_path).folder(crash.run_id) / "log.txt").read_text()
    assert capfd.readouterr() == ("", "")


def test_fork_sees_nothing_of_the_one_before(spec_of: MakeSpec, tmp_path: Path) -> None:
    specs = [spec_of("leave_behind", number=number) for number in range(2)]
    run(specs, tmp_path)
    first, second = (json.loads((RunRoot(tmp_path).folder(spec.run_id) / "seen.json").read_text()) for spec in specs)
    assert first == second


def test_fork_holds_the_lock_of_its_run_and_its_death_frees_it(spec_of: MakeSpec, tmp_path: Path) -> None:
    spec, root = spec_of("third_time"), RunRoot(tmp_path)
    refused: list[int] = []

    def try_to_claim_and_kill(progress: Progress) -> None:
        attempt = len(refused) + 1
        curve = root.partial_folder(spec.run_id) / "curve.jsonl"
        if attempt > 2 or not curve.exists() or not progress.running or len(root.lost()) != attempt - 1:
            return
        with pytest.raises(TimeoutError), root.claim(spec, timeout=0.0):
            pass
        refused.append(attempt)
        worker = executor._slots[0].worker
        assert worker is not None
        # The first time the fork is killed, then its parent, which takes the fork with it.
        os.kill(_children(worker.pid)[0] if attempt == 1 else worker.pid, signal.SIGKILL)

    executor = LocalExecutor(Settings(workers="fork"), on_progress=try_to_claim_and_kill)
    executor.run_all([spec], tmp_path, lambda path: None)
    assert refused == [1, 2]
    assert read_ended(root.folder(spec.run_id)).attempt == 3


def test_fork_waits_for_a_run_that_another_holds(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    held, other = spec_of(number=1), spec_of(number=2)
    ended: list[str] = []

    def call() -> None:
        LocalExecutor(Settings(workers="fork")).run_all([held, other], tmp_path, announce)

    def announce(path: Path) -> None:
        ended.append(path.name)
        has_ended.set()

    has_ended = threading.Event()
    thread = threading.Thread(target=call)
    with RunRoot(tmp_path).claim(held):
        thread.start()
        assert has_ended.wait(60)
    thread.join()
    assert ended == [other.run_id, held.run_id]
    assert outcome_of(held).status == "finished"


def test_fork_that_hangs_ends_as_timeout(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldover.execution.slot.KILL_AFTER_SECONDS", 0.2)
    hang, after = spec_of("hang", limit="1 s", grace=0.2), spec_of()
    run([hang, after], tmp_path)
    assert [outcome_of(spec).status for spec in (hang, after)] == ["timeout", "finished"]
    assert not is_alive(int((RunRoot(tmp_path).folder(hang.run_id) / "child.pid").read_text()))


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="a kernel without huge pages")
def test_heap_of_a_fork_may_come_in_huge_pages() -> None:
    def advised_kilobytes() -> bytes:
        set_up_process(())
        ask_for_huge_pages()
        areas = re.findall(r"^Size: +([0-9]+) kB.*?^VmFlags:(.*?)$", Path("/proc/self/smaps").read_text(), re.S | re.M)
        return str(sum(int(size) for size, flags in areas if "hg" in flags.split())).encode()

    found = in_fork(advised_kilobytes)
    # How much of it depends on what the heap of this process held free before.
    assert isinstance(found, bytes)
    assert int(found) * 1024 >= 2 << 20


def test_what_a_fork_gives_comes_back() -> None:
    assert in_fork(lambda: b"x" * 4096) == b"x" * 4096


def test_what_a_fork_raises_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> bytes:
        raise ZeroDivisionError("in the fork")

    assert in_fork(fail) == ForkDied(how="exit code 1")
    assert "ZeroDivisionError: in the fork" in capfd.readouterr().err


def test_micro_runs_are_equal_to_the_bit_however_their_process_begins(tmp_path: Path) -> None:
    specs = [_micro(seed) for seed in (1, 2)]
    LMTrainer().prepare(specs[0].recipe, specs[0].constants, lambda phase, share: None)
    found = {}
    for workers in WORKERS:
        root = tmp_path / workers
        run(specs[1:] if workers == "fresh" else specs, root, workers=workers)
        ended = read_ended(RunRoot(root).folder(specs[1].run_id))
        assert ended.outcome.status == "finished"
        found[workers] = ([point["train_loss"] for point in ended.curve], dict(ended.outcome.responses))
    assert len(found["reset"][0]) == 3
    assert found["reset"] == found["fork"] == found["fresh"]


def _micro(seed: int) -> RunSpec:
    return RunSpec(
        study="test",
        stage="screen",
        package="screen",
        condition="c",
        levels=(),
        recipe=baseline_recipe(LEVERS.complete({**_preset("micro"), "total_batch": 512})),
        budget=Budget(limit=Limit.parse("3 steps")),
        constants=CONSTANTS.complete({"eval_tokens": 512}),
        seed=seed,
    )


def _preset(name: str) -> dict[str, object]:
    return dict(LMTrainer.presets.get(name, EMPTY))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
