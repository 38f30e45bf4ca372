"""Rotary positions: half-split pairing, out1 = a cos + b sin, out2 = -a sin + b cos.

Su et al. 2021, arXiv 2104.09864. Partial: only the first r dimensions of a head turn, with the frequencies of r.
NTK: rows longer than the context that the base is for raise the base by (T / that) ^ (r / (r - 2)). Where one pass
has rows of several lengths, T is that of the longest (`reading_rows_of`): a document's length is news from its end.

Legend: B rows, H heads, T tokens, hd head width, r rotated dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from foldover.lm.model.norm import rms_norm

FEW_TURNS, MANY_TURNS = 1.0, 32.0  # YaRN's alpha and beta


def scaled_base(base: float, *, length: int, ntk_context: int, rotated: int) -> float:
    """The base for rows of that length (ntk_context 0: always the base itself)."""
    if not ntk_context or length <= ntk_context:
        return base
    return float(base * (length / ntk_context) ** (rotated / (rotated - 2)))


def yarn_frequencies(frequencies: Tensor, *, length: int, ntk_context: int) -> Tensor:
    """Frequencies for rows of that length, by how often each turns within ntk_context tokens.

    Less than once: divided by length / ntk_context; more than 32 times: kept; between, a linear blend (YaRN, Peng et
    al. 2023, arXiv 2309.00071, equations 17 to 20).
    """
    turns = ntk_context * frequencies / (2.0 * math.pi)
    kept = ((turns - FEW_TURNS) / (MANY_TURNS - FEW_TURNS)).clamp(0.0, 1.0)
    return frequencies * (kept + (1.0 - kept) * (ntk_context / length))


class Rotary(nn.Module):
    """Rotates queries and keys of shape (B, H, T, hd) by their position. rotated: r, 0 for all of hd.

    is_yarn: whether rows longer than ntk_context are met by `yarn_frequencies` rather than by `scaled_base`.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        *,
        context: int,
        head_dim: int,
        base: float,
        rotated: int = 0,
        ntk_context: int = 0,
        is_yarn: bool = False,
    ) -> None:
        super().__init__()
        self.base, self.ntk_context, self.is_yarn = base, ntk_context, is_yarn
        self.longest = 0
        self.rotated = rotated or head_dim
        cos, sin = self._tables(context, torch.empty(0).device)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        cos, sin = (table.to(x.dtype) for table in self.tables(x.shape[-2], x.device))
        r = self.rotated
        a, b = x[..., :r].chunk(2, dim=-1)
        parts = [a * cos + b * sin, b * cos - a * sin]
        if r < x.shape[-1]:
            parts.append(x[..., r:])
        return torch.cat(parts, dim=-1)

    def tables(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines (T, r / 2) of rows of that length, fp32."""
        cos, sin, longest = self.cos, self.sin, max(length, self.longest)
        if longest > len(cos):  # evaluation on rows longer than those of training
            cos, sin = self._tables(longest, device)
        return cos[:length], sin[:length]

    def _tables(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        r = self.rotated
        ntk_context = 0 if self.is_yarn else self.ntk_context
        base = scaled_base(self.base, length=length, ntk_context=ntk_context, rotated=r)
        frequencies = base ** (-torch.arange(0, r, 2, dtype=torch.float64, device=device) / r)
        if self.is_yarn and length > self.ntk_context:
            frequencies = yarn_frequencies(frequencies, length=length, ntk_context=self.ntk_context)
        angles = torch.outer(torch.arange(length, dtype=torch.float64, device=device), frequencies)  # (T, r / 2)
        return angles.cos().float(), angles.sin().float()


@contextmanager
def reading_rows_of(model: nn.Module, length: int) -> Iterator[None]:
    """Until the end, rows of any length are read as those of that length are."""
    rotaries = [module for module in model.modules() if isinstance(module, Rotary)]
    for rotary in rotaries:
        rotary.longest = length
    try:
        yield
    finally:
        for rotary in rotaries:
            rotary.longest = 0


class RotateThenNorm(nn.Module):
    """Rotary first, then norm over the head (karpathy/autoresearch)."""

    def __init__(self, rotary: Rotary) -> None:
        super().__init__()
        self.rotary = rotary

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(self.rotary(x))


class NormThenRotate(nn.Module):
    """Norm over the head first, then rotary (openai/parameter-golf)."""

    def __init__(self, rotary: Rotary) -> None:
        super().__init__()
        self.rotary = rotary

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rotary(rms_norm(x))
        return out
