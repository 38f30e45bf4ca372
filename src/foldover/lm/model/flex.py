"""Attention within windows and documents by FlexAttention, which skips the rest: for a compiled model on a GPU.

FlexAttention is fast only as the compiler makes it, so everywhere else, and for rows of another length than the
context or heads that its kernels do not know, these are the masks of `WindowedCausal` and `MaskedDocuments`: slower,
and the same.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from foldover.lm.model.flow import Documents
from foldover.lm.model.kernels import MaskedDocuments, WindowedCausal

HEAD_DIMS = (16, 32, 64, 128, 256)


class FlexWindowed(WindowedCausal):
    """Keys with 0 <= i - j <= window are seen; q (B, H, T, hd), k and v likewise."""

    def __init__(self, *, context: int, window: int) -> None:
        super().__init__(context=context, window=window)
        self.context = context
        self._blocks = create_block_mask(
            lambda b, h, i, j: (j <= i) & (i - j <= window),
            B=None,
            H=None,
            Q_LEN=context,
            KV_LEN=context,
            device=str(torch.empty(0).device),
        )

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if torch.compiler.is_compiling() and q.shape[-2] == self.context and q.shape[-1] in HEAD_DIMS:
            return self.by_blocks(q, k, v)
        return super().forward(q, k, v)

    def by_blocks(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """For rows of the context's length."""
        out = flex_attention(q, k, v, block_mask=self._blocks)
        assert isinstance(out, Tensor)
        return out


class FlexDocuments(MaskedDocuments):
    """Keys of the query's own document with 0 <= i - j <= window are seen."""

    def __init__(self, *, context: int, window: int) -> None:
        super().__init__(window=window)
        self.context = context

    def forward(self, q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
        if torch.compiler.is_compiling() and q.shape[-2] == self.context and q.shape[-1] in HEAD_DIMS:
            return self.by_blocks(q, k, v, documents)
        return super().forward(q, k, v, documents)

    def by_blocks(self, q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
        """With the blocks of these rows' documents."""
        reach, length = documents.places.clamp_max(self.window), q.shape[-2]
        blocks = create_block_mask(
            lambda b, h, i, j: (j <= i) & (i - j <= reach[b, i]),
            B=len(q),
            H=None,
            Q_LEN=length,
            KV_LEN=length,
            device=str(q.device),
        )
        out = flex_attention(q, k, v, block_mask=blocks)
        assert isinstance(out, Tensor)
        return out
