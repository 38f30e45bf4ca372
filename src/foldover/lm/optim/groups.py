"""Which parameter gets which treatment: a table from role to group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foldover.core import TrainerError
from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.model import Role, RoleParameter, role_parameters
from foldover.lm.optim.adamw import AdamW
from foldover.lm.optim.muon import Muon
from foldover.lm.rates import width_factor

MUON_ROLES: tuple[Role, ...] = ("matrix", "output_matrix", "gate")
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamGroup:
    """Roles that share AdamW's rate and first-moment decay."""

    roles: tuple[Role, ...]
    lr: float
    beta1: float
    is_decayed: bool = False


def adam_groups(optimizer: Optimizer, *, width: int, is_tied: bool = False) -> tuple[AdamGroup, ...]:
    """The AdamW groups of a recipe at a width. is_tied: whether the token table is the head, too."""
    k = width_factor(optimizer, width)
    beta1 = optimizer.adam_beta1
    tables: tuple[Role, ...] = ("embedding", "value_embedding", "hash_embedding")
    rates: list[tuple[tuple[Role, ...], float]] = [(tables, optimizer.embedding_lr)]
    if is_tied and optimizer.tied_embedding_lr:
        rates = [(tables[:1], optimizer.tied_embedding_lr), (tables[1:], optimizer.embedding_lr)]
    return (
        AdamGroup(roles=("head", "auxiliary"), lr=optimizer.unembedding_lr * k, beta1=beta1, is_decayed=True),
        *(AdamGroup(roles=roles, lr=rate * k, beta1=beta1, is_decayed=True) for roles, rate in rates),
        AdamGroup(
            roles=("residual_scale", "control", "bias"),
            lr=optimizer.scalar_lr * optimizer.scalar_lr_share,
            beta1=beta1,
        ),
        AdamGroup(roles=("x0_scale",), lr=optimizer.scalar_lr, beta1=optimizer.x0_beta1),
    )


class MuonAdamW:
    """All groups of a model; gradients accumulate in place between steps.

    names: of every parameter, by its object.
    """

    def __init__(self, adam: Sequence[AdamW], muon: Sequence[Muon], names: Mapping[nn.Parameter, str]) -> None:
        self._adam = tuple(adam)
        self._muon = tuple(muon)
        self._names = dict(names)

    def step(
        self,
        *,
        lr_multiplier: float,
        momentum: float,
        weight_decay: float,
        adam_weight_decay: float = 0.0,
        frozen: Collection[str] = NOTHING,
    ) -> None:
        """One update of every parameter, then gradients back to zero.

        frozen: names of parameters that neither move, nor decay, nor gather moments.
        """
        for adam in self._adam:
            adam.step(
                lr_multiplier=lr_multiplier,
                weight_decay=adam_weight_decay,
                frozen=self._indices(adam.parameters, frozen),
            )
        for muon in self._muon:
            muon.step(
                lr_multiplier=lr_multiplier,
                momentum=momentum,
                weight_decay=weight_decay,
                frozen=self._indices(muon.parameters, frozen),
            )
        self.clear_gradients()

    def gradients(self) -> Iterator[Tensor]:
        """Every gradient there is; Muon's by the stack."""
        for adam in self._adam:
            yield from (parameter.grad for parameter in adam.parameters if parameter.grad is not None)
        for muon in self._muon:
            yield muon.gradients

    def clear_gradients(self) -> None:
        """Gradients back to zero."""
        for adam in self._adam:
            for parameter in adam.parameters:
                parameter.grad = None
        for muon in self._muon:
            muon.gradients.zero_()

    @property
    def matrices(self) -> tuple[tuple[str, nn.Parameter], ...]:
        """(name, parameter) of everything that Muon trains, by stack."""
        return tuple((self._names[p], p) for muon in self._muon for p in muon.parameters)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that is remembered between steps; views, so that writing to them restores a state."""
        groups = [("adam", adam) for adam in self._adam] + [("muon", muon) for muon in self._muon]
        return {
            f"{kind}.{self._names[group.parameters[0]]}.{name}": tensor
            for kind, group in groups
            for name, tensor in group.state().items()
        }

    def _indices(self, parameters: Sequence[nn.Parameter], names: Collection[str]) -> tuple[int, ...]:
        return tuple(i for i, p in enumerate(parameters) if self._names[p] in names) if names else ()


def build_optimizer(
    model: nn.Module, optimizer: Optimizer, *, width: int, muon_dtype: torch.dtype, is_tied: bool = False
) -> MuonAdamW:
    """Muon for the matrices, grouped by shape, AdamW for the rest. is_tied: as in `adam_groups`.

    Raises TrainerError for a parameter that no group takes: it would never be trained.
    """
    by_role: dict[Role, list[RoleParameter]] = defaultdict(list)
    names: dict[nn.Parameter, str] = {}
    for name, parameter in role_parameters(model):
        by_role[parameter.role].append(parameter)
        names[parameter] = name
    adam = []
    for group in adam_groups(optimizer, width=width, is_tied=is_tied):
        members: list[nn.Parameter] = [p for role in group.roles for p in by_role.pop(role, [])]
        if members:
            adam.append(
                AdamW(
                    members,
                    lr=group.lr,
                    beta1=group.beta1,
                    beta2=optimizer.adam_beta2,
                    eps=optimizer.adam_eps,
                    is_decayed=group.is_decayed,
                )
            )
    by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
    for role in MUON_ROLES:
        for parameter in by_role.pop(role, []):
            by_shape[parameter.shape].append(parameter)
    if by_role:
        raise TrainerError(f"parameters of the roles {sorted(by_role)} belong to no optimiser group")
    muon = [Muon(members, optimizer, dtype=muon_dtype) for members in by_shape.values()]
    return MuonAdamW(adam, muon, names)


@torch.no_grad()
def clip_gradients(optimizer: MuonAdamW, limit: float) -> Tensor:
    """Scale all gradients so that their global norm is at most `limit`; gives the norm before."""
    gradients = list(optimizer.gradients())
    norm: Tensor = torch.stack([gradient.norm() for gradient in gradients]).norm()
    factor = (limit / norm.clamp_min(1e-12)).clamp_max(1.0)
    for gradient in gradients:
        gradient.mul_(factor)
    return norm
