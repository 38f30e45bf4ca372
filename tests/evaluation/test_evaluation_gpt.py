"""The built-in model, tiny, through every evaluation."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "lm"))

from lever_cases import CPU, VOCAB, model_of, neutral, shake

from foldover.evaluation.bits_per_byte import bits_per_byte
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.lora import targets_of
from foldover.evaluation.one_pass import Evaluator, one_pass
from foldover.evaluation.parts import adaptation_of, reading_of
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.lm.levers import LEVERS
from foldover.lm.model import Gpt

from .conftest import inputs_of, levers, rows_of, slow_nats, stream_of

LORA = {
    "adapt": "lora",
    "mode": "sliding",
    "isolation": "document",
    "lora_targets": "query,key,value,output,input,head",
}


@pytest.fixture
def gpt() -> Gpt:
    """With parts that reach back: n-grams, smear, loops, a tied table."""
    model = model_of(
        LEVERS.complete(
            {"tied": True, "smear": "channel", "loops": 1, "bigram_hash": "xor", "bigram_buckets": 64}, neutral()
        )
    )
    shake(model)
    return model


def scorer_of(gpt: Gpt) -> ModuleScorer:
    return ModuleScorer(gpt, device=CPU, blocks=gpt.blocks)


def test_the_adapter_gives_the_models_own_logits_and_loss(gpt: Gpt) -> None:
    ids = torch.randint(0, VOCAB, (2, 17), generator=torch.Generator().manual_seed(0))
    scorer = scorer_of(gpt)
    assert torch.equal(scorer.logits(ids[:, :-1]), gpt(ids[:, :-1]))
    torch.testing.assert_close(scorer.loss(ids[:, :-1], ids[:, 1:]), gpt.loss(ids[:, :-1], ids[:, 1:]))
    own = torch.nn.functional.cross_entropy(gpt(ids[:, :-1])[:, -3:].flatten(0, 1), ids[:, -3:].flatten())
    assert torch.equal(scorer.loss(ids[:, :-1], ids[:, -3:]), own)


def test_every_parameter_is_listed_once_with_its_blocks(gpt: Gpt) -> None:
    found = scorer_of(gpt).parameters()
    assert [p.tensor for p in found] == list(gpt.parameters())
    table = next(p for p in found if p.tensor is gpt.embedding)
    assert {"embedding", "head.weight"} <= set(table.names)
    assert table.blocks == frozenset()
    first = next(p for p in found if p.tensor is gpt.blocks[1].attention.query)
    assert first.blocks == {1}


def test_lora_targets_of_the_default_are_queries_values_and_the_head(gpt: Gpt) -> None:
    chosen = targets_of(scorer_of(gpt).parameters(), levers().lora_targets.split(","))
    attention = [block.attention for block in gpt.blocks]
    wanted = [*(a.query for a in attention), *(a.value for a in attention), gpt.head.weight]
    assert [p.tensor for p in chosen] == wanted


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "sliding"},
        {"adapt": "sgd", "adapt_lr": 0.05, "mode": "sliding", "frozen_blocks": 1},
        {"adapt": "lora", "mode": "sliding", "isolation": "document", "temperature": 0.9, "tap_in_weight": 0.05},
        {**LORA, "lora_batch": 2, "lora_reset": "warm", "phase_documents": "1", "phase_lr": 0.05},
    ],
)
def test_every_evaluation_of_a_gpt_is_lawful_and_leaves_it_alone(gpt: Gpt, values: dict[str, object]) -> None:
    stream = stream_of(120, 60)
    rows = rows_of(stream)
    before = {name: tensor.clone() for name, tensor in gpt.state_dict().items()}
    plain = bits_per_byte(gpt, rows.ids, rows.bytes, rows.is_scored, device=CPU, batch_rows=4)
    found = evaluate(scorer_of(gpt), inputs_of(stream), levers(**values))
    assert found.responses.number("val_bpb") == plain.bits_per_byte
    assert f"{3 if values.get('adapt') == 'lora' else 2} excerpts" in found.notes[0]
    assert (found.responses.number("adapted_bpb") != found.responses.number("sliding_bpb")) == ("adapt" in values)
    assert all(torch.equal(before[name], tensor) for name, tensor in gpt.state_dict().items())


def test_documents_of_a_gpt_side_by_side_have_the_scores_of_one_by_one(gpt: Gpt) -> None:
    stream, found = stream_of(50, 33, 7, 41), {}
    for at_once in (1, 3):
        setting = levers(**LORA, lora_batch=at_once, lora_lr=0.003)
        inputs = inputs_of(stream)
        evaluator = Evaluator(
            model=scorer_of(gpt), adaptation=adaptation_of(scorer_of(gpt), inputs, setting), tokens_at_once=64
        )
        found[at_once] = one_pass(evaluator, stream, reading_of(inputs, setting)).nats
    still = one_pass(evaluator.unadapted(), stream, reading_of(inputs, setting)).nats
    np.testing.assert_allclose(found[3], found[1], rtol=0, atol=1e-3)
    assert np.nanmax(np.abs(found[1] - still)) > 0.1


def test_sliding_equals_the_slow_loop(gpt: Gpt) -> None:
    stream = stream_of(50)
    ids = stream.ids.tolist()
    nats = [slow_nats(gpt, ids[max(0, target - 16) : target], ids[target]) for target in range(1, 50)]
    found = evaluate(scorer_of(gpt), inputs_of(stream), levers(mode="sliding", stride=1), is_proven=False)
    wanted = float(np.sum(np.array(nats)[stream.is_scored[1:]]))
    assert found.measured[1].score.nats == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    "values",
    [{"adapt": "sgd", "adapt_lr": 0.0}, {"adapt": "lora", "lora_lr": 0.0}, {**LORA, "lora_lr": 0.0, "lora_batch": 2}],
)
def test_a_rate_of_zero_changes_no_bit(gpt: Gpt, values: dict[str, object]) -> None:
    stream = stream_of(120, 60)
    setting = levers(**({"mode": "sliding", "isolation": "document"} | values))
    found = evaluate(scorer_of(gpt), inputs_of(stream), setting, is_proven=False).responses
    assert found.number("adapted_bpb") == found.number("sliding_bpb")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(
    "values",
    [
        {"adapt": "sgd", "mode": "sliding"},
        {"adapt": "lora", "mode": "sliding", "isolation": "document"},
        {**LORA, "lora_batch": 2, "phase_documents": "1"},
    ],
)
def test_adapting_evaluations_prove_themselves_on_a_gpu(gpt: Gpt, values: dict[str, object]) -> None:
    device = torch.device("cuda")
    scorer = ModuleScorer(
        gpt.to(device), device=device, blocks=gpt.blocks, compute=lambda: torch.autocast("cuda", torch.bfloat16)
    )
    found = evaluate(scorer, inputs_of(stream_of(120, 60)), levers(**values))
    assert "causality and normalisation hold" in found.notes[0]
