"""Documents that learn side by side, what goes on from one to the next, and phases between them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from foldover.core import EvaluationError, RecipeError
from foldover.evaluation.adaptation import Adaptation, Learner, NoLearner, Scored, TimeLimited
from foldover.evaluation.checks import check_evaluate
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.laws import check_causality
from foldover.evaluation.one_pass import Evaluator, PassResult, Reading, one_pass
from foldover.evaluation.parts import adaptation_of, mixers_of, reading_of
from foldover.evaluation.rounds import Phase, Round, rounds_of
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.evaluation.stream import Stream
from foldover.evaluation.windows import batches_side_by_side, sliding_windows, windows_in

from .conftest import CONTEXT, CPU, Tiny, inputs_of, levers, scorer_of, stream_of

LENGTHS = (70, 9, 20, 45, 2, 33)
TOLERANCE = 1e-3
"""Nats by which scores in fp32 may differ: products of other shapes round otherwise, and steps of Adam amplify that."""
LORA = {"adapt": "lora", "lora_lr": 0.03, "mode": "sliding", "isolation": "document"}


class Exact(Tiny):
    """In double precision from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = functional.embedding(ids, self.embedding)
        for block in self.blocks:
            x = block(x)
        return functional.linear(x, self.head)


class ExactScorer(ModuleScorer):
    def loss(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self.logits(ids)[:, -targets.shape[1] :].flatten(0, 1), targets.flatten())


def exact_scorer(module: Exact) -> ExactScorer:
    return ExactScorer(module, device=CPU, blocks=list(module.blocks))


def scored(model: ModuleScorer, stream: Stream, tokens_at_once: int = 64, **values: object) -> PassResult:
    setting, inputs = levers(**(LORA | values)), inputs_of(stream, tokens_at_once=tokens_at_once)
    evaluator = Evaluator(
        model=model,
        mixers=mixers_of(setting),
        adaptation=adaptation_of(model, inputs, setting),
        tokens_at_once=tokens_at_once,
    )
    return one_pass(evaluator, stream, reading_of(inputs, setting))


def by_document(stream: Stream, nats: np.ndarray) -> list[np.ndarray]:
    return np.split(nats, stream.starts[1:-1])


def reordered(stream: Stream, order: list[int]) -> Stream:
    parts = [stream.part(*stream.starts[i : i + 2].tolist()) for i in order]
    return replace(
        stream,
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "bytes", "is_scored")},
        starts=np.cumsum([0, *map(len, parts)]),
    )


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=9),
    st.integers(1, 12),
    st.integers(1, 4),
    st.booleans(),
    st.sets(st.integers(1, 8), max_size=3),
)
def test_rounds_have_each_position_once_in_order_and_phases_only_what_came_before(
    lengths: list[int], size: int, at_once: int, is_sorted: bool, wanted: set[int]
) -> None:
    starts = np.cumsum([0, *lengths])
    phases = tuple(sorted(number for number in wanted if number < len(lengths)))
    seen: dict[int, list[int]] = {unit: [] for unit in range(len(lengths))}
    ends = []
    for step in rounds_of(starts, size=size, at_once=at_once, is_sorted=is_sorted, phases=phases):
        if isinstance(step, Phase):
            ends.append(step.end)
            units = range(int(np.searchsorted(starts, step.end)))
            assert all(len(seen[unit]) == lengths[unit] - 1 for unit in units)
            assert not any(seen[unit] for unit in range(len(units), len(lengths)))
            continue
        assert len(step.chunks) == len(set(step.slots)) <= at_once
        assert max(step.slots) < at_once
        assert len({chunk.index for chunk in step.chunks}) == 1
        for chunk in step.chunks:
            unit = int(np.searchsorted(starts, chunk.lo, side="right")) - 1
            assert len(seen[unit]) == chunk.lo - starts[unit]
            seen[unit].extend(range(chunk.lo, chunk.hi))
    assert ends == [int(starts[number]) for number in phases]
    assert all(len(seen[unit]) == length - 1 for unit, length in enumerate(lengths))


def test_documents_of_like_length_come_together_and_keep_their_slots() -> None:
    rounds = list(rounds_of(np.cumsum([0, 31, 6, 21, 12]), size=10, at_once=2, is_sorted=True))
    found = [(step.slots, [chunk.lo for chunk in step.chunks]) for step in rounds if isinstance(step, Round)]
    wanted = [((0, 1), [31, 58]), ((1,), [68]), ((0, 1), [37, 0]), ((0, 1), [47, 10]), ((1,), [20])]
    assert found[0] == wanted[0]
    assert found[1:] == wanted[1:]


