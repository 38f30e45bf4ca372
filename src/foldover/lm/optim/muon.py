"""Muon: the matrices of one shape, their chain of transforms, and how an update is applied.

Cautious decay: karpathy/autoresearch 228791f. Legend: K matrices of one shape r x c, stacked into one tensor (K, r, c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.optim.transforms import build_chain
from foldover.lm.rates import update_scale


class Muon:
    """Owns the matrices of one shape: parameters and gradients become views of two stacked tensors."""

    def __init__(self, parameters: Sequence[nn.Parameter], optimizer: Optimizer, *, dtype: torch.dtype) -> None:
        self.parameters = tuple(parameters)
        self.lr = optimizer.matrix_lr
        self.stack = torch.stack([p.detach() for p in parameters])  # (K, r, c)
        self.gradients = torch.zeros_like(self.stack)
        for i, parameter in enumerate(parameters):
            parameter.data = self.stack[i]
            parameter.grad = self.gradients[i]
        _, r, c = self.stack.shape
        self._scale = update_scale(optimizer.update_scale, r, c)
        self._is_cautious = optimizer.decay_form == "cautious"
        self._chain = build_chain(optimizer, self.stack, dtype=dtype)

    @torch.no_grad()
    def step(self, *, lr_multiplier: float, momentum: float, weight_decay: float, frozen: Sequence[int] = ()) -> None:
        """Gradients through the chain, decay, update; matrices of the indices `frozen` and their state stay."""
        kept = [(t, list(frozen), t[list(frozen)]) for t in self._tensors()] if frozen else []
        X = self.gradients
        for transform in self._chain:
            X = transform(X, momentum=momentum)
        lr = self.lr * lr_multiplier
        step_size = lr * self._scale
        if weight_decay and self._is_cautious:
            # Only where update and weight agree in sign, so where the update shrinks the weight already.
            agree = torch.mul(X, self.stack).ge_(0.0)
            self.stack.addcmul_(self.stack, agree, value=-step_size * weight_decay)
        elif weight_decay:
            self.stack.mul_(1.0 - lr * weight_decay)
        self.stack.add_(X, alpha=-step_size)
        for tensor, indices, values in kept:
            tensor[indices] = values

    def state(self) -> Mapping[str, Tensor]:
        """What the chain remembers, by name; first dimension K."""
        return {name: tensor for transform in self._chain for name, tensor in transform.state.items()}

    def _tensors(self) -> tuple[Tensor, ...]:
        return (self.stack, *self.state().values())
