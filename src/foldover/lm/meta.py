"""Meta-learned test-time training, first order (levers `optimizer.meta_ttt*`).

Every so many steps: t' = t - lr * gradient of the loss on some rows at t, for Muon's matrices t; then the gradient of
the loss on other rows, taken at t', times a weight, is added to the ordinary gradient. t is put back to the bit. Three
variants: the gradient of that loss less the loss at t is added, too (delta); the first gradient is taken a little up
the slope (SAM); each matrix has its own lr, which descends the weighted loss at t' by its gradient, to first order less
the product of the two gradients (MetaSGD).
Source: texts of openai/parameter-golf, pull requests 1501, 1502, 1601; FOMAML: Finn et al. 2017, arXiv 1703.03400;
MetaSGD: Li et al. 2017, arXiv 1707.09835.
Deviations: all matrices take part; there the first two blocks do not. A learned rate is one number a matrix, with plain
gradient steps, and may become negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.parallel import Ranks

NORM_FLOOR = 1e-12
MeanLoss = Callable[[Sequence[Tensor]], Iterable[Tensor]]
"""Micro-batches of rows to losses that add up to their mean."""


class Meta(Protocol):
    """Adds a gradient to that of the loss; says whether it acted."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """What it has learned."""

    def add_gradients(self, micro_batches: Sequence[Tensor], loss_of: MeanLoss, *, step: int) -> bool:
        """For this step."""


class NoMeta:
    """Nothing."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}

    def add_gradients(self, micro_batches: Sequence[Tensor], loss_of: MeanLoss, *, step: int) -> bool:
        """False."""
        return False


class FirstOrderMeta:
    """See the module. ranks: among which the rows are shared."""

    def __init__(self, optimizer: Optimizer, matrices: Sequence[nn.Parameter], ranks: Ranks) -> None:
        self._optimizer = optimizer
        self._matrices = tuple(matrices)
        self._ranks = ranks
        self._is_learned = optimizer.meta_ttt_rates == "learned"
        # In fp32, to which a factor of a matrix in fp32 is rounded in any case.
        self._rates = torch.full((len(self._matrices),), optimizer.meta_ttt_lr, dtype=torch.float32)

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The rates, shape (matrices,), on the CPU, where they are learned."""
        return {"rates": self._rates} if self._is_learned else {}

    def add_gradients(self, micro_batches: Sequence[Tensor], loss_of: MeanLoss, *, step: int) -> bool:
        """Every `meta_ttt_every` steps, the last of each group of them."""
        optimizer = self._optimizer
        if (step + 1) % optimizer.meta_ttt_every:
            return False
        support, query = split_rows(micro_batches) if optimizer.meta_ttt_rows == "halves" else (micro_batches,) * 2
        if not support or not query:
            return False
        kept = [matrix.detach().clone() for matrix in self._matrices]
        before = self._gradients(loss_of(query)) if optimizer.meta_ttt_delta else []
        inner = self._gradients(loss_of(support))
        if optimizer.meta_ttt_radius:
            norm = torch.stack([gradient.norm() for gradient in inner]).norm().clamp_min(NORM_FLOOR)
            self._move(kept, inner, [optimizer.meta_ttt_radius / float(norm)] * len(inner))
            inner = self._gradients(loss_of(support))
        self._move(kept, inner, (-self._rates).tolist())
        outer = self._gradients(loss_of(query))
        self._move(kept)
        self._add(outer, optimizer.meta_ttt + optimizer.meta_ttt_delta)
        if before:
            self._add(before, -optimizer.meta_ttt_delta)
        if self._is_learned:
            self._learn(inner, outer, optimizer.meta_ttt + optimizer.meta_ttt_delta)
        return True

    @torch.no_grad()
    def _learn(self, inner: Sequence[Tensor], outer: Sequence[Tensor], weight: float) -> None:
        products = [(a * b).sum() for a, b in zip(inner, outer, strict=True)]
        self._rates.add_(torch.stack(products).float().cpu(), alpha=weight * self._optimizer.meta_ttt_rates_lr)

    @torch.no_grad()
    def _move(self, kept: Sequence[Tensor], along: Sequence[Tensor] = (), by: Sequence[float] = ()) -> None:
        """To where they were, and from there so far along, each matrix by a number of its own."""
        for matrix, weight in zip(self._matrices, kept, strict=True):
            matrix.copy_(weight)
        for matrix, direction, factor in zip(self._matrices if along else (), along, by, strict=True):
            matrix.add_(direction, alpha=factor)

    @torch.no_grad()
    def _add(self, gradients: Sequence[Tensor], weight: float) -> None:
        for matrix, gradient in zip(self._matrices, gradients, strict=True):
            assert matrix.grad is not None, "a matrix has no gradient"
            matrix.grad.add_(gradient, alpha=weight)

    def _gradients(self, losses: Iterable[Tensor]) -> list[Tensor]:
        totals = [torch.zeros_like(matrix) for matrix in self._matrices]
        for loss in losses:
            found = torch.autograd.grad(loss, self._matrices, allow_unused=True)
            for total, gradient in zip(totals, found, strict=True):
                if gradient is not None:  # a matrix that this pass did not use
                    total.add_(gradient)
        self._ranks.add(totals)
        return totals


def split_rows(micro_batches: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Even and odd rows of a step, counted through its micro-batches, so that their sizes do not matter."""
    even, odd, first = [], [], 0
    for rows in micro_batches:
        parity = (torch.arange(len(rows), device=rows.device) + first) % 2
        even.append(rows[parity == 0])
        odd.append(rows[parity == 1])
        first += len(rows)
    return [r for r in even if len(r)], [r for r in odd if len(r)]


def build_meta(optimizer: Optimizer, matrices: Sequence[nn.Parameter], ranks: Ranks) -> Meta:
    """The meta gradient of a recipe."""
    return FirstOrderMeta(optimizer, matrices, ranks) if optimizer.meta_ttt else NoMeta()