def test_batches_pad_the_windows_that_end_early_and_stay_within_their_tokens() -> None:
    starts = np.cumsum([0, 40, 23])
    windows = sliding_windows(starts, context=CONTEXT, stride=4)
    step = next(iter(rounds_of(starts, size=40, at_once=2)))
    assert isinstance(step, Round)
    chosen = [windows_in(windows, chunk) for chunk in step.chunks]
    batches = list(batches_side_by_side(windows, chosen, step.slots, tokens_at_once=4 * CONTEXT))
    assert all(len(batch.starts) * batch.length <= 4 * CONTEXT for batch in batches)
    assert all(batch.length == max(batch.lengths) for batch in batches)
    rows = [row for batch in batches for row in zip(batch.slots, batch.starts, batch.lengths, strict=True)]
    for slot, indices in enumerate(chosen):
        own = [(start, start + length) for where, start, length in rows if where == slot]
        assert own == [(int(windows.starts[i]), int(windows.stops[i])) for i in indices]
    assert any(len(set(batch.lengths)) > 1 for batch in batches)


@pytest.mark.parametrize(
    ("at_once", "tokens", "values"),
    [
        (2, 64, {}),
        (3, 17, {"stride": 7, "lora_chunk": 11}),
        (16, 512, {"lora_weight_decay": 0.5}),
        (3, 64, {"mode": "plain"}),
    ],
)
def test_side_by_side_gives_the_scores_of_one_by_one(
    model: ModuleScorer, at_once: int, tokens: int, values: dict[str, object]
) -> None:
    stream, exact = stream_of(*LENGTHS), exact_scorer(Exact())
    alone, together = (scored(exact, stream, tokens, lora_batch=count, **values) for count in (1, at_once))
    assert np.array_equal(alone.counts, together.counts)
    np.testing.assert_allclose(together.nats, alone.nats, rtol=0, atol=1e-9)
    rounded = scored(model, stream, tokens, lora_batch=at_once, **values)
    np.testing.assert_allclose(rounded.nats, alone.nats, rtol=0, atol=TOLERANCE)
    unadapted = scored(exact, stream, **(values | {"lora_lr": 0.0})).nats
    assert np.nanmax(np.abs(unadapted - alone.nats)) > 100 * TOLERANCE


def test_the_order_of_documents_changes_no_bit_side_by_side(model: ModuleScorer) -> None:
    stream = stream_of(*LENGTHS)
    first = by_document(stream, scored(model, stream, lora_batch=4).nats)
    for order in ([5, 4, 3, 2, 1, 0], [2, 0, 5, 1, 4, 3]):
        other = reordered(stream, order)
        found = by_document(other, scored(model, other, lora_batch=4).nats)
        for place, index in enumerate(order):
            assert np.array_equal(found[place], first[index], equal_nan=True)


@pytest.mark.parametrize("at_once", [2, 32])
def test_a_rate_of_zero_side_by_side_equals_isolated_documents(model: ModuleScorer, at_once: int) -> None:
    stream = stream_of(*LENGTHS)
    still = levers(**(LORA | {"lora_lr": 0.0}), lora_batch=at_once)
    found = evaluate(model, inputs_of(stream), still, is_proven=False).responses
    assert found.number("adapted_bpb") == found.number("sliding_bpb")
    isolated = evaluate(model, inputs_of(stream), levers(mode="sliding", isolation="document"), is_proven=False)
    assert found.number("sliding_bpb") == pytest.approx(isolated.responses.number("sliding_bpb"), abs=TOLERANCE)


def test_what_is_mixed_in_side_by_side_is_of_the_own_document(model: ModuleScorer) -> None:
    stream, values = stream_of(*LENGTHS), {"ngram_weight": 0.2, "tap_in_weight": 0.1, "ngram_tilt": 0.5}
    alone, together = scored(model, stream, **values), scored(model, stream, lora_batch=3, **values)
    np.testing.assert_allclose(together.nats, alone.nats, rtol=0, atol=TOLERANCE)
    assert np.nanmax(np.abs(scored(model, stream).nats - alone.nats)) > 100 * TOLERANCE


