"""What is done to logits on their way to the softmax: temperature, a cache of late tokens, a bigram bonus.

In the corrected form position p, whose newest known token is x_p, adds for each lag of 1 .. S

    a / lag                   to the logit of x_(p - lag + 1)
    b where x_p = x_(p - lag) to the logit of x_(p - lag + 1), which followed then

The public form (JusticeShultz/parameter-golf) has every index one lower: it leaves x_p out and looks for what followed
x_(p - 1). Both read the window alone and stay distributions, since the softmax comes afterwards.

Legend: B rows, T tokens of the window, n last positions of it that are scored, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LogitStage = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, n, V) of the last n positions of ids (B, T) to logits."""


def temperature_stage(temperature: float) -> LogitStage:
    """Division by the temperature."""
    return lambda logits, ids: logits / temperature


def cache_stage(*, recency: float, bigram: float, size: int, is_corrected: bool) -> LogitStage:
    """The two bonuses; see the module."""
    shift = 0 if is_corrected else 1

    def stage(logits: Tensor, ids: Tensor) -> Tensor:
        num_tokens, num_scored = ids.shape[1], logits.shape[1]
        bonus = torch.zeros_like(logits)
        positions = torch.arange(num_tokens - num_scored, num_tokens, device=ids.device)
        for lag in range(1, min(size, num_tokens) + 1):
            late = positions - lag + 1 - shift  # the token that gets the bonus
            known = ids[:, late.clamp(min=0)]  # (B, n)
            weight = (recency / lag) * (late >= 0).expand_as(known).to(logits.dtype)
            if bigram:
                newest, before = positions - shift, late - 1
                same = (ids[:, newest.clamp(min=0)] == ids[:, before.clamp(min=0)]) & (before >= 0)
                weight = weight + bigram * same.to(logits.dtype)
            bonus.scatter_add_(-1, known.unsqueeze(-1), weight.unsqueeze(-1))
        return logits + bonus

    return stage
