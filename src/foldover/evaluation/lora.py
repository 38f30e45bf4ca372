"""Score-first adaptation by low-rank additions, for each document anew (openai/parameter-golf, record of 2026-03-17).

W x becomes W x + (alpha / r) B (A x) in the chosen matrices, A (r, in) drawn from a stream of its own name, B (out, r)
zero. After each chunk of a document but the last, one step of AdamW on that chunk's loss. The weights themselves stay
as they are, but for phases (`foldover.evaluation.phases`). The addition is made where `torch.nn.functional.linear`
meets a chosen matrix, so that the model's own forward runs, with all its gates.

Documents that are read side by side have a slot each: a row of the batch meets the A and B of its slot alone, and the
loss of a step is the sum over slots, whose gradients do not meet. Where A is warm, that of a slot goes on to the
document that has the slot next: one whose forerunner there is scored to its end.

Legend: S slots, B rows, T tokens, r rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from foldover.core import RecipeError
from foldover.evaluation.adaptation import Adaptation, Diverged, Learner, Scored
from foldover.evaluation.phases import PhaseLearner, PhaseRules
from foldover.evaluation.scoring_model import AdaptableModel, BlockParameter, kept
from foldover.evaluation.stream import Stream

Draws = Callable[[str], torch.Generator]
"""A random stream for a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraRules:
    """The levers. targets: words of parameters' names; is_warm: A is kept from document to document.

    tokens_at_once: bounds memory; phases: None where there are none.
    """

    rank: int
    alpha: float
    lr: float
    beta1: float
    beta2: float
    weight_decay: float
    targets: tuple[str, ...]
    is_warm: bool
    tokens_at_once: int
    phases: PhaseRules | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Addition:
    """What is added to one matrix of these names: inner A (S, r, in), outer B (S, out, r), and A as drawn (r, in)."""

    names: tuple[str, ...]
    inner: Tensor
    outer: Tensor
    drawn: Tensor


def lora_adaptation(model: AdaptableModel, stream: Stream, rules: LoraRules, draws: Draws) -> Adaptation:
    """Additions to the matrices that the rules name. Raises RecipeError if a word is in no matrix's name."""

    @contextmanager
    def opened() -> Iterator[Learner]:
        parameters = model.parameters()
        chosen = targets_of(parameters, rules.targets)
        with kept(parameters) as put_back:
            for parameter in parameters:
                parameter.tensor.requires_grad_(False)
            additions = {id(p.tensor): _new_addition(p, rules, draws(p.names[0])) for p in chosen}
            phases = None if rules.phases is None else PhaseLearner(model, stream, rules.phases, put_back)
            with _Adding(additions, rules.alpha / rules.rank) as adding:
                yield LoraLearner(model, stream, rules, adding, phases)

    return opened


def targets_of(parameters: Sequence[BlockParameter], words: Sequence[str]) -> list[BlockParameter]:
    """Matrices one of whose names has one of the words between its dots. Raises RecipeError for a word without any."""
    chosen: dict[str, BlockParameter] = {}
    matrices = [p for p in parameters if p.tensor.ndim == 2]
    for word in words:
        found = [p for p in matrices if any(_has(name, word) for name in p.names)]
        if not found:
            known = sorted({part for p in matrices for name in p.names for part in name.split(".")})
            raise RecipeError(
                f"`evaluate.lora_targets`: no matrix is called {word!r}", fix="Known words: " + ", ".join(known) + "."
            )
        chosen |= {p.names[0]: p for p in found}
    return list(chosen.values())


