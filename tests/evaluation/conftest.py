"""A tiny causal model, streams of a few hundred tokens, and levers by short name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from foldover.core import bind
from foldover.data import ScoredRows
from foldover.evaluation.levers import EVALUATE_LEVERS, Evaluate, EvaluateConfig
from foldover.evaluation.parts import Inputs
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.evaluation.stream import Stream

CPU = torch.device("cpu")
VOCABULARY, WIDTH, CONTEXT = 23, 12, 16
BOS = VOCABULARY - 1


def draws(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(sum(map(ord, name)))


class Block(nn.Module):
    """Causal attention with one head; positions are told apart by a learned decay."""

    def __init__(self, index: int) -> None:
        super().__init__()
        for name in ("query", "key", "value", "output"):
            drawn = torch.empty(WIDTH, WIDTH).normal_(0.0, 0.4, generator=draws(f"{index}{name}"))
            setattr(self, name, nn.Parameter(drawn))

    def forward(self, x: Tensor) -> Tensor:
        T = x.shape[1]
        q, k, v = (functional.linear(x, weight) for weight in (self.query, self.key, self.value))
        distance = torch.arange(T).unsqueeze(1) - torch.arange(T).unsqueeze(0)
        scores = (q @ k.transpose(1, 2) - 0.05 * distance).masked_fill(distance < 0, -torch.inf)
        return x + torch.tanh(functional.linear(scores.softmax(dim=-1) @ v, self.output))


class Tiny(nn.Module):
    """(B, T) -> (B, T, V)."""

    def __init__(self, num_blocks: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(VOCABULARY, WIDTH).normal_(generator=draws("embedding")))
        self.blocks = nn.ModuleList([Block(index) for index in range(num_blocks)])
        self.head = nn.Parameter(torch.empty(VOCABULARY, WIDTH).normal_(0.0, 0.5, generator=draws("head")))

    def forward(self, ids: Tensor) -> Tensor:
        x = functional.embedding(ids, self.embedding)
        for block in self.blocks:
            x = block(x)
        return functional.linear(x, self.head).float()


def scorer_of(module: nn.Module) -> ModuleScorer:
    return ModuleScorer(module, device=CPU, blocks=list(getattr(module, "blocks", ())))


def stream_of(*lengths: int, seed: int = 0) -> Stream:
    """Documents of so many tokens, each beginning with BOS, from a source that repeats itself."""
    random = np.random.default_rng(seed)
    documents = []
    for length in lengths:
        motif = random.integers(0, BOS, 7)
        tokens = np.where(random.random(length) < 0.7, np.resize(motif, length), random.integers(0, BOS, length))
        documents.append(np.array([BOS, *tokens[1:]], dtype=np.uint16))
    ids = np.concatenate(documents)
    sizes = np.where(ids == BOS, 0, 1 + ids % 4).astype(np.int64)
    return Stream(
        ids=ids,
        bytes=sizes,
        is_scored=sizes > 0,
        starts=np.cumsum([0, *lengths]),
        text_bytes=int(sizes.sum()),
    )


def rows_of(stream: Stream, context: int = CONTEXT) -> ScoredRows:
    """Windows that overlap by one token, as many as fit."""
    ids = np.lib.stride_tricks.sliding_window_view(stream.ids, context + 1)[::context].copy()
    sizes = np.lib.stride_tricks.sliding_window_view(stream.bytes, context + 1)[::context, 1:].copy()
    return ScoredRows(ids=ids, bytes=sizes, is_scored=sizes > 0)


def levers(**values: object) -> Evaluate:
    """The levers at their defaults but for these; steps are small."""
    small = {"adapt_chunk": 48, "lora_chunk": 8, "adapt_batch": 2, "lora_rank": 3, "stride": 4}
    return bind(EvaluateConfig, EVALUATE_LEVERS.complete(small | values)).evaluate


def inputs_of(stream: Stream, /, **changes: object) -> Inputs:
    inputs = Inputs(
        rows=rows_of(stream), context=CONTEXT, tokens_at_once=4 * CONTEXT, draws=draws, stream=stream, clock=lambda: 0.0
    )
    return replace(inputs, **changes)


def slow_nats(logits_of: Callable[[Tensor], Tensor], context: list[int], target: int) -> float:
    """The nats of one token after a context, on its own."""
    with torch.no_grad():
        last = logits_of(torch.tensor([context]))[0, -1].double().numpy()
    return float(np.log(np.exp(last - last.max()).sum()) + last.max() - last[target])


@pytest.fixture
def module() -> Tiny:
    return Tiny()


@pytest.fixture
def model(module: Tiny) -> ModuleScorer:
    return scorer_of(module)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Products this small are faster on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
