"""Ways to spend a budget on a space of recipes, all of one shape: trials out, results in.

A strategy is a generator: it yields a batch of trials and is sent their results, in order. It depends on nothing
but its arguments and what it was sent, so that sending a recorded history again brings it back to where it was:
`continue_with` does that for a study that was interrupted, `spend` drives one to the end of a budget.
"""

from foldover.planning.strategies.asynchronous import asha
from foldover.planning.strategies.bayesian import bohb, tpe
from foldover.planning.strategies.drive import SLACK, Spent, continue_with, spend
from foldover.planning.strategies.greedy import greedy
from foldover.planning.strategies.halving import (
    Bracket,
    bracket_of,
    brackets,
    halving,
    hyperband,
    promotions,
    rungs,
    successive_halving,
)
from foldover.planning.strategies.population import num_replaced, population
from foldover.planning.strategies.random_batches import random_batches
from foldover.planning.strategies.staged import Staged, staged
from foldover.planning.strategies.trial import Incumbent, Moves, Result, Space, Trial, incumbent

__all__ = [
    "SLACK",
    "Bracket",
    "Incumbent",
    "Moves",
    "Result",
    "Space",
    "Spent",
    "Staged",
    "Trial",
    "asha",
    "bohb",
    "bracket_of",
    "brackets",
    "continue_with",
    "greedy",
    "halving",
    "hyperband",
    "incumbent",
    "num_replaced",
    "population",
    "promotions",
    "random_batches",
    "rungs",
    "spend",
    "staged",
    "successive_halving",
    "tpe",
]
