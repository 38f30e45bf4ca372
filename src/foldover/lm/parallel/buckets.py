"""Gradients summed over the ranks while the backward pass still runs.

Gradients are put into buckets in the order in which a backward pass makes them, nearly: from the last part of the
model to the first. A bucket is sent as soon as all of it is there and every bucket before it has been sent: the
order must be the same everywhere, also for a rank that has no rows in a step, or sums of different things would
meet. Source of the idea and of the size: Li et al. 2020, arXiv 2006.15704.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from foldover.lm.parallel.ranks import Pending, Ranks

BUCKET_BYTES = 25 << 20


class GradientSum(Protocol):
    """Sums `grad` of every parameter over the ranks."""

    def last_pass(self, idle: Iterable[nn.Parameter]) -> AbstractContextManager[None]:
        """The context of the last backward pass of a step; when it is left, the sums are there.

        idle: parameters whose gradient no backward pass of this step will touch.
        """


class AtOnce:
    """One process: gradients are sums already."""

    def last_pass(self, idle: Iterable[nn.Parameter]) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()


class Overlapped:
    """See the module. It hooks itself to the parameters for as long as they live."""

    def __init__(self, parameters: Sequence[nn.Parameter], ranks: Ranks, *, bucket_bytes: int = BUCKET_BYTES) -> None:
        self._ranks = ranks
        self._buckets = in_buckets(list(reversed(parameters)), bucket_bytes)
        self._bucket_of = {p: i for i, bucket in enumerate(self._buckets) for p in bucket}
        self._waiting: list[set[nn.Parameter]] = []
        self._sent: list[tuple[Pending, Tensor, list[Tensor]]] = []
        self._is_open = False
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._arrived)  # type: ignore[no-untyped-call]

    @property
    def num_sent(self) -> int:
        """Buckets that were sent in this pass, or in the last one."""
        return len(self._sent)

    @contextmanager
    def last_pass(self, idle: Iterable[nn.Parameter]) -> Iterator[None]:
        """What no gradient came for, in a rank without rows say, goes out when the context is left."""
        self._waiting = [set(bucket) for bucket in self._buckets]
        for parameter in idle:
            self._waiting[self._bucket_of[parameter]].discard(parameter)
        self._sent = []
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False
        while len(self._sent) < len(self._buckets):
            self._send(self._buckets[len(self._sent)])
        for pending, flat, gradients in self._sent:
            pending.wait()
            if flat is not gradients[0]:
                torch._foreach_copy_(gradients, _unflattened(flat, gradients))

    def _arrived(self, parameter: Tensor) -> None:
        if not self._is_open:
            return
        assert isinstance(parameter, nn.Parameter)
        self._waiting[self._bucket_of[parameter]].discard(parameter)
        while len(self._sent) < len(self._buckets) and not self._waiting[len(self._sent)]:
            self._send(self._buckets[len(self._sent)])

    @torch.no_grad()
    def _send(self, bucket: Sequence[nn.Parameter]) -> None:
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in bucket if p.grad is not None]
        is_alone = len(gradients) == 1 and gradients[0].is_contiguous()
        flat = gradients[0] if is_alone else torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._sent.append((self._ranks.send_sum(flat), flat, gradients))


def in_buckets(parameters: Sequence[nn.Parameter], most_bytes: int) -> list[list[nn.Parameter]]:
    """Neighbours together, up to so many bytes; what is larger stands alone."""
    buckets: list[list[nn.Parameter]] = []
    room = 0
    for parameter in parameters:
        if not buckets or parameter.nbytes > room:
            buckets.append([])
            room = most_bytes
        buckets[-1].append(parameter)
        room -= parameter.nbytes
    return buckets


def _unflattened(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts = torch.split(flat, [tensor.numel() for tensor in like])
    return [part.view_as(tensor) for part, tensor in zip(parts, like, strict=True)]
