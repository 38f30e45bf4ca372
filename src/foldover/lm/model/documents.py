"""What a position may know of those before it: all of its row, or its document alone (`attention.within_documents`).

A BOS begins a document; what stands in a row before its first BOS is the end of one, and on its own. Rotary positions
do not begin anew: only their differences act.

Legend: B rows, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from foldover.lm.model.flow import Documents, Flow


class Past(Protocol):
    """What belongs to a position. ids: (B, T)."""

    def places(self, ids: Tensor) -> Tensor:
        """How many positions before each one belong to it: (T,), or (B, T)."""

    def total(self, x: Tensor, ids: Tensor) -> Tensor:
        """Sums of x (B, T) or (B, T, n) over what belongs to each position, its own part included."""

    def before(self, x: Tensor, ids: Tensor) -> Tensor:
        """x (B, T, n) of the position before, 0 where that does not belong to it."""


class OfRow:
    """Everything before it in its row."""

    def places(self, ids: Tensor) -> Tensor:
        """See `Past`."""
        return torch.arange(ids.shape[1], device=ids.device)

    def total(self, x: Tensor, ids: Tensor) -> Tensor:
        """See `Past`."""
        return x.cumsum(dim=1)

    def before(self, x: Tensor, ids: Tensor) -> Tensor:
        """See `Past`."""
        return one_later(x)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfDocument:
    """What has come since the last `bos_id`, that included."""

    bos_id: int

    def places(self, ids: Tensor) -> Tensor:
        """See `Past`."""
        position = torch.arange(ids.shape[1], device=ids.device)
        return position - torch.where(ids == self.bos_id, position, 0).cummax(dim=1).values

    def total(self, x: Tensor, ids: Tensor) -> Tensor:
        """See `Past`."""
        of_row = x.cumsum(dim=1)
        first = torch.arange(ids.shape[1], device=ids.device) - self.places(ids)
        index = first.view(*first.shape, *(1 for _ in x.shape[2:])).expand_as(of_row)
        return of_row - (of_row - x).gather(1, index)

    def before(self, x: Tensor, ids: Tensor) -> Tensor:
        """See `Past`."""
        return one_later(x).masked_fill((ids == self.bos_id).unsqueeze(-1), 0.0)


OF_ROW = OfRow()


def one_later(x: Tensor) -> Tensor:
    """x (B, T, n) of the position before; nothing before the first."""
    return functional.pad(x, (0, 0, 1, 0))[:, :-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindDocuments:
    """The step that tells attention where documents begin, ahead of the first block."""

    past: Past

    def __call__(self, flow: Flow) -> None:
        """Once for all blocks."""
        flow.documents = Documents(places=self.past.places(flow.ids))
