"""Seconds of a plan: the trainer's estimate, and what was measured in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import Outcome, RunRecord, RunSpec, Values
from foldover.planning import cost_key, estimate_cost, measured_seconds


def record(spec: RunSpec, seconds: float | None, status: str = "finished") -> RunRecord:
    counters = Values() if seconds is None else Values(total_seconds=seconds)
    outcome = Outcome(run_id=spec.run_id, status=status, started="", finished="", counters=counters)  # type: ignore[arg-type]
    return RunRecord(spec=spec, attempt=1, outcome=outcome)


def test_the_median_of_finished_runs_is_what_a_run_takes(screen):
    spec = screen.runs[0]
    records = [record(replace(spec, seed=seed), seconds) for seed, seconds in enumerate([1.0, 9.0, 2.0])]
    assert measured_seconds(records) == {cost_key(spec): 2.0}


@pytest.mark.parametrize(("seconds", "status"), [(5.0, "failed"), (5.0, "diverged"), (None, "finished")])
def test_runs_that_did_not_finish_or_were_not_timed_measure_nothing(screen, seconds, status):
    assert measured_seconds([record(screen.runs[0], seconds, status)]) == {}


def test_runs_at_two_budgets_are_measured_apart(screen):
    one = screen.runs[0]
    other = next(r for r in screen.runs if r.recipe == one.recipe and r.budget != one.budget)
    assert len(measured_seconds([record(one, 1.0), record(other, 2.0)])) == 2


def test_a_cost_is_the_sum_over_slots(screen):
    cost = estimate_cost(screen.runs, lambda run: 3.0, jobs=4, measured={})
    assert (cost.runs, cost.slot_seconds, cost.wall_seconds, cost.jobs, cost.measured) == (64, 192.0, 48.0, 4, 0)


def test_measured_runs_replace_the_estimate(screen):
    run = screen.runs[0]
    measured = {cost_key(run): 10.0}
    cost = estimate_cost(screen.runs, lambda run: 3.0, jobs=1, measured=measured)
    # The recipe runs under two seeds at this budget.
    assert (cost.slot_seconds, cost.measured) == (62 * 3.0 + 2 * 10.0, 2)


def test_measured_runs_are_not_estimated(screen):
    run = screen.runs[0]

    def refuse(spec: RunSpec) -> float:
        raise AssertionError("asked for an estimate")

    cost = estimate_cost([run], refuse, jobs=1, measured={cost_key(run): 1.0})
    assert cost.wall_seconds == 1.0


def test_no_runs_cost_nothing():
    cost = estimate_cost([], lambda run: 1.0, jobs=2, measured={})
    assert (cost.runs, cost.slot_seconds, cost.wall_seconds) == (0, 0.0, 0.0)


@given(seconds=st.lists(st.floats(0.1, 1e4), min_size=1, max_size=64), jobs=st.integers(1, 100))
def test_the_wall_clock_lies_between_the_longest_run_and_the_sum(screen, seconds, jobs):
    given_seconds = dict(zip((run.run_id for run in screen.runs), seconds, strict=False))
    cost = estimate_cost(screen.runs[: len(seconds)], lambda r: given_seconds[r.run_id], jobs=jobs, measured={})
    assert max(seconds) <= cost.wall_seconds <= cost.slot_seconds + 1e-9
