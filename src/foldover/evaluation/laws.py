"""The rules that a score must keep, and their proof on the evaluation itself (openai/parameter-golf, issue 1017).

    causality      what is known of token t when it is predicted is the tokens before it
    normalisation  the prediction is a distribution over the whole vocabulary
    score_first    no token is learned from before it is scored
    once           each token is scored, and no token twice
    bytes          the bytes divided by are those of the text

`once`, `bytes` and `normalisation`, at sampled tokens and where something is mixed in, are checked on the whole pass.
Causality is asked of short excerpts, each read several times from the same state: with all tokens from t on replaced,
and with t alone replaced, nothing that was said up to the prediction of t may change in a single bit. The second
excerpt repeats its first half, so that caches and matchers have something to find; the third, where a model begins anew
in each document, is cut into short ones of several lengths, so that what goes on from document to document, or from
phase to phase, is seen, and in which order. A device whose sums do not repeat may differ from itself; text that becomes
likelier as it is read again means that something stays from one reading to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from foldover.core import EvaluationError
from foldover.evaluation.one_pass import Evaluator, PassResult, Reading, one_pass
from foldover.evaluation.stream import Stream

MAX_DEVIATION = 1e-6
"""How far the sum of a distribution may be from 1."""
ROUNDING = 1e-12
"""Nats by which equal predictions may differ in double precision."""
MAX_NOISE = 0.05
"""Nats by which a prediction may differ when a text is read again, on a device whose sums do not repeat."""
MAX_DRIFT = 0.005
"""The same of the mean of a text: noise averages out, what was kept from one reading to the next does not."""
NUM_SAMPLES = 16
"""Distributions of a whole pass that are summed."""
SHORT_UNITS = (0, 6, 11, 17, 22, 29, 33)
"""Where units of the excerpt of short ones begin, and its end: no two neighbours of one length."""
SHORTEST_EXCERPT = 48
"""Tokens of an excerpt, where there are so many: enough for several lessons in each short unit."""


def sampled_targets(stream: Stream, count: int = NUM_SAMPLES) -> NDArray[np.int64]:
    """Targets spread evenly over a stream."""
    places = np.unique(np.linspace(1, len(stream) - 1, count).astype(np.int64))
    return places[~np.isin(places, stream.starts)]


def check_sums(result: PassResult) -> int:
    """How many distributions were summed. Raises EvaluationError (`normalisation`) if one does not add up to 1."""
    unknown = np.flatnonzero(np.isnan(result.nats) & (result.counts > 0))
    if len(unknown):
        raise EvaluationError(
            "normalisation",
            f"the probability of token {int(unknown[0])} is not a number, as of {len(unknown) - 1} others",
            fix="Evaluate within the context of training, or another state.",
        )
    sums = {target: float(log_probs.exp().sum()) for target, log_probs in result.kept.items()}
    off = np.flatnonzero(~(np.abs(result.sums - 1.0) <= MAX_DEVIATION)).tolist()
    for target, total in (*sums.items(), *((target, float(result.sums[target])) for target in off)):
        if not abs(total - 1.0) <= MAX_DEVIATION:
            raise EvaluationError(
                "normalisation",
                f"the probabilities of token {target} add up to {total:.9g}",
                fix="Divide by their sum over the whole vocabulary, or mix with distributions alone.",
            )
    return len(result.kept)


def check_once(result: PassResult, stream: Stream) -> None:
    """Raises EvaluationError (`once`) unless each token but the first of each unit is scored once."""
    wanted = np.ones(len(stream), dtype=np.int64)
    wanted[stream.starts[:-1]] = 0
    wrong = np.flatnonzero(result.counts != wanted)
    if len(wrong):
        place = int(wrong[0])
        times = int(result.counts[place])
        raise EvaluationError("once", f"token {place} is scored {times} times; {len(wrong)} tokens are not scored once")


def check_bytes(stream: Stream) -> bool:
    """Whether there was a text to count. Raises EvaluationError (`bytes`) if the bytes divided by are not its bytes."""
    if stream.text_bytes is None:
        return False
    counted = int(stream.bytes.sum())
    if counted != stream.text_bytes:
        raise EvaluationError(
            "bytes",
            f"the tokens count as {counted:,} bytes, the text has {stream.text_bytes:,}",
            fix="Was the stream made with another tokenizer?",
        )
    return True


def check_causality(evaluator: Evaluator, stream: Stream, reading: Reading) -> tuple[int, int]:
    """Number of excerpts and tokens read. Raises EvaluationError (`causality`, `score_first`, `normalisation`)."""
    chosen = _excerpts(stream, reading, is_learning=evaluator.adaptation is not None)
    tokens_read = 0
    for excerpt, short in chosen:
        targets = _changed_targets(excerpt, short)
        before = one_pass(evaluator, excerpt, short, keep=targets)
        check_sums(before)
        for number, target in enumerate(targets):
            changed = _replaced(excerpt, target, is_alone=number % 2 == 1)
            after = one_pass(evaluator, changed, short, keep=targets)
            if _deviation(before, after, target):
                _refuse(evaluator, excerpt, changed, short, targets, target, before, after)
            tokens_read += len(excerpt)
        tokens_read += len(excerpt)
    return len(chosen), tokens_read


def _excerpts(stream: Stream, reading: Reading, *, is_learning: bool) -> list[tuple[Stream, Reading]]:
    """With readings whose chunks, groups and phases are small enough for the excerpts to have several.

    Long enough for windows that are computed side by side, after the first.
    """
    length = reading.context + max(2 * reading.stride, min(4 * reading.stride, reading.context // 2)) + 2
    length = min(len(stream), max(length, SHORTEST_EXCERPT))
    if length < 4:
        return []
    start = (len(stream) - length) // 2
    first, middle = stream.part(0, length), stream.part(start, start + length)
    half = length // 2
    twice = np.concatenate((middle.ids[:half], middle.ids[:half], middle.ids[2 * half :]))
    chunk = min(length // 3, reading.context // 2) if is_learning else length
    found = [(excerpt, _shortened(reading, excerpt, chunk)) for excerpt in (first, middle.with_ids(twice))]
    if reading.is_reset and length >= 4 * len(SHORT_UNITS):
        cut = replace(middle, starts=np.array(SHORT_UNITS, dtype=np.int64) * length // SHORT_UNITS[-1])
        found.append((cut, _shortened(reading, cut, length // (3 * len(SHORT_UNITS)))))
    return found


def _shortened(reading: Reading, excerpt: Stream, chunk: int) -> Reading:
    num_units, count = len(excerpt.starts) - 1, min(len(reading.phases), 2)
    places = {round(num_units * (index + 1) / (count + 1)) for index in range(count)}
    return replace(
        reading,
        chunk=max(1, min(reading.chunk, chunk)),
        at_once=min(reading.at_once, 2),
        phases=tuple(sorted(place for place in places if 0 < place < num_units)),
    )


def _changed_targets(excerpt: Stream, reading: Reading) -> list[int]:
    """Targets that begin no unit: the first behind the first lesson and within the first window, in the middle, late.

    The first behind a lesson, so that one that reads on by a single token is seen; early, so that a look far ahead does
    not end at the window. Of short units in which the model begins anew, the first one, which is behind a phase or
    another unit's lessons, or the one behind the first lesson.
    """
    chunk = reading.chunk
    if reading.is_reset and len(excerpt.starts) >= len(SHORT_UNITS):
        borders = [begin + (0 if 2 <= unit <= 4 else chunk) for unit, begin in enumerate(excerpt.starts[:-1].tolist())]
    else:
        late = max(chunk, (len(excerpt) - 2) // chunk * chunk - chunk)
        borders = [min(chunk, reading.context // 2), len(excerpt) // 2, late]
    wanted = [min(border + 1, len(excerpt) - 1) for border in borders]
    targets = [next((t for t in range(place, 0, -1) if t not in excerpt.starts), 0) for place in wanted]
    return [target for target in targets if target]


def _replaced(excerpt: Stream, target: int, *, is_alone: bool) -> Stream:
    """The excerpt with the target, or it and all after it, replaced by other tokens of the excerpt."""
    ids = excerpt.ids.copy()
    last = target + 1 if is_alone else len(ids)
    known = np.unique(excerpt.ids)
    if len(known) < 2:
        known = np.unique(np.array([known[0], 0 if known[0] else 1], dtype=ids.dtype))
    begins = set(excerpt.starts.tolist())
    for place in range(target, last):
        if place not in begins:
            index = int(np.searchsorted(known, ids[place]))
            ids[place] = known[(index + 1 + place % (len(known) - 1)) % len(known)]
    return excerpt.with_ids(ids)


def _deviation(before: PassResult, after: PassResult, target: int) -> float:
    """Largest difference in the scores before the target and in its own distribution; 0 if every bit is the same."""
    same = np.array_equal(before.nats[:target], after.nats[:target], equal_nan=True)
    if same and torch.equal(before.kept[target], after.kept[target]):
        return 0.0
    if not np.array_equal(np.isnan(before.nats[:target]), np.isnan(after.nats[:target])):
        return float("inf")
    scores = np.nan_to_num(np.abs(before.nats[:target] - after.nats[:target]), nan=0.0)
    apart = (before.kept[target] - after.kept[target]).abs().nan_to_num(nan=0.0)
    return max(float(scores.max(initial=0.0)), float(apart.max()), np.finfo(np.float64).tiny)


def _refuse(
    evaluator: Evaluator,
    excerpt: Stream,
    changed: Stream,
    reading: Reading,
    targets: Sequence[int],
    target: int,
    before: PassResult,
    after: PassResult,
) -> None:
    """Raises EvaluationError, unless the same pass twice differs as much (sums of a device that do not repeat), or the
    difference is of the last places of a double: mixtures of other lengths round in another order.
    """
    again = one_pass(evaluator, excerpt, reading, keep=targets)
    noise, drift = _deviation(before, again, target), abs(float(np.nanmean(before.nats - again.nats)))
    if noise > MAX_NOISE or drift > MAX_DRIFT:
        raise EvaluationError(
            "causality",
            f"a text that is read again is scored otherwise, by {drift:.3g} nats a token and up to {noise:.3g}",
            fix="Begin each pass in the same state, and keep nothing of what was read.",
        )
    found = _deviation(before, after, target)
    allowed = min(max(10.0 * noise, ROUNDING), MAX_NOISE)
    if found <= allowed:
        return
    still = evaluator.unadapted()
    read = [one_pass(still, stream, reading, keep=targets) for stream in (excerpt, changed)]
    if evaluator.adaptation is None or _deviation(read[0], read[1], target) > allowed:
        raise EvaluationError(
            "causality",
            f"what is said ahead of token {target} of an excerpt depends on it or on later ones, by {found:.3g} nats",
            fix="A prediction may depend on the tokens before it alone.",
        )
    raise EvaluationError(
        "score_first",
        f"what was learned ahead of token {target} of an excerpt depends on it or on later ones",
        fix="Learn from a token only after it is scored.",
    )
