"""What is learned beside the next token, in training only: each term is (features (B, T, d), ids, targets) -> loss.

Terms come with their weight and are added to the objective; evaluation and artifact know nothing of them.

Legend: B rows, T tokens, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.documents import Past
from foldover.lm.model.hashing import Hash, xor_of
from foldover.lm.model.leaves import Leaves
from foldover.lm.model.linear import linear
from foldover.lm.model.parameter import constant, fan_in, new_parameter
from foldover.lm.streams import stream

CODE_BUCKETS = 4097


Pairs = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""(features (B, T, d), ids, targets, k) to what head k learns from: features (N, d) and targets (N,)."""


def every_pair(x: Tensor, ids: Tensor, targets: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All that the rows hold."""
    return x[:, :-k].flatten(0, 1), targets[:, k:].flatten()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsWithin:
    """Those whose target follows a token of the own document: one of its own, or the BOS that ends it."""

    past: Past

    def __call__(self, x: Tensor, ids: Tensor, targets: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See `Pairs`."""
        is_within = self.past.places(ids)[:, k:] >= k
        return x[:, :-k][is_within], targets[:, k:][is_within]


class NextButOne(nn.Module):
    """Head k predicts the token k + 1 further than the next: the mean of their losses (arXiv 2404.19737).

    The heads are zero at first, so that the first step only teaches them and not the trunk. Positions that `pairs`
    leaves out count with a loss of 0, so that how rows are cut into micro-batches does not matter.
    """

    def __init__(
        self,
        *,
        num_heads: int,
        vocab_size: int,
        width: int,
        cap: float,
        leaves: Leaves,
        pairs: Pairs = every_pair,
    ) -> None:
        super().__init__()
        self.pairs = pairs
        self.heads = nn.ParameterList(
            new_parameter("auxiliary", vocab_size, width, draw=constant(0.0)) for _ in range(num_heads)
        )
        self.cap = cap
        self._leaves = leaves

    def forward(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        losses = []
        for k, head in enumerate(self.heads, start=1):
            losses.append(self._loss(head, *self.pairs(x, ids, targets, k), of=ids[:, k:].numel()))
        return torch.stack(losses).mean()

    def _loss(self, head: Tensor, x: Tensor, targets: Tensor, *, of: int) -> Tensor:
        if not len(x):
            return 0.0 * head.sum()
        loss = self._leaves.head_loss(x, head, targets, self.cap)
        return loss if len(x) == of else loss * (len(x) / of)


class CodePredictor(nn.Module):
    """Squared error with which P x meets a fixed random code of (x_t, x_(t+1)), hashed; nothing moves the code."""

    codes: Tensor

    def __init__(self, *, width: int, dim: int) -> None:
        super().__init__()
        self.predictor = new_parameter("auxiliary", dim, width, draw=fan_in)
        generator = stream(0, "codes")  # the same for every seed: part of the definition
        codes = torch.empty(CODE_BUCKETS, dim, device="cpu").normal_(generator=generator)
        self.register_buffer("codes", codes.to(torch.empty(0).device), persistent=False)
        self.hash = Hash(order=2, buckets=CODE_BUCKETS, combine=xor_of(0))

    def forward(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        pairs = torch.cat((ids[:, :1], targets), dim=1)  # (B, T + 1): the tokens in a row
        code = self.codes[self.hash(pairs)[:, 1:]]  # (B, T, dim)
        return functional.mse_loss(linear(x, self.predictor).float(), code)


class WordBoundary(nn.Module):
    """Binary cross-entropy of a linear prediction whether the next token starts a word."""

    word_starts: Tensor

    def __init__(self, *, width: int, word_starts: Tensor) -> None:
        super().__init__()
        self.predictor = new_parameter("auxiliary", 1, width, draw=constant(0.0))
        self.register_buffer("word_starts", word_starts, persistent=False)

    def forward(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        logit = linear(x, self.predictor).squeeze(-1).float()
        return functional.binary_cross_entropy_with_logits(logit, self.word_starts[targets].float())


class Term(nn.Module):
    """A loss times its weight."""

    def __init__(self, loss: nn.Module, weight: float) -> None:
        super().__init__()
        self.loss = loss
        self.weight = weight

    def forward(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        out: Tensor = self.weight * self.loss(x, ids, targets)
        return out
