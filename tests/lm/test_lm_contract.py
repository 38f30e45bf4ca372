"""What every lever must keep: neutral exactly, live off neutral, causal, counted, and compatible with every other.

The cases come from the declarations: a new lever is covered by being declared.
"""

import sys
from itertools import combinations
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import (
    CONTEXT,
    PAIRS,
    VOCAB,
    cases,
    config_of,
    ids_of,
    is_architecture,
    model_of,
    neutral,
    off_case,
    off_values,
    owners,
    recipe_of,
    shake,
    training_levers,
)

from foldover.core import RecipeError, Scalar, Values
from foldover.lm.levers import LEVERS
from foldover.lm.optim import build_optimizer
from foldover.lm.resolve import EXCLUSIVE, check_recipe, resolve
from foldover.lm.shape import count_parameters, shape_of

CASES = cases()
NAMES = [f"{name}={value}" for name, value in CASES]
each_case = pytest.mark.parametrize(("name", "value"), CASES, ids=NAMES)

# Levers that say how text is cut and not what the network computes on it.
NOT_OF_THE_FUNCTION = {"model.context"}
# Levers after which a parameter of one name is not drawn for the same purpose.
SHAPES = {"model.depth", "model.aspect", "model.width", "model.head_dim"}
# Where a lever says how a parameter begins, the end of its name.
STARTS: dict[str, tuple[str, ...]] = {
    "attention.value_residual": ("alpha", "own", "first"),
    "attention.value_residual_init": ("alpha", "own", "first"),
    "attention.x0_to_value": ("x0.share",),
    "embedding.bigram_scale": ("scale",),
    "embedding.smear_share": ("gate",),
    "head.copy_bias": ("gate_bias",),
    "residual.lane_asymmetry": ("given",),
    "residual.lane_init": ("kept",),
    "residual.skip_init": ("weight",),
    "residual.x0_mix_init": ("x0_scale",),
}
STEPS = 3


