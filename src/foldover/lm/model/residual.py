"""How branches meet the residual stream: mixing of x0, residual rules, lanes, skips and recurrent passes.

A `Block` holds parameters; a `Visit` is one executed position of the layer plan and says what to do with which
block. Rules and steps are plain functions of the flow: nothing here asks for a lever.

Legend: B rows, T tokens, d width; lane 0 is `flow.x`, lane 1 `flow.lane`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foldover.lm.model.attention import Attention, AttentionSite
from foldover.lm.model.flow import Flow
from foldover.lm.model.leaves import PLAIN
from foldover.lm.model.norm import rms_norm
from foldover.lm.model.parameter import constant, new_parameter

Leaf = Callable[[Tensor], Tensor]
Mix = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[Flow], None]


class Block(nn.Module):
    """The parameters of a block. Optional parts are kept in `parts` by name; absent ones are simply not there."""

    def __init__(self, attention: Attention, mlps: list[nn.Module], parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.attention = attention
        self.mlp = mlps[0]
        self.more_mlps = nn.ModuleList(mlps[1:])
        self.parts = nn.ModuleDict(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One executed position. before: steps ahead of the rule (passes, lanes, skips); after: steps behind it."""

    rule: Callable[[Visit, Flow], None]
    norm: Leaf
    mix: Mix
    attention: Attention
    site: AttentionSite
    attention_scale: Leaf
    mlp: nn.Module
    mlp_scale: Leaf
    lanes: LaneMix | None
    before: tuple[Step, ...]
    after: tuple[Step, ...]

    def run(self, flow: Flow) -> None:
        """Execute it."""
        for step in self.before:
            step(flow)
        self.rule(self, flow)
        for step in self.after:
            step(flow)


# Residual rules


def sequential(visit: Visit, flow: Flow) -> None:
    """x = mix(x, x0); x += attention(norm x); x += mlp(norm x)."""
    x = visit.mix(flow.x, flow.x0)
    x = x + visit.attention_scale(visit.attention(visit.norm(x), flow, visit.site))
    flow.x = x + visit.mlp_scale(visit.mlp(visit.norm(x)))


def parallel(visit: Visit, flow: Flow) -> None:
    """x = mix(x, x0); x += attention(norm x) + mlp(norm x) (GPT-J; parameter-golf record of 2026-04-06)."""
    x = visit.mix(flow.x, flow.x0)
    normed = visit.norm(x)
    x = x + visit.attention_scale(visit.attention(normed, flow, visit.site))
    flow.x = x + visit.mlp_scale(visit.mlp(normed))


def two_lanes(visit: Visit, flow: Flow) -> None:
    """Attention reads lane 0, the MLP lane 1, both as they were; each lane takes some of all (2026-04-13)."""
    assert flow.lane is not None, "the lanes are not open"
    assert visit.lanes is not None, "the block has no factors for lanes"
    heard = visit.attention_scale(visit.attention(visit.norm(visit.mix(flow.x, flow.x0)), flow, visit.site))
    thought = visit.mlp_scale(visit.mlp(visit.norm(flow.lane)))
    flow.x, flow.lane = visit.lanes(flow.x, flow.lane, heard, thought)


def two_lanes_in_turn(visit: Visit, flow: Flow) -> None:
    """The same, but the MLP reads its lane with attention's part in it (parameter-golf PR 1204)."""
    assert flow.lane is not None, "the lanes are not open"
    assert visit.lanes is not None, "the block has no factors for lanes"
    heard = visit.attention_scale(visit.attention(visit.norm(visit.mix(flow.x, flow.x0)), flow, visit.site))
    flow.x, flow.lane = visit.lanes.add(0, flow.x, flow.lane, heard)
    thought = visit.mlp_scale(visit.mlp(visit.norm(flow.lane)))
    flow.x, flow.lane = visit.lanes.add(1, flow.x, flow.lane, thought)


