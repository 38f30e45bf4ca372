"""The network: token ids (B, T) to features, logits or losses.

Deviations from a plain GPT are in the parts; what is executed, in which order, is the layer plan, as visits of
blocks. Recipes with recurrence that begins later have several plans; `set_progress` chooses the one of training,
evaluation always has the last.

Legend: B rows, T tokens, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foldover.lm.model.flow import Flow
from foldover.lm.model.head import Head
from foldover.lm.model.residual import Block, Visit

CROSS_ENTROPY = "cross_entropy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is executed from some progress on. idle: parameters of the model that it does not use."""

    begins_at: float
    visits: tuple[Visit, ...]
    idle: tuple[nn.Parameter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Modules of a model, put together by `assemble`. held: those that visits use and that are not blocks.

    norm: the last one, ahead of the head.
    """

    embedding: nn.Parameter
    token: nn.Module
    inputs: Sequence[nn.Module]
    blocks: Sequence[Block]
    held: dict[str, nn.Module]
    close: Callable[[Flow], Tensor]
    norm: Callable[[Tensor], Tensor]
    head: nn.Module
    terms: dict[str, nn.Module]


class Gpt(nn.Module):
    """See the module. The token table is `embedding`, the blocks with parameters of their own are `blocks`."""

    def __init__(self, parts: Parts, plans: Sequence[Plan]) -> None:
        super().__init__()
        self.embedding = parts.embedding
        self.token = parts.token
        self.inputs = nn.ModuleList(parts.inputs)
        self.blocks = nn.ModuleList(parts.blocks)
        self.held = nn.ModuleDict(parts.held)
        self.head: Head = parts.head  # type: ignore[assignment]
        self.terms = nn.ModuleDict(parts.terms)
        self._close = parts.close
        self._norm = parts.norm
        self._plans = tuple(plans)
        self._active = self._plans[-1]

    def set_progress(self, progress: float) -> bool:
        """Choose what training executes at this progress; True if that changed. Call it before each step.

        Parameters that wait for a later phase have a gradient of zero, not none, so that every optimiser sees them.
        """
        before = self._active
        for plan in self._plans:
            if plan.begins_at <= progress:
                self._active = plan
        for parameter in self._active.idle:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return self._active is not before

    @property
    def plan(self) -> Plan:
        """What evaluation executes."""
        return self._plans[-1]

    @property
    def idle(self) -> tuple[nn.Parameter, ...]:
        """Parameters that the training of now does not use."""
        return self._active.idle

    @property
    def is_looping(self) -> bool:
        """Whether training executes the last plan, where there are several."""
        return len(self._plans) > 1 and self._active is self._plans[-1]

    def features(self, ids: Tensor, plan: Plan | None = None) -> Tensor:
        """(B, T) -> (B, T, d), normed; by the last plan if none is given."""
        x = self.token(ids)
        for stage in self.inputs:
            x = stage(x, ids)
        flow = Flow(ids=ids, x=x, x0=x)
        for visit in (plan or self._plans[-1]).visits:
            visit.run(flow)
        return self._norm(self._close(flow))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V), fp32, as evaluation sees them."""
        return self.head(self.features(ids), ids)

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats a token, by the plan of training, with nothing added."""
        return self.head.loss(self.features(ids, self._active), ids, targets)

    def loss_terms(self, ids: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """What training adds up: `cross_entropy`, the same number as `loss`, and the weighted auxiliary terms."""
        x = self.features(ids, self._active)
        return {CROSS_ENTROPY: self.head.loss(x, ids, targets)} | self._auxiliary(x, ids, targets)

    def logits_and_terms(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """For objectives that need logits: those of training, and the weighted auxiliary terms."""
        x = self.features(ids, self._active)
        return self.head(x, ids), self._auxiliary(x, ids, targets)

    def _auxiliary(self, x: Tensor, ids: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {name: term(x, ids, targets) for name, term in self.terms.items()}


def plain_close(flow: Flow) -> Tensor:
    """The stream."""
    return flow.x


def mlp_lane(flow: Flow) -> Tensor:
    """Lane 1."""
    assert flow.lane is not None, "the lanes are not open"
    return flow.lane


def mean_lane(flow: Flow) -> Tensor:
    """The mean of the lanes."""
    return 0.5 * (flow.x + mlp_lane(flow))


def blended_lanes(blend: nn.Module) -> Callable[[Flow], Tensor]:
    """A learned blend of the lanes."""
    return lambda flow: blend(flow.x, mlp_lane(flow))
