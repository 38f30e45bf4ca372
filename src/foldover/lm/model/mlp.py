"""The MLP of a block: a squared ReLU (So et al. 2021, arXiv 2109.08668), or a gated one.

(B, T, d) normed -> (B, T, d).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.linear import linear
from foldover.lm.model.parameter import new_parameter

Activation = Callable[[Tensor], Tensor]


def leaky_relu_squared(slope: float) -> Activation:
    """(z above zero, slope z below)^2: not negative on either side."""
    return lambda z: functional.leaky_relu(z, slope).square()


def bounded(activation: Activation, most: float) -> Activation:
    """The activation, at most `most`."""
    return lambda z: activation(z).clamp_max(most)


class Mlp(nn.Module):
    """output activation(input x)."""

    def __init__(self, *, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.input = new_parameter("matrix", hidden, width)
        self.output = new_parameter("output_matrix", width, hidden)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return linear(self.activation(linear(x, self.input)), self.output)


class SwiGlu(nn.Module):
    """output (silu(gate x) * input x) (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, *, width: int, hidden: int) -> None:
        super().__init__()
        self.input = new_parameter("matrix", hidden, width)
        self.gate = new_parameter("matrix", hidden, width)
        self.output = new_parameter("output_matrix", width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.silu(linear(x, self.gate)) * linear(x, self.input)
        return linear(hidden, self.output)
