"""Softcap and cross-entropy in one: the loss of raw logits without keeping the capped ones.

Legend: N tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def softcap_cross_entropy(raw: Tensor, targets: Tensor, cap: float) -> Tensor:
    """Mean cross-entropy in nats of cap tanh(raw / cap), raw (N, V), targets (N,)."""
    mean: Tensor = _SoftcapCrossEntropy.apply(raw, targets, cap)  # type: ignore[no-untyped-call]
    return mean


class _SoftcapCrossEntropy(torch.autograd.Function):
    """Softcap and cross-entropy with the gradient made on the way, so that no logits are kept.

    The cap bounds the exponent, so that no pass for the maximum is needed (a cap above 80 takes one).
    """

    @staticmethod
    def forward(ctx: Any, raw: Tensor, targets: Tensor, cap: float) -> Tensor:
        t = torch.tanh(raw.float() / cap)  # (N, V)
        index = targets.unsqueeze(1)
        capped = t * cap
        picked = capped.gather(1, index).squeeze(1)
        shift = capped.amax(dim=1, keepdim=True) if cap > 80.0 else capped.new_zeros(())
        gradient = capped.sub_(shift).exp_()
        total = gradient.sum(dim=1, keepdim=True)
        loss = (total.log() + shift).squeeze(1).sub_(picked).mean()
        gradient.div_(total)
        gradient.scatter_add_(1, index, gradient.new_full((1, 1), -1.0).expand_as(index))
        # d capped / d raw = 1 - t^2
        gradient.mul_(t.square_().neg_().add_(1.0)).div_(raw.shape[0])
        ctx.save_for_backward(gradient.to(raw.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0], None, None
