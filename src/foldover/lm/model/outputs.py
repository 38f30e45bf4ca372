"""What is done to the heads' outputs before they are joined: (y (B, T, H, hd), v (B, T, G, hd), x (B, T, d)) -> y.

Legend: B rows, T tokens, d width, H query heads, G key/value heads, hd head width.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.linear import linear
from foldover.lm.model.parameter import constant, new_parameter, normal

NORM_FLOOR = 1e-12
DENSE_GATE_STD = 0.01


class OutputStage(Protocol):
    """One step on the way of the outputs."""

    def __call__(self, y: Tensor, v: Tensor, x: Tensor) -> Tensor: ...


def along_own_value(y: Tensor, v: Tensor) -> Tensor:
    """(y . u) u with u the unit value of the same position and key/value head (arXiv 2603.09078)."""
    B, T, H, hd = y.shape
    unit = functional.normalize(v, dim=-1, eps=NORM_FLOOR).unsqueeze(3)  # (B, T, G, 1, hd)
    grouped = y.view(B, T, v.shape[2], H // v.shape[2], hd)
    return ((grouped * unit).sum(-1, keepdim=True) * unit).reshape(B, T, H, hd)


def exclusive(y: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """Outputs without their component along the position's own value."""
    return y - along_own_value(y, v)


class LearnedExclusive(nn.Module):
    """The same for tanh(a) of that component, a 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.amount = new_parameter("control", 1, draw=constant(0.0))

    def forward(self, y: Tensor, v: Tensor, x: Tensor) -> Tensor:
        return y - torch.tanh(self.amount).to(y.dtype) * along_own_value(y, v)


class DoubledGate(nn.Module):
    """y_h * 2 sigmoid(w_h x[:channels]); w = 0 makes it exactly 1 (parameter-golf PR 1667)."""

    def __init__(self, *, num_heads: int, channels: int) -> None:
        super().__init__()
        self.gate = new_parameter("gate", num_heads, channels)

    def forward(self, y: Tensor, v: Tensor, x: Tensor) -> Tensor:
        gate = 2 * torch.sigmoid(linear(x[..., : self.gate.shape[1]], self.gate))
        return y * gate.unsqueeze(-1).to(y.dtype)


class DenseGate(nn.Module):
    """y_h * sigmoid(w_h x): about half at first (arXiv 2505.06708)."""

    def __init__(self, *, num_heads: int, width: int) -> None:
        super().__init__()
        self.gate = new_parameter("gate", num_heads, width, draw=normal(DENSE_GATE_STD))

    def forward(self, y: Tensor, v: Tensor, x: Tensor) -> Tensor:
        return y * torch.sigmoid(linear(x, self.gate)).unsqueeze(-1).to(y.dtype)


class SparseGate(nn.Module):
    """y_h * sigmoid(scale w_h x[:channels]): half at first."""

    def __init__(self, *, num_heads: int, channels: int, scale: float) -> None:
        super().__init__()
        self.gate = new_parameter("gate", num_heads, channels)
        self.scale = scale

    def forward(self, y: Tensor, v: Tensor, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.scale * linear(x[..., : self.gate.shape[1]], self.gate))
        return y * gate.unsqueeze(-1).to(y.dtype)
