"""What may happen between chunks of an evaluation, and what ends it early.

The pass scores a chunk, then hands it over to be learned from, never the other way round, and hands over nothing that
it has not scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from foldover.evaluation.windows import Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A chunk all of whose targets are scored. context: where the window of its last positions begins."""

    chunk: Chunk
    context: int


class Learner(Protocol):
    """Changes the model between chunks. May raise Diverged."""

    def restart(self) -> None:
        """The model as it was trained, and nothing remembered beyond what the policy of resets keeps."""

    def learn(self, scored: Scored) -> None:
        """Learn from a chunk, not the last one since the model began anew."""


class Diverged(Exception):  # noqa: N818  # an event, not a mistake of anyone
    """What is learned is not finite any more."""


class NoLearner:
    """Nothing happens."""

    def restart(self) -> None:
        """Nothing."""

    def learn(self, scored: Scored) -> None:
        """Nothing."""


@contextmanager
def no_adaptation() -> Iterator[Learner]:
    """A pass with the model as it is."""
    yield NoLearner()


Adaptation = Callable[[], AbstractContextManager[Learner]]
"""Opens a learner for one pass; when it is closed the model is as it was before, to the bit."""


class TimeLimited:
    """A learner that has so many seconds from now. Then the model is as it was trained, for the rest of the pass."""

    def __init__(self, learner: Learner, *, seconds: float, clock: Callable[[], float]) -> None:
        self._learner, self._clock = learner, clock
        self._ends = clock() + seconds
        self.ran_out_at: int | None = None
        """First position that was scored unadapted because of the time."""

    def restart(self) -> None:
        """Of the learner."""
        self._learner.restart()

    def learn(self, scored: Scored) -> None:
        """As long as there is time."""
        if self.ran_out_at is not None:
            return
        if self._clock() < self._ends:
            self._learner.learn(scored)
        if self._clock() >= self._ends:
            self._learner.restart()
            self.ran_out_at = scored.chunk.hi
