"""The parts of training that levers choose: what is off is absent or does nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foldover.data import PreparedData
from foldover.lm.averaging import Average, build_average
from foldover.lm.compression import ForwardWeights, Penalty, build_forward_weights, build_penalty
from foldover.lm.device import Device
from foldover.lm.levers import TrainConfig
from foldover.lm.loss import LossModel, Objective, build_objective
from foldover.lm.meta import Meta, build_meta
from foldover.lm.model import Gpt
from foldover.lm.optim import MuonAdamW, build_optimizer
from foldover.lm.parallel import Alone, AtOnce, GradientSum, Overlapped, Ranks
from foldover.lm.schedule import Plateau
from foldover.lm.token_classes import token_classes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """A model and everything that acts on it while it is trained.

    loss_model: the model as objectives call it; keeps_apart: whether some rows of a step hold documents that must know
    nothing of each other; now: seconds of a clock that stands still while that is compiled.
    """

    model: Gpt
    optimizer: MuonAdamW
    objective: Objective
    average: Average
    penalty: Penalty
    forward_weights: ForwardWeights
    meta: Meta
    plateau: Plateau
    blocks: tuple[nn.Module, ...]
    ranks: Ranks
    gradient_sum: GradientSum
    loss_model: LossModel
    keeps_apart: Callable[[Sequence[Tensor]], bool]
    now: Callable[[], float]

    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor that training changes, by name; writing to them restores a state."""
        groups: dict[str, Mapping[str, Tensor]] = {
            "model": dict(self.model.named_parameters()),
            "optimizer": self.optimizer.state(),
            "average": self.average.state,
            "meta": self.meta.state,
        }
        return {
            f"{group}/{name}": tensor.detach() for group, tensors in groups.items() for name, tensor in tensors.items()
        }

    def frozen(self, first: int) -> frozenset[str]:
        """Names of the parameters of the blocks from an index on that no earlier block shares."""
        if first >= len(self.blocks):
            return frozenset()
        live = {id(p) for block in self.blocks[:first] for p in block.parameters()}
        late = {id(p) for block in self.blocks[first:] for p in block.parameters()} - live
        return frozenset(name for name, p in self.model.named_parameters() if id(p) in late)


def build_parts(
    model: Gpt,
    config: TrainConfig,
    data: PreparedData,
    device: Device,
    *,
    width: int,
    seed: int,
    ranks: Ranks | None = None,
    loss_model: LossModel | None = None,
    now: Callable[[], float] = time.perf_counter,
) -> Parts:
    """The parts of a recipe.

    width: of the model, for the width rule of learning rates; ranks: None for one process; loss_model: None for the
    model itself.
    """
    ranks = ranks or Alone()
    optimizer = build_optimizer(
        model, config.optimizer, width=width, muon_dtype=device.muon_dtype, is_tied=config.head.tied
    )
    return Parts(
        model=model,
        optimizer=optimizer,
        objective=build_objective(config.loss, lambda: token_classes(data.tokenizer.id_bytes), device.device),
        average=build_average(config.averaging, model),
        penalty=build_penalty(config.compression, model),
        forward_weights=build_forward_weights(config.compression, model, seed=seed),
        meta=build_meta(config.optimizer, [parameter for _, parameter in optimizer.matrices], ranks),
        plateau=Plateau(config.schedule),
        blocks=tuple(model.blocks),
        ranks=ranks,
        gradient_sum=AtOnce() if ranks.size == 1 else Overlapped(list(model.parameters()), ranks),
        loss_model=loss_model or model,
        keeps_apart=_borders_at(data.bos_id) if config.attention.within_documents else _never,
        now=now,
    )


def _borders_at(bos_id: int) -> Callable[[Sequence[Tensor]], bool]:
    """Whether a document begins within some row's inputs, behind the first."""
    return lambda micro: any(bool((rows[:, 1:-1] == bos_id).any()) for rows in micro)


def _never(micro: Sequence[Tensor]) -> bool:
    return False


@torch.no_grad()
def copied(parts: Parts) -> dict[str, Tensor]:
    """A copy of the state."""
    return {name: tensor.clone() for name, tensor in parts.tensors().items()}


@torch.no_grad()
def restore(parts: Parts, state: Mapping[str, Tensor]) -> None:
    """Write a state back. ValueError if it is not one of these parts."""
    own = parts.tensors()
    if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
        raise ValueError("the state belongs to another model or optimiser")
    for name, tensor in own.items():
        tensor.copy_(state[name])
