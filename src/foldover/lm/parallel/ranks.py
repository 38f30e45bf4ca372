"""What training asks of the processes that share a run.

Every process takes the same rows in the same order, computes its share of each micro-batch, and goes on with sums
over all of them: so all hold the same weights, and a step is that of one process up to the rounding of sums. What
decides something (the clock, the loss) is a number that all agree on. Rank 0 owns the run folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from foldover.core import Scalar


class RankDiedError(RuntimeError):
    """A process of the run is gone, or does not answer."""


class Ranks(Protocol):
    """The processes of a run, as one of them sees them. Every method is called by all of them, in the same order.

    Where another process is gone or silent, any of them raises RankDiedError.
    """

    @property
    def rank(self) -> int:
        """Which process this is, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    @property
    def backend(self) -> str:
        """What carries the messages; "none" where there are none."""

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Each becomes its sum over the ranks."""

    def send_sum(self, tensor: Tensor) -> Pending:
        """The same for one contiguous tensor, begun but not waited for."""

    def take_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Each becomes that of rank 0."""

    def tell(self, text: str) -> str:
        """Rank 0's text."""

    def gather(self, number: float) -> list[float]:
        """Everybody's number, by rank."""


class Pending(Protocol):
    """Something under way."""

    def wait(self) -> object:
        """Until it is done, as far as the device's next kernels are concerned."""


class Done:
    """Nothing to wait for."""

    def wait(self) -> None:
        """At once."""


class Alone:
    """One process."""

    rank, size, backend = 0, 1, "none"

    def add(self, tensors: Sequence[Tensor]) -> None:
        """They are sums already."""

    def send_sum(self, tensor: Tensor) -> Pending:
        """It is a sum already."""
        return Done()

    def take_from_first(self, tensors: Sequence[Tensor]) -> None:
        """They are rank 0's."""

    def tell(self, text: str) -> str:
        """The text."""
        return text

    def gather(self, number: float) -> list[float]:
        """The number."""
        return [number]


class Recorder(Protocol):
    """Where training leaves its curve and events: the run folder, for rank 0."""

    def add_to_curve(self, **values: Scalar) -> None:
        """One point of the training curve."""

    def add_event(self, event: str, **values: Scalar) -> None:
        """Something a study cares about."""


class Nowhere:
    """For the other ranks."""

    def add_to_curve(self, **values: Scalar) -> None:
        """Nothing."""

    def add_event(self, event: str, **values: Scalar) -> None:
        """Nothing."""


def share_of(num_rows: int, *, rank: int, size: int) -> slice:
    """A rank's part of the rows of a micro-batch: consecutive, equal up to one row; empty where there are too few."""
    return slice(num_rows * rank // size, num_rows * (rank + 1) // size)


def tokens_of_ranks(micro_batches: Sequence[Tensor], size: int) -> list[int]:
    """Tokens that each rank trains on in a step with these micro-batches of rows (B, T+1)."""
    parts = [[share_of(len(rows), rank=rank, size=size) for rows in micro_batches] for rank in range(size)]
    return [
        sum((part.stop - part.start) * (rows.shape[1] - 1) for part, rows in zip(own, micro_batches, strict=True))
        for own in parts
    ]
