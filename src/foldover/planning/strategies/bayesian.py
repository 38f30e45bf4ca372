"""Model-based search: Optuna's tree-structured Parzen estimator behind our accounting, alone and in Hyperband (BOHB).

Bergstra et al. 2011 (TPE); Falkner, Klein and Hutter 2018, arXiv 1807.01774 (BOHB). Optuna is imported when a search
begins: it is the extra `search`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from foldover.core import UserError
from foldover.planning.strategies.halving import brackets, successive_halving
from foldover.planning.strategies.trial import Levels, Moves, Result, Space, Trial, generator_of

if TYPE_CHECKING:
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from optuna.study import Study

RANDOM_SHARE = 1 / 3  # of BOHB's points, whatever the model says


def tpe(space: Space, *, budget: float, seed: int, num_random: int = 10) -> Moves:
    """TPE at one budget, one trial at a time, without end. num_random: trials before the model is asked."""
    numbers = itertools.count(1)
    model = _Model(space, seed=seed, num_random=num_random)
    while True:
        results = yield [Trial(levels=model.ask(), budget=budget, seed=next(numbers))]
        model.tell(results[0])


def bohb(space: Space, *, budgets: Sequence[float], eta: float = 3.0, seed: int) -> Moves:
    """Hyperband's brackets over points that TPE proposes, again and again.

    The model is of the largest budget that has at least factors + 2 results; a third of the points are random.
    """
    stream, numbers = generator_of("bohb", seed), itertools.count(1)
    least_results = len(space.letters) + 2
    seen: dict[float, list[Result]] = {}
    for turn in itertools.count():
        bracket = brackets(budgets, eta=eta)
        for index, current in enumerate(bracket):
            ready = [amount for amount, results in seen.items() if len(results) >= least_results]
            points = [space.draw(stream) for _ in range(current.sizes[0])]
            if ready:
                model = _Model(space, seed=seed * 1_000_003 + turn * len(bracket) + index, num_random=0)
                for result in seen[max(ready)]:
                    model.tell(result)
                points = [p if stream.random() < RANDOM_SHARE else model.ask() for p in points]
            moves = successive_halving(points, current, numbers)
            asked: Sequence[Trial] | None = next(moves)
            while asked is not None:
                results = yield asked
                for result in results:
                    seen.setdefault(result.trial.budget, []).append(result)
                asked = _send(moves, results)


def _send(moves: Moves, results: Sequence[Result]) -> Sequence[Trial] | None:
    try:
        return moves.send(results)
    except StopIteration:
        return None


class _Model:
    """A study of Optuna in memory: asked for points, told results."""

    def __init__(self, space: Space, *, seed: int, num_random: int) -> None:
        try:
            import optuna  # late: a search needs it, planning does not
        except ImportError as error:
            raise UserError(
                "TPE and BOHB need optuna, which is not installed", fix='Run pip install "foldover[search]".'
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed % 2**32, n_startup_trials=num_random, multivariate=True, constant_liar=True
            )
        self._optuna = optuna
        self._study: Study = optuna.create_study(direction="minimize", sampler=sampler)
        self._space = space
        self._distributions: Mapping[str, CategoricalDistribution | FloatDistribution] = {
            letter: optuna.distributions.CategoricalDistribution(levels) for letter, levels in space.levels.items()
        }

    def ask(self) -> Levels:
        """A point."""
        trial = self._study.ask(dict(self._distributions))
        return tuple(float(trial.params[letter]) for letter in self._space.letters)

    def tell(self, result: Result) -> None:
        """A result; one without a value is told as failed."""
        state = self._optuna.trial.TrialState
        failed = result.value is None
        self._study.add_trial(
            self._optuna.trial.create_trial(
                params=dict(zip(self._space.letters, result.trial.levels, strict=True)),
                distributions=dict(self._distributions),
                value=None if failed else result.value,
                state=state.FAIL if failed else state.COMPLETE,
            )
        )
