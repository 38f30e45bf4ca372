"""Windows, isolation and what stays of them: scores against loops that know no windows."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from foldover.core import DataError
from foldover.evaluation.bits_per_byte import bits_per_byte
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.one_pass import Evaluator, Reading, one_pass
from foldover.evaluation.score import ratio_error
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.evaluation.stream import stream_of_rows

from .conftest import CONTEXT, CPU, Tiny, inputs_of, levers, rows_of, scorer_of, slow_nats, stream_of


def bpb_of(model: ModuleScorer, stream: object, name: str, **values: object) -> float:
    return evaluate(model, inputs_of(stream), levers(**values), is_proven=False).responses.number(name)


def reference(module: nn.Module, stream: object, *, stride: int, is_isolated: bool = False) -> float:
    """Bits per byte with each token predicted on its own from all that sliding windows allow it to see."""
    ids = stream.ids.tolist()
    ends = stream.starts.tolist() if is_isolated else [0, len(ids)]
    nats = 0.0
    for begin, end in itertools.pairwise(ends):
        for target in range(begin + 1, end):
            position = target - 1 - begin
            late = max(0, position - CONTEXT + 1)
            start = begin + math.ceil(late / stride) * stride  # the first window that ends behind the position
            if stream.is_scored[target]:
                nats += slow_nats(module, ids[start:target], ids[target])
    return nats / math.log(2) / stream.bytes.sum()


@pytest.mark.parametrize("stride", [1, 3, 4, CONTEXT])
def test_sliding_equals_a_loop_over_tokens_with_their_full_context(
    module: Tiny, model: ModuleScorer, stride: int
) -> None:
    stream = stream_of(40, 61)
    found = bpb_of(model, stream, "sliding_bpb", mode="sliding", stride=stride)
    assert found == pytest.approx(reference(module, stream, stride=stride), abs=1e-6)


@pytest.mark.parametrize("stride", [4, CONTEXT])
def test_isolated_documents_equal_the_loop_within_documents(module: Tiny, model: ModuleScorer, stride: int) -> None:
    stream = stream_of(40, 5, 33)
    found = bpb_of(model, stream, "sliding_bpb", mode="sliding", stride=stride, isolation="document")
    assert found == pytest.approx(reference(module, stream, stride=stride, is_isolated=True), abs=1e-6)


def test_isolated_documents_score_as_each_does_alone(model: ModuleScorer) -> None:
    lengths, tokens = (40, 9, 33), []
    stream = stream_of(*lengths)
    evaluator = Evaluator(model=model, tokens_at_once=64)
    reading = Reading(context=CONTEXT, stride=4, chunk=1000, is_isolated=True)
    together = one_pass(evaluator, stream, reading).nats
    for begin, end in zip(stream.starts[:-1], stream.starts[1:], strict=True):
        tokens.append(one_pass(evaluator, stream.part(begin, end), reading).nats)
    assert np.array_equal(together, np.concatenate(tokens), equal_nan=True)


def test_a_stride_of_the_context_equals_plain_on_a_stream_of_whole_rows(model: ModuleScorer) -> None:
    stream = stream_of(50, 6 * CONTEXT + 1 - 50)
    found = evaluate(model, inputs_of(stream), levers(mode="sliding", stride=CONTEXT))
    plain, sliding = (m.score for m in found.measured[:2])
    assert (plain.tokens, plain.bytes) == (sliding.tokens, sliding.bytes)
    assert sliding.bits_per_byte == pytest.approx(plain.bits_per_byte, rel=1e-13)


def test_neutral_levers_give_the_plain_score_under_every_name_to_the_bit(module: Tiny, model: ModuleScorer) -> None:
    stream = stream_of(90, 40)
    rows = rows_of(stream)
    plain = bits_per_byte(module, rows.ids, rows.bytes, rows.is_scored, device=CPU, batch_rows=4)
    found = evaluate(model, inputs_of(stream), levers())
    assert dict(found.responses) == dict.fromkeys(
        ("val_bpb", "sliding_bpb", "mixed_bpb", "adapted_bpb"), plain.bits_per_byte
    )
    assert found.fired == ()


def test_sliding_needs_the_stream(model: ModuleScorer) -> None:
    stream = stream_of(90)
    with pytest.raises(DataError, match="stream"):
        evaluate(model, inputs_of(stream, stream=None), levers(mode="sliding"))


def test_text_of_another_tokenizer_is_refused(model: ModuleScorer) -> None:
    stream = stream_of(90)
    ids = stream.ids.copy()
    ids[40] = 23
    for inputs in (inputs_of(stream.with_ids(ids)), inputs_of(stream, stream=stream.with_ids(ids))):
        with pytest.raises(DataError, match=r"vocabulary has 23 \(got 23\)"):
            evaluate(model, inputs, levers())


def test_the_context_of_evaluation_may_be_another_one(module: Tiny, model: ModuleScorer) -> None:
    stream = stream_of(60)
    found = bpb_of(model, stream, "sliding_bpb", eval_context=59)
    whole = sum(slow_nats(module, stream.ids[:t].tolist(), int(stream.ids[t])) for t in range(1, 60))
    assert found == pytest.approx(whole / math.log(2) / stream.bytes.sum(), abs=1e-6)


def test_a_model_that_is_not_finite_has_no_score() -> None:
    class Broken(nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.full((*ids.shape, 23), torch.nan)

    found = evaluate(scorer_of(Broken()), inputs_of(stream_of(60)), levers(mode="sliding"))
    assert (dict(found.responses), len(found.measured)) == ({}, 1)


def test_the_standard_error_of_a_ratio_is_that_of_the_book() -> None:
    nats, sizes = np.array([2.0, 3.5, 4.0, 1.0]), np.array([3, 5, 5, 2])
    ratio = nats.sum() / sizes.sum()
    apart = [(n - ratio * s) ** 2 for n, s in zip(nats, sizes, strict=True)]
    wanted = math.sqrt(4 * sum(apart) / 3) / sizes.sum() / math.log(2)
    assert ratio_error(nats, sizes) == pytest.approx(wanted, rel=1e-12)
    assert ratio_error(nats[:1], sizes[:1]) is None


def test_the_standard_error_of_a_score_is_over_documents(model: ModuleScorer) -> None:
    stream = stream_of(30, 40, 50)
    result = one_pass(
        Evaluator(model=model, tokens_at_once=64), stream.joined(), Reading(context=16, stride=4, chunk=99)
    )
    nats = [np.where(stream.is_scored, result.nats, 0)[a:b].sum() for a, b in ((0, 30), (30, 70), (70, 120))]
    sizes = [stream.bytes[a:b].sum() for a, b in ((0, 30), (30, 70), (70, 120))]
    found = evaluate(model, inputs_of(stream), levers(mode="sliding"), is_proven=False).measured[1].score
    assert found.standard_error == pytest.approx(ratio_error(np.array(nats), np.array(sizes)), rel=1e-9)


def test_rows_are_units_whose_first_token_is_context(model: ModuleScorer) -> None:
    rows = rows_of(stream_of(90, 40))
    text = stream_of_rows(rows)
    result = one_pass(
        Evaluator(model=model, tokens_at_once=64), text, Reading(context=CONTEXT, stride=CONTEXT, chunk=999)
    )
    assert result.counts.reshape(len(rows.ids), -1).tolist() == [[0] + [1] * CONTEXT] * len(rows.ids)
