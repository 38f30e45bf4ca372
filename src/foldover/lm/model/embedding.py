"""What enters the first block: the token table, then stages (x (B, T, d), ids (B, T)) -> x.

Legend: B rows, T tokens, d width, e width of the table, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.documents import OF_ROW, Past, one_later
from foldover.lm.model.linear import linear
from foldover.lm.model.norm import rms_norm
from foldover.lm.model.parameter import constant, new_parameter, orthogonal

GATE_BIAS = 4.0  # nearly open; levers.md gives no value
TYPE_SCALE = 0.05


class TokenTable(nn.Module):
    """E[ids]."""

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.table = table

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.table)


class FactorizedTable(nn.Module):
    """W norm(E[ids]) with E (V, e) and W (d, e) (parameter-golf PR 1394)."""

    def __init__(self, table: nn.Parameter, up: nn.Parameter) -> None:
        super().__init__()
        self.table = table
        self.up = up

    def forward(self, ids: Tensor) -> Tensor:
        return linear(rms_norm(functional.embedding(ids, self.table)), self.up)


class Norm(nn.Module):
    """The first norm."""

    def __init__(self, norm: Callable[[Tensor], Tensor] = rms_norm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return self.norm(x)


class Cast(nn.Module):
    """The stream in the number format that the blocks compute in."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return x.to(self.dtype)


class HashEmbedding(nn.Module):
    """x + scale P (mean, sum or slices of the table's rows for some n-grams).

    Only the table is zero at first: with a zero projection beside it nothing would ever wake up. hashes: groups of
    hash functions, averaged within a group; then summed over groups, averaged, or each given a slice of the width.
    """

    def __init__(
        self,
        *,
        buckets: int,
        dim: int,
        width: int,
        scale: float,
        hashes: list[list[Callable[[Tensor], Tensor]]],
        join: str,
    ) -> None:
        super().__init__()
        self.table = new_parameter("hash_embedding", buckets, dim, draw=constant(0.0))
        self.projection = new_parameter("matrix", width, dim, draw=orthogonal)
        self.scale = new_parameter("control", 1, draw=constant(scale))
        self.factors = nn.ModuleList()
        self.hashes = hashes
        self.join = {"sum": _sum, "mean": _mean, "slices": _slices}[join]

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        found = self.join([_mean([functional.embedding(h(ids), self.table) for h in group]) for group in self.hashes])
        out = self.scale * linear(found, self.projection)
        for factor in self.factors:
            out = factor(out, x, ids)
        return x + out.to(x.dtype)


class HashGate(nn.Module):
    """out * sigmoid(w x + b) [lab]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = new_parameter("control", width, draw=constant(0.0))
        self.bias = new_parameter("control", 1, draw=constant(GATE_BIAS))

    def forward(self, out: Tensor, x: Tensor, ids: Tensor) -> Tensor:
        return out * torch.sigmoid((x * self.weight).sum(-1, keepdim=True) + self.bias)


class WordStartBoost(nn.Module):
    """out * b where a word starts, b 1 at first."""

    word_starts: Tensor

    def __init__(self, word_starts: Tensor) -> None:
        super().__init__()
        self.boost = new_parameter("control", 1, draw=constant(1.0))
        self.register_buffer("word_starts", word_starts, persistent=False)

    def forward(self, out: Tensor, x: Tensor, ids: Tensor) -> Tensor:
        return torch.where(self.word_starts[ids].unsqueeze(-1), out * self.boost, out)


class TokenType(nn.Module):
    """x + s P table[type of id]; only the table is zero at first."""

    types: Tensor

    def __init__(self, *, types: Tensor, num_types: int, dim: int, width: int) -> None:
        super().__init__()
        self.table = new_parameter("hash_embedding", num_types, dim, draw=constant(0.0))
        self.projection = new_parameter("matrix", width, dim, draw=orthogonal)
        self.scale = new_parameter("control", 1, draw=constant(TYPE_SCALE))
        self.register_buffer("types", types, persistent=False)

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        found = functional.embedding(self.types[ids], self.table)
        return x + (self.scale * linear(found, self.projection)).to(x.dtype)


class ChannelSmear(nn.Module):
    """(1 - s) x_t + s x_(t-1) with s = sigmoid(g) a channel; nothing before the first (record of 2026-03-19)."""

    def __init__(self, *, width: int, share: float, past: Past = OF_ROW) -> None:
        super().__init__()
        self.past = past
        logit = float(torch.logit(torch.tensor(share, dtype=torch.float64, device="cpu")))
        self.gate = new_parameter("control", width, draw=constant(logit))

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        share = torch.sigmoid(self.gate).to(x.dtype)
        return (1.0 - share) * x + share * self.past.before(x, ids)


class GateSmear(nn.Module):
    """x_t + lambda sigmoid(w x_t[:channels]) x_(t-1), lambda 0 at first; not where a document begins (PR 1667)."""

    def __init__(self, *, channels: int, bos_id: int) -> None:
        super().__init__()
        self.amount = new_parameter("control", 1, draw=constant(0.0))
        self.weight = new_parameter("control", channels, draw=constant(0.0))
        self.bos_id = bos_id

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        gate = torch.sigmoid((x[..., : self.weight.shape[0]] * self.weight).sum(-1, keepdim=True))
        gate = gate * (ids != self.bos_id).unsqueeze(-1)
        return x + (self.amount * gate * one_later(x)).to(x.dtype)


def _sum(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _mean(parts: list[Tensor]) -> Tensor:
    return _sum(parts) / len(parts) if len(parts) > 1 else parts[0]


def _slices(parts: list[Tensor]) -> Tensor:
    """Columns of part i from i dim // n on, the rest of the width to the last part."""
    dim, count = parts[0].shape[-1], len(parts)
    bounds = [*(i * (dim // count) for i in range(count)), dim]
    return torch.cat([part[..., bounds[i] : bounds[i + 1]] for i, part in enumerate(parts)], dim=-1)