class LoraLearner:
    """See the module."""

    def __init__(
        self, model: AdaptableModel, stream: Stream, rules: LoraRules, adding: _Adding, phases: PhaseLearner | None
    ) -> None:
        self._model, self._rules, self._adding, self._phases = model, rules, adding, phases
        self._ids = torch.from_numpy(stream.ids.astype("int64"))
        self._optimizer = self._new_optimizer()

    def restart(self, num_slots: int = 1) -> None:
        """Additions of zero, A as drawn or, if warm, as it is in its slot; slots as many as are needed."""
        had = self._adding.num_slots
        if num_slots > had or (num_slots < had and not self._rules.is_warm):
            self._adding.resize(num_slots)
        self._clear()

    def attend(self, slots: Sequence[int]) -> None:
        """Rows of the next passes, and their slots."""
        self._adding.slots = tuple(slots)

    def learn(self, *scored: Scored) -> None:
        """One step on the chunks, each read in the window that its last positions were scored in."""
        self._optimizer.zero_grad(set_to_none=True)
        length = scored[0].chunk.hi - scored[0].context  # the same in every slot: no chunk is its document's last
        at_once = max(1, self._rules.tokens_at_once // length)
        for first in range(0, len(scored), at_once):
            self._add_gradients(scored[first : first + at_once])
        self._check_products()
        with self._resting({one.slot for one in scored}):
            self._optimizer.step()

    def consolidate(self, scored: Scored) -> None:
        """A phase of the weights, without additions."""
        if self._phases is not None:
            with self._adding.suspended():
                self._phases.learn(scored)

    def forget(self) -> None:
        """Additions of zero, and the weights as trained."""
        self._clear()
        if self._phases is not None:
            self._phases.forget()

    @torch.no_grad()
    def _clear(self) -> None:
        for addition in self._adding.additions.values():
            addition.outer.zero_()
            if not self._rules.is_warm:
                addition.inner.copy_(addition.drawn)
        self._optimizer = self._new_optimizer()

    def _add_gradients(self, scored: Sequence[Scored]) -> None:
        """Those of the sum over slots of a chunk's mean loss."""
        rows, targets = [], []
        for one in scored:
            rows.append(self._ids[one.context : one.chunk.hi])
            targets.append(self._ids[max(one.chunk.lo, one.context) + 1 : one.chunk.hi + 1])
        device = self._model.device
        self.attend([one.slot for one in scored])
        with torch.enable_grad():
            loss = self._model.loss(torch.stack(rows).to(device), torch.stack(targets).to(device)) * len(rows)
            if not torch.isfinite(loss):
                raise Diverged
            loss.backward()  # type: ignore[no-untyped-call]

    @contextmanager
    def _resting(self, learning: Collection[int]) -> Iterator[None]:
        """A warm matrix stays what its document made it while others of the group go on: momentum would move it."""
        slots = range(self._adding.num_slots if self._rules.is_warm else 0)
        idle = [slot for slot in slots if slot not in learning]
        additions = self._adding.additions.values()
        before = [addition.inner.detach()[idle] for addition in additions]  # copies
        yield
        with torch.no_grad():
            for addition, inner in zip(additions, before, strict=True):
                addition.inner[idle] = inner

    def _check_products(self) -> None:
        """Raises RecipeError for a word whose matrices the model multiplies nothing by: it would do nothing."""
        met = [names for a in self._adding.additions.values() if a.outer.grad is not None for names in a.names]
        for word in self._rules.targets:
            if not any(_has(name, word) for name in met):
                raise RecipeError(f"`evaluate.lora_targets`: no product is with a matrix called {word!r}")

    def _new_optimizer(self) -> torch.optim.Optimizer:
        from torch.optim import AdamW  # late: loading it costs about a second

        rules, additions = self._rules, self._adding.additions.values()
        tensors = [tensor for addition in additions for tensor in (addition.inner, addition.outer)]
        return AdamW(tensors, lr=rules.lr, betas=(rules.beta1, rules.beta2), eps=1e-10, weight_decay=rules.weight_decay)


class _Adding(TorchFunctionMode):
    """Adds to the products of chosen matrices while it is entered. slots: of the rows of the passes, (B,)."""

    def __init__(self, additions: Mapping[int, Addition], scale: float) -> None:
        super().__init__()
        self.additions = dict(additions)
        self.slots: tuple[int, ...] = (0,)
        self._scale, self._is_on = scale, True

    @property
    def num_slots(self) -> int:
        """Documents that there are additions for."""
        return len(next(iter(self.additions.values())).inner)

    def resize(self, num_slots: int) -> None:
        """Additions for so many documents; what is in slots that stay is kept."""
        self.additions = {key: _resized(addition, num_slots) for key, addition in self.additions.items()}

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The model without additions."""
        self._is_on = False
        try:
            yield
        finally:
            self._is_on = True

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is not functional.linear or not self._is_on:
            return out
        addition = self.additions.get(id(args[1]))
        if addition is None:
            return out
        return out + self._scale * self._product(args[0], addition).view(out.shape)

    def _product(self, x: Tensor, addition: Addition) -> Tensor:
        """B (A x) of each row's slot."""
        inner, outer = addition.inner, addition.outer
        if len(inner) == 1:
            return functional.linear(functional.linear(x, inner[0]), outer[0])
        if self.slots != tuple(range(len(inner))):
            chosen = torch.tensor(self.slots, device=x.device)
            inner, outer = inner[chosen], outer[chosen]  # (B, r, in), (B, out, r)
        rows = x.reshape(len(self.slots), -1, x.shape[-1])  # (B, T, in)
        return torch.bmm(torch.bmm(rows, inner.transpose(1, 2)), outer.transpose(1, 2))


def _new_addition(parameter: BlockParameter, rules: LoraRules, generator: torch.Generator) -> Addition:
    """For one slot."""
    (num_outputs, num_inputs), device = parameter.tensor.shape, parameter.tensor.device
    dtype = torch.promote_types(parameter.tensor.dtype, torch.float32)
    bound = 1.0 / math.sqrt(num_inputs)
    drawn = torch.empty(rules.rank, num_inputs).uniform_(-bound, bound, generator=generator).to(device, dtype)
    outer = torch.zeros(1, num_outputs, rules.rank, device=device, dtype=dtype)
    return Addition(
        names=parameter.names,
        inner=drawn.clone().unsqueeze(0).requires_grad_(),
        outer=outer.requires_grad_(),
        drawn=drawn,
    )


def _resized(addition: Addition, num_slots: int) -> Addition:
    inner = addition.drawn.repeat(num_slots, 1, 1)
    kept_slots = addition.inner.detach()[:num_slots]
    inner[: len(kept_slots)] = kept_slots
    outer = addition.outer.detach().new_zeros(num_slots, *addition.outer.shape[1:])
    return replace(addition, inner=inner.requires_grad_(), outer=outer.requires_grad_())


def _has(name: str, word: str) -> bool:
    return f".{word}." in f".{name}."
