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
from torch.nn import functional

from foldover.core import EvaluationError, UserError
from foldover.evaluation.adaptation import Adaptation, Learner, NoLearner, Scored
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.laws import check_bytes, check_causality, check_once, check_sums, sampled_targets
from foldover.evaluation.one_pass import Evaluator, Reading, one_pass
from foldover.evaluation.parts import adaptation_of, reading_of, text_of
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.evaluation.stream import Stream
from foldover.evaluation.windows import Windows, sliding_windows

from .conftest import CONTEXT, Tiny, inputs_of, levers, scorer_of, stream_of

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


class Rare:
    """Three times the probability after one token in five hundred or so."""

    def __init__(self, stream: Stream) -> None:
        self.ids = stream.ids

    def __call__(self, log_probs: Tensor, positions: np.ndarray, starts: np.ndarray) -> Tensor:
        is_hit = (positions % 101 == 60) & (self.ids[positions] < 10)
        return log_probs + torch.from_numpy(np.where(is_hit, np.log(3.0), 0.0)).unsqueeze(1)


def test_a_sidecar_that_is_unnormalised_now_and_then_is_refused_on_the_pass(model: ModuleScorer) -> None:
    stream = stream_of(900).joined()
    keep = sampled_targets(stream).tolist()
    result = one_pass(Evaluator(model=model, tokens_at_once=64, mixers=(Rare,)), stream, READING, keep=keep)
    assert all(float(result.kept[target].exp().sum()) == pytest.approx(1.0) for target in keep)
    assert 0 < (abs(result.sums - 1.0) > 1.0).sum() < 9
    assert rule_of(lambda: check_sums(result)) == "normalisation"


class Remembering:
    """Likes what came after the same three tokens in any reading before."""

    followed: dict[tuple[int, ...], int]

    def __init__(self, stream: Stream) -> None:
        self.ids = stream.ids.tolist()

    def __call__(self, log_probs: Tensor, positions: np.ndarray, starts: np.ndarray) -> Tensor:
        mixed = log_probs.clone()
        for row, position in enumerate(positions.tolist()):
            context = tuple(self.ids[max(0, position - 2) : position + 1])
            if context in self.followed:
                mixed[row, self.followed[context]] += 0.5
            self.followed[context] = self.ids[position + 1]
        return mixed.log_softmax(dim=-1)


def test_a_cache_that_outlives_its_pass_is_refused(model: ModuleScorer) -> None:
    evaluator = Evaluator(model=model, tokens_at_once=64, mixers=(type("_", (Remembering,), {"followed": {}}),))
    assert rule_of(lambda: check_causality(evaluator, stream_of(120).joined(), READING)) == "causality"


class Counting(nn.Module):
    """Likes what it was shown since it was made."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.counts = inner, torch.zeros(23)

    def forward(self, ids: Tensor) -> Tensor:
        logits = self.inner(ids) + self.counts.log1p()
        self.counts = self.counts + torch.bincount(ids.flatten(), minlength=23)
        return logits


class Centred(nn.Module):
    """Subtracts the mean over the rows of a batch, all of which but one are of other windows."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids: Tensor) -> Tensor:
        logits = self.inner(ids)
        return logits - 0.5 * logits.mean(dim=0, keepdim=True) if len(ids) > 1 else logits


@pytest.mark.parametrize("values", [{}, {"mode": "sliding"}, {"isolation": "document"}])
@pytest.mark.parametrize("broken", [Counting, Centred])
def test_what_a_model_keeps_or_takes_from_other_windows_is_refused(
    module: Tiny, broken: type[nn.Module], values: dict[str, object]
) -> None:
    stream = stream_of(200, 200)
    assert rule_of(lambda: evaluate(scorer_of(broken(module)), inputs_of(stream), levers(**values))) == "causality"


