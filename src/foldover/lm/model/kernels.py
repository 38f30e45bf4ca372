"""Attention proper: which keys a query sees, and by which kernel.

q (B, H, T, hd); k, v (B, G, T, hd) with G dividing H; result (B, H, T, hd).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = k.repeat_interleave(self.groups, dim=1), v.repeat_interleave(self.groups, dim=1)
        out: Tensor = self.kernel(q, k, v)
        return out
