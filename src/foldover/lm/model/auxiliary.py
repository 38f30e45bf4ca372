"""What is learned beside the next token, in training only: each term is (features (B, T, d), ids, targets) -> loss.

Terms come with their weight and are added to the objective; evaluation and artifact know nothing of them.

Legend: B rows, T tokens, d width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.hashing import Hash, xor_of
from foldover.lm.model.leaves import Leaves
from foldover.lm.model.linear import linear
from foldover.lm.model.parameter import constant, fan_in, new_parameter
from foldover.lm.streams import stream

CODE_BUCKETS = 4097


class NextButOne(nn.Module):
    """Head k predicts the token k + 1 further than the next: the mean of their losses (arXiv 2404.19737).

    The heads are zero at first, so that the first step only teaches them and not the trunk.
    """

    def __init__(self, *, num_heads: int, vocab_size: int, width: int, cap: float, leaves: Leaves) -> None:
        super().__init__()
        self.heads = nn.ParameterList(
            new_parameter("auxiliary", vocab_size, width, draw=constant(0.0)) for _ in range(num_heads)
        )
        self.cap = cap
        self._leaves = leaves

    def forward(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        losses = []
        for k, head in enumerate(self.heads, start=1):
            losses.append(self._leaves.head_loss(x[:, :-k].flatten(0, 1), head, targets[:, k:].flatten(), self.cap))
        return torch.stack(losses).mean()


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
