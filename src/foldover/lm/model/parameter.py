"""Parameters with a role: the one thing that initialisation and optimiser groups look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from foldover.lm.levers_ends import Init
from foldover.lm.streams import stream

Role = Literal[
    "embedding",  # the token table (and the head, where it is tied)
    "head",
    "value_embedding",
    "hash_embedding",  # tables of n-grams and token types
    "matrix",  # reads the stream
    "output_matrix",  # writes to it
    "gate",
    "residual_scale",
    "x0_scale",
    "control",  # scalars and vectors that scale, mix or shift
    "bias",  # of the logits, one a token
    "auxiliary",  # heads that exist in training only
]
ROLES: tuple[Role, ...] = get_args(Role)

Draw = Callable[[torch.Size, torch.Generator], Tensor]


class RoleParameter(nn.Parameter):
    """A parameter that knows what it is for, and how it begins where that differs from its role's rule."""

    role: Role
    draw: Draw | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRules:
    """What the roles' rules depend on."""

    width: int
    levers: Init


def new_parameter(role: Role, *size: int, draw: Draw | None = None) -> RoleParameter:
    """An uninitialised fp32 parameter of that role; `draw` overrides the role's rule."""
    parameter = RoleParameter(torch.empty(*size, dtype=torch.float32))
    parameter.role = role
    parameter.draw = draw
    return parameter


def role_parameters(model: nn.Module) -> Iterator[tuple[str, RoleParameter]]:
    """(name, parameter) in order of the module tree. TypeError for a parameter without a role."""
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, RoleParameter):
            raise TypeError(f"parameter {name} has no role")
        yield name, parameter


@torch.no_grad()
def initialize(model: nn.Module, rules: InitRules, *, seed: int) -> None:
    """Draw every parameter from the stream of its own name.

    By role: embedding and head normal (N(0, 1) and N(0, 0.001^2) by default); matrices that read the residual
    stream by `init.matrices`; value tables uniform(-s, s) with s = sqrt(3 / width); residual scales 1; all else
    zero (karpathy/autoresearch 228791f).
    """
    for name, parameter in role_parameters(model):
        draw = parameter.draw or _draw_of(parameter.role, rules)
        parameter.copy_(draw(parameter.shape, stream(seed, "init", name)))


def constant(value: float) -> Draw:
    """Every element the same."""
    return lambda shape, generator: torch.full(shape, value)


def spread(low: float, high: float) -> Draw:
    """A vector evenly from low to high."""
    return lambda shape, generator: torch.linspace(low, high, shape[0])


def normal(std: float) -> Draw:
    """N(0, std^2)."""
    return lambda shape, generator: torch.empty(shape).normal_(0.0, std, generator=generator)


def uniform(bound: float) -> Draw:
    """Uniform within the bound."""
    return lambda shape, generator: torch.empty(shape).uniform_(-bound, bound, generator=generator)


def orthogonal(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Rows or columns, whichever are fewer, orthonormal."""
    drawn: Tensor = nn.init.orthogonal_(torch.empty(shape), generator=generator)
    return drawn


def fan_in(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Uniform within 1 / sqrt(inputs): what torch gives a linear layer."""
    return uniform(1.0 / math.sqrt(shape[-1]))(shape, generator)


def _draw_of(role: Role, rules: InitRules) -> Draw:
    bound = math.sqrt(3.0 / rules.width)
    matrices: dict[str, Draw] = {"uniform": uniform(bound), "fan_in": fan_in, "orthogonal": orthogonal}
    table: dict[Role, Draw] = {
        "embedding": normal(rules.levers.embedding_std),
        "head": normal(rules.levers.head_std),
        "value_embedding": uniform(bound),
        "matrix": matrices[rules.levers.matrices],
        "residual_scale": constant(1.0),
    }
    return table.get(role, constant(0.0))
