"""How far a call of `run_all` is and how long it will take; pure but for `fraction_done` and what it is given."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foldover.core import Budget, LimitKind, RunSpec, Status
from foldover.rundir.folder import CURVE

_TAIL_BYTES = 8192
# Of its budget a run must have done before its own pace says how long it will take.
_TELLING_FRACTION = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A run at work. budget: its label; fraction: of its budget, None where its curve does not say."""

    run_id: str
    condition: str
    seed: int
    budget: str
    slot: int
    elapsed_seconds: float
    fraction: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a call stands.

    planned: all its runs; ended: those that are complete, earlier ones included; by_status: counts of
    these by status, sorted by name; running: by slot; seconds_left: None while nothing is known.
    """

    planned: int
    ended: int
    by_status: tuple[tuple[Status, int], ...]
    running: tuple[Running, ...]
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Measured wall-clock seconds of one run, from claim to complete folder.

    estimated: what its trainer had said; is_continued: whether it began with the state of another run.
    """

    trainer: str
    budget: Budget
    seconds: float
    estimated: float | None = None
    is_continued: bool = False


Estimate = Callable[[RunSpec], float | None]


def unknown(spec: RunSpec) -> float | None:
    """No estimate."""
    return None


def expected_seconds(spec: RunSpec, timings: Sequence[Timing], estimate: Estimate = unknown) -> float | None:
    """Wall-clock seconds of a run, from what runs before it took; None if nothing tells.

    The mean of runs with its trainer and limit, else of its trainer and kind of limit: scaled by the amount, or for
    limits in seconds what they took beyond their trainer's estimate. Before any of them, the trainer's estimate;
    without one, a limit in seconds tells by itself. Runs that begin with the state of another are told apart.
    """
    limit = spec.budget.limit
    same = [
        t
        for t in timings
        if (t.trainer, t.budget.limit.kind, t.is_continued)
        == (spec.recipe.trainer, limit.kind, spec.starts_from is not None)
    ]
    equal = [t.seconds for t in same if t.budget.limit == limit]
    if equal:
        return _mean(equal)
    if limit.kind == "seconds":
        beyond = [t.seconds - (t.budget.limit.amount if t.estimated is None else t.estimated) for t in same]
        estimated = estimate(spec)
        return max(0.0, (limit.amount if estimated is None else estimated) + (_mean(beyond) if beyond else 0.0))
    return limit.amount * _mean([t.seconds / t.budget.limit.amount for t in same]) if same else estimate(spec)


def seconds_left(
    running: Sequence[tuple[RunSpec, float, float | None]],
    waiting: Iterable[RunSpec],
    timings: Sequence[Timing],
    slots: int,
    *,
    estimate: Estimate = unknown,
) -> float | None:
    """Until the last run ends, when slots take the waiting runs in order; None if one cannot be told.

    running: spec, elapsed seconds and the fraction done, None where that is not known. Where no run of a kind has
    ended, the pace of those that run tells of it. That some wait for others is left out of account.
    """
    known: dict[tuple[str, LimitKind, float, bool], float | None] = {}
    ended = {(t.trainer, t.budget.limit.kind, t.is_continued) for t in timings}
    told = [*timings, *(t for t in _paces(running) if (t.trainer, t.budget.limit.kind, t.is_continued) not in ended)]

    def expected(spec: RunSpec) -> float | None:
        limit = spec.budget.limit
        key = (spec.recipe.trainer, limit.kind, limit.amount, spec.starts_from is not None)
        if key not in known:
            known[key] = expected_seconds(spec, told, estimate)
        return known[key]

    free_at: list[float] = []
    for spec, elapsed, _ in running:
        seconds = expected(spec)
        if seconds is None:
            return None
        free_at.append(max(0.0, seconds - elapsed))
    free_at += [0.0] * (slots - len(free_at))
    heapq.heapify(free_at)
    for spec in waiting:
        seconds = expected(spec)
        if seconds is None:
            return None
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)


def _paces(running: Iterable[tuple[RunSpec, float, float | None]]) -> Iterator[Timing]:
    """What runs at work will take if they go on as they have begun; a limit in seconds tells by itself."""
    for spec, elapsed, fraction in running:
        if spec.budget.limit.kind != "seconds" and fraction is not None and fraction >= _TELLING_FRACTION:
            yield Timing(
                trainer=spec.recipe.trainer,
                budget=spec.budget,
                seconds=elapsed / fraction,
                is_continued=spec.starts_from is not None,
            )


def fraction_done(folder: Path) -> float | None:
    """`progress` of the last whole line of a run's curve; reads a few kilobytes however long it is."""
    try:
        with (folder / CURVE).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]  # behind the last newline is a line that is being written
        progress = json.loads(lines[-1])["progress"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return float(progress) if isinstance(progress, int | float) else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
