"""The rules: what breaks one is refused by its name, what keeps them is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foldover.core import EvaluationError, UserError
from foldover.evaluation.adaptation import Adaptation, Learner, NoLearner, Scored
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.laws import check_bytes, check_causality, check_once, check_sums, sampled_targets
from foldover.evaluation.one_pass import Evaluator, Reading, one_pass
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.evaluation.sgd import sgd_adaptation
from foldover.evaluation.stream import Stream
from foldover.evaluation.windows import Windows, sliding_windows

from .conftest import CONTEXT, Tiny, inputs_of, levers, scorer_of, stream_of
from .test_evaluation_adaptation import sgd_rules

READING = Reading(context=CONTEXT, stride=4, chunk=48)


def rule_of(call: Callable[[], object]) -> str:
    with pytest.raises(EvaluationError) as caught:
        call()
    assert f"`{caught.value.rule}`" in str(caught.value)
    return caught.value.rule


class Peeking(nn.Module):
    """Sees the token `ahead` places after each position, and likes it a little."""

    def __init__(self, inner: nn.Module, ahead: int) -> None:
        super().__init__()
        self.inner, self.ahead = inner, ahead

    def forward(self, ids: Tensor) -> Tensor:
        logits = self.inner(ids)
        later = torch.roll(ids, -self.ahead, dims=1)
        amount = torch.zeros(*ids.shape, 1)
        amount[:, : -self.ahead] = 1e-4
        return logits.scatter_add(-1, later.unsqueeze(-1), amount)


@pytest.mark.parametrize("ahead", [1, 2, 5])
@pytest.mark.parametrize("values", [{}, {"mode": "sliding"}, {"mode": "sliding", "isolation": "document"}])
def test_a_model_that_peeks_is_refused(module: Tiny, ahead: int, values: dict[str, object]) -> None:
    model = scorer_of(Peeking(module, ahead))
    assert rule_of(lambda: evaluate(model, inputs_of(stream_of(70, 50)), levers(**values))) == "causality"


class PeekingMixer:
    """Reads the stream ahead of the position."""

    def __init__(self, stream: Stream) -> None:
        self.ids = stream.ids

    def __call__(self, log_probs: Tensor, positions: np.ndarray, starts: np.ndarray) -> Tensor:
        nexts = torch.from_numpy(self.ids[positions + 1].astype(np.int64)).unsqueeze(1)
        return log_probs.scatter_add(1, nexts, torch.full(nexts.shape, 1e-6, dtype=torch.float64)).log_softmax(dim=-1)


def test_a_sidecar_that_peeks_is_refused(model: ModuleScorer) -> None:
    evaluator = Evaluator(model=model, tokens_at_once=64, mixers=(PeekingMixer,))
    assert rule_of(lambda: check_causality(evaluator, stream_of(120).joined(), READING)) == "causality"


class Rounding:
    """Moves each value by a last place or so, in a way that depends on the whole stream."""

    def __init__(self, stream: Stream, amount: float) -> None:
        self.step = amount * (int(stream.ids.astype(np.int64).sum()) % 97)

    def __call__(self, log_probs: Tensor, positions: np.ndarray, starts: np.ndarray) -> Tensor:
        return log_probs + self.step


@pytest.mark.parametrize(("amount", "is_refused"), [(1e-15, False), (1e-10, True)])
def test_last_places_are_no_leak_and_what_is_larger_is(model: ModuleScorer, amount: float, is_refused: bool) -> None:
    evaluator = Evaluator(model=model, tokens_at_once=64, mixers=(lambda stream: Rounding(stream, amount),))
    stream = stream_of(120).joined()
    if is_refused:
        assert rule_of(lambda: check_causality(evaluator, stream, READING)) == "causality"
    else:
        check_causality(evaluator, stream, READING)


class Unnormalised:
    """Adds counts to probabilities and divides by nothing."""

    def __init__(self, stream: Stream) -> None:
        self.extra = 1e-5

    def __call__(self, log_probs: Tensor, positions: np.ndarray, starts: np.ndarray) -> Tensor:
        return (log_probs.exp() + self.extra).log()


def test_an_unnormalised_sidecar_is_refused_on_excerpts_and_on_the_pass(model: ModuleScorer) -> None:
    evaluator = Evaluator(model=model, tokens_at_once=64, mixers=(Unnormalised,))
    stream = stream_of(120).joined()
    assert rule_of(lambda: check_causality(evaluator, stream, READING)) == "normalisation"
    result = one_pass(evaluator, stream, READING, keep=sampled_targets(stream).tolist())
    assert rule_of(lambda: check_sums(result)) == "normalisation"


def test_a_sum_that_is_off_by_less_than_rounding_passes(model: ModuleScorer) -> None:
    stream = stream_of(120).joined()
    result = one_pass(Evaluator(model=model, tokens_at_once=64), stream, READING, keep=[1, 60, 119])
    assert check_sums(result) == 3


class Eager(NoLearner):
    """Learns from the chunk after the one that it is given."""

    def __init__(self, inner: Learner) -> None:
        self.inner = inner

    def restart(self, num_slots: int = 1) -> None:
        self.inner.restart(num_slots)

    def learn(self, *chunks: Scored) -> None:
        (scored,) = chunks
        chunk = scored.chunk
        size = chunk.hi - chunk.lo
        self.inner.learn(replace(scored, chunk=replace(chunk, lo=chunk.lo + size // 2, hi=chunk.hi + size // 2)))


def test_learning_from_what_is_not_scored_yet_is_refused(model: ModuleScorer) -> None:
    def adaptation(stream: Stream) -> Adaptation:
        @contextmanager
        def opened() -> Iterator[Learner]:
            with sgd_adaptation(model, stream, sgd_rules())() as learner:
                yield Eager(learner)

        return opened

    evaluator = Evaluator(model=model, tokens_at_once=64, adaptation=adaptation)
    split = replace(READING, is_split=True)
    assert rule_of(lambda: check_causality(evaluator, stream_of(200).joined(), split)) == "score_first"


def test_the_pass_hands_over_nothing_that_it_has_not_scored(
    model: ModuleScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = Evaluator(model=model, tokens_at_once=64, adaptation=lambda stream: opened_nothing)
    monkeypatch.setattr("foldover.evaluation.one_pass.windows_in", lambda windows, chunk: range(0))
    assert rule_of(lambda: one_pass(evaluator, stream_of(200).joined(), READING)) == "score_first"


@contextmanager
def opened_nothing() -> Iterator[Learner]:
    yield NoLearner()


@pytest.mark.parametrize(
    "values",
    [
        {"adapt": "sgd", "mode": "sliding", "adapt_lr": 0.3},
        {"adapt": "sgd", "adapt_lr": 0.3},
        {"adapt": "sgd", "mode": "sliding", "isolation": "document", "adapt_reset": "document", "adapt_lr": 0.3},
        {"adapt": "lora", "mode": "sliding", "isolation": "document"},
        {"adapt": "lora", "isolation": "document", "tap_in_weight": 0.1, "cache_weight": 0.1},
        {"adapt": "sgd", "mode": "sliding", "stride": 5, "adapt_chunk": 7, "ngram_weight": 0.1},
    ],
)
def test_lawful_adaptation_proves_itself(model: ModuleScorer, module: Tiny, values: dict[str, object]) -> None:
    before = [p.detach().clone() for p in module.parameters()]
    found = evaluate(model, inputs_of(stream_of(70, 50)), levers(**values))
    count = 3 if values["adapt"] == "lora" or "adapt_reset" in values else 2
    assert found.notes[0].startswith(f"causality and normalisation hold on {count} excerpts")
    assert ("those of the text" in found.notes[1]) == (set(values) & {"mode", "isolation"} != set())
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert found.responses.number("adapted_bpb") != found.responses.number("sliding_bpb")


def test_a_device_whose_sums_are_not_repeatable_is_not_taken_for_a_leak(module: Tiny) -> None:
    noise = torch.Generator().manual_seed(0)

    class Noisy(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            return module(ids) + 1e-4 * torch.rand(*ids.shape, 1, generator=noise).expand(-1, -1, 23) * torch.arange(23)

    found = evaluate(scorer_of(Noisy()), inputs_of(stream_of(70, 50)), levers(mode="sliding"))
    assert found.proof_seconds == 0.0
    assert "2 excerpts" in found.notes[0]


def test_tokens_scored_twice_or_never_are_refused(model: ModuleScorer) -> None:
    stream = stream_of(60, 40)
    result = one_pass(Evaluator(model=model, tokens_at_once=64), stream, READING)
    check_once(result, stream)
    assert (result.counts == 1).sum() == len(stream) - 2
    for place, count in ((30, 2), (30, 0), (60, 1)):
        counts = result.counts.copy()
        counts[place] = count
        assert rule_of(lambda counts=counts: check_once(replace(result, counts=counts), stream)) == "once"


def test_bytes_that_are_not_those_of_the_text_are_refused(model: ModuleScorer) -> None:
    stream = stream_of(60, 40)
    wrong = replace(stream, text_bytes=stream.text_bytes + 1)
    assert check_bytes(stream)
    assert not check_bytes(replace(stream, text_bytes=None))
    for is_proven in (False, True):
        call = partial(evaluate, model, inputs_of(wrong), levers(mode="sliding"), is_proven=is_proven)
        assert rule_of(call) == "bytes"


def test_text_that_is_not_scored_is_refused(model: ModuleScorer) -> None:
    stream = stream_of(60, 40)
    is_scored = stream.is_scored.copy()
    is_scored[17] = False
    wrong = replace(stream, is_scored=is_scored)
    assert rule_of(lambda: evaluate(model, inputs_of(wrong), levers(mode="sliding"), is_proven=False)) == "bytes"


def test_a_violation_is_a_mistake_of_the_user() -> None:
    assert issubclass(EvaluationError, UserError)


def test_kept_distributions_are_those_that_were_scored(model: ModuleScorer) -> None:
    stream = stream_of(60).joined()
    result = one_pass(Evaluator(model=model, tokens_at_once=64), stream, READING, keep=[5, 40])
    for target, log_probs in result.kept.items():
        assert result.nats[target] == -float(log_probs[int(stream.ids[target])])


@pytest.mark.parametrize("scored", [3, 5])
def test_an_evaluation_whose_windows_overlap_or_leave_gaps_is_refused(
    model: ModuleScorer, monkeypatch: pytest.MonkeyPatch, scored: int
) -> None:
    def wrong(units: np.ndarray, *, context: int, stride: int) -> Windows:
        plan = sliding_windows(units, context=context, stride=stride)
        return replace(plan, firsts=np.maximum(plan.starts[0], plan.stops - scored))

    monkeypatch.setattr("foldover.evaluation.one_pass.sliding_windows", wrong)
    assert rule_of(lambda: evaluate(model, inputs_of(stream_of(60)), levers(mode="sliding"), is_proven=False)) == "once"
