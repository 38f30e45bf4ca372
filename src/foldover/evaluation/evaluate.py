"""All that the levers of evaluation ask for, in one call: each score with its proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from foldover.core import DataError, EvaluationError
from foldover.evaluation.adaptation import Adaptation, Diverged, Learner, TimeLimited
from foldover.evaluation.bits_per_byte import bits_per_byte
from foldover.evaluation.checks import check_evaluate
from foldover.evaluation.laws import check_bytes, check_causality, check_once, check_sums, sampled_targets
from foldover.evaluation.levers import Evaluate
from foldover.evaluation.one_pass import Evaluator, PassResult, Reading, one_pass
from foldover.evaluation.parts import (
    Inputs,
    adaptation_of,
    check_learned,
    check_phases,
    has_windows,
    mixers_of,
    reading_of,
    stages_of,
    text_of,
)
from foldover.evaluation.score import Evaluation, Measured, Score, ratio_error
from foldover.evaluation.scoring_model import AdaptableModel, ScoringModel
from foldover.evaluation.stream import Stream

VAL, SLIDING, MIXED, ADAPTED = "val_bpb", "sliding_bpb", "mixed_bpb", "adapted_bpb"
DIVERGED_RATIO = 1.05
"""An adapted score this many times the unadapted one has diverged (a public run had 1.23; guessed, not tuned)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    """A text, how it is read, the borders of the units that its standard error is over, and the clock."""

    text: Stream
    reading: Reading
    borders: NDArray[np.int64]
    clock: Callable[[], float]


def evaluate(
    model: AdaptableModel,
    inputs: Inputs,
    levers: Evaluate,
    *,
    plain: ScoringModel | None = None,
    is_proven: bool = True,
) -> Evaluation:
    """Every score of `Evaluation`, each pass proved lawful; the model is afterwards as before, to the bit.

    A plain score that is not finite comes back alone. plain: what the plain score is of, where the same weights are
    computed with another way there than in the passes after it. is_proven: whether causality is checked too, which
    reads some excerpts; the other rules are checked always. Raises EvaluationError that names the rule that is broken,
    RecipeError for levers that do not fit each other, DataError for data that are missing or on the wrong side.
    """
    check_evaluate(levers, context=inputs.context)
    check_learned(model.parameters(), levers)
    _check_vocabulary(model, inputs)
    is_windowed = has_windows(levers, context=inputs.context)
    task = _task(inputs, levers, is_windowed=is_windowed)
    learning = adaptation_of(model, inputs, levers)
    scores = [_plain(plain or model, inputs)]
    if not scores[0].score.is_finite:
        return Evaluation(measured=tuple(scores))
    stages, mixers = stages_of(model, inputs, levers, task.text), mixers_of(levers)
    evaluator = Evaluator(model=model, stages=stages, mixers=mixers, tokens_at_once=inputs.tokens_at_once)
    # Chunks cut the plain rows too: what learning changes is told from the same windows without it.
    is_read = is_windowed or learning is not None
    scores.append(_windowed(evaluator, task, scores[-1]) if is_read else _same(SLIDING, scores[-1]))
    scores.append(_measure(MIXED, evaluator, task) if stages or mixers else _same(MIXED, scores[-1]))
    if learning is None:
        seconds, notes = _prove(evaluator, task) if is_proven else (0.0, ())
        return Evaluation(measured=(*scores, _same(ADAPTED, scores[-1])), notes=notes, proof_seconds=seconds)
    return _adapted(replace(evaluator, adaptation=learning), task, scores, levers.adapt_seconds, is_proven=is_proven)


@torch.no_grad()
def _check_vocabulary(model: AdaptableModel, inputs: Inputs) -> None:
    known = model.logits(torch.zeros(1, 1, dtype=torch.int64, device=model.device)).shape[-1]
    texts = [inputs.rows.ids] if inputs.stream is None else [inputs.rows.ids, inputs.stream.ids]
    highest = max(int(ids.max()) for ids in texts)
    if highest >= known:
        raise DataError(
            f"the text has a token that the model does not know: its vocabulary has {known}",
            value=highest,
            fix="Evaluate with the tokenizer that the model was trained with.",
        )


def _task(inputs: Inputs, levers: Evaluate, *, is_windowed: bool) -> _Task:
    text = text_of(inputs, levers)
    units = inputs.stream.starts if is_windowed and inputs.stream is not None else text.starts
    reading = reading_of(inputs, levers)
    check_phases(text, levers)
    borders = units[:-1] if len(units) > 2 else np.arange(0, len(text), reading.context, dtype=np.int64)
    return _Task(text=text, reading=reading, borders=borders, clock=inputs.clock)


