"""A head that gives a learned share of the probability to tokens of the row [lab].

    p = (1 - g) softmax(logits) + g c,   g = sigmoid(w x + b)

c by attention: at position t the weights of a softmax over s < t of q_t k_s go to the tokens that followed, id_(s+1);
position 0 has no source and g = 0 there. c by frequency: shares of the tokens x_0 .. x_t. `past` says where positions
begin: with the row or with the document. What it gives as logits is log p, so that evaluation and losses need not know.

Legend: B rows, T tokens, d width, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.documents import OF_ROW, Past
from foldover.lm.model.head import SoftcapHead, counts_so_far
from foldover.lm.model.linear import linear
from foldover.lm.model.parameter import constant, new_parameter

TINY = 1e-30


class Source(Protocol):
    """Features (B, T, d) and ids (B, T) to the copied distribution c (B, T, V) and where it exists, (T,) or (B, T)."""

    def __call__(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]: ...


class AttentionSource(nn.Module):
    """c by attention, with queries and keys of its own."""

    def __init__(self, *, width: int, dim: int, vocab_size: int, past: Past = OF_ROW) -> None:
        super().__init__()
        self.query = new_parameter("matrix", dim, width)
        self.key = new_parameter("matrix", dim, width)
        self.vocab_size = vocab_size
        self.past = past

    def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        q, k = linear(x, self.query), linear(x, self.key)  # (B, T, dim)
        position, places = torch.arange(ids.shape[1], device=ids.device), self.past.places(ids)
        distance, exists = position.unsqueeze(1) - position, places > 0
        is_source = (distance > 0) & (distance <= places.unsqueeze(-1))  # (T, T) or (B, T, T): s < t
        scores = (q @ k.transpose(1, 2)).float() * q.shape[-1] ** -0.5
        # Where there is no source at all every score is kept, to be finite: the weights are dropped below.
        scores = scores.masked_fill(~is_source & exists.unsqueeze(-1), -torch.inf)
        weights = scores.softmax(dim=-1) * is_source  # (B, T, T)
        followed = functional.one_hot(ids[:, 1:], self.vocab_size).float()  # (B, T - 1, V)
        return weights[:, :, :-1] @ followed, exists


class FrequencySource(nn.Module):
    """c by frequency so far."""

    def __init__(self, *, vocab_size: int, past: Past = OF_ROW) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.past = past

    def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        places = self.past.places(ids)
        return counts_so_far(ids, self.vocab_size, self.past) / (places + 1).unsqueeze(-1), places >= 0


class CopyHead(nn.Module):
    """The mixture of a plain head and a source."""

    def __init__(self, plain: SoftcapHead, source: nn.Module, *, width: int, bias: float) -> None:
        super().__init__()
        self.plain = plain
        self.source = source
        self.gate = new_parameter("control", width, draw=constant(0.0))
        self.gate_bias = new_parameter("control", 1, draw=constant(bias))

    @property
    def weight(self) -> nn.Parameter:
        """Of the plain head."""
        return self.plain.weight

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        """log p, (B, T, V), fp32."""
        copied, exists = self.source(x, ids)
        logit = (x.float() * self.gate).sum(-1, keepdim=True) + self.gate_bias  # (B, T, 1)
        share = torch.sigmoid(logit) * exists.unsqueeze(-1)
        own = self.plain(x, ids).log_softmax(dim=-1)
        return torch.logaddexp(own + torch.log1p(-share), (share * copied + TINY).log())

    def loss(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean of -log p of targets (B, T)."""
        return functional.nll_loss(self(x, ids).flatten(0, 1), targets.flatten())
