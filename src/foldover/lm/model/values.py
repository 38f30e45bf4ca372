"""What is done to values before attention reads them: (v (B, T, G, hd), x (B, T, d) normed, flow) -> v.

Legend: B rows, T tokens, d width, G key/value heads, hd head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.flow import Flow
from foldover.lm.model.leaves import PLAIN
from foldover.lm.model.linear import linear
from foldover.lm.model.norm import rms_norm
from foldover.lm.model.parameter import constant, new_parameter, normal, orthogonal

SHARED_TABLE_STD = 0.01
SHARED_SCALE = 0.1

AddRows = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class ValueStage(Protocol):
    """One step on the way of the values."""

    def __call__(self, v: Tensor, x: Tensor, flow: Flow) -> Tensor: ...


class ValueEmbedding(nn.Module):
    """v + gate * table[ids], one gate a head: 2 sigmoid(W x[:channels]); W = 0 makes the gate exactly 1."""

    def __init__(
        self, *, vocab_size: int, kv_heads: int, head_dim: int, gate_channels: int, add_rows: AddRows = PLAIN.add_rows
    ) -> None:
        super().__init__()
        self.add_rows = add_rows
        self.table = new_parameter("value_embedding", vocab_size, kv_heads * head_dim)
        self.gate = new_parameter("gate", kv_heads, gate_channels)

    def forward(self, v: Tensor, x: Tensor, flow: Flow) -> Tensor:
        gate = linear(x[..., : self.gate.shape[1]], self.gate)  # (B, T, G)
        return self.add_rows(v, self.table, flow.ids, gate)


class SharedTable(nn.Module):
    """scale * P table[ids], one for all blocks that read it (parameter-golf PR 374)."""

    def __init__(self, *, vocab_size: int, dim: int, kv_width: int) -> None:
        super().__init__()
        self.table = new_parameter("value_embedding", vocab_size, dim, draw=normal(SHARED_TABLE_STD))
        self.projection = new_parameter("matrix", kv_width, dim, draw=orthogonal)
        self.scale = new_parameter("control", 1, draw=constant(SHARED_SCALE))

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.scale * linear(functional.embedding(ids, self.table), self.projection)
        return out


class SharedValueEmbedding(nn.Module):
    """v + s * shared(ids), s a scalar of the block."""

    def __init__(self, shared: SharedTable) -> None:
        super().__init__()
        self.share = new_parameter("control", 1, draw=constant(1.0))
        self.shared = shared

    def forward(self, v: Tensor, x: Tensor, flow: Flow) -> Tensor:
        found: Tensor = self.shared(flow.ids)
        return v + (self.share * found.view_as(v)).to(v.dtype)


class FirstStreamValue(nn.Module):
    """v + s W norm(x0), s a scalar of the block [lab]."""

    def __init__(self, *, width: int, kv_width: int, share: float) -> None:
        super().__init__()
        self.matrix = new_parameter("matrix", kv_width, width)
        self.share = new_parameter("control", 1, draw=constant(share))

    def forward(self, v: Tensor, x: Tensor, flow: Flow) -> Tensor:
        return v + self.share.to(v.dtype) * linear(rms_norm(flow.x0), self.matrix).view_as(v)


def remember_first(v: Tensor, x: Tensor, flow: Flow) -> Tensor:
    """Keep the values of the first executed block for the others."""
    flow.first_value = v
    return v


def remember_last(v: Tensor, x: Tensor, flow: Flow) -> Tensor:
    """Keep the values of this block for the next."""
    flow.last_value = v
    return v


class SigmoidResidual(nn.Module):
    """(1 - a) v + a v0 with a = sigmoid(alpha) (parameter-golf PR 569)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.alpha = new_parameter("control", 1, draw=constant(math.log(share / (1.0 - share))))

    def forward(self, v: Tensor, x: Tensor, flow: Flow) -> Tensor:
        assert flow.first_value is not None, "no block came before"
        return v + torch.sigmoid(self.alpha).to(v.dtype) * (flow.first_value - v)


class FactorResidual(nn.Module):
    """a v + b v0 with free a and b (ResFormer, arXiv 2410.17897)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.own = new_parameter("control", 1, draw=constant(1.0 - share))
        self.first = new_parameter("control", 1, draw=constant(share))

    def forward(self, v: Tensor, x: Tensor, flow: Flow) -> Tensor:
        assert flow.first_value is not None, "no block came before"
        return self.own.to(v.dtype) * v + self.first.to(v.dtype) * flow.first_value


class CascadeResidual(nn.Module):
    """v + alpha (v' - v) with v' the values that the executed block before used."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.alpha = new_parameter("control", 1, draw=constant(share))

    def forward(self, v: Tensor, x: Tensor, flow: Flow) -> Tensor:
        assert flow.last_value is not None, "no block came before"
        return v + self.alpha.to(v.dtype) * (flow.last_value - v)
