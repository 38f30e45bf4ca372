"""The small parts: messages, machine profile, progress, capture, names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import Budget, Limit, Recipe, RunSpec, Settings, TrainerError, UserError, Values
from foldover.execution import InlineExecutor, LocalExecutor, get_executor
from foldover.execution.capture import last_lines
from foldover.execution.interrupts import deferred_interrupts
from foldover.execution.messages import (
    Answer,
    Busy,
    Claimed,
    Died,
    Ended,
    Estimated,
    Job,
    Ready,
    decode_answer,
    decode_request,
    encode,
)
from foldover.execution.profile import cores_of_slot, usable_cores, worker_environment
from foldover.execution.progress import Timing, expected_seconds, fraction_done, seconds_left
from foldover.execution.slot import Assignment

MakeSpec = Callable[..., RunSpec]


def spec(limit: str, seed: int = 0) -> RunSpec:
    return RunSpec(
        study="t",
        stage="s",
        package="p",
        condition="c",
        levels=(),
        recipe=Recipe(trainer="fake", values=Values()),
        budget=Budget(limit=Limit.parse(limit)),
        seed=seed,
    )


def timing(limit: str, seconds: float) -> Timing:
    return Timing(trainer="fake", budget=spec(limit).budget, seconds=seconds)


@pytest.mark.parametrize(
    "answer",
    [
        Ready(pid=3, machine=Values(host="h", slot=1)),
        Claimed(run_id="a", attempt=2),
        Estimated(run_id="a", seconds=1.5),
        Ended(run_id="a", by_another=True),
        Busy(run_id="a"),
        Died(run_id="a", how="signal SIGSEGV"),
    ],
)
def test_answer_survives_the_wire(answer: Answer) -> None:
    assert decode_answer(encode(answer)) == answer


def test_job_survives_the_wire(spec_of: MakeSpec) -> None:
    job = Job(spec=spec_of("raise", pause=0.1), root="/x", settings=Settings(jobs=2))
    assert decode_request(encode(job)) == job


def test_run_id_survives_the_wire_for_whole_number_levels() -> None:
    planned = RunSpec(
        study="t",
        stage="s",
        package="p",
        condition="c",
        levels=(1, -1),
        recipe=Recipe(trainer="fake", values=Values()),
        budget=Budget(limit=Limit(kind="steps", amount=3), grace_seconds=2),
        seed=0,
    )
    request = decode_request(encode(Job(spec=planned, root="/", settings=Settings())))
    assert isinstance(request, Job)
    assert request.spec.run_id == planned.run_id


@pytest.mark.parametrize("line", [b"", b"nonsense", b"[]", b'{"kind": "spam"}', b'{"run_id": "a"}'])
def test_unreadable_message_is_refused(line: bytes) -> None:
    with pytest.raises(TrainerError, match="not readable"):
        decode_answer(line)


def test_request_is_not_an_answer() -> None:
    with pytest.raises(TrainerError, match="something else than a request"):
        decode_request(encode(Busy(run_id="a")))


def test_slots_get_cores_of_their_own() -> None:
    settings = Settings(jobs=3, threads=2)
    assert [cores_of_slot(slot, settings, (0, 1, 4, 5, 6, 7)) for slot in range(3)] == [(0, 1), (4, 5), (6, 7)]


def test_slots_that_would_share_are_not_pinned() -> None:
    assert cores_of_slot(0, Settings(jobs=2, threads=2), (0, 1, 2)) == ()


def test_worker_environment_sets_threads_over_the_users() -> None:
    environment = worker_environment(Settings(threads=3), {"OMP_NUM_THREADS": "9", "HOME": "/h"})
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "HOME", "PYTHONHASHSEED")
    assert [environment[name] for name in names] == ["3", "3", "3", "/h", "0"]


def test_users_hash_seed_stands() -> None:
    assert worker_environment(Settings(), {"PYTHONHASHSEED": "5"})["PYTHONHASHSEED"] == "5"


def test_usable_cores_are_some() -> None:
    assert len(usable_cores()) >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_large_buffers_are_reused_without_page_faults() -> None:
    # 64 MiB is above glibc's largest dynamic threshold: untuned, each round maps and faults 16,384 pages.
    code = """
import resource, foldover.execution.profile as profile
done = profile.set_up_process(())
def round():
    bytearray(64 << 20)
round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    round()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(len([name for name in done if name.startswith("malloc")]), faults)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    num_set, faults = map(int, found.stdout.split())
    if num_set == 0:
        pytest.skip("not glibc")
    assert faults < 1000


def test_equal_budgets_tell_the_time() -> None:
    timings = [timing("2 s", 3.0), timing("2 s", 4.0), timing("10 s", 99.0)]
    assert expected_seconds(spec("2 s"), timings) == 3.5


def test_unmeasured_seconds_are_limit_and_what_others_took_on_top() -> None:
    assert expected_seconds(spec("10 s"), [timing("2 s", 2.5)]) == 10.5


def test_limit_in_seconds_tells_by_itself() -> None:
    assert expected_seconds(spec("10 s"), []) == 10.0


def test_steps_are_scaled_from_other_amounts() -> None:
    assert expected_seconds(spec("300 steps"), [timing("100 steps", 2.0)]) == 6.0


