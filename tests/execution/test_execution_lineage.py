"""Runs that start from others: in which order they begin, and how they end when they never can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foldover.core import Outcome, RunSpec, Settings, UserError, Values
from foldover.execution import InlineExecutor, LocalExecutor
from foldover.execution.progress import Timing, expected_seconds
from foldover.rundir import RunRoot

EXECUTORS = [InlineExecutor, LocalExecutor]


def after(spec: RunSpec, trunk: RunSpec) -> RunSpec:
    return replace(spec, starts_from=trunk.run_id)


@pytest.fixture(params=EXECUTORS, ids=["inline", "local"])
def run_all(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[list[RunSpec]], list[str]]:
    """Runs them two at a time where it can; gives the ids in the order in which they ended."""

    def run(specs: list[RunSpec]) -> list[str]:
        ended: list[str] = []
        request.param(Settings(jobs=2)).run_all(specs, tmp_path, lambda folder: ended.append(folder.name))
        return ended

    return run


def test_a_run_waits_for_the_one_it_starts_from(spec_of, outcome_of, run_all):
    trunk = spec_of(pause=0.3, number=1)
    middle = after(spec_of(number=2), trunk)
    last, free = after(spec_of(number=3), middle), spec_of(number=4)
    ended = run_all([last, middle, trunk, free])
    assert set(ended) == {spec.run_id for spec in (trunk, middle, last, free)}
    assert ended.index(trunk.run_id) < ended.index(middle.run_id) < ended.index(last.run_id)
    begins = [outcome_of(spec).started for spec in (middle, last)]
    assert begins[0] >= outcome_of(trunk).finished
    assert begins[1] >= outcome_of(middle).finished


def test_others_are_run_while_a_run_waits(spec_of, tmp_path):
    trunk = spec_of("after_three", number=1)
    waiting, free = after(spec_of(number=2), trunk), [spec_of(number=n) for n in (3, 4, 5)]
    ended: list[str] = []
    LocalExecutor(Settings(jobs=2)).run_all([trunk, waiting, *free], tmp_path, lambda path: ended.append(path.name))
    assert ended[-2:] == [trunk.run_id, waiting.run_id]


@pytest.mark.parametrize("mode", ["raise", "diverge"])
def test_what_starts_from_a_failed_run_fails_with_it_and_is_not_tried_again(mode, spec_of, outcome_of, run_all):
    trunk = spec_of(mode, number=1)
    child = after(spec_of(number=2), trunk)
    grandchild, free = after(spec_of(number=3), child), spec_of(number=4)
    specs = [trunk, child, grandchild, free]
    assert set(run_all(specs)) == {spec.run_id for spec in specs}
    status = outcome_of(trunk).status
    assert status in ("failed", "diverged")
    for spec, origin, word in ((child, trunk, status), (grandchild, child, "failed")):
        outcome: Outcome = outcome_of(spec)
        assert (outcome.status, outcome.responses) == ("failed", Values())
        assert outcome.failure is not None
        assert outcome.failure.kind == "trunk_failed"
        assert outcome.failure.message == f"run {origin.run_id}, which it starts from, ended as {word}"
    assert outcome_of(free).status == "finished"
    assert run_all(specs) == []


def test_a_trunk_that_ended_in_an_earlier_call_is_not_run_again(spec_of, outcome_of, run_all, tmp_path):
    trunk = spec_of(number=1)
    run_all([trunk])
    before = (RunRoot(tmp_path).folder(trunk.run_id) / "outcome.json").read_bytes()
    child = after(spec_of(number=2), trunk)
    assert run_all([child]) == [child.run_id]
    assert outcome_of(child).status == "finished"
    assert (RunRoot(tmp_path).folder(trunk.run_id) / "outcome.json").read_bytes() == before


def test_a_run_that_would_wait_for_ever_is_refused_before_anything_runs(spec_of, run_all, tmp_path):
    orphan = after(spec_of(number=2), spec_of(number=1))
    with pytest.raises(UserError, match=r"starts from run [0-9a-f]{16}, which has not ended and is not to be run"):
        run_all([spec_of(number=3), orphan])
    assert RunRoot(tmp_path).ended() == ()


def test_the_first_guess_at_a_run_is_its_trainers_estimate(spec_of):
    def estimate(spec: RunSpec) -> float:
        return 0.25

    short, long = spec_of(limit="120 s"), spec_of(limit="300 s")
    assert expected_seconds(long, [], estimate) == 0.25
    assert expected_seconds(spec_of(limit="300 steps"), [], estimate) == 0.25
    timing = Timing(trainer="fake", budget=short.budget, seconds=1.0, estimated=0.5)
    assert expected_seconds(short, [timing], estimate) == 1.0
    assert expected_seconds(long, [timing], estimate) == 0.75
    assert expected_seconds(after(long, short), [timing], estimate) == 0.25


def test_progress_of_runs_with_simulated_budgets_is_not_in_simulated_time(spec_of, tmp_path):
    seen = []
    specs = [spec_of(number=n, limit="3600 s", estimate=0.1, pause=0.1) for n in range(3)]
    LocalExecutor(Settings(jobs=1), on_progress=seen.append).run_all(specs, tmp_path, lambda folder: None)
    assert all(progress.seconds_left is not None and progress.seconds_left < 60.0 for progress in seen)
