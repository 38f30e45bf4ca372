"""A model seen at work: predictions, what each branch adds to the stream, and what is lost without it.

The observed model is the model: its own visits run, with a pair of ears at the leaves around each branch.

Legend: R rows, B of them at a time, T tokens, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from foldover.lm.device import Device
from foldover.lm.diagnostics.diagnosis import Branch, GroupNorm
from foldover.lm.model import Gpt
from foldover.lm.model.flow import Flow
from foldover.lm.model.gpt import Plan
from foldover.lm.model.mlp import Mlp, SwiGlu
from foldover.lm.model.parameter import RoleParameter
from foldover.lm.model.residual import Visit

BRANCHES: tuple[Branch, ...] = ("attention", "mlp")
LARGE_ACTIVATION = 4.0
NEAR_CAP = 0.9
TOKENS_AT_ONCE = 2048
Rows = NDArray[np.integer]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What a model said of rows; arrays (R, T). confidence: of the likeliest token; near_cap: share of logits."""

    nats: NDArray[np.float64]
    confidence: NDArray[np.float64]
    predicted: NDArray[np.int64]
    is_top5: NDArray[np.bool_]
    largest_logit: float
    near_cap: float


@dataclass(slots=True, kw_only=True)
class BranchSums:
    """Sums over tokens: |what a branch adds| / |the stream ahead of it|."""

    ratio: float = 0.0
    tokens: int = 0


@dataclass(slots=True, kw_only=True)
class Seen:
    """What was heard at one position. squares: summed mean squares of the stream behind it, by token."""

    branches: dict[Branch, BranchSums] = field(default_factory=lambda: {branch: BranchSums() for branch in BRANCHES})
    squares: float = 0.0
    tokens: int = 0
    largest_activation: float = 0.0
    large_activations: int = 0
    activations: int = 0


@torch.inference_mode()
def predictions_of(model: Gpt, rows: Rows, device: Device, *, cap: float, plan: Plan | None = None) -> Predictions:
    """Score rows (R, T + 1). cap: of the logits. plan: what is executed, by default what evaluation executes."""
    parts: list[tuple[NDArray[np.generic], ...]] = []
    largest, near, count = 0.0, 0, 0
    for batch in _batches(rows, device):
        with device.compute():
            logits = model.head(model.features(batch[:, :-1], plan), batch[:, :-1])
        sizes = logits.abs()
        largest = max(largest, float(sizes.max()))
        near, count = near + int((sizes > NEAR_CAP * cap).sum()), count + sizes.numel()
        log_p = logits.double().log_softmax(dim=-1)
        target = batch[:, 1:].unsqueeze(-1)
        top = log_p.topk(min(5, log_p.shape[-1]), dim=-1)
        arrays = (
            -log_p.gather(-1, target).squeeze(-1),
            top.values[..., 0].exp(),
            top.indices[..., 0],
            (top.indices == target).any(dim=-1),
        )
        parts.append(tuple(array.cpu().numpy() for array in arrays))
    nats, confidence, predicted, is_top5 = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Predictions(
        nats=nats,
        confidence=confidence,
        predicted=predicted,
        is_top5=is_top5,
        largest_logit=largest,
        near_cap=near / count,
    )


@torch.inference_mode()
def observe(model: Gpt, rows: Rows, device: Device) -> tuple[Seen, ...]:
    """What each executed position of evaluation adds, in order."""
    plan, seen = _listened(model.plan)
    with _activations(model.plan.visits, seen):
        for batch in _batches(rows, device):
            with device.compute():
                model.features(batch[:, :-1], plan)
    return tuple(seen)


def without_branch(plan: Plan, position: int, branch: Branch) -> Plan:
    """The plan with one branch of one position adding nothing."""
    visits = list(plan.visits)
    visit = visits[position]
    visits[position] = (
        replace(visit, attention_scale=torch.zeros_like)
        if branch == "attention"
        else replace(visit, mlp_scale=torch.zeros_like)
    )
    return replace(plan, visits=tuple(visits))


