"""Score-first adaptation by SGD on chunks that were scored (openai/parameter-golf, pull requests 461 and 549).

In round i of C the rate is lr/2 (1 + cos(pi i / (C - 1))); momentum lasts from chunk to chunk. Targets stay inside the
chunk: its last position predicts the first token of the next one, which is scored by then. Deviation: what is left
of a chunk after whole rows is learned too, as a shorter row; upstream drops it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from foldover.evaluation.adaptation import Adaptation, Diverged, Learner, Scored
from foldover.evaluation.scoring_model import AdaptableModel, BlockParameter, kept
from foldover.evaluation.stream import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class SgdRules:
    """The levers, and rows of at most `context` tokens.

    rows_at_once: how many of a step's rows are computed at a time; is_everything: tables and head are learned too.
    """

    lr: float
    epochs: int
    momentum: float
    grad_clip: float
    batch_rows: int
    rows_at_once: int
    context: int
    frozen_blocks: int
    is_everything: bool


def sgd_adaptation(model: AdaptableModel, stream: Stream, rules: SgdRules) -> Adaptation:
    """SGD on the parameters of `learned_by`."""

    @contextmanager
    def opened() -> Iterator[Learner]:
        parameters = model.parameters()
        with kept(parameters) as put_back:
            for parameter in parameters:
                parameter.tensor.requires_grad_(False)
            learned = [parameter.tensor for parameter in learned_by(parameters, rules)]
            for tensor in learned:
                tensor.requires_grad_(True)
            yield SgdLearner(model, stream, rules, learned, put_back)

    return opened


def learned_by(parameters: tuple[BlockParameter, ...], rules: SgdRules) -> list[BlockParameter]:
    """Parameters of blocks none of which is frozen; with `is_everything` those of no block too."""

    def is_learned(parameter: BlockParameter) -> bool:
        if not parameter.blocks:
            return rules.is_everything
        return min(parameter.blocks) >= rules.frozen_blocks

    return [parameter for parameter in parameters if is_learned(parameter)]


class SgdLearner:
    """See the module. put_back: gives the parameters their trained values."""

    def __init__(
        self,
        model: AdaptableModel,
        stream: Stream,
        rules: SgdRules,
        learned: list[torch.nn.Parameter],
        put_back: Callable[[], None],
    ) -> None:
        self._model, self._rules, self._learned, self._put_back = model, rules, learned, put_back
        self._ids = torch.from_numpy(stream.ids.astype("int64"))
        self._starts = stream.starts[:-1].tolist()
        self._optimizer = self._new_optimizer()

    def restart(self, num_slots: int = 1) -> None:
        """Trained weights, no momentum."""
        self._put_back()
        self._optimizer = self._new_optimizer()

    def attend(self, slots: Sequence[int]) -> None:
        """There is one model for all rows."""

    def learn(self, *scored: Scored) -> None:
        """All epochs of a chunk's round."""
        rules, chunk = self._rules, scored[0].chunk
        rate = 0.5 * rules.lr * (1.0 + math.cos(math.pi * chunk.index / (chunk.count - 1)))
        if not self._learned:
            return
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        for _ in range(rules.epochs):
            for ids, targets in self._batches(chunk.lo, chunk.hi):
                self._step(ids, targets)

    def consolidate(self, scored: Scored) -> None:
        """What was learned is in the weights already."""

    def forget(self) -> None:
        """As `restart`."""
        self.restart()

    def _step(self, ids: Tensor, targets: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        at_once = self._rules.rows_at_once
        with torch.enable_grad():
            for some, theirs in zip(torch.split(ids, at_once), torch.split(targets, at_once), strict=True):
                loss = self._model.loss(some, theirs) * (len(some) / len(ids))
                loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._learned, self._rules.grad_clip)
        if not torch.isfinite(norm):
            raise Diverged
        self._optimizer.step()

    def _batches(self, lo: int, hi: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets (B, T) of positions lo to hi, whole rows first; none crosses units."""
        length = self._rules.context
        whole: list[int] = []
        short: list[tuple[int, int]] = []
        inside = [start for start in self._starts if lo < start <= hi]
        for begin, end in zip([lo, *inside], [*(start - 1 for start in inside), hi], strict=True):
            rows = range(begin, end - length + 1, length)
            whole.extend(rows)
            if begin + len(rows) * length < end:
                short.append((begin + len(rows) * length, end))
        for first in range(0, len(whole), self._rules.batch_rows):
            yield self._rows(whole[first : first + self._rules.batch_rows], length)
        for begin, end in short:
            yield self._rows([begin], end - begin)

    def _rows(self, begins: list[int], length: int) -> tuple[Tensor, Tensor]:
        rows = torch.stack([self._ids[begin : begin + length + 1] for begin in begins]).to(self._model.device)
        return rows[:, :-1], rows[:, 1:]

    def _new_optimizer(self) -> torch.optim.Optimizer:
        from torch.optim import SGD  # late: loading it costs about a second

        parameters = self._learned or [torch.nn.Parameter(torch.empty(0))]
        return SGD(parameters, lr=self._rules.lr, momentum=self._rules.momentum)
