"""Seconds of a plan, from what its recipes resolve to and from runs that were measured already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from foldover.core import RunRecord, RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """runs: how many; slot_seconds: their sum; wall_seconds: on `jobs` slots; measured: runs whose cost is known.

    trunks: those of the runs that are there for others to begin with; continued: those that begin with a trunk's state.
    """

    runs: int
    slot_seconds: float
    wall_seconds: float
    jobs: int
    measured: int
    trunks: int = 0
    continued: int = 0


CostKey = tuple[str, str, bool]
"""Recipe digest, label of the budget, whether the run begins with the state of another."""


def cost_key(run: RunSpec) -> CostKey:
    """What makes runs cost the same."""
    return run.recipe.digest, run.budget.label(), run.starts_from is not None


def measured_seconds(records: Sequence[RunRecord]) -> dict[CostKey, float]:
    """Median total seconds of finished runs."""
    seconds: dict[CostKey, list[float]] = {}
    for record in records:
        total = record.outcome.counters.get("total_seconds")
        if record.outcome.status == "finished" and isinstance(total, int | float):
            seconds.setdefault(cost_key(record.spec), []).append(float(total))
    return {key: median(values) for key, values in seconds.items()}


def estimate_cost(
    runs: Sequence[RunSpec],
    estimate: Callable[[RunSpec], float],
    *,
    jobs: int,
    measured: Mapping[CostKey, float],
) -> Cost:
    """Cost of runs: measured where the same recipe ran at the same budget, else the trainer's estimate.

    A run that begins with another's state comes after that one, however many slots there are.
    """
    known = [measured.get(cost_key(run)) for run in runs]
    seconds = [estimate(run) if k is None else k for run, k in zip(runs, known, strict=True)]
    total = sum(seconds)
    slots = max(1, min(jobs, len(runs)))
    return Cost(
        runs=len(runs),
        slot_seconds=total,
        wall_seconds=max([total / slots, *_chains(runs, seconds)]) if seconds else 0.0,
        jobs=jobs,
        measured=sum(k is not None for k in known),
        trunks=sum(run.is_trunk for run in runs),
        continued=sum(run.starts_from is not None for run in runs),
    )


def _chains(runs: Sequence[RunSpec], seconds: Sequence[float]) -> list[float]:
    """Seconds of each run with all that it waits for. A trunk stands before what starts from it."""
    until: dict[str, float] = {}
    for run, own in zip(runs, seconds, strict=True):
        until[run.run_id] = own + until.get(run.starts_from or "", 0.0)
    return list(until.values())