def gradient_norms(model: Gpt, rows: Rows, device: Device) -> tuple[GroupNorm, ...]:
    """Norms of the gradient of the loss on rows, of all parameters (`all`) and by role; gradients are cleared."""
    model.zero_grad(set_to_none=True)
    ids = torch.from_numpy(rows.astype(np.int64)).to(device.device)
    with device.compute():
        loss = model.loss(ids[:, :-1], ids[:, 1:])
    loss.backward()  # type: ignore[no-untyped-call]
    squares: dict[str, float] = {}
    for parameter in model.parameters():
        if parameter.grad is not None:
            role = parameter.role if isinstance(parameter, RoleParameter) else "other"
            squares[role] = squares.get(role, 0.0) + float(parameter.grad.double().square().sum())
    model.zero_grad(set_to_none=True)
    found = {"all": sum(squares.values())} | dict(sorted(squares.items()))
    return tuple(GroupNorm(group=group, norm=square**0.5) for group, square in found.items())


def _batches(rows: Rows, device: Device) -> Iterator[Tensor]:
    at_once = max(1, TOKENS_AT_ONCE // (rows.shape[1] - 1))
    for start in range(0, len(rows), at_once):
        yield torch.from_numpy(rows[start : start + at_once].astype(np.int64)).to(device.device)


def _listened(plan: Plan) -> tuple[Plan, list[Seen]]:
    seen = [Seen() for _ in plan.visits]
    visits = tuple(_with_ears(visit, one) for visit, one in zip(plan.visits, seen, strict=True))
    return replace(plan, visits=visits), seen


def _with_ears(visit: Visit, seen: Seen) -> Visit:
    heard: list[Tensor] = []  # streams ahead of the branches, in order; a parallel block has one for both

    def norm(x: Tensor) -> Tensor:
        heard.append(x)
        return visit.norm(x)

    def ear(branch: Branch, scale: Callable[[Tensor], Tensor], *, is_last: bool) -> Callable[[Tensor], Tensor]:
        def leaf(x: Tensor) -> Tensor:
            added = scale(x)
            ratio = added.float().norm(dim=-1) / heard[-1].float().norm(dim=-1).clamp_min(1e-30)
            sums = seen.branches[branch]
            sums.ratio, sums.tokens = sums.ratio + float(ratio.double().sum()), sums.tokens + ratio.numel()
            if is_last:
                heard.clear()
            return added

        return leaf

    def behind(flow: Flow) -> None:
        squares = flow.x.double().square().mean(dim=-1)
        seen.squares, seen.tokens = seen.squares + float(squares.sum()), seen.tokens + squares.numel()

    return replace(
        visit,
        norm=norm,
        attention_scale=ear("attention", visit.attention_scale, is_last=False),
        mlp_scale=ear("mlp", visit.mlp_scale, is_last=True),
        after=(*visit.after, behind),
    )


@contextmanager
def _activations(visits: Sequence[Visit], seen: Sequence[Seen]) -> Iterator[None]:
    """Count hidden activations. A block that is visited several times counts for its visits in turn."""
    turns: dict[nn.Module, list[Seen]] = {}
    for visit, one in zip(visits, seen, strict=True):
        turns.setdefault(visit.mlp, []).append(one)
    hooks = [mlp.register_forward_pre_hook(_counter(ones)) for mlp, ones in turns.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _counter(seen: Sequence[Seen]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    calls = 0

    def count(mlp: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal calls
        one = seen[calls % len(seen)]
        calls += 1
        sizes = hidden_of(mlp, inputs[0]).abs()
        one.largest_activation = max(one.largest_activation, float(sizes.max()))
        one.large_activations += int((sizes > LARGE_ACTIVATION).sum())
        one.activations += sizes.numel()

    return count


def hidden_of(mlp: nn.Module, x: Tensor) -> Tensor:
    """The hidden activations (B, T, hidden) of an MLP for its input."""
    x = x.float()
    if isinstance(mlp, SwiGlu):
        return functional.silu(functional.linear(x, mlp.gate)) * functional.linear(x, mlp.input)
    assert isinstance(mlp, Mlp), "an MLP of a kind that is not known here"
    return mlp.activation(functional.linear(x, mlp.input))
