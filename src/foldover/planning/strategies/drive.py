"""Driving a strategy: to the end of a budget, or on from a recorded history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foldover.core import DesignError
from foldover.planning.strategies.trial import Moves, Result, Trial

# Budgets are sums of many floats: what is over by no more than this is not over.
SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a strategy did with its budget. costs: the sum of the budgets up to and with each result."""

    results: tuple[Result, ...]
    costs: tuple[float, ...]


def spend(moves: Moves, evaluate: Callable[[Trial], float | None], *, total: float) -> Spent:
    """Run a strategy until its next trial would cost more than is left, or it has nothing more to ask.

    Every trial costs its budget, whatever becomes of it. A batch that does not fit is run as far as it fits, and is
    the last: a strategy that needs whole batches is told nothing of it.
    """
    results: list[Result] = []
    costs: list[float] = []
    spent, asked = 0.0, _next(moves, None)
    while asked:
        batch: list[Result] = []
        for trial in asked:
            if spent + trial.budget > total * (1.0 + SLACK):
                return Spent(results=(*results, *batch), costs=tuple(costs))
            spent += trial.budget
            batch.append(Result(trial=trial, value=evaluate(trial)))
            costs.append(spent)
        results += batch
        asked = _next(moves, batch)
    return Spent(results=tuple(results), costs=tuple(costs))


def continue_with(moves: Moves, results: Sequence[Result]) -> tuple[Trial, ...]:
    """The trials that a strategy asks for after these results, given in the order in which it asked; () at its end.

    What is missing of a batch at the end of the results is asked for again. Raises DesignError where the history is
    not one that this strategy has made.
    """
    left, asked = list(results), _next(moves, None)
    while asked and left:
        batch, left = left[: len(asked)], left[len(asked) :]
        for trial, result in zip(asked, batch, strict=False):
            if result.trial != trial:
                raise DesignError(
                    "the results are not those of this strategy: it would have asked for another trial",
                    value=result.trial,
                    fix=f"It asks for {trial}.",
                )
        if len(batch) < len(asked):
            return tuple(asked[len(batch) :])
        asked = _next(moves, batch)
    return tuple(asked)


def _next(moves: Moves, results: Sequence[Result] | None) -> Sequence[Trial]:
    try:
        return next(moves) if results is None else moves.send(results)
    except StopIteration:
        return ()