@pytest.mark.parametrize(
    "values",
    [
        {"lora_batch": 3},
        {"lora_batch": 2, "lora_reset": "warm"},
        {"lora_reset": "warm"},
        {"lora_batch": 2, "phase_documents": "1,3", "phase_lr": 0.3},
        {"phase_documents": "2", "phase_lr": 0.3, "lora_reset": "warm", "tap_in_weight": 0.05},
    ],
)
def test_documents_side_by_side_and_phases_prove_themselves(
    model: ModuleScorer, module: Tiny, values: dict[str, object]
) -> None:
    before = [p.detach().clone() for p in module.parameters()]
    found = evaluate(model, inputs_of(stream_of(*LENGTHS)), levers(**(LORA | values)))
    assert found.notes[0].startswith("causality and normalisation hold on 3 excerpts")
    assert found.responses.number("adapted_bpb") != found.responses.number("sliding_bpb")
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def changed_in(stream: Stream, document: int) -> Stream:
    ids = stream.ids.copy()
    begin, end = stream.starts[document : document + 2]
    ids[begin + 1 : end] = (ids[begin + 1 : end] + 5) % 20
    return stream.with_ids(ids)


@pytest.mark.parametrize(
    ("at_once", "document", "felt"),
    [(1, 0, [0, 1, 2, 3, 4]), (1, 3, [3, 4]), (2, 0, [0, 2, 4]), (2, 1, [1, 3]), (2, 3, [3]), (5, 2, [2])],
)
def test_a_warm_matrix_goes_to_the_next_document_of_its_slot_alone(
    model: ModuleScorer, at_once: int, document: int, felt: list[int]
) -> None:
    stream = stream_of(40, 40, 40, 40, 40)
    values = {"lora_batch": at_once, "lora_reset": "warm"}
    first = by_document(stream, scored(model, stream, **values).nats)
    other = changed_in(stream, document)
    second = by_document(other, scored(model, other, **values).nats)
    differ = [i for i in range(5) if not np.array_equal(first[i], second[i], equal_nan=True)]
    assert differ == felt


@pytest.mark.parametrize("at_once", [2, 3])
def test_the_documents_of_a_slot_are_a_chain_of_their_own(at_once: int) -> None:
    model, stream = exact_scorer(Exact()), stream_of(70, 20, 45, 33, 61, 40, 12, 52)
    together = by_document(stream, scored(model, stream, lora_batch=at_once, lora_reset="warm").nats)
    for slot in range(at_once):
        order = list(range(slot, 8, at_once))
        chain = reordered(stream, order)
        alone = by_document(chain, scored(model, chain, lora_reset="warm").nats)
        for place, index in enumerate(order):
            np.testing.assert_allclose(together[index], alone[place], rtol=0, atol=1e-8)


def rule_of(evaluator: Evaluator, stream: Stream, reading: Reading) -> str:
    with pytest.raises(EvaluationError) as caught:
        check_causality(evaluator, stream, reading)
    return caught.value.rule


def test_warm_documents_in_another_order_than_the_streams_are_refused(model: ModuleScorer) -> None:
    lengths = (40, 30, 20, 10, 40, 30)
    stream = stream_of(*lengths)
    setting, inputs = levers(**LORA, lora_reset="warm"), inputs_of(stream)
    evaluator = Evaluator(model=model, adaptation=adaptation_of(model, inputs, setting), tokens_at_once=64)
    reading = reading_of(inputs, setting)
    check_causality(evaluator, stream, reading)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foldover.evaluation.one_pass.rounds_of", backwards)
        assert rule_of(evaluator, stream, reading) == "score_first"


def backwards(scopes: np.ndarray, *, size: int, **rest: object) -> Iterator[Round | Phase]:
    """The last unit first."""
    groups: list[list[Round]] = []
    for step in rounds_of(scopes, size=size):
        assert isinstance(step, Round)
        if step.is_first:
            groups.append([])
        groups[-1].append(step)
    return (step for group in reversed(groups) for step in group)


PHASED = {"phase_documents": "2,4", "phase_lr": 0.2, "phase_chunk": 30, "phase_batch": 2, "phase_epochs": 2}


def test_phases_follow_a_reference_written_out() -> None:
    module, stream = Exact(), stream_of(*LENGTHS)
    model = exact_scorer(module)
    found = by_document(stream, scored(model, stream, lora_lr=0.0, **PHASED).nats)
    began = [p.detach().clone() for p in module.parameters()]
    for documents, phase in ((range(2), 2), (range(2, 4), 4), (range(4, 6), None)):
        isolated = by_document(stream, scored(model, stream, lora_lr=0.0).nats)
        for i in documents:
            np.testing.assert_allclose(found[i], isolated[i], rtol=0, atol=1e-7)
        if phase is not None:
            by_hand(module, list(module.parameters()), stream, documents=phase)
    assert any(float((p.detach() - q).abs().max()) > 0.01 for p, q in zip(module.parameters(), began, strict=True))


