"""Learning from what was scored: SGD and low-rank additions."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from foldover.core import RecipeError
from foldover.evaluation.adaptation import Scored
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.lora import LoraRules, lora_adaptation, targets_of
from foldover.evaluation.one_pass import Evaluator, Reading, one_pass
from foldover.evaluation.parts import adaptation_of, reading_of
from foldover.evaluation.score import Evaluation
from foldover.evaluation.scoring_model import ModuleScorer, kept
from foldover.evaluation.sgd import SgdRules, learned_by, sgd_adaptation
from foldover.evaluation.windows import Chunk

from .conftest import CONTEXT, Tiny, draws, inputs_of, levers, stream_of

SLIDING = {"mode": "sliding"}
ISOLATED = {"mode": "sliding", "isolation": "document"}


def run(model: ModuleScorer, *lengths: int, **values: object) -> Evaluation:
    return evaluate(model, inputs_of(stream_of(*lengths)), levers(**values), is_proven=False)


def sgd_rules(**changes: object) -> SgdRules:
    rules = SgdRules(
        lr=0.1, epochs=2, momentum=0.9, grad_clip=1.0, batch_rows=2, rows_at_once=2, context=CONTEXT, frozen_blocks=0,
        is_everything=False,
    )  # fmt: skip
    return replace(rules, **changes)


def test_sgd_at_a_rate_of_zero_equals_sliding_to_the_bit(model: ModuleScorer) -> None:
    adapted = run(model, 150, 60, adapt="sgd", adapt_lr=0.0, **SLIDING).responses
    assert adapted.number("adapted_bpb") == run(model, 150, 60, **SLIDING).responses.number("sliding_bpb")


@pytest.mark.parametrize("chunk", [1, 5, 48, 1000])
def test_sgd_at_a_rate_of_zero_equals_the_plain_rows_read_in_its_chunks(model: ModuleScorer, chunk: int) -> None:
    found = run(model, 60, 3, 9, 50, adapt="sgd", adapt_lr=0.0, adapt_chunk=chunk).responses
    assert found.number("adapted_bpb") == found.number("sliding_bpb")
    assert found.number("sliding_bpb") == pytest.approx(found.number("val_bpb"), abs=1e-6)


def test_sgd_with_a_single_chunk_equals_sliding_to_the_bit(model: ModuleScorer) -> None:
    adapted = run(model, 150, 60, adapt="sgd", adapt_lr=0.5, adapt_chunk=1000, **SLIDING).responses
    assert adapted.number("adapted_bpb") == adapted.number("sliding_bpb")


def test_sgd_learns_and_leaves_the_model_as_it_was(module: Tiny, model: ModuleScorer) -> None:
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = run(model, 300, adapt="sgd", adapt_lr=0.3, **SLIDING)
    assert found.responses.number("adapted_bpb") < found.responses.number("sliding_bpb") - 0.01
    assert found.fired == ("adapted_in_evaluation",)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_the_first_chunk_is_scored_before_anything_is_learned(model: ModuleScorer) -> None:
    stream = stream_of(200).joined()
    reading = Reading(context=CONTEXT, stride=4, chunk=48)
    evaluator = Evaluator(model=model, tokens_at_once=64)
    adapting = replace(evaluator, adaptation=lambda text: sgd_adaptation(model, text, sgd_rules()))
    plain, adapted = one_pass(evaluator, stream, reading).nats, one_pass(adapting, stream, reading).nats
    assert np.array_equal(plain[1:49], adapted[1:49])
    assert not np.any(plain[49:] == adapted[49:])


def test_sgd_follows_a_reference_written_out(module: Tiny, model: ModuleScorer) -> None:
    stream, rules = stream_of(150).joined(), sgd_rules()
    ids = torch.from_numpy(stream.ids.astype(np.int64))
    chunk, count = 48, math.ceil(149 / 48)
    with sgd_adaptation(model, stream, rules)() as learner:
        learner.restart()
        for index in range(count - 1):
            learner.learn(Scored(chunk=Chunk(lo=48 * index, hi=48 * index + 48, index=index, count=count), context=0))
        learned = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    weights = [p for name, p in module.named_parameters() if name.startswith("blocks")]
    momenta = [torch.zeros_like(p) for p in weights]
    for index, _ in itertools.product(range(count - 1), range(rules.epochs)):
        rate = 0.05 * (1 + math.cos(math.pi * index / (count - 1)))
        for rows in ([0, 1], [2]):
            begins = [chunk * index + CONTEXT * row for row in rows]
            both = torch.stack([ids[begin : begin + CONTEXT + 1] for begin in begins])
            loss = functional.cross_entropy(module(both[:, :-1]).flatten(0, 1), both[:, 1:].flatten())
            gradients = torch.autograd.grad(loss, weights)
            norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
            factor = min(1.0, 1.0 / (norm + 1e-6))
            with torch.no_grad():
                for p, m, g in zip(weights, momenta, gradients, strict=True):
                    m.mul_(0.9).add_(g * factor)
                    p.sub_(rate * m)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(learned[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("lo", "hi"), [(0, 20), (3, 20), (19, 35), (0, 60)])
def test_rows_of_sgd_cover_a_chunk_and_cross_no_documents(model: ModuleScorer, lo: int, hi: int) -> None:
    stream, read = stream_of(20, 7, 33), []

    def loss(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        read.extend(zip(ids.flatten().tolist(), targets.flatten().tolist(), strict=True))
        return ModuleScorer.loss(model, ids, targets)

    model.loss = loss  # type: ignore[method-assign]
    with sgd_adaptation(model, stream, sgd_rules(epochs=1))() as learner:
        learner.learn(Scored(chunk=Chunk(lo=lo, hi=min(hi, 59), index=0, count=3), context=0))
    ids = stream.ids.tolist()
    wanted = [(ids[p], ids[p + 1]) for p in range(lo, min(hi, 59)) if p + 1 not in stream.starts]
    assert sorted(read) == sorted(wanted)


def test_rows_at_once_only_bound_memory(module: Tiny, model: ModuleScorer) -> None:
    stream, learned = stream_of(150).joined(), []
    for at_once in (1, 8):
        with sgd_adaptation(model, stream, sgd_rules(batch_rows=3, rows_at_once=at_once))() as learner:
            learner.learn(Scored(chunk=Chunk(lo=0, hi=48, index=0, count=3), context=0))
            learned.append(module.blocks[0].key.detach().clone())
    torch.testing.assert_close(*learned, atol=1e-6, rtol=1e-5)


def test_frozen_blocks_and_tables_stay(module: Tiny, model: ModuleScorer) -> None:
    stream = stream_of(100).joined()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for rules, is_moved in (
        (sgd_rules(frozen_blocks=1), lambda name: name.startswith("blocks.1")),
        (sgd_rules(), lambda name: name.startswith("blocks")),
        (sgd_rules(frozen_blocks=1, is_everything=True), lambda name: not name.startswith("blocks.0")),
        (sgd_rules(frozen_blocks=2), lambda name: False),
    ):
        with sgd_adaptation(model, stream, rules)() as learner:
            learner.learn(Scored(chunk=Chunk(lo=0, hi=48, index=0, count=3), context=0))
            moved = {name for name, tensor in module.state_dict().items() if not torch.equal(before[name], tensor)}
        assert moved == {name for name in before if is_moved(name)}


def test_a_parameter_of_several_blocks_is_frozen_with_the_first(module: Tiny) -> None:
    module.blocks[1].key = module.blocks[0].key
    scorer = ModuleScorer(module, device=torch.device("cpu"), blocks=list(module.blocks))
    shared = next(p for p in scorer.parameters() if p.tensor is module.blocks[0].key)
    assert (shared.names, shared.blocks) == (("blocks.0.key", "blocks.1.key"), frozenset({0, 1}))
    for frozen, is_learned in ((0, True), (1, False)):
        learned = {id(p.tensor) for p in learned_by(scorer.parameters(), sgd_rules(frozen_blocks=frozen))}
        assert (id(shared.tensor) in learned) == is_learned


def test_a_divergence_keeps_the_unadapted_score_and_reports_both(module: Tiny, model: ModuleScorer) -> None:
    found = run(model, 300, adapt="sgd", adapt_lr=9.0, adapt_scope="all", **SLIDING)
    assert found.responses.number("adapted_bpb") == found.responses.number("sliding_bpb")
    assert "diverged" in found.measured[-1].notes[0]
    assert found.rejected[0].score.bits_per_byte > 1.05 * found.responses.number("sliding_bpb")
    assert found.fired == ()


def test_learning_that_is_not_finite_ends_the_pass_and_not_the_run(module: Tiny, model: ModuleScorer) -> None:
    before = module.head.detach().clone()

    def infinite(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return module(ids).sum() * torch.inf

    model.loss = infinite  # type: ignore[method-assign]
    for values in ({"adapt": "sgd", **SLIDING}, {"adapt": "lora", **ISOLATED}):
        found = run(model, 200, 40, **values)
        assert found.responses.number("adapted_bpb") == found.responses.number("sliding_bpb")
        assert "no finite score" in found.measured[-1].notes[0]
        assert found.rejected == ()
    assert torch.equal(module.head, before)


def test_when_time_runs_out_the_rest_is_scored_unadapted(model: ModuleScorer) -> None:
    stream = stream_of(300)
    times = itertools.count()
    setting = levers(adapt="sgd", adapt_lr=0.3, adapt_seconds=30.5, **SLIDING)
    reading = reading_of(inputs_of(stream), setting)
    found = evaluate(model, inputs_of(stream, clock=lambda: 10.0 * next(times)), setting, is_proven=False)
    assert found.measured[-1].notes == ("time ran out after 96 of 299 tokens: the rest unadapted",)

    plain = Evaluator(model=model, tokens_at_once=4 * CONTEXT)
    adapting = replace(plain, adaptation=adaptation_of(model, inputs_of(stream), setting))
    unadapted = one_pass(plain, stream.joined(), reading).nats
    adapted = one_pass(adapting, stream.joined(), reading).nats
    wanted = np.where(stream.is_scored, np.where(np.arange(300) < 97, adapted, unadapted), 0.0).sum()
    assert found.measured[-1].score.nats == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("values", [{"adapt": "sgd"}, {"adapt": "lora", "lora_batch": 2}])
def test_without_time_nothing_is_learned_and_no_lever_acted(model: ModuleScorer, values: dict[str, object]) -> None:
    found = run(model, 150, 60, adapt_seconds=0.0, **ISOLATED, **values)
    assert found.responses.number("adapted_bpb") == found.responses.number("sliding_bpb")
    assert "time ran out after" in found.measured[-1].notes[0]
    assert found.fired == ()


def test_a_word_that_no_matrix_has_is_refused_before_anything_is_read(model: ModuleScorer) -> None:
    read: list[int] = []
    model.logits = lambda ids: read.append(ids.numel()) or torch.zeros(*ids.shape, 23)  # type: ignore[method-assign]
    with pytest.raises(RecipeError, match="querry"):
        run(model, 90, adapt="lora", lora_targets="query,querry", **ISOLATED)
    with pytest.raises(RecipeError, match="2 documents"):
        run(model, 60, 30, adapt="lora", phase_documents="2", **ISOLATED)
    assert sum(read) <= 2  # one token each, to see the vocabulary


def test_sgd_that_begins_anew_at_documents_scores_each_as_if_alone(model: ModuleScorer) -> None:
    values = {"adapt": "sgd", "adapt_reset": "document", "adapt_lr": 0.3, "adapt_chunk": 16, **ISOLATED}
    assert_order_does_not_matter(model, values)


def test_additions_at_a_rate_of_zero_equal_isolated_documents(model: ModuleScorer) -> None:
    found = run(model, 90, 7, 40, adapt="lora", lora_lr=0.0, **ISOLATED).responses
    assert found.number("adapted_bpb") == found.number("sliding_bpb")
    isolated = run(model, 90, 7, 40, **ISOLATED).responses.number("sliding_bpb")
    assert found.number("adapted_bpb") == pytest.approx(isolated, abs=1e-6)


def test_additions_learn_and_leave_the_model_as_it_was(module: Tiny, model: ModuleScorer) -> None:
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = run(model, 300, 200, adapt="lora", lora_lr=0.03, **ISOLATED)
    assert found.responses.number("adapted_bpb") < found.responses.number("sliding_bpb") - 0.01
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    ids = torch.arange(5).unsqueeze(0)
    assert torch.equal(model.logits(ids), module(ids))


@pytest.mark.parametrize("reset", ["document", "warm"])
def test_the_order_of_documents_matters_only_where_additions_are_warm(model: ModuleScorer, reset: str) -> None:
    values = {"adapt": "lora", "lora_lr": 0.03, "lora_reset": reset, **ISOLATED}
    if reset == "document":
        assert_order_does_not_matter(model, values)
    else:
        first, second = scores_by_document(model, values, [0, 1, 2]), scores_by_document(model, values, [1, 0, 2])
        assert not np.array_equal(first[2], second[2], equal_nan=True)


def scores_by_document(model: ModuleScorer, values: dict[str, object], order: list[int]) -> list[np.ndarray]:
    lengths = (70, 20, 45)
    whole = stream_of(*lengths)
    parts = [whole.part(whole.starts[i], whole.starts[i + 1]) for i in order]
    stream = replace(
        whole,
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "bytes", "is_scored")},
        starts=np.cumsum([0, *(lengths[i] for i in order)]),
    )
    setting = levers(**values)
    evaluator = Evaluator(
        model=model, tokens_at_once=4 * CONTEXT, adaptation=adaptation_of(model, inputs_of(stream), setting)
    )
    nats = one_pass(evaluator, stream, reading_of(inputs_of(stream), setting)).nats
    split = np.split(nats, stream.starts[1:-1])
    return [split[order.index(i)] for i in range(3)]


def assert_order_does_not_matter(model: ModuleScorer, values: dict[str, object]) -> None:
    first = scores_by_document(model, values, [0, 1, 2])
    for order in ([2, 0, 1], [1, 2, 0]):
        for a, b in zip(first, scores_by_document(model, values, order), strict=True):
            assert np.array_equal(a, b, equal_nan=True)


def lora_rules(**changes: object) -> LoraRules:
    rules = LoraRules(
        rank=3, alpha=6.0, lr=0.02, beta1=0.9, beta2=0.95, weight_decay=0.1, targets=("query", "head"), is_warm=False,
        tokens_at_once=64,
    )  # fmt: skip
    return replace(rules, **changes)


def test_additions_follow_a_reference_written_out(module: Tiny, model: ModuleScorer) -> None:
    stream = stream_of(60)
    ids = torch.from_numpy(stream.ids.astype(np.int64))
    with lora_adaptation(model, stream, lora_rules(), draws)() as learner:
        learner.restart()
        for lo, hi, context in ((0, 8, 0), (8, 24, 8)):
            learner.learn(Scored(chunk=Chunk(lo=lo, hi=hi, index=0, count=9), context=context))
        with torch.no_grad():
            found = model.logits(ids[None, :20])

    names = ["blocks.0.query", "blocks.1.query", "head"]
    bound = 12**-0.5
    inner = [torch.empty(3, 12).uniform_(-bound, bound, generator=draws(name)).requires_grad_() for name in names]
    outer = [torch.zeros(out, 3, requires_grad=True) for out in (12, 12, 23)]
    tensors = [*inner, *outer]
    first, second = [torch.zeros_like(t) for t in tensors], [torch.zeros_like(t) for t in tensors]

    def changed(rows: torch.Tensor) -> torch.Tensor:
        own = dict(module.named_parameters())
        weights = {name: own[name].detach() + 2.0 * b @ a for name, a, b in zip(names, inner, outer, strict=True)}
        return torch.func.functional_call(module, weights, (rows,))

    for step, (lo, hi, context) in enumerate(((0, 8, 0), (8, 24, 8)), start=1):
        logits = changed(ids[None, context:hi])[0, lo - context :]
        gradients = torch.autograd.grad(functional.cross_entropy(logits, ids[lo + 1 : hi + 1]), tensors)
        with torch.no_grad():
            for t, m, v, g in zip(tensors, first, second, gradients, strict=True):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.95).add_(0.05 * g.square())
                t.mul_(1 - 0.02 * 0.1)
                t.sub_(0.02 * (m / (1 - 0.9**step)) / ((v / (1 - 0.95**step)).sqrt() + 1e-10))
    with torch.no_grad():
        torch.testing.assert_close(found, changed(ids[None, :20]), atol=1e-3, rtol=1e-3)


def test_words_name_matrices_by_any_of_their_names(module: Tiny, model: ModuleScorer) -> None:
    module.tied = module.head
    parameters = ModuleScorer(module, device=torch.device("cpu")).parameters()
    assert [p.names for p in targets_of(parameters, ["tied", "head"])] == [("head", "tied")]
    assert len(targets_of(parameters, ["query", "value"])) == 4
    with pytest.raises(RecipeError, match=r"querry.*query"):
        targets_of(parameters, ["querry"])


def test_kept_gives_back_values_and_flags(module: Tiny, model: ModuleScorer) -> None:
    module.head.requires_grad_(False)
    before = module.embedding.detach().clone()
    with kept(model.parameters()), torch.no_grad():
        module.embedding.add_(1.0)
        module.head.requires_grad_(True)
    assert torch.equal(module.embedding, before)
    assert (module.head.requires_grad, module.embedding.requires_grad) == (False, True)
