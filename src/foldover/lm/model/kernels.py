"""Attention proper: which keys a query sees, and by which kernel.

q (B, H, T, hd); k, v (B, G, T, hd) with G dividing H; result (B, H, T, hd). Kernels of documents also take places
(B, T), the number of tokens of its own document before each: those and no others are seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.flow import Flow

VARLEN_DTYPES = (torch.bfloat16, torch.float16)
"""What the kernels behind `varlen_attn` compute in."""
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

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *places: Tensor) -> Tensor:
        k, v = k.repeat_interleave(self.groups, dim=1), v.repeat_interleave(self.groups, dim=1)
        out: Tensor = self.kernel(q, k, v, *places)
        return out


class MaskedDocuments(nn.Module):
    """Keys of the query's own document with 0 <= i - j <= window are seen: by a mask of each row."""

    def __init__(self, *, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, q: Tensor, k: Tensor, v: Tensor, places: Tensor) -> Tensor:
        position = torch.arange(places.shape[1], device=places.device)
        distance = position.unsqueeze(1) - position  # (T, T)
        reach = places.clamp_max(self.window).unsqueeze(-1)  # (B, T, 1)
        mask = (distance >= 0) & (distance <= reach)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask.unsqueeze(1))


class VarlenDocuments(MaskedDocuments):
    """The same by one call for documents of any lengths, which computes nothing between them.

    For a GPU and 16-bit heads; any other numbers get the mask. varlen: see there.
    """

    def __init__(self, *, window: int, varlen: Varlen) -> None:
        super().__init__(window=window)
        self._varlen = varlen

    def forward(self, q: Tensor, k: Tensor, v: Tensor, places: Tensor) -> Tensor:
        device = q.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else q.dtype
        if dtype not in VARLEN_DTYPES:
            return super().forward(q, k, v, places)
        firsts = torch.nonzero(places.flatten() == 0).squeeze(1)
        borders = functional.pad(firsts, (0, 1), value=places.numel()).to(torch.int32)
        longest = int(places.max()) + 1
        flat = (x.to(dtype).transpose(1, 2).flatten(0, 1) for x in (q, k, v))  # (B T, H, hd)
        # A wide window is none: kernels of plain causal attention know nothing of one.
        left = -1 if self.window >= longest - 1 else self.window
        found = self._varlen(*flat, borders, borders, longest, longest, window_size=(left, 0))
        assert isinstance(found, Tensor)
        return found.view(*places.shape, *found.shape[1:]).transpose(1, 2)


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
        out: Tensor = self.kernel(q, k, v, flow.places)
        return out
