"""A stage of the kind `search`: its strategy, its rungs, and what it may spend."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import cast, get_args

from foldover.core import (
    BY_RATE,
    OVER_RUNGS,
    Budget,
    BudgetError,
    Factor,
    Limit,
    Search,
    Strategy,
    common_ratio,
    ladder_to,
)
from foldover.studyfile.picks import Draft, Known, find_stage
from foldover.studyfile.table import Table, is_number

SEARCH_KEYS = ("strategy", "runs", "cost", "batch", "levels", "matched_to")
# How many runs make a batch where the file does not say, and what that is called; of others it means nothing.
_BATCHES: Mapping[str, int] = {"random": 1, "asha": 2, "population": 8}
_LEAST_BATCHES: Mapping[str, int] = {"halving": 2, "population": 2}
_MOST_RATE = 10  # of a ladder that is shown
_MOST_RUNS = 100_000  # that a cost may pay for: to foresee and to plan more takes for ever
_UNMATCHED = "a baseline must cost as much as what it is matched to"


def read_search(
    table: Table, known: Known, *, budgets: tuple[Budget, ...] | None, seeds: tuple[int, ...] | None, host: str | None
) -> Search | None:
    """What the stage says of its search; None if any of it is wrong (noted)."""
    noted = len(table.report.problems)
    table.require("strategy")
    strategy = cast("Strategy | None", table.choice("strategy", get_args(Strategy)))
    runs, batch = table.whole("runs", at_least=1), table.whole("batch", at_least=1)
    levels = _levels(table, known.factors)
    other = find_stage(table, "matched_to", table.text("matched_to"), known)
    if other is not None and host is not None and (other.host or known.host) != (host or known.host):
        text = f"{_UNMATCHED}, and stage {other.name} is on another host: the same limit is another cost there."
        table.problem("matched_to", text)
    if seeds is not None and len(seeds) != 1:
        table.problem("seeds", "a search takes one seed; its runs count on from there.")
    if strategy is None:
        return None
    limits = None if budgets is None else tuple(budget.limit for budget in budgets)
    if limits is not None and not _are_rungs_of(table, strategy, limits):
        limits = None
    batch = _batch(table, strategy, batch, limits)
    cost = None
    if strategy in OVER_RUNGS:
        cost = _cost(table, strategy, limits, other)
        if limits is not None and cost is not None:
            _check_first_batch(table, strategy, limits, batch, cost)
    else:
        if "cost" in table:
            table.problem("cost", f"{strategy} has runs of one length: say in `runs` how many.")
        table.require("runs")
        if runs is not None and limits is not None and other is not None:
            _check_matched_runs(table, limits[0], runs, other)
    if len(table.report.problems) > noted or limits is None or levels is None or (runs is None and cost is None):
        return None
    return Search(
        strategy=strategy,
        runs=runs,
        batch=batch,
        letters=tuple(levels),
        levels=tuple(levels.values()),
        cost=cost,
    )


def _are_rungs_of(table: Table, strategy: str, limits: tuple[Limit, ...]) -> bool:
    """Whether they are what the strategy can work with: one budget, a rising ladder, or one at a common rate."""
    if strategy not in OVER_RUNGS:
        if len(limits) > 1:
            table.problem("budgets", f"{strategy} has one budget: write a stage for each.")
        return len(limits) == 1
    if len(limits) == 1:
        text = f"{strategy} goes from short budgets to long ones and needs two or more."
        table.problem("budgets", f"{text} E.g. {_written(ladder_to(limits[0], ratio=3.0, rungs=3))}.")
        return False
    if len({limit.kind for limit in limits}) > 1:
        table.problem("budgets", f"the budgets of {strategy} add up to one cost: give all of them in one unit.")
        return False
    if strategy in BY_RATE and common_ratio(limits) is None:
        factors = ", ".join(f"{b.amount / a.amount:.4g}" for a, b in itertools.pairwise(limits))
        mean = (math.log(limits[-1].amount) - math.log(limits[0].amount)) / (len(limits) - 1)
        rate = max(2, round(math.exp(min(mean, math.log(_MOST_RATE)))))
        ladder = ladder_to(limits[-1], ratio=rate, rungs=len(limits))
        text = f"{strategy} promotes by one rate, so that each budget is as many times the one before (got {factors})."
        table.problem("budgets", f"{text} The ladder of {rate} is {_written(ladder)}.")
        return False
    return True


def _written(limits: tuple[Limit, ...]) -> str:
    """As a study file has them."""
    texts = [f'"{limit.label().replace(",", "")}"' for limit in limits]
    return f"[{', '.join(texts)}]"


def _batch(table: Table, strategy: str, given: int | None, limits: tuple[Limit, ...] | None) -> int:
    """How many runs make a batch; 1 where that means nothing."""
    if strategy != "halving" and strategy not in _BATCHES:
        # 1 is what a search that asks for one run after the other has; files that foldover wrote used to say so.
        if given is not None and (given > 1 or strategy in OVER_RUNGS):
            how = "its brackets follow from its budgets" if strategy in OVER_RUNGS else "it asks for one run at a time"
            table.problem("batch", f"`batch` means nothing to {strategy}: {how}. Leave it out.")
        return 1
    if given is None:
        return _bracket_size(limits) if strategy == "halving" else _BATCHES[strategy]
    if given < _LEAST_BATCHES.get(strategy, 1):
        table.problem("batch", f"{strategy} needs two or more runs to choose among (got {given}).")
    return given


def _bracket_size(limits: tuple[Limit, ...] | None) -> int:
    """Of how many points of the first rung one reaches the last."""
    ratio = None if limits is None else common_ratio(limits)
    return 2 if limits is None or ratio is None else math.ceil(ratio ** (len(limits) - 1) - 1e-9)


def _cost(table: Table, strategy: str, limits: tuple[Limit, ...] | None, other: Draft | None) -> Limit | None:
    """What may be spent: as the file says, or what the stage costs that it is matched to."""
    if "runs" in table:
        text = f"the runs of {strategy} are of several lengths: give the `cost` of all, or `matched_to`."
        table.problem("runs", text)
    if "cost" not in table and "matched_to" not in table:
        table.problem(None, "`cost` is missing, in the unit of the budgets. Or name a stage in `matched_to`.")
    given = _limit(table, table.text("cost")) if "cost" in table else None
    kind = None if limits is None else limits[-1].kind
    if given is not None and kind is not None and given.kind != kind:
        table.problem("cost", f"`cost` is in {given.kind} and the budgets are in {kind}.")
        return None
    if other is None:
        return given
    matched = other.cost
    if matched is None:
        if len({budget.limit.kind for budget in other.budgets or ()}) > 1:
            table.problem("matched_to", f"the budgets of stage {other.name} do not add up: they are in several units.")
        elif other.budgets and (other.kind == "refine" or other.num_runs is not None):
            text = f"what stage {other.name} costs is known only when it is planned: give a `cost` instead."
            table.problem("matched_to", text)
        return None
    if kind is not None and matched.kind != kind:
        table.problem("matched_to", f"stage {other.name} is in {matched.kind} and this one is in {kind}.")
        return None
    if given is not None and given != matched:
        text = f"{_UNMATCHED}: {given.label()}, but stage {other.name} costs {matched.label()}. Leave `cost` out."
        table.problem("cost", text)
    return matched


def _limit(table: Table, text: str | None) -> Limit | None:
    try:
        return None if text is None else Limit.parse(text)
    except BudgetError as error:
        table.problem("cost", str(error))
        return None


def _check_first_batch(table: Table, strategy: str, limits: tuple[Limit, ...], batch: int, cost: Limit) -> None:
    at = "cost" if "cost" in table else "matched_to"
    if cost.amount > _MOST_RUNS * limits[0].amount:
        text = f"{cost.label()} would pay for more than {_MOST_RUNS:,} runs of {limits[0].label()}."
        table.problem(at, f"{text} Lower the cost, or begin with a longer budget.")
    first = _bracket_size(limits) if strategy in ("hyperband", "bohb") else batch
    needed = Limit(kind=cost.kind, amount=first * limits[0].amount)
    if needed.amount > cost.amount:
        text = f"the first batch of {strategy} is {first} runs of {limits[0].label()}: that is {needed.label()}"
        table.problem(at, f"{text}, and it may spend {cost.label()}.")


def _check_matched_runs(table: Table, limit: Limit, runs: int, other: Draft) -> None:
    """Whether a search at one budget spends what the stage spends there, or in all if that is over rungs."""
    if other.budgets is None:
        return
    labels = [budget.label() for budget in other.budgets]
    if limit.label() not in labels:
        text = f"stage {other.name} has no runs of {limit.label()} (it has {', '.join(labels)})."
        table.problem("matched_to", text)
        return
    is_over_rungs = other.search is not None and other.search.cost is not None
    if is_over_rungs and other.cost is not None:
        theirs = math.floor(other.cost.amount / limit.amount + 1e-9)
        if theirs != runs:
            text = f"{_UNMATCHED}: stage {other.name} may spend {other.cost.label()}, which is {theirs} runs"
            table.problem("runs", f"{text} of {limit.label()} (got {runs}).")
    elif other.num_runs is not None:
        if other.num_runs != runs:
            text = f"{_UNMATCHED}: {runs} runs of {limit.label()}, but stage {other.name}"
            table.problem("runs", f"{text} has {other.num_runs}.")
    elif other.kind == "refine":
        text = f"what stage {other.name} costs is known only when it is planned, and nothing can be matched to it."
        table.problem("matched_to", text)


def _levels(table: Table, factors: Mapping[str, Factor | None]) -> dict[str, tuple[float, ...]] | None:
    """Coded levels by letter, ascending; {} where none are given."""
    given = table.table("levels", title=table.title)
    if given is None:
        return None if "levels" in table else {}
    found: dict[str, tuple[float, ...]] = {}
    for letter, levels in given.content.items():
        factor = factors.get(letter)
        if letter not in factors or not isinstance(levels, list) or not all(is_number(level) for level in levels):
            given.problem(letter, f"`levels` has coded levels by letter, e.g. {{ C = [-1, 0, 1] }} (got {levels!r}).")
            return None
        values = tuple(float(cast(float, level)) for level in levels)
        if len(values) < 2 or list(values) != sorted(set(values)):
            given.problem(letter, f"factor {letter} needs two or more rising levels (got {levels!r}).")
            return None
        if factor is not None and factor.kind == "choice" and set(values) - set(factor.coded_levels()):
            given.problem(letter, f"factor {letter} is a choice and has no level between.")
            return None
        found[letter] = values
    return found