def _adapted(
    evaluator: Evaluator, task: _Task, scores: list[Measured], limit_seconds: float, *, is_proven: bool
) -> Evaluation:
    """The adapted score, or the unadapted one where learning diverged; both are reported."""
    opened: list[TimeLimited] = []
    base, found = scores[-1], None
    # Of what is kept if the adaptation diverges, and of windows that end where they would without lessons.
    proof_seconds, notes = _prove(evaluator.unadapted(), task) if is_proven else (0.0, ())
    rejected: tuple[Measured, ...] = ()
    try:
        if is_proven:
            seconds, notes = _prove(evaluator, task)
            proof_seconds += seconds
        found = _measure(ADAPTED, _limited(evaluator, limit_seconds, task.clock, opened), task)
    except Diverged:
        pass
    is_kept = found is not None and found.score.nats <= DIVERGED_RATIO * base.score.nats
    if found is not None and is_kept:
        kept = replace(found, notes=_notes(opened, task))
    else:
        reached = "no finite score" if found is None else f"{found.score.bits_per_byte:.6f} bits per byte"
        why = f"the adaptation diverged ({reached}): the unadapted score is kept"
        kept = Measured(name=ADAPTED, score=base.score, notes=(why,))
        rejected = () if found is None else (found,)
    return Evaluation(
        measured=(*scores, kept),
        rejected=rejected,
        notes=notes,
        proof_seconds=proof_seconds,
        fired=("adapted_in_evaluation",) if is_kept and opened[-1].has_taught else (),
    )


def _plain(model: ScoringModel, inputs: Inputs) -> Measured:
    rows, began = inputs.rows, inputs.clock()
    score = bits_per_byte(
        model.logits,
        rows.ids,
        rows.bytes,
        rows.is_scored,
        device=model.device,
        batch_rows=max(1, inputs.tokens_at_once // (rows.ids.shape[1] - 1)),
    )
    return Measured(name=VAL, score=score, seconds=inputs.clock() - began)


def _windowed(evaluator: Evaluator, task: _Task, plain: Measured) -> Measured:
    """The windows' score; where the rows of the plain one hold other text, it says so: the two do not compare."""
    found = _measure(SLIDING, evaluator.plain(), task)
    if (found.score.tokens, found.score.bytes) == (plain.score.tokens, plain.score.bytes):
        return found
    why = f"{found.score.tokens:,} tokens of whole documents, not the rows of {VAL}: compare with stride = context"
    return replace(found, notes=(*found.notes, why))


def _same(name: str, measured: Measured) -> Measured:
    return Measured(name=name, score=measured.score, notes=(f"as {measured.name}",))


def _measure(name: str, evaluator: Evaluator, task: _Task) -> Measured:
    """A pass over the text, with the rules that are checked on all of it."""
    began = task.clock()
    result = one_pass(evaluator, task.text, task.reading, keep=sampled_targets(task.text).tolist())
    check_once(result, task.text)
    check_sums(result)
    check_bytes(task.text)
    return Measured(name=name, score=_score(result, task), seconds=task.clock() - began)


def _score(result: PassResult, task: _Task) -> Score:
    text = task.text
    is_counted = text.is_scored & (result.counts > 0)
    left_out = int(text.bytes[~is_counted].sum())
    if left_out:
        raise EvaluationError("bytes", f"tokens that stand for {left_out} bytes of text are not scored")
    nats = np.where(is_counted, result.nats, 0.0)
    return Score(
        nats=float(nats.sum()),
        tokens=int(is_counted.sum()),
        bytes=int(text.bytes.sum()),
        standard_error=ratio_error(np.add.reduceat(nats, task.borders), np.add.reduceat(text.bytes, task.borders)),
    )


def _prove(evaluator: Evaluator, task: _Task) -> tuple[float, tuple[str, ...]]:
    """Seconds that it took, and what was checked in words."""
    began = task.clock()
    excerpts, tokens_read = check_causality(evaluator, task.text, task.reading)
    is_counted = check_bytes(task.text)
    seconds = task.clock() - began
    return seconds, (
        f"causality and normalisation hold on {excerpts} excerpts, {tokens_read} tokens read",
        "bytes are those of the text" if is_counted else "bytes are as tables have them: no text was counted",
    )


def _limited(evaluator: Evaluator, seconds: float, clock: Callable[[], float], opened: list[TimeLimited]) -> Evaluator:
    """The same with so many seconds for a pass. opened: gets the learner of each pass."""
    learning = evaluator.adaptation
    assert learning is not None

    def adaptation(stream: Stream) -> Adaptation:
        inner = learning(stream)

        @contextmanager
        def open_limited() -> Iterator[Learner]:
            with inner() as learner:
                opened.append(TimeLimited(learner, seconds=seconds, clock=clock))
                yield opened[-1]

        return open_limited

    return replace(evaluator, adaptation=adaptation)


def _notes(opened: list[TimeLimited], task: _Task) -> tuple[str, ...]:
    count = opened[-1].ran_out_after
    if count is None:
        return ()
    return (f"time ran out after {count} of {len(task.text) - len(task.text.starts) + 1} tokens: the rest unadapted",)
