"""The one product of activations with a parameter: every part of the model that multiplies by a matrix calls it.

Parameters are fp32; activations have the number format that the model computes in. Where they differ the parameter is
cast at its use (under a hundredth of a step): a copy that lives longer would have to follow whatever changes
weights, that is optimisers, averages, quantised forward weights and inner steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x W' with x (..., c) and W (r, c): (..., r), in the number format of x.

    Without a gradient to make for W it ends in `torch.nn.functional.linear(x, weight)` with the very parameter,
    so that a TorchFunctionMode can see or replace every product of a model.
    """
    if x.dtype == weight.dtype or torch.is_autocast_enabled(x.device.type):
        return functional.linear(x, weight)
    if torch.is_grad_enabled() and weight.requires_grad:
        out: Tensor = _CastLinear.apply(x, weight)  # type: ignore[no-untyped-call]
        return out
    with torch.autocast(x.device.type, x.dtype):
        return functional.linear(x, weight)


class _CastLinear(torch.autograd.Function):
    """The product in the format of x; the gradient of the weight in the weight's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        cast = weight.to(x.dtype)
        ctx.save_for_backward(x, cast)
        ctx.weight_dtype = weight.dtype
        return functional.linear(x, cast)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor]:
        x, cast = ctx.saved_tensors
        g = upstream[0].reshape(-1, cast.shape[0])
        dx = (g @ cast).view(x.shape) if ctx.needs_input_grad[0] else None
        return dx, (g.T @ x.reshape(-1, cast.shape[1])).to(ctx.weight_dtype)
