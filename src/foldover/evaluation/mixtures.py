"""What is mixed into distributions: proposals of sources that watch the tokens go by.

A source sees each token only after it was scored and proposes, for the next one, shares of a few tokens that add up to
one. Mixed, p' = (1 - w) p + w q; tilted, p' is proportional to p exp(beta) at the hint and to p elsewhere. Either way
the result is a distribution. Shares that do not add up to one (a public cache of hashed counts had some 277) are
refused as they are made.

Legend: n positions, V vocabulary; distributions are log p, float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foldover.core import EvaluationError
from foldover.evaluation.stream import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Shares of tokens, which add up to 1, and the weight of the whole, below 1; the likeliest token comes first.

    Raises EvaluationError (`normalisation`) for shares that do not.
    """

    tokens: tuple[int, ...]
    shares: tuple[float, ...]
    weight: float

    def __post_init__(self) -> None:
        total = math.fsum(self.shares)
        if not abs(total - 1.0) <= 1e-9 or min(self.shares) <= 0.0:
            raise EvaluationError("normalisation", f"the shares of a proposal add up to {total:.9g}")


class Source(Protocol):
    """Something that guesses the next token from those that it has observed."""

    def begin(self) -> None:
        """A new unit: what comes next does not continue what came before, but it may be like it."""

    def observe(self, token: int) -> None:
        """The next token is known now."""

    def propose(self, seen: int) -> Proposal | None:
        """A guess of the next one, if there is a ground for one. seen: how many latest tokens the model sees."""


class Mixer(Protocol):
    """Changes distributions on their way to scores; asked for positions in order, each once."""

    def __call__(self, log_probs: Tensor, positions: NDArray[np.int64], starts: NDArray[np.int64]) -> Tensor:
        """(n, V) at positions (n,) whose windows begin at starts (n,) -> (n, V)."""


Combine = Callable[[Tensor, Sequence[Proposal | None]], Tensor]


class SourceMixer:
    """A source led along a stream, and what is done with its proposals.

    make: a source that knows nothing; forgets: whether each unit gets a new one.
    """

    def __init__(self, make: Callable[[], Source], combine: Combine, stream: Stream, *, forgets: bool) -> None:
        self._make, self._combine, self._forgets = make, combine, forgets
        self._ids = stream.ids
        self._begins = set(stream.starts[:-1].tolist())
        self._source = make()
        self._observed = 0

    def __call__(self, log_probs: Tensor, positions: NDArray[np.int64], starts: NDArray[np.int64]) -> Tensor:
        """The mixture."""
        proposals = []
        for position, start in zip(positions.tolist(), starts.tolist(), strict=True):
            self._observe_up_to(position)
            proposals.append(self._source.propose(position - start + 1))
        return self._combine(log_probs, proposals)

    def _observe_up_to(self, position: int) -> None:
        while self._observed <= position:
            if self._observed in self._begins:
                if self._forgets:
                    self._source = self._make()
                self._source.begin()
            self._source.observe(int(self._ids[self._observed]))
            self._observed += 1


def mix(log_probs: Tensor, proposals: Sequence[Proposal | None]) -> Tensor:
    """(1 - w) p + w q where there is a proposal."""
    given = [(row, proposal) for row, proposal in enumerate(proposals) if proposal is not None and proposal.weight]
    if not given:
        return log_probs
    device = log_probs.device
    rows = torch.tensor([row for row, _ in given], device=device)
    kept = torch.tensor([math.log1p(-proposal.weight) for _, proposal in given], dtype=torch.float64, device=device)
    cells = [
        (row, token, math.log(share * proposal.weight))
        for row, proposal in given
        for token, share in zip(proposal.tokens, proposal.shares, strict=True)
    ]
    r, t = (torch.tensor([cell[i] for cell in cells], device=device) for i in (0, 1))
    added = torch.tensor([cell[2] for cell in cells], dtype=torch.float64, device=device)
    mixed = log_probs.clone()
    mixed[rows] += kept.unsqueeze(1)
    mixed[r, t] = torch.logaddexp(mixed[r, t], added)
    return mixed


def tilt(beta: float) -> Combine:
    """The likeliest token of a proposal gets beta more in its logit."""

    def combine(log_probs: Tensor, proposals: Sequence[Proposal | None]) -> Tensor:
        given = [(row, proposal.tokens[0]) for row, proposal in enumerate(proposals) if proposal is not None]
        if not given:
            return log_probs
        rows, hints = (torch.tensor(list(column), device=log_probs.device) for column in zip(*given, strict=True))
        tilted = log_probs.clone()
        tilted[rows, hints] += beta
        total = torch.log1p(log_probs[rows, hints].exp() * math.expm1(beta))
        tilted[rows] -= total.unsqueeze(1)
        return tilted

    return combine
