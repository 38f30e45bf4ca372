"""One pass over a stream from left to right: score, then learn.

Legend: N tokens, B windows at a time, T positions of a window, n of them scored, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foldover.core import EvaluationError
from foldover.evaluation.adaptation import Adaptation, Diverged, Scored, no_adaptation
from foldover.evaluation.mixtures import Mixer
from foldover.evaluation.scoring_model import ScoringModel
from foldover.evaluation.sidecars import LogitStage
from foldover.evaluation.stream import Stream
from foldover.evaluation.windows import (
    Batch,
    Chunk,
    Windows,
    batches_of,
    chunks_of,
    sliding_windows,
    split_windows,
    windows_in,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a stream is read.

    context, stride: of the windows within each unit; chunk: positions between two lessons; is_reset: whether the model
    begins anew in each unit, so that chunks are counted there; is_isolated: whether a unit's scores may not even
    depend on which windows are computed beside its own; is_split: whether windows end where chunks do.
    """

    context: int
    stride: int
    chunk: int
    is_reset: bool = False
    is_isolated: bool = False
    is_split: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """A model with what is done to its logits and distributions, and how it learns; each made anew for a stream."""

    model: ScoringModel
    stages: tuple[LogitStage, ...] = ()
    mixers: tuple[Callable[[Stream], Mixer], ...] = ()
    adaptation: Callable[[Stream], Adaptation] | None = None
    tokens_at_once: int

    def unadapted(self) -> Evaluator:
        """The same without learning."""
        return replace(self, adaptation=None)

    def plain(self) -> Evaluator:
        """The model's own distribution."""
        return replace(self, stages=(), mixers=(), adaptation=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PassResult:
    """What a pass gives.

    nats: (N,) float64, of each token as a target, NaN where it is none; counts: (N,), how often each was scored;
    kept: log p (V,) float64 of the targets that were asked for; is_scored and bytes are the stream's.
    """

    nats: NDArray[np.float64]
    counts: NDArray[np.int64]
    kept: dict[int, Tensor]


@torch.no_grad()
def one_pass(evaluator: Evaluator, stream: Stream, reading: Reading, *, keep: Collection[int] = ()) -> PassResult:
    """Scores of all targets. keep: targets (token indices) whose distributions are wanted.

    Raises EvaluationError (`score_first`) if a chunk is to be learned from before all of it was scored, Diverged as
    learners do.
    """
    windows, chunks, groups = _plan(stream, reading)
    state = _Scores(evaluator, stream, windows, keep=frozenset(keep))
    opened = no_adaptation if evaluator.adaptation is None else evaluator.adaptation(stream)
    with opened() as learner:
        for chunk in chunks:
            if chunk.index == 0:
                learner.restart()
            chosen = windows_in(windows, chunk)
            for batch in batches_of(windows, chosen, tokens_at_once=evaluator.tokens_at_once, groups=groups):
                state.score(batch)
            if not chunk.is_last and evaluator.adaptation is not None:
                state.check_scored(chunk)
                context = int(windows.starts[chosen.stop - 1]) if chosen else chunk.lo
                learner.learn(Scored(chunk=chunk, context=context))
    return PassResult(nats=state.nats, counts=state.counts, kept=state.kept)


def _plan(stream: Stream, reading: Reading) -> tuple[Windows, tuple[Chunk, ...], NDArray[np.int64]]:
    windows = sliding_windows(stream.starts, context=reading.context, stride=reading.stride)
    scopes = stream.starts if reading.is_reset else np.array([0, len(stream)], dtype=np.int64)
    chunks = chunks_of(scopes, size=reading.chunk)
    if reading.is_split:
        windows = split_windows(windows, np.array([chunk.lo for chunk in chunks], dtype=np.int64))
    groups = np.zeros(len(windows), dtype=np.int64)
    if reading.is_isolated:
        groups = np.searchsorted(stream.starts, windows.starts, side="right")
    return windows, chunks, groups


class _Scores:
    """Scores as they come."""

    def __init__(self, evaluator: Evaluator, stream: Stream, windows: Windows, *, keep: frozenset[int]) -> None:
        self._model, self._stages = evaluator.model, evaluator.stages
        self._mixers = [make(stream) for make in evaluator.mixers]
        self._ids = torch.from_numpy(stream.ids.astype(np.int64))
        self._units = stream.starts
        self._keep = keep
        self._may_diverge = evaluator.adaptation is not None
        self.nats = np.full(len(stream), np.nan)
        self.counts = np.zeros(len(stream), dtype=np.int64)
        self.kept: dict[int, Tensor] = {}

    def score(self, batch: Batch) -> None:
        """The windows of a batch, in order."""
        device = self._model.device
        ids = torch.stack([self._ids[start : start + batch.length] for start in batch.starts]).to(device)  # (B, T)
        logits = self._model.logits(ids)[:, batch.offset :]  # (B, n, V)
        for stage in self._stages:
            logits = stage(logits, ids)
        log_probs = logits.double().log_softmax(dim=-1).flatten(0, 1)  # (B n, V)
        starts = np.repeat(np.array(batch.starts, dtype=np.int64), batch.length - batch.offset)
        steps = np.tile(np.arange(batch.offset, batch.length, dtype=np.int64), len(batch.starts))
        positions = starts + steps
        for mixer in self._mixers:
            log_probs = mixer(log_probs, positions, starts)
        targets = positions + 1
        picked = log_probs.gather(1, self._ids[torch.from_numpy(targets)].to(device).unsqueeze(1)).squeeze(1)
        self.nats[targets] = -picked.cpu().numpy()
        if self._may_diverge and not np.isfinite(self.nats[targets]).all():
            raise Diverged
        np.add.at(self.counts, targets, 1)
        for row in np.flatnonzero(np.isin(targets, list(self._keep))).tolist():
            self.kept[int(targets[row])] = log_probs[row].cpu().clone()

    def check_scored(self, chunk: Chunk) -> None:
        """Raises EvaluationError unless every target of the chunk was scored, those that begin units left out."""
        targets = np.arange(chunk.lo + 1, chunk.hi + 1)
        targets = targets[~np.isin(targets, self._units)]
        early = targets[self.counts[targets] == 0]
        if len(early):
            raise EvaluationError("score_first", "a token is learned from before it is scored", value=int(early[0]))