@pytest.mark.parametrize("context", [1, 2, 5])
def test_short_contexts_are_checked_too(model: ModuleScorer, context: int) -> None:
    evaluator = Evaluator(model=model, tokens_at_once=64, mixers=(PeekingMixer,))
    reading = Reading(context=context, stride=1, chunk=48)
    assert rule_of(lambda: check_causality(evaluator, stream_of(120).joined(), reading)) == "causality"


def test_an_adaptation_that_diverges_hides_no_leak(module: Tiny) -> None:
    for inner, is_lawful in ((module, True), (Peeking(module, 1), False)):
        model = scorer_of(inner)
        model.loss = lambda ids, targets, inner=inner: inner(ids).sum() * torch.inf  # type: ignore[method-assign]
        setting = levers(mode="sliding", adapt="sgd", adapt_scope="all")
        call = partial(evaluate, model, inputs_of(stream_of(70, 50)), setting)
        if is_lawful:
            found = call()
            assert found.notes[0].startswith("causality and normalisation hold on 2 excerpts")
            assert "no finite score" in found.measured[-1].notes[0]
        else:
            assert rule_of(call) == "causality"


class Early(NoLearner):
    """Learns from chunks that lie so many tokens further on than those that it is given."""

    def __init__(self, inner: Learner, by: int) -> None:
        self.inner, self.by = inner, by
        self.restart, self.attend = inner.restart, inner.attend  # type: ignore[method-assign]

    def learn(self, *scored: Scored) -> None:
        def later(one: Scored) -> Scored:
            chunk = replace(one.chunk, lo=one.chunk.lo + self.by, hi=one.chunk.hi + self.by)
            return replace(one, chunk=chunk, context=one.context + self.by)

        self.inner.learn(*map(later, scored))


SGD, LORA = {"adapt": "sgd", "adapt_lr": 0.1}, {"adapt": "lora", "lora_lr": 0.03, "isolation": "document"}


@pytest.mark.parametrize("by", [0, 1, 4])
@pytest.mark.parametrize(
    "values",
    [
        SGD,
        {**SGD, "isolation": "document", "adapt_reset": "document"},
        {**LORA, "lora_batch": 3},
        {**LORA, "lora_batch": 2, "lora_reset": "warm"},
    ],
)
def test_learning_from_what_is_not_scored_yet_is_refused(
    model: ModuleScorer, values: dict[str, object], by: int
) -> None:
    stream, setting = stream_of(70, 60, 50), levers(mode="sliding", **values)
    inputs = inputs_of(stream)
    lawful = adaptation_of(model, inputs, setting)
    assert lawful is not None

    def adaptation(text: Stream) -> Adaptation:
        @contextmanager
        def opened() -> Iterator[Learner]:
            with lawful(text)() as learner:
                yield Early(learner, by)

        return opened

    evaluator = Evaluator(model=model, tokens_at_once=64, adaptation=adaptation)
    call = partial(check_causality, evaluator, text_of(inputs, setting), reading_of(inputs, setting))
    if by:
        assert rule_of(call) == "score_first"
    else:
        call()


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


def test_a_prediction_that_is_not_a_number_is_none(module: Tiny) -> None:
    class Short(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            logits = module(ids)
            return logits + torch.where(torch.arange(ids.shape[1]) == 36, torch.nan, 0.0).unsqueeze(-1)

    stream = stream_of(200)
    assert not {37, 77, 117, 157, 197} & set(sampled_targets(stream).tolist())
    call = partial(evaluate, scorer_of(Short()), inputs_of(stream), levers(eval_context=40), is_proven=False)
    assert rule_of(call) == "normalisation"


def test_noise_of_ones_own_hides_no_leak(module: Tiny) -> None:
    noise = torch.Generator().manual_seed(0)

    class Hiding(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            later = functional.one_hot(torch.roll(ids, -1, dims=1), 23)
            return module(ids) + 0.02 * torch.rand(*ids.shape, 23, generator=noise) + 0.1 * later

    assert (
        rule_of(lambda: evaluate(scorer_of(Hiding()), inputs_of(stream_of(90)), levers(mode="sliding"))) == "causality"
    )


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
