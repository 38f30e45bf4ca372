"""Attention proper: which keys a query sees, and by which kernel.

q (B, H, T, hd); k, v (B, G, T, hd) with G dividing H; result (B, H, T, hd). Those of documents are told where
these are, and see nothing of another than the query's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.flow import Documents, Flow

VARLEN_DTYPES, VARLEN_HEAD_DIMS = (torch.bfloat16, torch.float16), range(8, 257, 8)
"""What the kernels behind `varlen_attn` know."""
Varlen = Callable[..., Tensor | tuple[Tensor, Tensor]]
"""`torch.nn.attention.varlen.varlen_attn`."""


class FullCausal(nn.Module):
    """Every earlier key is seen."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


class WindowedCausal(nn.Module):
    """Keys with 0 <= i - j <= window are seen: window + 1 of them, the query's own included.

    The band is an explicit mask: without it a kernel that knows no windows silently gives full attention.
    """

    band: Tensor

    def __init__(self, *, context: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.register_buffer("band", self._band(context, torch.empty(0).device), persistent=False)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        length = q.shape[-2]
        band = self.band[:length, :length]
        if length > self.band.shape[0]:  # evaluation on rows longer than those of training
            band = self._band(length, q.device)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=band)

    def _band(self, length: int, device: torch.device) -> Tensor:
        position = torch.arange(length, device=device)
        distance = position.unsqueeze(1) - position.unsqueeze(0)
        return (distance >= 0) & (distance <= self.window)


class Grouped(nn.Module):
    """Each key and value head serves `groups` neighbouring query heads (Ainslie et al. 2023, arXiv 2305.13245)."""

    def __init__(self, kernel: nn.Module, groups: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.groups = groups

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *documents: Documents) -> Tensor:
        k, v = k.repeat_interleave(self.groups, dim=1), v.repeat_interleave(self.groups, dim=1)
        out: Tensor = self.kernel(q, k, v, *documents)
        return out


class MaskedDocuments(nn.Module):
    """Keys of the query's own document with 0 <= i - j <= window are seen: by a mask of each row."""

    def __init__(self, *, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
        position = torch.arange(q.shape[-2], device=q.device)
        distance = position.unsqueeze(1) - position  # (T, T)
        reach = documents.places.clamp_max(self.window).unsqueeze(-1)  # (B, T, 1)
        mask = (distance >= 0) & (distance <= reach)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask.unsqueeze(1))


class VarlenDocuments(MaskedDocuments):
    """The same by one call for documents of any lengths, which computes nothing between them.

    For a GPU and heads that its kernels know; others get the mask. varlen: see there.
    """

    def __init__(self, *, window: int, varlen: Varlen) -> None:
        super().__init__(window=window)
        self._varlen = varlen

    def forward(self, q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
        B, H, T, hd = q.shape
        device = q.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else q.dtype
        if dtype not in VARLEN_DTYPES or hd not in VARLEN_HEAD_DIMS:
            return super().forward(q, k, v, documents)
        borders = functional.pad(documents.firsts(), (0, 1), value=B * T).to(torch.int32)
        flat = (x.to(dtype).transpose(1, 2).reshape(B * T, H, hd) for x in (q, k, v))
        left = -1 if self.window >= T - 1 else self.window  # -1: no window
        found = self._varlen(*flat, borders, borders, T, T, window_size=(left, 0))
        assert isinstance(found, Tensor)
        return found.view(B, T, H, hd).transpose(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverRow:
    """A kernel that needs to know nothing of documents."""

    kernel: nn.Module

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, flow: Flow) -> Tensor:
        """The kernel's."""
        out: Tensor = self.kernel(q, k, v)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class OverDocuments:
    """A kernel of documents, told where they are."""

    kernel: nn.Module

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, flow: Flow) -> Tensor:
        """The kernel's."""
        out: Tensor = self.kernel(q, k, v, flow.documents)
        return out
