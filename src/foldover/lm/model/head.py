"""The output head and its two readings: logits for evaluation, mean loss for training.

Legend: B rows, T tokens, N = B T, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.documents import OF_ROW, Past
from foldover.lm.model.leaves import PLAIN, Leaves
from foldover.lm.model.linear import linear
from foldover.lm.model.parameter import constant, new_parameter


class LogitStage(Protocol):
    """One step on the way of raw logits (B, T, V), before the cap."""

    def __call__(self, raw: Tensor, ids: Tensor) -> Tensor: ...


class Head(Protocol):
    """Features (B, T, d) and ids (B, T) to logits (B, T, V), fp32, or to the mean cross-entropy in nats."""

    def __call__(self, x: Tensor, ids: Tensor) -> Tensor: ...

    def loss(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor: ...


SATURATION = 15.0 / 8.0


def polynomial_squash(u: Tensor) -> Tensor:
    """u - 2 u^3 / (3 k^2) + u^5 / (5 k^4) within k = 15/8 of 0, +-1 beyond; its slope is (1 - (u / k)^2)^2 [lab]."""
    v = (u / SATURATION).clamp(-1.0, 1.0)
    squares = v.square()
    return SATURATION * v * (1.0 - squares * (2.0 / 3.0 - squares / 5.0))


class SoftcapHead(nn.Module):
    """logits = cap squash(raw / cap) with raw = x W' and what the stages add, in fp32 from the product on.

    down: from the width of the stream to that of the table, with what comes ahead of it.
    """

    def __init__(
        self,
        weight: nn.Parameter,
        *,
        cap: float,
        down: nn.Module,
        stages: Sequence[nn.Module] = (),
        squash: Callable[[Tensor], Tensor] = torch.tanh,
        leaves: Leaves = PLAIN,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.cap = cap
        self.down = down
        self.stages = nn.ModuleList(stages)
        self._squash = squash
        self._leaves = leaves

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return self.cap * self._squash(self._raw(x, ids).float() / self.cap)

    def loss(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of targets (B, T); the same function of the logits as `forward`."""
        if self._squash is not torch.tanh:
            return functional.cross_entropy(self(x, ids).flatten(0, 1), targets.flatten())
        if not self.stages and self.weight.requires_grad and torch.is_grad_enabled():
            return self._leaves.head_loss(self.down(x).flatten(0, 1), self.weight, targets.flatten(), self.cap)
        return self._leaves.capped_loss(self._raw(x, ids).flatten(0, 1), targets.flatten(), self.cap)

    def _raw(self, x: Tensor, ids: Tensor) -> Tensor:
        raw = linear(self.down(x), self.weight)
        for stage in self.stages:
            raw = stage(raw, ids)
        return raw


class Whole(nn.Module):
    """The identity: the table is as wide as the stream."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Down(nn.Module):
    """x W' with W (e, d), or x W with the embedding's own W (d, e) where it is shared."""

    def __init__(self, weight: nn.Parameter, *, is_transposed: bool) -> None:
        super().__init__()
        self.weight = weight
        self.is_transposed = is_transposed

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight.T if self.is_transposed else self.weight)


class LowRank(nn.Module):
    """x + U V x with V (r, d) and U (d, r), U zero at first."""

    def __init__(self, *, width: int, rank: int) -> None:
        super().__init__()
        self.inner = new_parameter("matrix", rank, width)
        self.outer = new_parameter("output_matrix", width, rank)

    def forward(self, x: Tensor) -> Tensor:
        return x + linear(linear(x, self.inner), self.outer)


class OutputBias(nn.Module):
    """raw + b, b zero at first, or what is given."""

    def __init__(self, vocab_size: int, start: Tensor | None = None) -> None:
        super().__init__()
        draw = constant(0.0) if start is None else lambda shape, generator: start
        self.bias = new_parameter("bias", vocab_size, draw=draw)

    def forward(self, raw: Tensor, ids: Tensor) -> Tensor:
        return raw + self.bias.to(raw.dtype)


class UnigramBias(nn.Module):
    """raw + a log f(v), a zero at first."""

    log_frequency: Tensor

    def __init__(self, log_frequency: Tensor) -> None:
        super().__init__()
        self.amount = new_parameter("control", 1, draw=constant(0.0))
        self.register_buffer("log_frequency", log_frequency, persistent=False)

    def forward(self, raw: Tensor, ids: Tensor) -> Tensor:
        return raw + (self.amount * self.log_frequency).to(raw.dtype)


class ContextBias(nn.Module):
    """raw + a log(1 + count of v in x_0 .. x_t), a zero at first."""

    def __init__(self, vocab_size: int, past: Past = OF_ROW) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.past = past
        self.amount = new_parameter("control", 1, draw=constant(0.0))

    def forward(self, raw: Tensor, ids: Tensor) -> Tensor:
        return raw + (self.amount * counts_so_far(ids, self.vocab_size, self.past).log1p()).to(raw.dtype)


def counts_so_far(ids: Tensor, vocab_size: int, past: Past = OF_ROW) -> Tensor:
    """(B, T) -> (B, T, V) fp32: how often each token came up to and with position t."""
    return past.total(functional.one_hot(ids, vocab_size).float(), ids)
