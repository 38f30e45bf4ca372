"""What a recipe becomes: shapes, layer plan, parameters, FLOPs; and what cannot be built. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from foldover.core import Recipe, RecipeError, Resolved, Scalar, Values, bind
from foldover.evaluation.checks import check_evaluate
from foldover.evaluation.levers import Evaluate
from foldover.lm.levers import LEVERS, RESPONSES, TrainConfig
from foldover.lm.plan import LayerSpec, layer_sources
from foldover.lm.preflight import training_problems
from foldover.lm.shape import Shape, count_parameters, flops_per_token, shape_of, width_of

__all__ = [
    "EXCLUSIVE",
    "Exclusion",
    "LayerSpec",
    "Shape",
    "baseline_recipe",
    "check_recipe",
    "count_parameters",
    "effective_values",
    "flops_per_token",
    "resolve",
    "shape_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Two levers that cannot both be off their neutral values."""

    first: str
    second: str
    because: str


VAL, ROUNDTRIP, SLIDING, MIXED, ADAPTED, BYTES = RESPONSES
AT_REST = Evaluate()

EXCLUSIVE: tuple[Exclusion, ...] = (
    Exclusion(
        first="model.unique_blocks",
        second="model.layer_map",
        because="both say whose matrices a position uses",
    ),
)


def resolve(recipe: Recipe) -> Resolved:
    """Derived numbers and what the run really depends on. Raises RecipeError for what cannot be built."""
    config = bind(TrainConfig, recipe.values)
    for error in _problems(config, recipe.values):
        raise error
    shape = shape_of(config)
    counts = count_parameters(config, shape)
    derived = Values(
        width=shape.width,
        num_heads=shape.num_heads,
        kv_heads=shape.kv_heads,
        num_layers=len(shape.layers),
        num_params=sum(counts.values()),
        flops_per_token=flops_per_token(config, shape),
        tokens_per_step=config.batch.total_batch,
        rows_per_step=config.batch.total_batch // config.model.context,
        **{f"num_params_{name}": count for name, count in counts.items()},
    )
    if config.export.artifact:
        from foldover.lm.stored import artifact_bytes  # numpy only where something is exported

        derived = derived.with_({BYTES: artifact_bytes(config, shape, recipe.values)})
    return Resolved(
        recipe=recipe,
        derived=derived,
        effective=effective_values(recipe.values),
        responses=responses_of(config),
    )


def responses_of(config: TrainConfig) -> tuple[str, ...]:
    """What a run gives: scores, in order, and bytes. What the levers leave out of the chain is the score before it."""
    later = (SLIDING, MIXED, ADAPTED)
    if config.export.artifact:
        return (VAL, ROUNDTRIP, *later, BYTES)
    return (VAL, *(later if config.evaluate != AT_REST else ()))