def observe(values: Values, *, seed: int = 0) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Everything that training at progress 0 and evaluation see in a few steps; names that never had a gradient."""
    model = model_of(values, seed)
    optimizer = build_optimizer(model, config_of(values).optimizer, width=16, muon_dtype=torch.float32)
    ids = ids_of(values)
    seen: dict[str, torch.Tensor] = {}
    asleep = {name for name, _ in model.named_parameters()}
    for step in range(STEPS):
        model.set_progress(0.0 if step == 0 else 1.0)
        terms = model.loss_terms(ids[:, :-1], ids[:, 1:])
        seen |= {f"{key} {step}": term.detach() for key, term in terms.items()}
        seen[f"logits {step}"] = model(ids[:, :-1]).detach()
        torch.stack(list(terms.values())).sum().backward()
        asleep -= {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        optimizer.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0)
    seen["logits"] = model(ids[:, :-1]).detach()
    return seen, asleep


def differs(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() != b.keys() or any(a[key].shape != b[key].shape or not torch.equal(a[key], b[key]) for key in a)


@each_case
def test_a_lever_off_its_neutral_value_changes_what_is_computed_and_all_its_parameters_wake_up(
    name: str, value: Scalar
) -> None:
    if name in NOT_OF_THE_FUNCTION:
        pytest.skip("says how text is cut")
    without, with_it = off_case(name, value)
    (before, _), (after, asleep) = observe(without), observe(with_it)
    assert asleep == set()
    assert differs(before, after)


@each_case
def test_a_lever_leaves_all_weights_that_it_does_not_concern(name: str, value: Scalar) -> None:
    if name.startswith("init."):
        pytest.skip("initial weights are what it is about")
    without, with_it = (dict(model_of(values).named_parameters()) for values in off_case(name, value))
    if name in SHAPES:
        pytest.skip("changes sizes or which block is which")
    for key in without.keys() & with_it.keys():
        if without[key].shape == with_it[key].shape and not is_initial_value_of(name, key):
            assert torch.equal(without[key], with_it[key]), key


def is_initial_value_of(name: str, key: str) -> bool:
    """Whether the lever sets where this parameter begins."""
    return key.endswith(STARTS.get(name, ("nothing",)))


@each_case
def test_no_output_depends_on_a_later_token(name: str, value: Scalar) -> None:
    _, values = off_case(name, value)
    model = model_of(values)
    shake(model)
    ids = ids_of(values)[:, :-1]
    at = 9
    changed = ids.clone()
    changed[:, at] = (changed[:, at] + 1) % 40
    before, after = model(ids).detach(), model(changed).detach()
    assert torch.isfinite(before).all()
    torch.testing.assert_close(before[:, :at], after[:, :at], atol=0.0, rtol=0.0)
    assert not torch.equal(before[:, at:], after[:, at:])


@each_case
def test_a_saved_model_is_the_same_function_when_loaded(name: str, value: Scalar) -> None:
    _, values = off_case(name, value)
    model, other = model_of(values), model_of(values, seed=1)
    shake(model)
    other.load_state_dict(model.state_dict())
    ids = ids_of(values)[:, :-1]
    assert torch.equal(model(ids), other(ids))


@each_case
def test_a_step_in_bf16_is_finite(name: str, value: Scalar) -> None:
    _, values = off_case(name, value)
    model = model_of(values)
    shake(model)
    ids = ids_of(values)
    with torch.autocast("cpu", torch.bfloat16):
        total = torch.stack(list(model.loss_terms(ids[:, :-1], ids[:, 1:]).values())).sum()
    total.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


@each_case
def test_parameters_are_as_many_as_were_resolved(name: str, value: Scalar) -> None:
    _, values = off_case(name, value)
    assert sum(p.numel() for p in model_of(values).parameters()) == resolve(recipe_of(values)).derived["num_params"]


@pytest.mark.parametrize("name", [lever.name for lever in training_levers() if lever.neutral is not None])
def test_a_neutral_value_is_what_the_plain_network_has(name: str) -> None:
    """Nothing but the plain network is left: no parameter more, no FLOP more (the reference test compares logits)."""
    config = config_of(neutral())
    counts = count_parameters(config, shape_of(config))
    assert neutral()[name] == LEVERS[name].neutral
    assert [counts[part] for part in ("value_embeddings", "scalars", "hash_embeddings", "auxiliary")] == [0, 0, 0, 0]


@pytest.mark.parametrize(("name", "value"), cases(architecture=False), ids=lambda part: str(part))
def test_levers_of_training_do_not_touch_the_network(name: str, value: Scalar) -> None:
    if name == "tokenizer.vocab_size":
        pytest.skip("the table's height")
    without, with_it = neutral(), neutral().with_({name: value})
    a, b = model_of(without), model_of(with_it)
    assert [key for key, _ in a.named_parameters()] == [key for key, _ in b.named_parameters()]
    assert torch.equal(a(ids_of(without)[:, :-1]), b(ids_of(without)[:, :-1]))


# Spelled differently, or with parameters that begin as nothing: the same function bit for bit.
SAME_FUNCTION: tuple[tuple[dict[str, Scalar], dict[str, Scalar]], ...] = (
    ({}, {"model.unique_blocks": 4}),
    ({}, {"model.layer_map": "0,1,2,3"}),
    ({}, {"model.width": 16}),
    ({}, {"attention.kv_heads": 2}),
    ({}, {"attention.rope_dims": 8}),
    ({}, {"attention.window_size": CONTEXT}),
    ({}, {"attention.ntk_context": CONTEXT}),
    ({}, {"attention.qk_gain_learned": True}),
    ({}, {"attention.xsa_last_n": 4, "attention.xsa_form": "learned"}),
    ({}, {"attention.value_residual": "factors", "attention.value_residual_init": 0.0}),
    ({}, {"attention.value_residual": "cascade", "attention.value_residual_init": 0.0}),
    ({}, {"attention.output_gate": "doubled"}),
    ({}, {"residual.x0_mix": "scalar", "residual.x0_mix_init": 0.0}),
    ({}, {"residual.x0_mix": "channel", "residual.x0_mix_init": 0.0}),
    ({}, {"residual.branch_scales": True}),
    ({}, {"residual.skips": "add", "residual.skip_init": 0.0}),
    ({}, {"residual.parallel_start": 4}),
    ({}, {"residual.lane_start": 4}),
    ({}, {"mlp.activation": "leaky_relu2", "mlp.leaky_slope": 0.0}),
    ({}, {"mlp.activation_max": 1e6}),
    ({"attention.ntk_context": CONTEXT}, {"attention.long_rows": "yarn"}),
    ({"recurrence.loops": 2}, {"recurrence.loop_embedding": True}),
    ({"recurrence.loops": 2}, {"recurrence.loop_film": True}),
    ({"recurrence.loops": 2}, {"recurrence.active_from": 0.5, "recurrence.all_from": 0.7}),
    ({}, {"embedding.bigram_buckets": 64}),
    ({"embedding.bigram_buckets": 64}, {"embedding.word_start_boost": True}),
    ({}, {"embedding.token_type": True}),
    ({}, {"embedding.smear": "gate"}),
    ({}, {"head.low_rank": 3}),
    ({}, {"head.output_bias": True}),
    ({}, {"head.unigram_bias": True}),
    ({}, {"head.context_bias": True}),
    ({}, {"head.mtp_heads": 2}),
    ({}, {"head.jepa_weight": 0.1}),
    ({}, {"head.boundary_weight": 0.1}),
)


@pytest.mark.parametrize(("base", "change"), SAME_FUNCTION, ids=lambda part: ",".join(part))
def test_parts_that_begin_as_nothing_leave_weights_and_logits_bit_for_bit(base: dict, change: dict) -> None:
    without = model_of(neutral().with_(base))
    with_it = model_of(neutral().with_(base).with_(change))
    shared = dict(without.named_parameters())
    own = dict(with_it.named_parameters())
    with torch.no_grad():  # off the zeros of the matrices that write to the stream, the same in both
        for index, key in enumerate(sorted(shared.keys() & own.keys())):
            move = torch.empty(shared[key].shape).normal_(0.0, 0.1, generator=torch.Generator().manual_seed(index))
            for parameter in (shared[key], own[key]):
                if key.rpartition(".")[2] not in ("table", "scale", "projection") or "embedding" not in change:
                    parameter.add_(move)
    ids = ids_of(neutral())[:, :-1]
    assert set(shared) <= set(own)
    assert torch.equal(without(ids), with_it(ids))


def first_cases() -> list[tuple[str, Scalar]]:
    return [(name, off_values(LEVERS[name])[0]) for name in LEVERS if is_architecture(name)]


def declared_exclusive(a: str, b: str) -> bool:
    return any({a, b} == {pair.first, pair.second} for pair in EXCLUSIVE)


@pytest.mark.parametrize("name", [name for name, _ in first_cases()])
def test_a_lever_works_with_every_other(name: str) -> None:
    """Every pair builds, counts its parameters right and has finite gradients, or is declared to exclude each other."""
    pairs = [(a, b) for a, b in combinations(first_cases(), 2) if a[0] == name]
    for (a, value_a), (b, value_b) in pairs:
        values = neutral().with_(owners(a)).with_(owners(b)).with_({a: value_a, b: value_b})
        values = values.with_(PAIRS.get((a, b), {}))
        if declared_exclusive(a, b):
            with pytest.raises(RecipeError, match="exclude"):
                resolve(recipe_of(values))
            continue
        check_recipe(values)
        model, config = model_of(values), config_of(values)
        counts = count_parameters(config, shape_of(config))
        assert sum(p.numel() for p in model.parameters()) == sum(counts.values()), (a, b)
        ids = ids_of(values, rows=1)
        total = torch.stack(list(model.loss_terms(ids[:, :-1], ids[:, 1:]).values())).sum()
        total.backward()
        assert torch.isfinite(total), (a, b)
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters()), (a, b)


def test_every_exclusion_names_two_levers_and_says_why() -> None:
    for pair in EXCLUSIVE:
        assert pair.first in LEVERS
        assert pair.second in LEVERS
        assert pair.because


def test_the_smallest_recipe_is_small() -> None:
    assert resolve(recipe_of(neutral())).derived.integer("num_params") < 20_000
    assert VOCAB >= 260
