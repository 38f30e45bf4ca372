"""Seconds of a plan, from what its recipes resolve to and from runs that were measured already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from foldover.core import RunRecord, RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """runs: how many; slot_seconds: their sum; wall_seconds: on `jobs` slots; measured: runs whose cost is known."""

    runs: int
    slot_seconds: float
    wall_seconds: float
    jobs: int
    measured: int


def measured_seconds(records: Sequence[RunRecord]) -> dict[tuple[str, str], float]:
    """Median total seconds of finished runs by (recipe digest, budget label)."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for record in records:
        total = record.outcome.counters.get("total_seconds")
        if record.outcome.status == "finished" and isinstance(total, int | float):
            key = (record.spec.recipe.digest, record.spec.budget.label())
            seconds.setdefault(key, []).append(float(total))
    return {key: median(values) for key, values in seconds.items()}


def estimate_cost(
    runs: Sequence[RunSpec],
    estimate: Callable[[RunSpec], float],
    *,
    jobs: int,
    measured: Mapping[tuple[str, str], float],
) -> Cost:
    """Cost of runs: measured where the same recipe ran at the same budget, else the trainer's estimate."""
    known = [measured.get((run.recipe.digest, run.budget.label())) for run in runs]
    seconds = [estimate(run) if k is None else k for run, k in zip(runs, known, strict=True)]
    total = sum(seconds)
    slots = max(1, min(jobs, len(runs)))
    return Cost(
        runs=len(runs),
        slot_seconds=total,
        wall_seconds=max([total / slots, *seconds]) if seconds else 0.0,
        jobs=jobs,
        measured=sum(k is not None for k in known),
    )
