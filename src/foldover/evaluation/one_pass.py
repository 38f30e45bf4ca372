"""One pass over a stream from left to right: score, then learn.

Legend: N tokens, B windows at a time, T positions of a window, n of them scored, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foldover.core import EvaluationError
from foldover.evaluation.adaptation import Adaptation, Diverged, Scored, no_adaptation
from foldover.evaluation.mixtures import Mixer
from foldover.evaluation.rounds import Phase, Round, rounds_of
from foldover.evaluation.scoring_model import ScoringModel
from foldover.evaluation.sidecars import LogitStage
from foldover.evaluation.stream import Stream
from foldover.evaluation.windows import (
    Batch,
    Chunk,
    Windows,
    batches_of,
    batches_side_by_side,
    sliding_windows,
    split_windows,
    windows_in,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a stream is read.

    context, stride: of the windows within each unit; chunk: positions between two lessons; is_reset: whether the model
    begins anew in each unit, so that chunks are counted there; is_isolated: whether a unit's scores may not even
    depend on which windows are computed beside its own; is_split: whether windows end where chunks do; at_once,
    is_sorted, phases: of units in which the model begins anew, as in `foldover.evaluation.rounds`.
    """

    context: int
    stride: int
    chunk: int
    is_reset: bool = False
    is_isolated: bool = False
    is_split: bool = False
    at_once: int = 1
    is_sorted: bool = False
    phases: tuple[int, ...] = ()


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
    sums: (N,), what the probabilities of each distribution add up to, 1 where nothing may have been mixed in;
    kept: log p (V,) float64 of the targets that were asked for; is_scored and bytes are the stream's.
    """

    nats: NDArray[np.float64]
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    kept: dict[int, Tensor]


@torch.no_grad()
def one_pass(evaluator: Evaluator, stream: Stream, reading: Reading, *, keep: Collection[int] = ()) -> PassResult:
    """Scores of all targets. keep: targets (token indices) whose distributions are wanted.

    Raises EvaluationError (`score_first`) if a chunk is to be learned from before all of it was scored, Diverged as
    learners do.
    """
    windows, steps, groups = _plan(stream, reading)
    state = _Scores(evaluator, stream, keep=frozenset(keep), is_side_by_side=reading.at_once > 1)
    is_learning = evaluator.adaptation is not None
    opened = no_adaptation if evaluator.adaptation is None else evaluator.adaptation(stream)
    with opened() as learner:
        for step in steps:
            if isinstance(step, Phase):
                whole = Chunk(lo=0, hi=step.end - 1, index=0, count=1)
                state.check_scored(whole)
                learner.consolidate(Scored(chunk=whole, context=0, num_scored=state.num_scored))
                continue
            if step.is_first:
                learner.restart(len(step.chunks))
                state.begin()
            chosen = [windows_in(windows, chunk) for chunk in step.chunks]
            for batch in _batches(windows, step, chosen, evaluator.tokens_at_once, groups, reading):
                learner.attend(batch.slots)
                state.score(batch)
            lessons = [
                Scored(
                    chunk=chunk,
                    context=int(windows.starts[indices.stop - 1]) if indices else chunk.lo,
                    slot=slot,
                    num_scored=state.num_scored,
                )
                for chunk, slot, indices in zip(step.chunks, step.slots, chosen, strict=True)
                if is_learning and not chunk.is_last
            ]
            for lesson in lessons:
                state.check_scored(lesson.chunk)
            if lessons:
                learner.learn(*lessons)
    return PassResult(nats=state.nats, counts=state.counts, sums=state.sums, kept=state.kept)


def _plan(stream: Stream, reading: Reading) -> tuple[Windows, tuple[Round | Phase, ...], NDArray[np.int64]]:
    windows = sliding_windows(stream.starts, context=reading.context, stride=reading.stride)
    scopes = stream.starts if reading.is_reset else np.array([0, len(stream)], dtype=np.int64)
    steps = tuple(
        rounds_of(
            scopes, size=reading.chunk, at_once=reading.at_once, is_sorted=reading.is_sorted, phases=reading.phases
        )
    )
    if reading.is_split:
        begins = sorted(chunk.lo for step in steps if isinstance(step, Round) for chunk in step.chunks)
        windows = split_windows(windows, np.array(begins, dtype=np.int64))
    groups = np.zeros(len(windows), dtype=np.int64)
    if reading.is_isolated:
        groups = np.searchsorted(stream.starts, windows.starts, side="right")
    return windows, steps, groups


def _batches(
    windows: Windows,
    step: Round,
    chosen: Sequence[range],
    tokens_at_once: int,
    groups: NDArray[np.int64],
    reading: Reading,
) -> Iterator[Batch]:
    if reading.at_once > 1:
        return batches_side_by_side(windows, chosen, step.slots, tokens_at_once=tokens_at_once)
    return batches_of(windows, chosen[0], tokens_at_once=tokens_at_once, groups=groups)


class _Scores:
    """Scores as they come. is_side_by_side: whether units are read several at a time, each then with its own mixers."""

    def __init__(self, evaluator: Evaluator, stream: Stream, *, keep: frozenset[int], is_side_by_side: bool) -> None:
        self._model, self._stages, self._makers = evaluator.model, evaluator.stages, evaluator.mixers
        self._stream, self._is_side_by_side = stream, is_side_by_side
        self._mixers: dict[int, list[Mixer]] = {}
        self._ids = torch.from_numpy(stream.ids.astype(np.int64))
        self._keep = keep
        self._may_diverge = evaluator.adaptation is not None
        self.nats = np.full(len(stream), np.nan)
        self.counts = np.zeros(len(stream), dtype=np.int64)
        self.sums = np.ones(len(stream))
        self.num_scored = 0
        self.kept: dict[int, Tensor] = {}

    def begin(self) -> None:
        """Other units than before: those side by side have mixers of their own."""
        if self._is_side_by_side:
            self._mixers.clear()

    def score(self, batch: Batch) -> None:
        """The windows of a batch, in order."""
        device = self._model.device
        ids = self._rows(batch).to(device)  # (B, T)
        logits = self._model.logits(ids)[:, batch.offset :]  # (B, n, V)
        for stage in self._stages:
            logits = stage(logits, ids)
        starts = np.repeat(np.array(batch.starts, dtype=np.int64), batch.length - batch.offset)
        steps = np.tile(np.arange(batch.offset, batch.length, dtype=np.int64), len(batch.starts))
        logits = logits.flatten(0, 1)
        is_there = steps < np.repeat(np.array(batch.lengths), batch.length - batch.offset)
        if not is_there.all():
            logits, starts, steps = logits[torch.from_numpy(is_there).to(device)], starts[is_there], steps[is_there]
        log_probs = logits.double().log_softmax(dim=-1)  # (B n, V), without what pads
        positions = starts + steps
        log_probs = self._mixed(log_probs, positions, starts)
        targets = positions + 1
        if self._makers:  # a softmax adds up to 1; what is mixed in need not
            self.sums[targets] = log_probs.exp().sum(dim=-1).cpu().numpy()
        picked = log_probs.gather(1, self._ids[torch.from_numpy(targets)].to(device).unsqueeze(1)).squeeze(1)
        self.nats[targets] = -picked.cpu().numpy()
        if self._may_diverge and not np.isfinite(self.nats[targets]).all():
            raise Diverged
        np.add.at(self.counts, targets, 1)
        self.num_scored += len(targets)
        for row in np.flatnonzero(np.isin(targets, list(self._keep))).tolist():
            self.kept[int(targets[row])] = log_probs[row].cpu().clone()

    def check_scored(self, chunk: Chunk) -> None:
        """Raises EvaluationError unless every target of the chunk was scored, those that begin units left out."""
        targets = np.arange(chunk.lo + 1, chunk.hi + 1)
        targets = targets[~np.isin(targets, self._stream.starts)]
        early = targets[self.counts[targets] == 0]
        if len(early):
            raise EvaluationError("score_first", "a token is learned from before it is scored", value=int(early[0]))

    def _rows(self, batch: Batch) -> Tensor:
        """(B, T), zeros where a row ends early."""
        rows = torch.zeros(len(batch.starts), batch.length, dtype=torch.int64)
        for row, (start, length) in enumerate(zip(batch.starts, batch.lengths, strict=True)):
            rows[row, :length] = self._ids[start : start + length]
        return rows

    def _mixed(self, log_probs: Tensor, positions: NDArray[np.int64], starts: NDArray[np.int64]) -> Tensor:
        """Through the mixers of the whole stream, or each unit's rows through its own."""
        if not self._makers:
            return log_probs
        if not self._is_side_by_side:
            for mixer in self._mixers_of(0, len(self._stream)):
                log_probs = mixer(log_probs, positions, starts)
            return log_probs
        units = np.searchsorted(self._stream.starts, positions, side="right") - 1
        mixed = log_probs.clone()
        for unit in np.unique(units).tolist():
            begin, end = self._stream.starts[unit : unit + 2].tolist()
            rows = np.flatnonzero(units == unit)
            chosen = torch.from_numpy(rows).to(log_probs.device)
            own = log_probs[chosen]
            for mixer in self._mixers_of(begin, end):
                own = mixer(own, positions[rows] - begin, starts[rows] - begin)
            mixed[chosen] = own
        return mixed

    def _mixers_of(self, begin: int, end: int) -> list[Mixer]:
        """Of a stretch of the stream, which they have seen nothing of at first."""
        if begin not in self._mixers:
            part = self._stream if end - begin == len(self._stream) else self._stream.part(begin, end)
            self._mixers[begin] = [make(part) for make in self._makers]
        return self._mixers[begin]