class LaneMix(nn.Module):
    """lane_k = kept_k lane_k + given[attention, k] A + given[mlp, k] M, six scalars.

    asymmetry: given is 1 + this of a lane's own branch, 1 - this of the other.
    """

    def __init__(self, kept: float, asymmetry: float = 0.0) -> None:
        super().__init__()
        self.kept = new_parameter("control", 2, draw=constant(kept))
        self.given = new_parameter(
            "control", 2, 2, draw=lambda shape, generator: 1.0 + asymmetry * (2.0 * torch.eye(2) - 1.0)
        )

    def add(self, branch: int, x: Tensor, lane: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Both lanes after one branch, 0 attention, 1 MLP."""
        kept, given = self.kept.to(x.dtype), self.given.to(x.dtype)
        return kept[0] * x + given[branch, 0] * out, kept[1] * lane + given[branch, 1] * out

    def forward(self, x: Tensor, lane: Tensor, heard: Tensor, thought: Tensor) -> tuple[Tensor, Tensor]:
        kept, given = self.kept.to(x.dtype), self.given.to(x.dtype)
        return (
            kept[0] * x + given[0, 0] * heard + given[1, 0] * thought,
            kept[1] * lane + given[0, 1] * heard + given[1, 1] * thought,
        )


def open_lanes(flow: Flow) -> None:
    """Both lanes begin as the stream."""
    flow.lane = flow.x


class LaneBlend(nn.Module):
    """Learned blend of the lanes, their mean at first (parameter-golf record of 2026-04-08)."""

    def __init__(self) -> None:
        super().__init__()
        self.share = new_parameter("control", 1, draw=constant(0.5))

    def forward(self, x: Tensor, lane: Tensor) -> Tensor:
        share = self.share.to(x.dtype)
        return share * x + (1.0 - share) * lane


# Leaves


def unchanged(x: Tensor) -> Tensor:
    """The identity."""
    return x


def without_x0(x: Tensor, x0: Tensor) -> Tensor:
    """The stream alone."""
    return x


class ScaledNorm(nn.Module):
    """norm(x) times a fixed factor (LN scale; parameter-golf record of 2026-03-21)."""

    def __init__(self, factor: float, norm: Leaf = rms_norm) -> None:
        super().__init__()
        self.factor = factor
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) * self.factor


class ScalarMix(nn.Module):
    """r x + z x0 with two scalars (karpathy/autoresearch)."""

    def __init__(self, x0_share: float, form: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = PLAIN.mix) -> None:
        super().__init__()
        self.form = form
        self.residual_scale = new_parameter("residual_scale", 1)
        self.x0_scale = new_parameter("x0_scale", 1, draw=constant(x0_share))

    def forward(self, x: Tensor, x0: Tensor) -> Tensor:
        return self.form(x, x0, self.residual_scale, self.x0_scale)


class ChannelMix(nn.Module):
    """The same, a pair of factors a channel: (2, d) (openai/parameter-golf)."""

    def __init__(self, *, width: int, x0_share: float) -> None:
        super().__init__()
        self.factors = new_parameter(
            "control",
            2,
            width,
            draw=lambda shape, generator: torch.stack([torch.ones(width), torch.full((width,), x0_share)]),
        )

    def forward(self, x: Tensor, x0: Tensor) -> Tensor:
        factors = self.factors.to(x.dtype)
        return factors[0] * x + factors[1] * x0


class ChannelScale(nn.Module):
    """A learned factor a channel, 1 at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = new_parameter("control", width, draw=constant(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor.to(x.dtype)


# Steps: U-net skips and recurrent passes


def push_skip(flow: Flow) -> None:
    """Keep the stream for the second half."""
    flow.skips.append(flow.x)


class AddSkip(nn.Module):
    """x + w s, s the skip that was pushed last (openai/parameter-golf)."""

    def __init__(self, *, width: int, weight: float) -> None:
        super().__init__()
        self.weight = new_parameter("control", width, draw=constant(weight))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return x + self.weight.to(x.dtype) * skip


class GatedSkip(nn.Module):
    """(1 - g) w s + g x with g = sigmoid(gate), 1/2 at first (parameter-golf records from 2026-04-01)."""

    def __init__(self, *, width: int, weight: float) -> None:
        super().__init__()
        self.weight = new_parameter("control", width, draw=constant(weight))
        self.gate = new_parameter("control", width, draw=constant(0.0))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate).to(x.dtype)
        return (1.0 - gate) * (self.weight.to(x.dtype) * skip) + gate * x


@dataclass(frozen=True, slots=True, kw_only=True)
class PopSkip:
    """The step that lets the skip pushed last join, between two leaves. Skips enter lane 0 only."""

    join: nn.Module
    ahead: Leaf
    behind: Leaf

    def __call__(self, flow: Flow) -> None:
        """Pop and join."""
        flow.x = self.behind(self.join(self.ahead(flow.x), flow.skips.pop()))


class PassVector(nn.Module):
    """x + e, e zero at first (parameter-golf PR 1518)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vector = new_parameter("control", width, draw=constant(0.0))

    def forward(self, flow: Flow) -> None:
        flow.x = flow.x + self.vector.to(flow.x.dtype)


class PassFilm(nn.Module):
    """(1 + gamma) x + beta, both zero at first [lab]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = new_parameter("control", width, draw=constant(0.0))
        self.beta = new_parameter("control", width, draw=constant(0.0))

    def forward(self, flow: Flow) -> None:
        x = flow.x
        flow.x = x + self.gamma.to(x.dtype) * x + self.beta.to(x.dtype)


class PassNorm(nn.Module):
    """norm(x) + c x0, c 0 at first [lab]."""

    def __init__(self) -> None:
        super().__init__()
        self.share = new_parameter("control", 1, draw=constant(0.0))

    def forward(self, flow: Flow) -> None:
        flow.x = rms_norm(flow.x) + self.share.to(flow.x.dtype) * flow.x0
