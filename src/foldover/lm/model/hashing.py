"""Rows of a table for n-grams of token ids (parameter-golf records from 2026-03-20).

A hash of ids (B, T) gives rows (B, T) below `buckets` - 1; the last row is the sentinel of positions that have
not enough tokens before them. All products are 64-bit: no vocabulary overflows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

XOR_FACTORS = (36313, 27191, 51497, 43117, 60493)  # the last two are ours: no source hashes more than three
HEAD_STRIDE = 7919 * 2  # keeps the factors of further heads odd
Combine = Callable[[list[Tensor]], Tensor]


def xor_of(head: int) -> Combine:
    """xor of each id times an odd factor, the newest first."""

    def combine(ids: list[Tensor]) -> Tensor:
        total = ids[0] * (XOR_FACTORS[0] + head * HEAD_STRIDE)
        for factor, part in zip(XOR_FACTORS[1:], ids[1:], strict=False):
            total = total ^ (part * (factor + head * HEAD_STRIDE))
        return total

    return combine


def linear_of(factor: int, head: int) -> Combine:
    """id + f previous + f^2 the one before, ...; further heads have further factors."""

    def combine(ids: list[Tensor]) -> Tensor:
        total = torch.zeros_like(ids[0])
        for part in reversed(ids):
            total = total * (factor + head * HEAD_STRIDE) + part
        return total

    return combine


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash:
    """One hash function. word_starts: (V,) where given, tokens that start a word have the lower half of the rows."""

    order: int
    buckets: int
    combine: Combine
    word_starts: Tensor | None = None

    def __call__(self, ids: Tensor) -> Tensor:
        """Rows (B, T) of the table."""
        hashed = self.combine([_shifted(ids, by) for by in range(self.order)])
        if self.word_starts is None:
            rows = hashed % (self.buckets - 1)
        else:
            half = (self.buckets - 1) // 2
            rows = hashed % half + half * (~self.word_starts[ids]).to(hashed.dtype)
        position = torch.arange(ids.shape[1], device=ids.device)
        return torch.where(position < self.order - 1, self.buckets - 1, rows)


def _shifted(ids: Tensor, by: int) -> Tensor:
    """The ids of `by` positions before; what lies before the row is id 0 (and masked by the sentinel)."""
    if not by:
        return ids
    shifted = torch.zeros_like(ids)
    shifted[:, by:] = ids[:, :-by]
    return shifted
