"""Sizes of a recipe's network, its parameters and FLOPs, without torch.

Legend: d model width, e width of the token table, H query heads, G key/value heads, hd head width, V vocabulary,
T context.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from foldover.lm.levers import TrainConfig
from foldover.lm.plan import BlockSpec, LayerSpec, Phase, block_plan, layer_phases

VALUE_GATE_CHANNELS = 32
GATE_CHANNELS = 12
TYPE_DIM = 16
NUM_TYPES = 7
COPY_DIM = 64
JEPA_DIM = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Everything `assemble` needs to know of sizes."""

    vocab_size: int
    context: int
    width: int
    embedding_width: int
    num_heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    phases: tuple[Phase, ...]
    blocks: tuple[BlockSpec, ...]

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The executed blocks of the last phase, which is that of evaluation."""
        return self.phases[-1].layers

    @property
    def kv_width(self) -> int:
        """Width of keys and of values."""
        return self.kv_heads * self.head_dim

    @property
    def value_gate_channels(self) -> int:
        """Channels that the gates of value embeddings read."""
        return min(VALUE_GATE_CHANNELS, self.width)

    @property
    def gate_channels(self) -> int:
        """Channels that other gates read."""
        return min(GATE_CHANNELS, self.width)

    @property
    def num_skips(self) -> int:
        """Skips that join."""
        return sum(layer.pushes for layer in self.layers)

    @property
    def num_passes(self) -> int:
        """Passes through the recurrent segment, 1 where there is none."""
        return 1 + max((layer.begins_pass or 0 for layer in self.layers), default=0)


def width_of(config: TrainConfig) -> int:
    """`model.width`, or depth times aspect rounded up to a multiple of head_dim (autoresearch)."""
    model = config.model
    return model.width or math.ceil(model.depth * model.aspect / model.head_dim) * model.head_dim


def shape_of(config: TrainConfig) -> Shape:
    """Sizes and layer plan of a recipe that `resolve` has checked."""
    width = width_of(config)
    num_heads = width // config.model.head_dim
    phases = layer_phases(config)
    hidden = int(config.model.mlp_multiplier * width)
    return Shape(
        vocab_size=config.tokenizer.vocab_size,
        context=config.model.context,
        width=width,
        embedding_width=config.embedding.factor_dim or width,
        num_heads=num_heads,
        kv_heads=config.attention.kv_heads or num_heads,
        head_dim=config.model.head_dim,
        mlp_width=2 * hidden // 3 if config.mlp.activation == "swiglu" else hidden,
        phases=phases,
        blocks=block_plan(config, phases),
    )


def count_parameters(config: TrainConfig, shape: Shape) -> dict[str, int]:
    """Number of parameters by group; those of `auxiliary` exist in training only."""
    table = shape.vocab_size * shape.embedding_width
    num_value_tables = sum(block.has_value_embedding for block in shape.blocks)
    is_shared = config.attention.value_embedding == "shared"
    value_tables = num_value_tables * shape.vocab_size * shape.kv_width
    if is_shared:
        value_tables = shape.vocab_size * config.attention.value_embedding_dim
    return {
        "embedding": table,
        "head": 0 if config.head.tied else table,
        "value_embeddings": value_tables,
        "matrices": _block_matrices(config, shape) + _input_matrices(config, shape) + _head_matrices(config, shape),
        "scalars": _block_scalars(config, shape) + _other_scalars(config, shape),
        "hash_embeddings": _hash_tables(config, shape),
        "auxiliary": _auxiliary(config, shape),
    }


def flops_per_token(config: TrainConfig, shape: Shape) -> int:
    """Training FLOPs a token: 6 per matrix parameter used, and 12 H hd min(window, T) a block for attention.

    With recurrence that begins later, the mean over training.
    """
    outside = 6 * (
        shape.vocab_size * shape.embedding_width
        + _input_matrices(config, shape)
        + _head_matrices(config, shape)
        + _auxiliary(config, shape)
    )
    ends = (*(phase.begins_at for phase in shape.phases[1:]), 1.0)
    inside = 0.0
    for phase, end in zip(shape.phases, ends, strict=True):
        inside += (end - phase.begins_at) * sum(_layer_flops(config, shape, layer) for layer in phase.layers)
    return outside + round(inside)


def _layer_flops(config: TrainConfig, shape: Shape, layer: LayerSpec) -> int:
    matrices = _attention_matrices(shape) + _mlp_matrices(config, shape) + _gate_matrices(config, shape)
    if layer.has_value_embedding:
        matrices += shape.value_gate_channels * shape.kv_heads
    if layer.has_shared_values:
        matrices += config.attention.value_embedding_dim * shape.kv_width
    return 6 * matrices + 12 * shape.num_heads * shape.head_dim * min(layer.window, shape.context)


def _attention_matrices(shape: Shape) -> int:
    return 2 * shape.width * shape.width + 2 * shape.width * shape.kv_width


def _mlp_matrices(config: TrainConfig, shape: Shape) -> int:
    return (3 if config.mlp.activation == "swiglu" else 2) * shape.width * shape.mlp_width


def _gate_matrices(config: TrainConfig, shape: Shape) -> int:
    channels = {"none": 0, "doubled": shape.gate_channels, "dense": shape.width, "sparse": shape.gate_channels}
    from_x0 = shape.width * shape.kv_width if config.attention.x0_to_value else 0
    return channels[config.attention.output_gate] * shape.num_heads + from_x0


def _block_matrices(config: TrainConfig, shape: Shape) -> int:
    total = 0
    for block in shape.blocks:
        if block.source == block.index:
            total += _attention_matrices(shape) + _mlp_matrices(config, shape)
        total += (block.num_mlps - 1) * _mlp_matrices(config, shape) + _gate_matrices(config, shape)
        total += block.has_value_embedding * shape.value_gate_channels * shape.kv_heads
    if config.attention.value_embedding == "shared":
        total += shape.kv_width * config.attention.value_embedding_dim
    return total


def _block_scalars(config: TrainConfig, shape: Shape) -> int:
    attention, residual = config.attention, config.residual
    every = {"none": 0, "scalar": 2, "channel": 2 * shape.width}[residual.x0_mix]
    every += 2 * shape.width * residual.branch_scales + shape.num_heads * attention.qk_gain_learned
    every += attention.x0_to_value > 0
    total = every * len(shape.blocks)
    for block in shape.blocks:
        total += block.has_value_residual * (2 if attention.value_residual == "factors" else 1)
        total += block.has_xsa and attention.xsa_form == "learned"
        total += 6 * block.has_lanes + block.has_shared_values
    return total


def _other_scalars(config: TrainConfig, shape: Shape) -> int:
    d, embedding, recurrence = shape.width, config.embedding, config.recurrence
    total = shape.num_skips * d * {"none": 0, "add": 1, "gated": 2}[config.residual.skips]
    if any(layer.rule == "lanes" for layer in shape.layers):
        total += config.residual.lane_output == "learned"
    if recurrence.loops:
        extra = shape.num_passes - 1
        total += recurrence.loop_embedding * shape.num_passes * d + recurrence.loop_film * extra * 2 * d
        total += recurrence.loop_norm * extra
    if embedding.bigram_buckets:
        total += _num_tables(config) * (1 + embedding.bigram_gate * (d + 1) + embedding.word_start_boost)
    total += {"none": 0, "channel": d, "gate": 1 + shape.gate_channels}[embedding.smear] + embedding.token_type
    total += config.attention.value_embedding == "shared"
    head = config.head
    total += head.output_bias * shape.vocab_size + head.unigram_bias + head.context_bias
    return total + (head.copy != "none") * (d + 1)


def _num_tables(config: TrainConfig) -> int:
    return 2 if config.embedding.bigram_orders == "separate_trigram" else 1


def _hash_tables(config: TrainConfig, shape: Shape) -> int:
    embedding = config.embedding
    total = NUM_TYPES * TYPE_DIM * embedding.token_type
    return total + _num_tables(config) * embedding.bigram_buckets * embedding.bigram_dim


def _input_matrices(config: TrainConfig, shape: Shape) -> int:
    embedding, d = config.embedding, shape.width
    total = d * embedding.factor_dim + d * TYPE_DIM * embedding.token_type
    return total + (_num_tables(config) * d * embedding.bigram_dim if embedding.bigram_buckets else 0)


def _head_matrices(config: TrainConfig, shape: Shape) -> int:
    """Beside the table: the way down to its width, the correction, and the copy head's queries and keys."""
    total = 2 * shape.width * (COPY_DIM * (config.head.copy == "attention") + config.head.low_rank)
    return total + (shape.width * config.embedding.factor_dim if config.embedding.factor_form == "separate" else 0)


def _auxiliary(config: TrainConfig, shape: Shape) -> int:
    head, d = config.head, shape.width
    return d * (head.mtp_heads * shape.vocab_size + JEPA_DIM * (head.jepa_weight > 0) + (head.boundary_weight > 0))