def by_hand(module: Exact, weights: list[nn.Parameter], stream: Stream, *, documents: int) -> None:
    """A phase on the first documents: plain loops, no optimizer."""
    ids, end = torch.from_numpy(stream.ids.astype(np.int64)), int(stream.starts[documents])
    chunks = [(lo, min(lo + 30, end - 1)) for lo in range(0, end - 1, 30)]
    momenta = [torch.zeros_like(p) for p in weights]
    for index, (lo, hi) in enumerate(chunks):
        rate = 0.1 * (1 + math.cos(math.pi * index / len(chunks)))
        rows: list[tuple[int, int]] = []
        short: list[tuple[int, int]] = []
        for begin, stop in zip(stream.starts[:-1].tolist(), stream.starts[1:].tolist(), strict=True):
            first, last = max(lo, begin), min(hi, stop - 1)
            while first < last:
                (rows if last - first >= CONTEXT else short).append((first, min(first + CONTEXT, last)))
                first += CONTEXT
        batches = [rows[i : i + 2] for i in range(0, len(rows), 2)] + [[row] for row in short]
        for _ in range(2):
            for batch in batches:
                x = torch.stack([ids[a:b] for a, b in batch])
                y = torch.stack([ids[a + 1 : b + 1] for a, b in batch])
                gradients = torch.autograd.grad(functional.cross_entropy(module(x).flatten(0, 1), y.flatten()), weights)
                norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
                with torch.no_grad():
                    for p, m, g in zip(weights, momenta, gradients, strict=True):
                        m.mul_(0.9).add_(g * min(1.0, 1.0 / (norm + 1e-6)))
                        p.sub_(rate * m)


def test_a_phase_is_felt_by_the_documents_after_it_and_by_no_other(model: ModuleScorer) -> None:
    stream = stream_of(*LENGTHS)
    alone = by_document(stream, scored(model, stream).nats)
    phased = by_document(stream, scored(model, stream, phase_documents="2", phase_lr=0.2).nats)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(alone[:2], phased[:2], strict=True))
    assert not any(np.array_equal(a, b, equal_nan=True) for a, b in zip(alone[2:], phased[2:], strict=True))


def test_with_phases_the_order_of_documents_matters(model: ModuleScorer) -> None:
    stream = stream_of(*LENGTHS)
    values = {"phase_documents": "2", "phase_lr": 0.2}
    first = by_document(stream, scored(model, stream, **values).nats)
    other = reordered(stream, [2, 1, 0, 3, 4, 5])
    assert not np.array_equal(first[5], by_document(other, scored(model, other, **values).nats)[5], equal_nan=True)


def test_a_phase_at_a_rate_of_zero_changes_no_bit(model: ModuleScorer) -> None:
    stream = stream_of(*LENGTHS)
    still = scored(model, stream, phase_documents="2,3", phase_lr=0.0).nats
    assert np.array_equal(still, scored(model, stream).nats, equal_nan=True)


def test_blocks_alone_or_everything_is_learned_in_a_phase(module: Tiny, model: ModuleScorer) -> None:
    stream = stream_of(50, 50)
    for scope, is_moved in (("blocks", lambda name: name.startswith("blocks")), ("all", lambda name: True)):
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        setting = levers(**LORA, phase_documents="1", phase_lr=0.3, phase_scope=scope)
        opened = adaptation_of(model, inputs_of(stream), setting)
        assert opened is not None
        with opened(stream)() as learner:
            learner.consolidate(whole_of(stream, 1))
            moved = {name for name, tensor in module.state_dict().items() if not torch.equal(before[name], tensor)}
            assert moved == {name for name in before if is_moved(name)}
            learner.forget()
            assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def whole_of(stream: Stream, documents: int) -> Scored:
    chunk = next(iter(rounds_of(np.array([0, stream.starts[documents]]), size=10**6)))
    assert isinstance(chunk, Round)
    return Scored(chunk=chunk.chunks[0], context=0)


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("stride", [1, 4])
def test_warm_documents_by_length_are_refused(model: ModuleScorer, at_once: int, stride: int) -> None:
    stream = stream_of(30, 30, 30, 30, 30, 30)
    setting, inputs = levers(**LORA | {"stride": stride}, lora_reset="warm", lora_batch=at_once), inputs_of(stream)
    evaluator = Evaluator(model=model, adaptation=adaptation_of(model, inputs, setting), tokens_at_once=64)
    check_causality(evaluator, stream, reading_of(inputs, setting))
    assert rule_of(evaluator, stream, replace(reading_of(inputs, setting), is_sorted=True)) == "score_first"


