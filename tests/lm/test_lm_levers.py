"""What single levers promise beyond the contract: facts of levers.md section C."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import CPU, VOCAB, config_of, ids_of, model_of, neutral, recipe_of, shake, traits

from foldover.core import RecipeError, TrainerError, Values
from foldover.lm.levers import LEVERS
from foldover.lm.model import build_model
from foldover.lm.model.flow import Flow
from foldover.lm.model.hashing import Hash, linear_of, xor_of
from foldover.lm.model.mlp import leaky_relu_squared
from foldover.lm.model.norm import rms_norm
from foldover.lm.model.outputs import exclusive
from foldover.lm.model.position import Rotary, reading_rows_of, scaled_base
from foldover.lm.model.values import CascadeResidual, SigmoidResidual
from foldover.lm.optim import build_optimizer
from foldover.lm.plan import order_of
from foldover.lm.resolve import resolve
from foldover.lm.shape import shape_of


def small(**levers: object) -> Values:
    return LEVERS.complete(levers, neutral())


def randn(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.empty(size).normal_(generator=torch.Generator().manual_seed(seed))


# Plan


def test_looped_order_of_eleven_blocks_is_that_of_the_records() -> None:
    order = [index for index, _ in order_of(11, start=3, end=5, extra_passes=2)]
    assert order == [0, 1, 2, 3, 4, 5, 3, 4, 5, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (order[: len(order) // 2], len(order)) == ([0, 1, 2, 3, 4, 5, 3, 4], 11 + 2 * 3)


def test_skips_join_last_in_first_out_and_the_last_block_of_nine_has_none() -> None:
    layers = shape_of(config_of(small(depth=9, skips="add"))).layers
    assert [layer.pushes for layer in layers] == [True] * 4 + [False] * 5
    assert [layer.pops for layer in layers] == [None] * 4 + [0, 1, 2, 3, None]


def test_loops_wait_for_their_progress_and_are_always_there_in_evaluation() -> None:
    values = small(loops=1, active_from=0.5, skips="add")
    looped, flat = model_of(values), model_of(small(skips="add"))
    shake(looped)
    flat.load_state_dict({key: looped.state_dict()[key] for key in flat.state_dict()})
    ids = ids_of(values)
    assert looped.set_progress(0.2)
    early = looped.loss(ids[:, :-1], ids[:, 1:])
    assert torch.equal(early, flat.loss(ids[:, :-1], ids[:, 1:]))
    assert not looped.is_looping
    evaluated = looped(ids[:, :-1])
    assert looped.set_progress(0.5)
    assert looped.is_looping
    assert not torch.equal(looped.loss(ids[:, :-1], ids[:, 1:]), early)
    assert torch.equal(looped(ids[:, :-1]), evaluated)


def test_parameters_that_wait_for_a_later_phase_are_stepped_with_a_gradient_of_zero() -> None:
    values = small(loops=2, active_from=0.5, loop_embedding=True, loop_film=True, untied_mlps=True)
    model = model_of(values)
    optimizer = build_optimizer(model, config_of(values).optimizer, width=16, muon_dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    ids = ids_of(values)
    for _ in range(2):
        model.set_progress(0.0)
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0)
    waiting = [name for name in before if "pass_vector" in name or "pass_film" in name or "more_mlps" in name]
    assert waiting
    assert all(torch.equal(before[name], dict(model.named_parameters())[name]) for name in waiting)


def test_flops_of_loops_that_begin_half_way_are_the_mean_of_both() -> None:
    flat, half, full = (
        resolve(recipe_of(small(**levers))).derived.integer("flops_per_token")
        for levers in ({}, {"loops": 2, "active_from": 0.5}, {"loops": 2})
    )
    assert half == (flat + full) / 2


def test_the_gradient_of_a_shared_block_is_the_sum_over_untied_copies() -> None:
    shared, untied = model_of(small(unique_blocks=2)), model_of(small())
    shake(shared)
    state = shared.state_dict()
    for key, tensor in untied.state_dict().items():
        if key.startswith("blocks."):
            _, index, rest = key.split(".", 2)
            tensor.copy_(state[f"blocks.{int(index) % 2}.{rest}"])
        else:
            tensor.copy_(state[key])
    ids = ids_of(neutral())
    for model in (shared, untied):
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
    expected = sum(untied.blocks[i].mlp.input.grad for i in (1, 3))
    torch.testing.assert_close(shared.blocks[1].mlp.input.grad, expected, atol=1e-7, rtol=1e-4)


def test_a_mapped_position_shares_matrices_and_keeps_its_vectors() -> None:
    model = model_of(small(layer_map="0,1,1,3", branch_scales=True))
    first, second = model.blocks[1], model.blocks[2]
    assert second.attention.query is first.attention.query
    assert second.mlp.output is first.mlp.output
    assert second.parts["mlp_scale"].factor is not first.parts["mlp_scale"].factor


def test_two_lanes_that_keep_and_give_all_equal_parallel_residuals() -> None:
    lanes = model_of(small(lane_start=1, lane_init=1.0))
    parallel = model_of(small(parallel_start=1))
    shake(parallel)
    lanes.load_state_dict(parallel.state_dict(), strict=False)
    ids = ids_of(neutral())[:, :-1]
    torch.testing.assert_close(lanes(ids), parallel(ids), atol=1e-6, rtol=1e-5)


def test_layer_norm_scale_follows_the_block_and_leaves_the_first() -> None:
    layers = shape_of(config_of(small(layer_norm_scale=True))).layers
    assert [layer.norm_scale for layer in layers] == pytest.approx([1.0, 2**-0.5, 3**-0.5, 0.5])


# Attention


def test_a_window_reaches_its_last_key_and_not_the_next() -> None:
    values = small(depth=1, window_size=3, head_dim=8, aspect=16)
    model = model_of(values)
    shake(model)
    ids = ids_of(values, rows=1)[:, :-1]
    out = model(ids)
    for back, is_seen in ((2, True), (3, False)):
        changed = ids.clone()
        changed[0, 12 - back] = 77
        assert torch.equal(model(changed)[0, 12], out[0, 12]) != is_seen


def test_exclusive_outputs_are_orthogonal_to_the_own_value_and_zero_at_the_first_position() -> None:
    y, v = randn(2, 5, 4, 8), randn(2, 5, 2, 8, seed=1)
    own = v.repeat_interleave(2, dim=2)
    assert float((exclusive(y, v, y) * own).sum(-1).abs().max()) < 1e-5
    assert float(exclusive(own[:, :1], v[:, :1], y).abs().max()) < 1e-6


def test_ntk_raises_the_base_beyond_its_context_only() -> None:
    assert scaled_base(1e4, length=1024, ntk_context=1024, rotated=16) == 1e4
    assert scaled_base(1e4, length=2048, ntk_context=1024, rotated=16) == pytest.approx(1e4 * 2 ** (16 / 14))


def test_rows_of_one_pass_have_the_base_of_the_longest() -> None:
    rotary = Rotary(context=8, head_dim=16, base=1e4, ntk_context=8)
    x = randn(1, 1, 32, 16)
    whole, alone = rotary(x), rotary(x[:, :, :8])
    with reading_rows_of(torch.nn.Sequential(rotary), 32):
        assert torch.equal(rotary(x[:, :, :8]), whole[:, :, :8])
    assert torch.equal(rotary(x[:, :, :8]), alone)
    assert not torch.equal(alone, whole[:, :, :8])


def test_frequencies_of_partial_rotary_are_those_of_the_rotated_dimensions() -> None:
    rotary = Rotary(context=2, head_dim=64, base=1e4, rotated=16)
    angles = torch.atan2(rotary.sin[1], rotary.cos[1])
    torch.testing.assert_close(angles[:5], torch.tensor([1.0, 0.31623, 0.1, 0.031623, 0.01]), atol=1e-5, rtol=0)
    x = randn(1, 1, 2, 64)
    assert torch.equal(rotary(x)[..., 16:], x[..., 16:])


def test_rows_longer_than_those_of_training_can_be_evaluated() -> None:
    values = small(window_size=5, ntk_context=16)
    model = model_of(values)
    shake(model)
    ids = ids_of(small(context=32), rows=1)[:, :-1]
    assert model(ids).shape == (1, 32, VOCAB)


def flow_of(first: torch.Tensor | None = None, last: torch.Tensor | None = None) -> Flow:
    empty = torch.zeros(1, 1, dtype=torch.long)
    return Flow(ids=empty, x=torch.zeros(1), x0=torch.zeros(1), first_value=first, last_value=last)


def test_a_sigmoid_value_residual_begins_at_its_share() -> None:
    v, first = randn(1, 3, 2, 4), randn(1, 3, 2, 4, seed=1)
    stage = SigmoidResidual(0.25)
    stage.alpha.data.copy_(stage.alpha.draw(stage.alpha.shape, torch.Generator()))
    torch.testing.assert_close(stage(v, v, flow_of(first)), 0.75 * v + 0.25 * first)


def test_a_cascade_of_one_passes_the_first_values_through_all_blocks() -> None:
    v, last = randn(1, 3, 2, 4), randn(1, 3, 2, 4, seed=1)
    stage = CascadeResidual(1.0)
    stage.alpha.data.fill_(1.0)
    torch.testing.assert_close(stage(v, v, flow_of(last=last)), last)


def test_dense_and_sparse_gates_begin_at_half() -> None:
    dense, sparse = model_of(small(output_gate="dense")), model_of(small(output_gate="sparse"))
    y, x = torch.ones(1, 3, 2, 8), randn(1, 3, 16)
    assert float(dense.blocks[0].parts["gate"](y, y, x).detach().mean()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(sparse.blocks[0].parts["gate"](y, y, x), 0.5 * y)


# MLP


def test_leaky_relu_squared_is_positive_on_both_sides() -> None:
    f = leaky_relu_squared(0.5)
    assert f(torch.tensor([-2.0, 2.0, 0.0])).tolist() == [1.0, 4.0, 0.0]


def test_swiglu_has_about_as_many_parameters() -> None:
    plain, gated = (resolve(recipe_of(small(activation=a))).derived.integer("num_params") for a in ("relu2", "swiglu"))
    assert gated == pytest.approx(plain, rel=0.01)


# Embedding


def test_the_first_positions_of_an_n_gram_are_the_sentinel_and_no_others() -> None:
    ids = ids_of(neutral())
    for order in (1, 2, 3):
        rows = Hash(order=order, buckets=64, combine=xor_of(0))(ids)
        assert (rows == 63).all(dim=0).nonzero().flatten().tolist() == list(range(order - 1))
        assert int(rows[:, order - 1 :].max()) < 63


def test_a_bigram_hash_is_the_published_one() -> None:
    ids = torch.tensor([[5, 17, 900]])
    rows = Hash(order=2, buckets=2048, combine=xor_of(0))(ids)[0]
    assert rows.tolist() == [2047, (36313 * 17 ^ 27191 * 5) % 2047, (36313 * 900 ^ 27191 * 17) % 2047]


def test_distinct_pairs_fill_as_many_rows_as_chance_would() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 8192, (1, 4000), generator=generator)
    rows = Hash(order=2, buckets=4096, combine=xor_of(0))(ids)
    expected = 4095 * (1 - (1 - 1 / 4095) ** 3999)
    assert len(rows.unique()) == pytest.approx(expected, rel=0.05)


def test_an_exact_hash_keeps_every_pair_apart() -> None:
    first, second = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
    pairs = torch.stack((first.flatten(), second.flatten()), dim=1)
    rows = Hash(order=2, buckets=401, combine=linear_of(20, 0))(pairs)[:, 1]
    assert len(rows.unique()) == 400


def test_split_halves_are_disjoint() -> None:
    starts = torch.tensor(traits().word_starts)
    ids = ids_of(neutral(), rows=40)
    rows = Hash(order=2, buckets=64, combine=xor_of(0), word_starts=starts)(ids)[:, 1:]
    is_start = starts[ids[:, 1:]]
    assert int(rows[is_start].max()) < 31 <= int(rows[~is_start].min())


def test_smear_gate_does_not_cross_into_a_new_document() -> None:
    values = small(smear="gate")
    model = model_of(values)
    shake(model, 0.5)
    ids = ids_of(values, rows=1)[:, :-1]
    x = model.token(ids)
    smeared = model.inputs[0](x, ids)
    at = 8  # where ids_of puts a BOS
    assert torch.equal(smeared[:, at], x[:, at])
    assert not torch.equal(smeared[:, at + 1], x[:, at + 1])


def test_a_factorised_table_as_wide_as_the_stream_with_the_identity_is_the_plain_one() -> None:
    factorised, plain = model_of(small(factor_dim=16, factor_form="transposed")), model_of(small())
    with torch.no_grad():
        factorised.token.up.copy_(torch.eye(16))
        plain.embedding.copy_(factorised.embedding)
    ids = ids_of(neutral())[:, :-1]
    torch.testing.assert_close(factorised(ids), plain(ids), atol=1e-5, rtol=1e-5)


# Head


@pytest.mark.parametrize("kind", ["attention", "frequency"])
def test_a_copy_head_gives_probabilities(kind: str) -> None:
    model = model_of(small(copy=kind, copy_bias=0.0))
    shake(model)
    total = model(ids_of(neutral())[:, :-1]).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


def test_the_attention_copy_head_copies_what_followed() -> None:
    model = model_of(small(copy="attention", copy_bias=4.0))
    ids = torch.tensor([[3, 50, 7, 7, 3]])
    p = model(ids)[0, 4].detach().exp()
    assert float(p[50]) > 0.1
    assert float(p[60]) < 0.01


def test_context_bias_counts_tokens_only_after_they_are_seen() -> None:
    model = model_of(small(context_bias=True))
    model.head.stages[0].amount.data.fill_(1.0)
    ids = torch.tensor([[4, 9, 4, 4]])
    added = model.head.stages[0](torch.zeros(1, 4, VOCAB), ids)[0, :, 4]
    torch.testing.assert_close(added, torch.log(torch.tensor([2.0, 2.0, 3.0, 4.0])))


def test_mtp_heads_begin_at_the_log_of_the_vocabulary_and_do_not_move_the_trunk_at_weight_zero() -> None:
    values, plain = small(mtp_heads=2, mtp_weight=0.0), small()
    ids = ids_of(values)
    model, other = model_of(values), model_of(plain)
    x = model.features(ids[:, :-1])
    assert float(model.terms["mtp"].loss(x, ids[:, :-1], ids[:, 1:]).detach()) == pytest.approx(math.log(VOCAB))
    for net in (model, other):
        torch.stack(list(net.loss_terms(ids[:, :-1], ids[:, 1:]).values())).sum().backward()
    assert torch.equal(model.embedding.grad, other.embedding.grad)


def test_mtp_heads_predict_the_token_after_the_next() -> None:
    values = small(mtp_heads=1)
    ids = ids_of(values)
    model = model_of(values)
    shake(model)
    x, targets = model.features(ids[:, :-1]), ids[:, 1:]
    raw = x[:, :-1] @ model.terms["mtp"].loss.heads[0].T
    expected = functional.cross_entropy(raw.flatten(0, 1), ids[:, 2:].flatten())
    found = model.terms["mtp"].loss(x, ids[:, :-1], targets)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_the_code_of_the_jepa_term_does_not_move() -> None:
    model = model_of(small(jepa_weight=0.1))
    assert "terms.jepa.loss.codes" not in dict(model.named_parameters())
    assert torch.equal(
        model.terms["jepa"].loss.codes, model_of(small(jepa_weight=0.1), seed=9).terms["jepa"].loss.codes
    )


def test_the_plain_loss_knows_nothing_of_auxiliary_terms() -> None:
    values = small(mtp_heads=1, jepa_weight=0.1, boundary_weight=0.1)
    ids = ids_of(values)
    model, other = model_of(values), model_of(small())
    terms = model.loss_terms(ids[:, :-1], ids[:, 1:])
    assert set(terms) == {"cross_entropy", "mtp", "jepa", "word_boundary"}
    assert torch.equal(terms["cross_entropy"], other.loss(ids[:, :-1], ids[:, 1:]))


# Initial weights


def test_orthogonal_matrices_are_orthogonal() -> None:
    model = model_of(small(matrices="orthogonal"))
    wide = model.blocks[0].mlp.input.detach()  # (32, 16)
    torch.testing.assert_close(wide.T @ wide, torch.eye(16), atol=1e-5, rtol=0)


def test_cooccurrence_queries_and_keys_keep_their_norm_and_prefer_pairs_that_came() -> None:
    values = small(cooccurrence_qk=True, head_dim=16)
    model, plain = model_of(values), model_of(small(head_dim=16))
    ours, drawn = model.blocks[0].attention, plain.blocks[0].attention
    for name in ("query", "key"):
        assert float(getattr(ours, name).detach().norm()) == pytest.approx(
            float(getattr(drawn, name).detach().norm()), rel=1e-5
        )
    sample = torch.from_numpy(traits().sample)
    counts = torch.zeros(VOCAB, VOCAB)
    counts.index_put_((sample[1:], sample[:-1]), torch.ones(len(sample) - 1), accumulate=True)
    table = rms_norm(model.embedding.detach())
    scores = (table @ ours.query.detach().T) @ (table @ ours.key.detach().T).T
    is_frequent = counts >= 2
    assert float(scores[is_frequent].mean()) > float(scores[counts == 0].mean())
    assert torch.equal(ours.value, drawn.value)


def test_a_recipe_that_must_know_its_tokens_says_so() -> None:
    with pytest.raises(TrainerError, match="traits"):
        build_model(config_of(small(token_type=True)), seed=0, device=CPU)


# What cannot be built


@pytest.mark.parametrize(
    ("levers", "message"),
    [
        ({"width": 20}, "multiple of `model.head_dim`"),
        ({"kv_heads": 3}, "does not divide the 2 heads"),
        ({"window_size": 17}, "longer than a row"),
        ({"unique_blocks": 5}, "there are 4 blocks"),
        ({"xsa_last_n": 5}, "there are 4 blocks"),
        ({"layer_map": "0,1"}, "at depth 4"),
        ({"layer_map": "1,2,3,0"}, "mapped to itself"),
        ({"layer_map": "0,1,2,3", "unique_blocks": 2}, "exclude each other"),
        ({"loops": 1, "loop_end": 4}, "cannot be looped"),
        ({"loops": 1, "loop_start": 3, "loop_end": 2}, "cannot be looped"),
        ({"depth": 1, "aspect": 16, "skips": "add"}, "there is one"),
        ({"parallel_start": 2, "lane_start": 1}, "no block is parallel"),
        ({"rope_dims": 10}, "a head has 8"),
        ({"ntk_context": 17}, "at most the context"),
        ({"qk_gain": 1.0, "qk_gain_spread": 1.0}, "not be positive"),
        ({"value_residual": "sigmoid", "value_residual_init": 0.0}, "never is 0 or 1"),
        ({"bigram_buckets": 4}, "8 or more"),
        ({"bigram_buckets": 1000, "bigram_hash": "exact"}, "67601 or more"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused_before_training(levers: dict, message: str) -> None:
    if levers.get("layer_map") == "0,1,2,3":
        levers = levers | {"layer_map": "0,1,1,3"}
    with pytest.raises(RecipeError, match=message):
        resolve(recipe_of(small(**levers)))


@pytest.mark.parametrize(
    "levers",
    [
        {"xsa_form": "learned"},
        {"bigram_dim": 99},
        {"loop_start": 0},
        {"value_residual_init": 0.1},
        {"lane_init": 1.5},
        {"parallel_start": 9},
        {"unique_blocks": 4},
        {"kv_heads": 2},
        {"width": 16},
    ],
    ids=str,
)
def test_a_lever_that_makes_no_difference_leaves_the_effective_recipe_as_it_is(levers: dict) -> None:
    assert resolve(recipe_of(small(**levers))).effective == resolve(recipe_of(neutral())).effective
