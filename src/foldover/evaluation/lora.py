"""Score-first adaptation by low-rank additions, for each document anew (openai/parameter-golf, record of 2026-03-17).

W x becomes W x + (alpha / r) B (A x) in the chosen matrices, A (r, in) drawn from a stream of its own name, B (out, r)
zero. After each chunk of a document but the last, one step of AdamW on that chunk's loss. The weights themselves stay
as they are. The addition is made where `torch.nn.functional.linear` meets a chosen matrix, so that the model's own
forward runs, with all its gates. Documents are scored one by one, in order; upstream sorts them by length and learns
several at a time, which changes nothing where they are independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from foldover.core import RecipeError
from foldover.evaluation.adaptation import Adaptation, Diverged, Learner, Scored
from foldover.evaluation.scoring_model import AdaptableModel, BlockParameter, kept
from foldover.evaluation.stream import Stream

Draws = Callable[[str], torch.Generator]
"""A random stream for a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraRules:
    """The levers. targets: words of parameters' names; is_warm: A is kept from document to document."""

    rank: int
    alpha: float
    lr: float
    beta1: float
    weight_decay: float
    targets: tuple[str, ...]
    is_warm: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Addition:
    """What is added to one matrix: inner A (r, in), outer B (out, r), and A as drawn."""

    inner: Tensor
    outer: Tensor
    drawn: Tensor


def lora_adaptation(model: AdaptableModel, stream: Stream, rules: LoraRules, draws: Draws) -> Adaptation:
    """Additions to the matrices that the rules name. Raises RecipeError if a word is in no matrix's name."""

    @contextmanager
    def opened() -> Iterator[Learner]:
        parameters = model.parameters()
        chosen = targets_of(parameters, rules.targets)
        with kept(parameters):
            for parameter in parameters:
                parameter.tensor.requires_grad_(False)
            additions = {id(p.tensor): _new_addition(p, rules.rank, draws(p.names[0])) for p in chosen}
            with _Adding(additions, rules.alpha / rules.rank):
                yield LoraLearner(model, stream, rules, tuple(additions.values()))

    return opened


def targets_of(parameters: Sequence[BlockParameter], words: Sequence[str]) -> list[BlockParameter]:
    """Matrices one of whose names has one of the words between its dots. Raises RecipeError for a word without any."""
    chosen: dict[str, BlockParameter] = {}
    for word in words:
        found = [p for p in parameters if p.tensor.ndim == 2 and any(_has(name, word) for name in p.names)]
        if not found:
            known = sorted({part for p in parameters for name in p.names for part in name.split(".")})
            raise RecipeError(
                f"`evaluate.lora_targets`: no matrix is called {word!r}", fix="Known words: " + ", ".join(known) + "."
            )
        chosen |= {p.names[0]: p for p in found}
    return list(chosen.values())


class LoraLearner:
    """See the module."""

    def __init__(
        self, model: AdaptableModel, stream: Stream, rules: LoraRules, additions: tuple[Addition, ...]
    ) -> None:
        self._model, self._rules, self._additions = model, rules, additions
        self._ids = torch.from_numpy(stream.ids.astype("int64"))
        self._optimizer = self._new_optimizer()

    @torch.no_grad()
    def restart(self) -> None:
        """Additions of zero, A as drawn or, if warm, as it is."""
        for addition in self._additions:
            addition.outer.zero_()
            if not self._rules.is_warm:
                addition.inner.copy_(addition.drawn)
        self._optimizer = self._new_optimizer()

    def learn(self, scored: Scored) -> None:
        """One step on the chunk, read in the window that its last positions were scored in."""
        chunk = scored.chunk
        first = max(chunk.lo, scored.context)
        ids = self._ids[scored.context : chunk.hi].unsqueeze(0).to(self._model.device)
        targets = self._ids[first + 1 : chunk.hi + 1].unsqueeze(0).to(self._model.device)
        self._optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            loss = self._model.loss(ids, targets)
            if not torch.isfinite(loss):
                raise Diverged
            loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        from torch.optim import AdamW  # late: loading it costs about a second

        rules = self._rules
        tensors = [tensor for addition in self._additions for tensor in (addition.inner, addition.outer)]
        return AdamW(tensors, lr=rules.lr, betas=(rules.beta1, 0.95), eps=1e-10, weight_decay=rules.weight_decay)


class _Adding(TorchFunctionMode):
    """Adds to the products of chosen matrices while it is entered."""

    def __init__(self, additions: Mapping[int, Addition], scale: float) -> None:
        super().__init__()
        self._additions, self._scale = additions, scale

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is not functional.linear:
            return out
        addition = self._additions.get(id(args[1]))
        if addition is None:
            return out
        return out + self._scale * functional.linear(functional.linear(args[0], addition.inner), addition.outer)


def _new_addition(parameter: BlockParameter, rank: int, generator: torch.Generator) -> Addition:
    num_outputs, num_inputs = parameter.tensor.shape
    bound = 1.0 / math.sqrt(num_inputs)
    drawn = torch.empty(rank, num_inputs).uniform_(-bound, bound, generator=generator).to(parameter.tensor.device)
    outer = torch.zeros(num_outputs, rank, device=parameter.tensor.device)
    return Addition(inner=drawn.clone().requires_grad_(), outer=outer.requires_grad_(), drawn=drawn)


def _has(name: str, word: str) -> bool:
    return f".{word}." in f".{name}."
