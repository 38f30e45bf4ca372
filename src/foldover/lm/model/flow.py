"""What travels through the network: the residual stream and what later parts may read of earlier ones.

Legend: B rows, T tokens, d width, G key/value heads, hd head width.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(slots=True, kw_only=True, eq=False)
class Documents:
    """Where the documents of rows are. places (B, T): how many tokens of its own document come before each."""

    places: Tensor
    _firsts: Tensor | None = None

    def firsts(self) -> Tensor:
        """(D,), where they begin in the rows put end to end. Found once: a GPU is waited for."""
        if self._firsts is None:
            self._firsts = torch.nonzero(self.places.flatten() == 0).squeeze(1)
        return self._firsts


@dataclass(slots=True, kw_only=True)
class Flow:
    """One forward pass. x: the stream (B, T, d), lane 0 where there are two; x0: the embedded tokens.

    lane: the MLP's lane where there are two; skips: outputs waiting to join; first_value, last_value (B, T, G, hd):
    values of the first executed block and of the one before; documents: where attention stays within them.
    """

    ids: Tensor
    x: Tensor
    x0: Tensor
    lane: Tensor | None = None
    skips: list[Tensor] = field(default_factory=list)
    first_value: Tensor | None = None
    last_value: Tensor | None = None
    documents: Documents | None = None
