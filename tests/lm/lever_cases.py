"""The smallest recipe, all levers neutral, and for each lever values at which it acts. Used by several suites."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch

from foldover.core import Lever, Recipe, Scalar, Values, bind
from foldover.lm.levers import LEVERS, TrainConfig
from foldover.lm.model import Gpt, build_model
from foldover.lm.token_traits import TokenTraits

CPU = torch.device("cpu")
VOCAB, CONTEXT, DEPTH = 260, 16, 4

ARCHITECTURE = ("model", "recurrence", "attention", "residual", "mlp", "embedding", "head", "init")

SMALL: dict[str, Scalar] = {
    "model.depth": DEPTH,
    "model.aspect": 4,
    "model.head_dim": 8,
    "model.context": CONTEXT,
    "model.mlp_multiplier": 2.0,
    "tokenizer.vocab_size": VOCAB,
    "batch.total_batch": 2 * CONTEXT,
    "init.head_std": 0.05,  # large enough for differences to survive rounding
    "recurrence.loop_start": 1,
    "recurrence.loop_end": 2,
    "embedding.bigram_dim": 6,
    "attention.value_embedding_dim": 6,
}

# Values at which a lever acts, where "the other one" or "twice the default" will not do.
OFF: dict[str, tuple[Scalar, ...]] = {
    "model.depth": (3,),
    "model.aspect": (6,),
    "model.width": (24,),
    "model.head_dim": (16,),
    "model.context": (32,),
    "model.window_pattern": ("SL", "SSSL"),
    "model.mlp_multiplier": (3.0, 1.25),
    "model.softcap": (15.0,),
    "model.unique_blocks": (2,),
    "model.layer_map": ("0,1,1,3",),
    "recurrence.loops": (1, 2),
    "recurrence.loop_start": (2,),
    "recurrence.loop_end": (3,),
    "recurrence.active_from": (0.5,),
    "recurrence.all_from": (0.5,),
    "attention.kv_heads": (1,),
    "attention.window_size": (3,),
    "attention.rope_dims": (4,),
    "attention.rope_odd_factor": (0.1,),
    "attention.ntk_context": (8,),
    "attention.qk_gain": (1.5,),
    "attention.qk_gain_spread": (0.5,),
    "attention.xsa_last_n": (2,),
    "attention.value_residual_init": (0.25,),
    "attention.value_embedding_dim": (4,),
    "attention.value_embedding_last_n": (1,),
    "attention.x0_to_value": (0.3,),
    "attention.output_gate_scale": (1.0,),
    "residual.x0_mix_init": (0.3,),
    "residual.skip_init": (0.5,),
    "residual.parallel_start": (1,),
    "residual.lane_start": (2,),
    "residual.lane_init": (1.3,),
    "residual.lane_asymmetry": (0.3,),
    "mlp.activation_max": (0.25,),
    "mlp.leaky_slope": (0.25,),
    "embedding.factor_dim": (8,),
    "embedding.bigram_buckets": (64,),
    "embedding.bigram_dim": (5,),
    "embedding.bigram_heads": (2,),
    "embedding.smear_share": (0.2,),
    "head.low_rank": (3,),
    "head.copy_bias": (-2.0,),
    "head.mtp_heads": (2,),
    "head.mtp_weight": (0.5,),
    "head.jepa_weight": (0.1,),
    "head.boundary_weight": (0.15,),
    "tokenizer.vocab_size": (261,),
    "batch.total_batch": (64,),
}

# What a lever needs beside its owner to be able to act at all; and what only this value needs.
WITH: dict[tuple[str, Scalar], dict[str, Scalar]] = {
    ("recurrence.all_from", 0.5): {"recurrence.loops": 2},
    # A cap far away is no cap, whatever its curve.
    ("model.softcap_form", "polynomial"): {"model.softcap": 1.0},
}
WITH_VALUE: dict[tuple[str, Scalar], dict[str, Scalar]] = {
    ("embedding.bigram_hash", "exact"): {"embedding.bigram_buckets": VOCAB**2 + 1},
}


# Two levers whose usual values do not fit each other's shape.
PAIRS: dict[tuple[str, str], dict[str, Scalar]] = {
    ("model.depth", "model.layer_map"): {"model.layer_map": "0,1,1"},
    ("model.depth", "recurrence.loop_end"): {"recurrence.loop_end": 1},
    ("model.width", "model.head_dim"): {"model.width": 32},
    ("attention.within_documents", "attention.ntk_context"): {"attention.ntk_context": CONTEXT},
    ("attention.within_documents", "attention.long_rows"): {"attention.ntk_context": CONTEXT},
}


def training_levers() -> list[Lever]:
    """Those that act while a model is trained."""
    return [lever for lever in LEVERS.values() if lever.phase == "train"]


@cache
def neutral() -> Values:
    """Every lever of training that has a neutral value at it, the others small."""
    off = {lever.name: lever.neutral for lever in training_levers() if lever.neutral is not None}
    return LEVERS.complete(off | SMALL)


def off_values(lever: Lever) -> tuple[Scalar, ...]:
    """Values of the lever other than that of `neutral()`; of a choice all."""
    if lever.name in OFF:
        return OFF[lever.name]
    at = neutral()[lever.name]
    if lever.kind == "bool":
        return (not at,)
    if lever.kind in ("choice", "text"):
        return tuple(choice for choice in lever.choices if choice != at and not choice.endswith(":"))
    if lever.high is None:
        return (2 * at + 1,)
    wanted = 2 * at if at and 2 * at <= lever.high else (lever.low + min(lever.high, lever.low + 1)) / 2
    return (lever.check(wanted if lever.kind == "float" else max(int(wanted), lever.multiple_of)),)


def owners(name: str) -> dict[str, Scalar]:
    """What must be on for this lever to act."""
    owner, _, wanted = LEVERS[name].needs.partition("=")
    if not owner:
        return {}
    lever = LEVERS[owner]
    value: Scalar = off_values(lever)[0]
    if wanted:
        texts = wanted.split("|")
        candidates = (neutral()[owner], *off_values(lever))
        value = next(candidate for candidate in candidates if str(candidate) in texts)
    return owners(owner) | {owner: value}


def off_case(name: str, value: Scalar) -> tuple[Values, Values]:
    """(recipe without, recipe with) the lever at this value, its owners on in both."""
    without = neutral().with_(owners(name)).with_(WITH.get((name, value), {}))
    return without, without.with_(WITH_VALUE.get((name, value), {})).with_({name: value})


def is_architecture(name: str) -> bool:
    return name.partition(".")[0] in ARCHITECTURE


def cases(*, architecture: bool = True) -> list[tuple[str, Scalar]]:
    """(lever, value at which it acts) of all levers of a kind."""
    found = [lever for lever in training_levers() if is_architecture(lever.name) == architecture]
    return [(lever.name, value) for lever in found for value in off_values(lever)]


def recipe_of(values: Values) -> Recipe:
    return Recipe(trainer="lm", values=values)


def config_of(values: Values) -> TrainConfig:
    return bind(TrainConfig, values)


@cache
def traits(vocab_size: int = VOCAB) -> TokenTraits:
    """Made-up traits: every third id starts a word, all seven kinds occur."""
    ids = np.arange(vocab_size)
    random = np.random.default_rng(0)
    return TokenTraits(
        bos_id=vocab_size - 1,
        word_starts=ids % 3 == 0,
        kinds=ids % 7,
        counts=(ids * 37) % 101,
        sample=random.integers(0, vocab_size, 4000),
        byte_codes=np.where(ids % 2 == 0, ids % 256, 257 * (ids % 256) + ids % 11),
        byte_counts=1 + ids % 2,
    )


def model_of(values: Values, seed: int = 0) -> Gpt:
    config = config_of(values)
    return build_model(config, seed=seed, device=CPU, traits=lambda: traits(config.tokenizer.vocab_size))


def ids_of(values: Mapping[str, Scalar], rows: int = 2, seed: int = 1) -> torch.Tensor:
    """Rows of context + 1 ids; few different ones, so that n-grams and copies occur, and a BOS inside."""
    generator = torch.Generator().manual_seed(seed)
    context, vocab_size = int(values["model.context"]), int(values["tokenizer.vocab_size"])
    ids = torch.randint(0, 40, (rows, context + 1), generator=generator)
    ids[:, context // 2] = vocab_size - 1
    return ids


def shake(model: torch.nn.Module, size: float = 0.05) -> None:
    """Off the initial zeros, so that every path carries something."""
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            generator = torch.Generator().manual_seed(index)
            parameter.add_(torch.empty(parameter.shape).normal_(0.0, size, generator=generator))
