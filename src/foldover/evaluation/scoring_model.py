"""What evaluation asks of a model, and how a module answers.

There is one forward: scores and the loss that an adapting evaluation learns from are read off the same logits. A public
record attempt scored 1.908 instead of 1.1 because its adapting forward lacked a gate.

Legend: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockParameter:
    """A parameter, all the names that it goes by, and the indices of the blocks that use it (none: tables, head)."""

    names: tuple[str, ...]
    tensor: nn.Parameter
    blocks: frozenset[int]


class ScoringModel(Protocol):
    """Whatever gives logits. Row b at position t may depend on ids[b, :t + 1] alone."""

    @property
    def device(self) -> torch.device:
        """Where ids are to be."""

    def logits(self, ids: Tensor) -> Tensor:
        """(B, T) int64 -> (B, T, V), fp32, each before its token is known."""


class AdaptableModel(ScoringModel, Protocol):
    """A model that can learn while it is evaluated."""

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of the targets (B, n) of the last n positions of ids (B, T), differentiable."""

    def parameters(self) -> tuple[BlockParameter, ...]:
        """Every parameter once, in order."""


class ModuleScorer:
    """A module with `forward(ids) -> logits` and, where it adapts, `blocks`; `foldover.lm.model.Gpt` is one.

    compute: the context of forward passes, such as autocast.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        device: torch.device,
        blocks: Sequence[nn.Module] = (),
        compute: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._module = module
        self._device = device
        self._blocks = tuple(blocks)
        self._compute = compute

    @property
    def device(self) -> torch.device:
        """Of the module."""
        return self._device

    def logits(self, ids: Tensor) -> Tensor:
        """The module's logits."""
        with self._compute():
            logits: Tensor = self._module(ids)
            return logits

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the same logits."""
        logits = self.logits(ids)[:, -targets.shape[1] :]
        return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    def parameters(self) -> tuple[BlockParameter, ...]:
        """Those of the module; shared ones once, with all their names."""
        names: dict[nn.Parameter, list[str]] = {}
        for name, parameter in self._module.named_parameters(remove_duplicate=False):
            names.setdefault(parameter, []).append(name)
        users: dict[nn.Parameter, set[int]] = {parameter: set() for parameter in names}
        for index, block in enumerate(self._blocks):
            for parameter in block.parameters():
                users[parameter].add(index)
        return tuple(
            BlockParameter(names=tuple(names[parameter]), tensor=parameter, blocks=frozenset(users[parameter]))
            for parameter in names
        )


@contextmanager
def kept(parameters: Sequence[BlockParameter]) -> Iterator[Callable[[], None]]:
    """Gives a function that puts the weights back to what they are now; at the end they are, to the bit."""
    tensors = [parameter.tensor for parameter in parameters]
    copies = [tensor.detach().clone() for tensor in tensors]
    needed = [tensor.requires_grad for tensor in tensors]

    def put_back() -> None:
        with torch.no_grad():
            for tensor, copy in zip(tensors, copies, strict=True):
                tensor.copy_(copy)

    try:
        yield put_back
    finally:
        put_back()
        for tensor, flag in zip(tensors, needed, strict=True):
            tensor.grad = None
            tensor.requires_grad_(flag)
