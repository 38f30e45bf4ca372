"""torch.compile, as a setting: what it sees, and how long it takes, which no budget pays for.

What a compiler takes for a constant stays as it was when it looked: a lever that changes something during training
would silently stop acting. So nothing here is a flag that the model reads. Another plan of layers, another number of
rows, another length of rows are other programs; quantised or noisy weights are weights. tests/lm/test_lm_compiling.py
holds recipes that change during training to what they are without the compiler.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from foldover.lm.model import Gpt

# Shapes and plans of a run together; torch gives up, and silently does without, at 8.
MOST_PROGRAMS = 64


class CompiledModel:
    """What an objective needs of a model, compiled at its first use and whenever plan or shapes are new."""

    def __init__(self, model: Gpt, *, backend: str = "inductor") -> None:
        self._loss_terms = torch.compile(model.loss_terms, backend=backend)
        self._logits_and_terms = torch.compile(model.logits_and_terms, backend=backend)

    def loss_terms(self, ids: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Of the model."""
        return self._loss_terms(ids, targets)

    def logits_and_terms(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of the model."""
        return self._logits_and_terms(ids, targets)


class CompileTime:
    """Seconds that went into compiling so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def now(self) -> float:
        """A clock of the process that stood still while it compiled."""
        return time.perf_counter() - self.seconds

    def begin(self, event: object) -> None:
        """For torch to call."""
        self._began = time.perf_counter()

    def end(self, event: object) -> None:
        """For torch to call."""
        self.seconds += time.perf_counter() - self._began


@contextmanager
def compiling(is_on: bool) -> Iterator[CompileTime]:
    """Measure what is compiled inside; programs of earlier runs in this process are forgotten.

    is_on: False for runs without the compiler, which need none of it.
    """
    spent = CompileTime()
    if not is_on:
        yield spent
        return
    import torch._dynamo  # late: it costs seconds
    from torch._dynamo.callback import callback_handler

    torch._dynamo.reset()
    callback_handler.register_start_callback(spent.begin)
    callback_handler.register_end_callback(spent.end)
    try:
        with torch._dynamo.config.patch(recompile_limit=MOST_PROGRAMS):
            yield spent
    finally:
        callback_handler.remove_start_callback(spent.begin)
        callback_handler.remove_end_callback(spent.end)
        torch._dynamo.reset()
