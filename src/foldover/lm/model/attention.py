"""Causal self-attention: products, and sockets for everything else.

Deviations from a plain GPT, in order of the computation: steps on the values (`values`), positions and norms of
queries and keys (`position`), a factor on queries, the kernel with its window (`kernels`), steps on the heads'
outputs (`outputs`). What differs from position to position of the layer plan is in the `AttentionSite`.

Legend: B rows, T tokens, d width, H query heads, G key/value heads, hd head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foldover.lm.model.flow import Flow
from foldover.lm.model.linear import linear
from foldover.lm.model.outputs import OutputStage
from foldover.lm.model.parameter import new_parameter, spread
from foldover.lm.model.values import ValueStage

Leaf = Callable[[Tensor], Tensor]
Kernel = Callable[[Tensor, Tensor, Tensor, Flow], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSite:
    """What attention uses at one position. place: positions and norm of queries and keys; gain: on queries."""

    place: Leaf
    gain: Leaf
    kernel: Kernel
    values: tuple[ValueStage, ...]
    outputs: tuple[OutputStage, ...]


class LearnedGain(nn.Module):
    """A learned factor a head on queries (B, H, T, hd) (openai/parameter-golf)."""

    def __init__(self, *, num_heads: int, low: float, high: float) -> None:
        super().__init__()
        self.factor = new_parameter("control", num_heads, draw=spread(low, high))

    def forward(self, q: Tensor) -> Tensor:
        return q * self.factor.to(q.dtype).view(-1, 1, 1)


class FixedGain(nn.Module):
    """The same, not learned."""

    factor: Tensor

    def __init__(self, *, num_heads: int, low: float, high: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.linspace(low, high, num_heads).view(-1, 1, 1), persistent=False)

    def forward(self, q: Tensor) -> Tensor:
        return q * self.factor.to(q.dtype)


class Attention(nn.Module):
    """(B, T, d) normed -> (B, T, d). values: the block's own value embedding, where it has one."""

    def __init__(self, *, width: int, num_heads: int, kv_heads: int, values: nn.Module | None) -> None:
        super().__init__()
        self.num_heads, self.kv_heads = num_heads, kv_heads
        self.head_dim = width // num_heads
        self.query = new_parameter("matrix", width, width)
        self.key = new_parameter("matrix", kv_heads * self.head_dim, width)
        self.value = new_parameter("matrix", kv_heads * self.head_dim, width)
        self.output = new_parameter("output_matrix", width, width)
        if values is not None:
            self.values = values

    def forward(self, x: Tensor, flow: Flow, site: AttentionSite) -> Tensor:
        B, T, d = x.shape
        kv = (B, T, self.kv_heads, self.head_dim)
        q = linear(x, self.query).view(B, T, self.num_heads, self.head_dim).transpose(1, 2)  # (B, H, T, hd)
        k = linear(x, self.key).view(kv).transpose(1, 2)  # (B, G, T, hd)
        v = linear(x, self.value).view(kv)
        for value_stage in site.values:
            v = value_stage(v, x, flow)
        q, k = site.gain(site.place(q)), site.place(k)
        y = site.kernel(q, k, v.transpose(1, 2), flow).transpose(1, 2)  # (B, T, H, hd)
        for output_stage in site.outputs:
            y = output_stage(y, v, x)
        return linear(y.reshape(B, T, d), self.output)