def effective_values(values: Values) -> Values:
    """What the run depends on: the width instead of what gives it, and no lever whose owner is off."""
    config = bind(TrainConfig, values)
    kept: dict[str, Scalar] = {name: value for name, value in values.items() if _matters(name, values)}
    for name in ("model.aspect", "model.width"):
        del kept[name]
    depth = config.model.depth
    same: dict[str, tuple[Scalar, Scalar]] = {
        "model.unique_blocks": (depth, 0),
        "model.layer_map": (",".join(map(str, range(depth))), ""),
        "attention.kv_heads": (width_of(config) // config.model.head_dim, 0),
        "attention.rope_dims": (config.model.head_dim, 0),
        "attention.window_size": (config.model.context, 0),
    }
    for name, (value, neutral) in same.items():
        if kept[name] == value:
            kept[name] = neutral
    for name in ("residual.parallel_start", "residual.lane_start"):
        if values.integer(name) >= depth:
            kept[name] = LEVERS[name].neutral
    if depth < 2:
        del kept["attention.rope_odd_factor"]
    return Values({**kept, "width": width_of(config)})


def _matters(name: str, values: Values) -> bool:
    """Whether a lever acts, and, where it need not be given, does so off its default."""
    lever = LEVERS[name]
    return LEVERS.acts(name, values) and (not lever.may_be_left_out or values[name] != lever.default)


def check_recipe(values: Values) -> None:
    """Raises RecipeError, with what to do, for the first thing that cannot be built or would do nothing."""
    config = bind(TrainConfig, values)
    for error in _problems(config, values):
        raise error


def _problems(config: TrainConfig, values: Values) -> Iterator[RecipeError]:
    yield from training_problems(config)
    for pair in EXCLUSIVE:
        if all(values[name] != LEVERS[name].neutral for name in (pair.first, pair.second)):
            yield RecipeError(
                f"`{pair.first}` and `{pair.second}` exclude each other: {pair.because}",
                fix=f"Leave one of them at its neutral value ({LEVERS[pair.first].neutral!r}, "
                f"{LEVERS[pair.second].neutral!r}).",
            )
    yield from _width_problems(config)
    yield from _layer_problems(config)
    yield from _attention_problems(config)
    yield from _end_problems(config)
    yield from _evaluation_problems(config)


def _width_problems(config: TrainConfig) -> Iterator[RecipeError]:
    model, attention = config.model, config.attention
    if model.width % model.head_dim:
        near = max(1, round(model.width / model.head_dim)) * model.head_dim
        yield RecipeError(
            f"`model.width` is {model.width}, not a multiple of `model.head_dim`",
            value=model.head_dim,
            fix=f"Use {near}.",
        )
    num_heads = width_of(config) // model.head_dim
    if attention.kv_heads and num_heads % attention.kv_heads:
        divisors = [n for n in range(1, num_heads + 1) if num_heads % n == 0]
        yield RecipeError(
            f"`attention.kv_heads` is {attention.kv_heads}, which does not divide the {num_heads} heads",
            fix=f"Use one of {', '.join(map(str, divisors))}.",
        )
    if int(model.mlp_multiplier * width_of(config)) < 2:
        yield RecipeError("the MLP has fewer than two hidden units", value=model.mlp_multiplier, fix="Widen it.")
    if attention.window_size > model.context:
        yield RecipeError(
            f"`attention.window_size` is {attention.window_size}, longer than a row",
            value=model.context,
            fix="Use 0 for no bound.",
        )


def _layer_problems(config: TrainConfig) -> Iterator[RecipeError]:
    model, recurrence, residual = config.model, config.recurrence, config.residual
    depth = model.depth
    for name, value in (
        ("model.unique_blocks", model.unique_blocks),
        ("attention.xsa_last_n", config.attention.xsa_last_n),
    ):
        if value > depth:
            yield RecipeError(f"`{name}` is {value}, but there are {depth} blocks", fix=f"Use at most {depth}.")
    if config.attention.value_embedding == "shared" and config.attention.value_embedding_last_n > depth:
        yield RecipeError(
            f"`attention.value_embedding_last_n` is {config.attention.value_embedding_last_n}, but there are {depth} "
            "blocks",
            fix=f"Use at most {depth}.",
        )
    sources = layer_sources(config)
    if len(sources) != depth or any(not q < depth or sources[q] != q for q in sources):
        yield RecipeError(
            f"`model.layer_map` is {model.layer_map!r} at depth {depth}",
            fix=f"Give {depth} blocks below {depth}, each named one mapped to itself, such as "
            f"{','.join(map(str, [*range(depth - 1), 0]))}.",
        )
    if recurrence.loops and not recurrence.loop_start <= recurrence.loop_end < depth:
        yield RecipeError(
            f"blocks {recurrence.loop_start} to {recurrence.loop_end} cannot be looped at depth {depth}",
            fix=f"`recurrence.loop_start` and `recurrence.loop_end` may be 0 to {depth - 1}.",
        )
    if depth < 2 and (residual.skips != "none" or config.attention.value_residual != "none"):
        yield RecipeError(
            "U-net skips and value residuals join two blocks, and there is one", value=depth, fix="Use depth 2 or more."
        )
    if residual.lane_start <= residual.parallel_start < depth:
        yield RecipeError(
            f"no block is parallel: two lanes begin at block {residual.lane_start}",
            value=residual.parallel_start,
            fix="Let `residual.parallel_start` be below `residual.lane_start`.",
        )


def _attention_problems(config: TrainConfig) -> Iterator[RecipeError]:
    model, attention = config.model, config.attention
    rotated = attention.rope_dims or model.head_dim
    if rotated > model.head_dim:
        yield RecipeError(
            f"`attention.rope_dims` is {rotated}, but a head has {model.head_dim} dimensions", fix="Use 0 for all."
        )
    if attention.ntk_context and (rotated <= 2 or attention.ntk_context > model.context):
        yield RecipeError(
            f"`attention.ntk_context` is {attention.ntk_context}: it needs more than two rotated dimensions, and at "
            "most the context",
            value=(rotated, model.context),
            fix="Use 0 for no scaling.",
        )
    if attention.within_documents and 0 < attention.ntk_context < model.context:
        yield RecipeError(
            "`attention.within_documents` and an `attention.ntk_context` below the context exclude each other: the "
            "rotary base is that of the row's length, and no document knows of its row",
            value=(attention.ntk_context, model.context),
            fix=f"Use 0, or {model.context}, which leaves all rows of training alone.",
        )
    if attention.qk_gain_spread >= attention.qk_gain:
        yield RecipeError(
            f"`attention.qk_gain_spread` is {attention.qk_gain_spread:g}: some gain would not be positive",
            value=attention.qk_gain,
            fix="Keep it below `attention.qk_gain`.",
        )
    if attention.value_residual == "sigmoid" and attention.value_residual_init in (0.0, 1.0):
        yield RecipeError(
            "a sigmoid never is 0 or 1", value=attention.value_residual_init, fix="Use a share between, or `factors`."
        )


def _end_problems(config: TrainConfig) -> Iterator[RecipeError]:
    embedding = config.embedding
    if embedding.bigram_buckets:
        if embedding.bigram_buckets < 8:
            yield RecipeError(f"`embedding.bigram_buckets` is {embedding.bigram_buckets}", fix="Use 0, or 8 or more.")
        if embedding.bigram_hash == "exact" and embedding.bigram_orders == "byte_window":
            yield RecipeError("no table has a row for every four bytes", fix="Use another `embedding.bigram_hash`.")
        elif embedding.bigram_hash == "exact":
            order = {"bigram": 2, "engram": 5}.get(embedding.bigram_orders, 3)
            needed = config.tokenizer.vocab_size**order + 1
            if embedding.bigram_buckets < needed or embedding.bigram_heads > 1 or embedding.bigram_split:
                yield RecipeError(
                    "an exact table has a row for every tuple of tokens and one more, one head and no halves",
                    value=(embedding.bigram_buckets, embedding.bigram_heads, embedding.bigram_split),
                    fix=f"Use `embedding.bigram_buckets` of {needed} or more, or another hash.",
                )
    if config.head.mtp_heads >= config.model.context:
        yield RecipeError(
            f"`head.mtp_heads` is {config.head.mtp_heads}: a row is too short for it", value=config.model.context
        )


def _evaluation_problems(config: TrainConfig) -> Iterator[RecipeError]:
    try:
        check_evaluate(config.evaluate, context=config.model.context)
    except RecipeError as error:
        yield error


def baseline_recipe(preset: Values) -> Recipe:
    """A preset as a recipe of this trainer."""
    return Recipe(trainer="lm", values=LEVERS.complete(dict(preset)))
