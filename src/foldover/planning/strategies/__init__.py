"""Ways to spend a budget on a space of recipes, all of one shape: trials out, results in.

A strategy is a generator: it yields a batch of trials and is sent their results, in order. It depends on nothing
but its arguments and what it was sent, so that sending a recorded history again brings it back to where it was:
`continue_with` does that for a study that was interrupted, `spend` drives one to the end of a budget.
"""

from foldover.planning.strategies.asynchronous import asha
from foldover.planning.strategies.bayesian import bohb, tpe
from foldover.planning.strategies.drive import Spent, continue_with, spend
from foldover.planning.strategies.greedy import greedy
from foldover.planning.strategies.halving import Bracket, brackets, hyperband, successive_halving
from foldover.planning.strategies.population import population
from foldover.planning.strategies.random_batches import random_batches
from foldover.planning.strategies.staged import Staged, staged
from foldover.planning.strategies.trial import Incumbent, Moves, Result, Space, Trial, incumbent

__all__ = [
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
    "brackets",
    "continue_with",
    "greedy",
    "hyperband",
    "incumbent",
    "population",
    "random_batches",
    "spend",
    "staged",
    "successive_halving",
    "tpe",
]