def test_steps_tell_nothing_by_themselves() -> None:
    assert expected_seconds(spec("300 steps"), [timing("2 s", 2.5)]) is None
    assert seconds_left([], [spec("300 steps")], [], slots=2) is None


def test_seconds_left_follows_the_slots() -> None:
    # Slots are free after 4 and 9 s; the three waiting runs of 10 s begin at 4, 9 and 14.
    running = [(spec("10 s", 1), 6.0, None), (spec("10 s", 2), 1.0, None)]
    assert seconds_left(running, [spec("10 s", seed) for seed in (3, 4, 5)], [], slots=2) == 24.0


@given(
    waiting=st.lists(st.sampled_from(["2 s", "5 s", "1 min"]), max_size=20), slots=st.integers(min_value=1, max_value=8)
)
def test_seconds_left_lies_between_perfect_sharing_and_one_slot(waiting: list[str], slots: int) -> None:
    runs = [spec(limit) for limit in waiting]
    total = sum(run.budget.limit.amount for run in runs)
    left = seconds_left([], runs, [], slots)
    assert left is not None
    assert total / slots <= left <= total


def test_run_that_is_late_has_no_negative_time_left() -> None:
    assert seconds_left([(spec("10 s"), 12.0, None)], [], [], slots=1) == 0.0


def test_the_pace_of_runs_at_work_tells_where_no_run_has_ended() -> None:
    def far_too_long(run: RunSpec) -> float:
        return 1000.0

    at_work, waiting = [(spec("300 steps", 1), 5.0, 0.25)], [spec("600 steps", 2)]
    assert seconds_left(at_work, waiting, [], slots=1, estimate=far_too_long) == 15.0 + 40.0
    barely = [(spec("300 steps", 1), 5.0, 0.05)]
    assert seconds_left(barely, waiting, [], slots=1, estimate=far_too_long) == 995.0 + 1000.0
    assert seconds_left(at_work, waiting, [timing("300 steps", 30.0)], slots=1) == 25.0 + 60.0


def test_fraction_is_that_of_the_last_whole_line(tmp_path: Path) -> None:
    lines = [f'{{"progress":{step / 1000},"step":{step}}}\n' for step in range(1000)]
    (tmp_path / "curve.jsonl").write_text("".join(lines) + '{"progress":0.99')
    assert fraction_done(tmp_path) == 0.999


@pytest.mark.parametrize("text", [None, "", '{"step":1}\n', "not json\n", '{"progress":"half"}\n', "[1]\n"])
def test_fraction_is_absent_where_the_curve_does_not_say(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "curve.jsonl").write_text(text)
    assert fraction_done(tmp_path) is None


def test_last_lines_of_a_long_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert last_lines(tmp_path / "log.txt", 2) == "line 49998\nline 49999"


def test_last_lines_of_no_log(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "log.txt") == ""


def test_limit_in_seconds_may_take_limit_and_grace(spec_of: MakeSpec) -> None:
    run = Assignment(spec=spec_of(limit="5 s", grace=2.0))
    run.claim(100.0)
    run.estimate(50.0)
    assert run.allowance_seconds == 7.0
    assert not run.is_over_time(107.0)
    assert run.is_over_time(107.1)


def test_limit_in_steps_may_take_ten_estimates_and_grace(spec_of: MakeSpec) -> None:
    run = Assignment(spec=spec_of(limit="5 steps", grace=2.0))
    run.claim(100.0)
    assert run.allowance_seconds == 2.0
    run.estimate(3.0)
    assert run.allowance_seconds == 32.0


def test_run_that_waits_for_its_lock_is_not_over_time(spec_of: MakeSpec) -> None:
    assert not Assignment(spec=spec_of(limit="5 s", grace=2.0)).is_over_time(1e9)


@pytest.fixture
def default_sigterm() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def signal_times(times: int, steps: list[str], *, is_held: bool = False) -> None:
    """Signals within `deferred_interrupts`; notes in `steps` how far it came."""
    with deferred_interrupts() as interrupts, interrupts.held() if is_held else nullcontext():
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGTERM)
            steps.append("survived")
        if not is_held:
            interrupts.raise_if_any()
        steps.append("went on")


def test_signal_waits_until_it_is_asked_for(default_sigterm: None) -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        signal_times(1, steps)
    assert steps == ["survived"]


def test_second_signal_does_not_wait(default_sigterm: None) -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        signal_times(2, steps)
    assert steps == ["survived"]


def test_clean_up_is_not_interrupted(default_sigterm: None) -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        signal_times(2, steps, is_held=True)
    assert steps == ["survived", "survived", "went on"]


def test_signal_that_nobody_asked_for_is_raised_at_the_end(default_sigterm: None) -> None:
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        os.kill(os.getpid(), signal.SIGTERM)


def test_ignored_signal_stays_ignored(default_sigterm: None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with deferred_interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        interrupts.raise_if_any()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_executors_by_name() -> None:
    assert isinstance(get_executor("local", Settings()), LocalExecutor)
    assert isinstance(get_executor("inline", Settings()), InlineExecutor)


def test_unknown_executor_gives_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Did you mean `local`\? Known: inline, local"):
        get_executor("locale", Settings())


def test_importing_execution_imports_no_torch() -> None:
    code = "import sys, foldover.execution, foldover.execution.worker; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert found.stdout.strip() == "False"
