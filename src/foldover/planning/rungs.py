"""What a search over several budgets does with them: its strategy set up, its runs foreseen, what it took on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from foldover.core import Budget, Limit, Search, common_ratio
from foldover.planning.strategies import (
    SLACK,
    Bracket,
    Moves,
    Space,
    asha,
    bohb,
    bracket_of,
    brackets,
    halving,
    hyperband,
    num_replaced,
    population,
    promotions,
    spend,
)


def moves_over(search: Search, budgets: Sequence[Budget], space: Space, *, seed: int) -> Moves:
    """The strategy of a search over the budgets of its stage."""
    amounts = tuple(budget.limit.amount for budget in budgets)
    if search.strategy == "population":
        return population(space, budgets=amounts, size=search.batch, seed=seed)
    eta = rate_of(budgets)
    if search.strategy == "halving":
        return halving(space, budgets=amounts, eta=eta, size=search.batch, seed=seed)
    if search.strategy == "hyperband":
        return hyperband(space, budgets=amounts, eta=eta, seed=seed)
    if search.strategy == "bohb":
        return bohb(space, budgets=amounts, eta=eta, seed=seed)
    assert search.strategy == "asha", f"{search.strategy} is not over rungs"
    return asha(space, budgets=amounts, eta=eta, workers=search.batch, seed=seed)


def rate_of(budgets: Sequence[Budget]) -> float:
    """How many times the one before each budget is."""
    ratio = common_ratio([budget.limit for budget in budgets])
    assert ratio is not None, "the study file makes sure of it"
    return ratio


def most_runs(search: Search, budgets: Sequence[Budget]) -> int:
    """More than so many runs the cost never pays for."""
    assert search.cost is not None, "a search over rungs has a cost"
    return math.floor(search.cost.amount / budgets[0].limit.amount + 1e-9)


def expected_runs(search: Search, budgets: Sequence[Budget], space: Space) -> tuple[int, ...]:
    """Runs at each budget if none fails.

    Exact but for `asha`, whose promotions depend on the results: it is counted as brackets that send one point up.
    """
    assert search.cost is not None, "a search over rungs has a cost"
    amounts = [budget.limit.amount for budget in budgets]
    if search.strategy == "population":
        moves = population(space, budgets=amounts, size=search.batch, seed=0)
    elif search.strategy in ("hyperband", "bohb"):
        moves = hyperband(space, budgets=amounts, eta=rate_of(budgets), seed=0)
    else:
        size = search.batch if search.strategy == "halving" else round(amounts[-1] / amounts[0])
        moves = halving(space, budgets=amounts, eta=rate_of(budgets), size=size, seed=0)
    spent = spend(moves, lambda trial: 0.0, total=search.cost.amount)
    counts = Counter(result.trial.budget for result in spent.results)
    return tuple(counts[amount] for amount in amounts)


def carried_on(
    search: Search, budgets: Sequence[Budget], done: Sequence[Budget], has_value: Sequence[bool]
) -> tuple[int | None, ...]:
    """Of the runs of a search in the order asked for: the index of the budget from which each takes a point on.

    done: the budget of each; has_value: whether it gave a result. None for a point that is drawn or changed. A point
    is taken on from the rung below, in a `population` from the generation before: all but those that are replaced.
    """
    at = [budgets.index(budget) for budget in done]
    if search.strategy == "population":
        size, kept = search.batch, search.batch - num_replaced(search.batch)
        return tuple(at[i - size] if i >= size and i % size < kept else None for i in range(len(at)))
    taken = [i > 0 for i in at] if search.strategy == "asha" else promotions(_cycle(search, budgets), has_value)
    return tuple(i - 1 if is_taken else None for i, is_taken in zip(at, taken, strict=True))


def _cycle(search: Search, budgets: Sequence[Budget]) -> tuple[Bracket, ...]:
    amounts = [budget.limit.amount for budget in budgets]
    if search.strategy == "halving":
        return (bracket_of(search.batch, amounts, eta=rate_of(budgets)),)
    return brackets(amounts, eta=rate_of(budgets))


def what_is_left(cost: Limit, spent: float) -> Limit | None:
    """What of a cost is not spent; None where nothing is."""
    left = cost.amount - spent
    return Limit(kind=cost.kind, amount=left) if left > SLACK * cost.amount else None
