"""Rows of a table for n-grams of token ids (parameter-golf records from 2026-03-20).

A hash of ids (B, T) gives rows (B, T) below `buckets` - 1; the last row is the sentinel of positions that have
not enough tokens before them. All products are 64-bit: no vocabulary overflows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from foldover.lm.model.documents import OF_ROW, Past
from foldover.lm.token_traits import BYTE_BASE, BYTE_WINDOW

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
    """One hash function. word_starts: (V,) where given, tokens that start a word have the lower half of the rows.

    past: which tokens come before one.
    """

    order: int
    buckets: int
    combine: Combine
    word_starts: Tensor | None = None
    past: Past = OF_ROW

    def __call__(self, ids: Tensor) -> Tensor:
        """Rows (B, T) of the table."""
        hashed = self.combine([_shifted(ids, by) for by in range(self.order)])
        rows = _rows(hashed, ids, self.buckets, self.word_starts)
        return torch.where(self.past.places(ids) < self.order - 1, self.buckets - 1, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteWindowHash:
    """The same for the last four bytes of the text, across tokens; a special is one mark of its own.

    codes, counts: (V,), a token's last bytes as a number in base 257, and how many. Positions with fewer bytes in
    their past have the sentinel. SPThole/parameter-golf-experimentations exp17, of which only prose is public: how
    bytes are numbered and marked is ours [lab].
    """

    buckets: int
    combine: Combine
    codes: Tensor
    counts: Tensor
    word_starts: Tensor | None = None
    past: Past = OF_ROW

    def __call__(self, ids: Tensor) -> Tensor:
        """Rows (B, T) of the table."""
        window = self.windows(ids)
        low, high = window % BYTE_BASE**2, window // BYTE_BASE**2
        return torch.where(
            window < 0, self.buckets - 1, _rows(self.combine([low, high]), ids, self.buckets, self.word_starts)
        )

    def windows(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T): the four bytes as a number in base 257; -1 where there are fewer."""
        powers = torch.tensor([BYTE_BASE**n for n in range(BYTE_WINDOW)] + [0], device=ids.device)
        codes, counts = self.codes[ids], self.counts[ids]
        window, found = torch.zeros_like(codes), torch.zeros_like(counts)
        for by in range(BYTE_WINDOW):  # every token has at least one
            window = window + _shifted(codes, by) * powers[found.clamp_max(BYTE_WINDOW)]
            found = found + _shifted(counts, by)
        return torch.where(self.past.total(counts, ids) >= BYTE_WINDOW, window % BYTE_BASE**BYTE_WINDOW, -1)


def _rows(hashed: Tensor, ids: Tensor, buckets: int, word_starts: Tensor | None) -> Tensor:
    """Rows below the sentinel, by halves where word starts have one of their own."""
    if word_starts is None:
        return hashed % (buckets - 1)
    half = (buckets - 1) // 2
    return hashed % half + half * (~word_starts[ids]).to(hashed.dtype)


def _shifted(ids: Tensor, by: int) -> Tensor:
    """The ids of `by` positions before; what lies before the row is id 0 (and masked by the sentinel)."""
    if not by:
        return ids
    shifted = torch.zeros_like(ids)
    shifted[:, by:] = ids[:, :-by]
    return shifted