class Greedy(NoLearner):
    """Phases that read on beyond what is scored."""

    def __init__(self, inner: Learner, num_tokens: int, by: int) -> None:
        self.inner, self.num_tokens, self.by = inner, num_tokens, by
        self.restart, self.attend, self.learn = inner.restart, inner.attend, inner.learn  # type: ignore[method-assign]

    def consolidate(self, scored: Scored) -> None:
        further = min(self.num_tokens - 1, scored.chunk.hi + self.by)
        self.inner.consolidate(replace(scored, chunk=replace(scored.chunk, hi=further)))


@pytest.mark.parametrize("by", [2, 8])  # the next position predicts the first token of a document and teaches nothing
def test_a_phase_that_learns_from_what_is_not_scored_is_refused(model: ModuleScorer, by: int) -> None:
    stream = stream_of(40, 30, 20, 35, 40, 30)
    setting = levers(**LORA, phase_documents="3", phase_lr=0.3)
    inputs = inputs_of(stream)
    lawful = adaptation_of(model, inputs, setting)
    assert lawful is not None

    def greedy(text: Stream) -> Adaptation:
        @contextmanager
        def opened() -> Iterator[Learner]:
            with lawful(text)() as learner:
                yield Greedy(learner, len(text), by)

        return opened

    reading = reading_of(inputs, setting)
    check_causality(Evaluator(model=model, adaptation=lawful, tokens_at_once=64), stream, reading)
    assert rule_of(Evaluator(model=model, adaptation=greedy, tokens_at_once=64), stream, reading) == "score_first"


def test_the_pass_hands_a_phase_nothing_that_it_has_not_scored(
    model: ModuleScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def early(scopes: np.ndarray, *, size: int, **rest: object) -> Iterator[Round | Phase]:
        yield Phase(end=int(scopes[1]))
        yield from rounds_of(scopes, size=size)

    monkeypatch.setattr("foldover.evaluation.one_pass.rounds_of", early)
    with pytest.raises(EvaluationError, match="score_first"):
        scored(model, stream_of(30, 30), phase_documents="1")


def test_a_phase_that_the_text_does_not_reach_is_refused(model: ModuleScorer) -> None:
    stream = stream_of(40, 30)
    with pytest.raises(RecipeError, match=r"2 documents.*\(got 2\)"):
        evaluate(model, inputs_of(stream), levers(**LORA, phase_documents="1,2"))


@pytest.mark.parametrize("text", ["3,2", "2,2"])
def test_phases_that_do_not_rise_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="phase_documents"):
        check_evaluate(levers(**LORA, phase_documents=text), context=16)


def test_when_time_runs_out_phases_are_forgotten_too(module: Tiny, model: ModuleScorer) -> None:
    stream = stream_of(*LENGTHS)
    setting, inputs = levers(**LORA, **PHASED), inputs_of(stream)
    before = module.head.detach().clone()
    ticks = iter([0.0, 1.0, 2.0, 3.0, 99.0])
    opened = adaptation_of(model, inputs, setting)
    assert opened is not None
    with opened(stream)() as inner:
        learner = TimeLimited(inner, seconds=50.0, clock=lambda: next(ticks))
        learner.consolidate(replace(whole_of(stream, 2), num_scored=77))
        assert not torch.equal(module.head, before)
        learner.consolidate(replace(whole_of(stream, 4), num_scored=140))
        assert learner.ran_out_after == 140
        assert torch.equal(module.head, before)
        learner.consolidate(whole_of(stream, 4))
        assert torch.equal(module.head, before)


def test_a_target_that_no_product_meets_is_refused(module: Tiny) -> None:
    with pytest.raises(RecipeError, match="'embedding'"):
        scored(scorer_of(module), stream_of(40, 30), lora_targets="head,embedding")


def test_a_phase_learns_every_scored_position_and_crosses_no_documents(model: ModuleScorer) -> None:
    read: list[tuple[int, int]] = []
    stream = stream_of(50, 21)

    def loss(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        read.extend(zip(ids.flatten().tolist(), targets.flatten().tolist(), strict=True))
        return ModuleScorer.loss(model, ids, targets)

    model.loss = loss  # type: ignore[method-assign]
    setting = levers(**LORA, phase_documents="1", phase_chunk=30)
    opened = adaptation_of(model, inputs_of(stream), setting)
    assert opened is not None
    with opened(stream)() as learner:
        learner.consolidate(whole_of(stream, 2))
    ids = stream.ids.tolist()
    assert sorted(read) == sorted((ids[p], ids[p + 1]) for p in range(70) if p != 49)
