"""What may happen between chunks of an evaluation, and what ends it early.

The pass scores a chunk, then hands it over to be learned from, never the other way round, and hands over nothing that
it has not scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from foldover.evaluation.windows import Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A chunk all of whose targets are scored.

    context: where the window of its last positions begins; slot: whose additions it was scored with; num_scored:
    targets that the pass has scored by now.
    """

    chunk: Chunk
    context: int
    slot: int = 0
    num_scored: int = 0


class Learner(Protocol):
    """Changes the model between chunks. May raise Diverged."""

    def restart(self, num_slots: int = 1) -> None:
        """So many documents begin side by side: the model as it was, and of what was learned what resets leave."""

    def attend(self, slots: Sequence[int]) -> None:
        """The rows of the next forward passes belong to these slots."""

    def learn(self, *scored: Scored) -> None:
        """Learn from chunks of one index, each in its slot, none the last one since the model began anew."""

    def consolidate(self, scored: Scored) -> None:
        """Learn in the weights themselves, for good, from all units before the end of a stretch from the beginning."""

    def forget(self) -> None:
        """The model as it was trained."""


class Diverged(Exception):  # noqa: N818  # an event, not a mistake of anyone
    """What is learned is not finite any more."""


class NoLearner:
    """Nothing happens."""

    def restart(self, num_slots: int = 1) -> None:
        """Nothing."""

    def attend(self, slots: Sequence[int]) -> None:
        """Nothing."""

    def learn(self, *scored: Scored) -> None:
        """Nothing."""

    def consolidate(self, scored: Scored) -> None:
        """Nothing."""

    def forget(self) -> None:
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
        self.ran_out_after: int | None = None
        """Targets that were scored before the time ran out."""
        self.has_taught = False
        """Whether there was a lesson."""

    def restart(self, num_slots: int = 1) -> None:
        """Of the learner."""
        self._learner.restart(num_slots)

    def attend(self, slots: Sequence[int]) -> None:
        """Of the learner."""
        self._learner.attend(slots)

    def learn(self, *scored: Scored) -> None:
        """As long as there is time."""
        self._within_time(lambda: self._learner.learn(*scored), scored[0].num_scored)

    def consolidate(self, scored: Scored) -> None:
        """As long as there is time."""
        self._within_time(lambda: self._learner.consolidate(scored), scored.num_scored)

    def forget(self) -> None:
        """Of the learner."""
        self._learner.forget()

    def _within_time(self, lesson: Callable[[], None], num_scored: int) -> None:
        if self.ran_out_after is not None:
            return
        if self._clock() < self._ends:
            lesson()
            self.has_taught = True
        if self._clock() >= self._ends:
            self._learner.forget()
            self.ran_out_after = num_scored
