"""What a machine, not a recipe, chooses: the number format of activations and the forms of the costly leaves.

Every `Leaves` computes the same functions up to rounding. `PLAIN` is torch as it comes: fp32, or what autocast makes
of it; it is what the others are held to, what a GPU and a compiler get, and the default.

Legend: B rows, T tokens, N = B T, d width, V vocabulary, H heads, G key/value heads, hd head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.model.capped_loss import softcap_cross_entropy
from foldover.lm.model.kernels import FullCausal, MaskedDocuments, WindowedCausal
from foldover.lm.model.linear import linear
from foldover.lm.model.norm import rms_norm
from foldover.lm.model.position import NormThenRotate, Rotary, RotateThenNorm

Leaf = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """Functions of tensors that differentiate themselves, and makers of modules.

    dtype: of activations.
    norm: x to its root-mean-square norm.
    relu_squared: z to relu(z)^2.
    mix: (x, x0, a (1,), b (1,)) to a x + b x0.
    add_rows: (v (B, T, G, hd), table (V, G hd), ids (B, T), a (B, T, G)) to v + 2 sigmoid(a) table[ids].
    rotate_then_norm, norm_then_rotate: of a Rotary, x (B, H, T, hd) to queries or keys.
    full: causal attention; windowed: (context, window) to the same within a window; documents: to the same within a
    window of the own document.
    capped_loss: (raw (N, V), targets (N,), cap) to the mean cross-entropy of cap tanh(raw / cap).
    head_loss: (x (N, d), W (V, d), targets (N,), cap) to the same for raw = x W'.
    """

    dtype: torch.dtype
    norm: Leaf
    relu_squared: Leaf
    mix: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    add_rows: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    rotate_then_norm: Callable[[Rotary], nn.Module]
    norm_then_rotate: Callable[[Rotary], nn.Module]
    full: Callable[[], nn.Module]
    windowed: Callable[[int, int], nn.Module]
    documents: Callable[[int, int], nn.Module]
    capped_loss: Callable[[Tensor, Tensor, float], Tensor]
    head_loss: Callable[[Tensor, Tensor, Tensor, float], Tensor]


def plain_relu_squared(z: Tensor) -> Tensor:
    """relu(z)^2."""
    return functional.relu(z).square()


def plain_mix(x: Tensor, x0: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a x + b x0."""
    return a.to(x.dtype) * x + b.to(x.dtype) * x0


def plain_add_rows(v: Tensor, table: Tensor, ids: Tensor, a: Tensor) -> Tensor:
    """v + 2 sigmoid(a) table[ids]."""
    rows = functional.embedding(ids, table).view_as(v)
    return v + (2 * torch.sigmoid(a)).unsqueeze(-1) * rows


def plain_head_loss(x: Tensor, weight: Tensor, targets: Tensor, cap: float) -> Tensor:
    """Logits of all tokens at once."""
    return softcap_cross_entropy(linear(x, weight), targets, cap)


PLAIN = Leaves(
    dtype=torch.float32,
    norm=rms_norm,
    relu_squared=plain_relu_squared,
    mix=plain_mix,
    add_rows=plain_add_rows,
    rotate_then_norm=RotateThenNorm,
    norm_then_rotate=NormThenRotate,
    full=FullCausal,
    windowed=lambda context, window: WindowedCausal(context=context, window=window),
    documents=lambda context, window: MaskedDocuments(window=window),
    capped_loss=softcap_cross_entropy,
    head_loss=plain_head_loss,
)
