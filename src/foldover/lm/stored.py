"""What an artifact of a recipe will hold: its tensors by name, role and shape, and its size. No torch, no training.

The names are those of the model's parameters; a test holds them against models of every lever.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from foldover.core import Values, to_json, to_plain
from foldover.export.codecs import check_level
from foldover.export.levers import ExportConfig
from foldover.export.scheme import Scheme, schemes_of
from foldover.export.sizes import TensorPlan, absmax_step, gaussian_size, predicted_artifact_bytes
from foldover.export.tensors import Role, TensorInfo
from foldover.lm.levers import CONSTANTS, TrainConfig
from foldover.lm.plan import BlockSpec
from foldover.lm.shape import COPY_DIM, NUM_TYPES, TYPE_DIM, Shape, count_parameters
from foldover.lm.spread import expected_spread

# A mean |w| of Gaussian weights in standard deviations: the step of ternary.
_MEAN_SIZE = math.sqrt(2.0 / math.pi)
_BINARY_BYTES = 1.0 / 8.0
# Bytes of low-rank corrections: of float16 factors as coded, a number; of LQER, bits a number left and right.
_FACTOR_BYTES = 1.75
_LQER_BITS = (1.6, 3.6)
# Below so many bits the clip search takes the smallest of its quantiles.
_SEARCHED_LEVELS = 15
_SMALLEST_QUANTILE = 0.999
# What an allocation may coarsen steps by: options times the factor on all.
_COARSEST = 128.0
_DIGESTS = ("corpus", "tokenizer", "train", "validation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is stored. matrices: with their shapes; num_vectors, vector_size: tensors kept as they are, and numbers."""

    matrices: tuple[tuple[TensorInfo, tuple[int, ...]], ...]
    num_vectors: int
    vector_size: int


def stored_tensors(config: TrainConfig, shape: Shape) -> Stored:
    """The tensors of an artifact of a recipe that `resolve` has checked."""
    named = [*_tables(config, shape), *_blocks(config, shape)]
    matrices = tuple((info, size) for info, size in named if min(size) > 1)
    counts = count_parameters(config, shape)
    kept = sum(counts.values()) - counts["auxiliary"]
    return Stored(
        matrices=matrices,
        num_vectors=_num_vectors(config, shape) + len(named) - len(matrices),
        vector_size=kept - sum(math.prod(size) for _, size in matrices),
    )


def artifact_bytes(
    config: TrainConfig, shape: Shape, values: Values, *, code_bytes: int = 0, steps: float | None = None
) -> int:
    """Predicted bytes of the artifact's file, before anything is trained.

    values: of the recipe, which travels in the header. Codes are taken for those of Gaussian weights, as trained ones
    nearly are; where the levers fit a size, that one, or the smallest that coarser steps reach. steps: of training, on
    which hangs what a floor under the steps of codes saves (`foldover.lm.spread`); None where no budget says. Raises
    RecipeError for levers of the export that do not fit the model, UserError for a level that the codec does not have.
    """
    export = export_config(config)
    check_level(export.export.codec, export.export.level)  # type: ignore[arg-type]
    found = stored_tensors(config, shape)
    schemes = schemes_of(export, found.matrices)
    other = _header_bytes(export, values)

    def total(factor: float = 1.0) -> int:
        plans = [
            _plan(
                schemes[info.name],
                size,
                export,
                is_seen=_is_seen(config, info),
                factor=factor,
                spread=expected_spread(config, shape, info, size, steps=steps) if schemes[info.name].floor else 0.0,
            )
            for info, size in found.matrices
        ]
        vectors = _vectors(found, bytes_each=2.0 if _vector_format(export) == "float16" else 4.0)
        return predicted_artifact_bytes(
            [*plans, *vectors],
            other_bytes=other + round(_correction_bytes(export, found, schemes)),
            codec=export.export.codec,
            level=export.export.level,
        )

    wanted = config.export.allocate_to_bytes - code_bytes if config.export.allocate_to_bytes else None
    if wanted is not None:
        return max(wanted, total(_COARSEST))
    target = config.correction.prune_to_bytes if config.export.scheme != "none" else 0
    return min(total(), target) if target else total()


def export_config(config: TrainConfig) -> ExportConfig:
    """The levers of the export alone."""
    return ExportConfig(
        export=config.export, grid=config.grid, calibration=config.calibration, correction=config.correction
    )


def _tables(config: TrainConfig, shape: Shape) -> Iterator[tuple[TensorInfo, tuple[int, ...]]]:
    """Outside of blocks: token table, tables beside it, what leads into the stream and out of it."""
    embedding, head, d, e = config.embedding, config.head, shape.width, shape.embedding_width
    yield _tensor("embedding", "embedding", shape.vocab_size, e)
    if embedding.factor_dim:
        yield _tensor("token.up", "matrix", d, e)
    tables = range((2 if embedding.bigram_orders == "separate_trigram" else 1) if embedding.bigram_buckets else 0)
    is_ahead = embedding.bigram_place == "before_norm"
    num_ahead = len(tables) * is_ahead
    # What stands before tables that come after the norm: token types, a gated smear, the norm itself.
    others = embedding.token_type + (embedding.smear == "gate") + (not embedding.factor_dim)
    for i in tables:
        name = f"inputs.{i if is_ahead else i + others}"
        yield _tensor(f"{name}.table", "table", embedding.bigram_buckets, embedding.bigram_dim)
        yield _tensor(f"{name}.projection", "matrix", d, embedding.bigram_dim)
    if embedding.token_type:
        yield _tensor(f"inputs.{num_ahead}.table", "table", NUM_TYPES, TYPE_DIM)
        yield _tensor(f"inputs.{num_ahead}.projection", "matrix", d, TYPE_DIM)
    if config.attention.value_embedding == "shared":
        dim = config.attention.value_embedding_dim
        yield _tensor("held.value_table.table", "table", shape.vocab_size, dim)
        yield _tensor("held.value_table.projection", "matrix", shape.kv_width, dim)
    if head.copy == "attention":
        yield _tensor("head.source.query", "matrix", COPY_DIM, d)
        yield _tensor("head.source.key", "matrix", COPY_DIM, d)
    plain = "head" if head.copy == "none" else "head.plain"
    if not head.tied:
        yield _tensor(f"{plain}.weight", "head", shape.vocab_size, e)
    if head.low_rank:
        yield _tensor(f"{plain}.down.0.inner", "matrix", head.low_rank, d)
        yield _tensor(f"{plain}.down.0.outer", "matrix", d, head.low_rank)
    if embedding.factor_dim and embedding.factor_form != "transposed":
        yield _tensor(f"{plain}.down.{'1.' if head.low_rank else ''}weight", "matrix", e, d)


def _blocks(config: TrainConfig, shape: Shape) -> Iterator[tuple[TensorInfo, tuple[int, ...]]]:
    """Of blocks; matrices that several share once, under the first of them."""
    given: set[int] = set()
    for block in shape.blocks:
        name, d, kv = f"blocks.{block.index}", shape.width, shape.kv_width
        if block.source not in given:
            for part, size in (("query", (d, d)), ("key", (kv, d)), ("value", (kv, d))):
                yield _tensor(f"{name}.attention.{part}", "attention", *size, layer=block.index)
            yield _tensor(f"{name}.attention.output", "attention_out", d, d, layer=block.index)
            yield from _mlp(config, shape, f"{name}.mlp", block, roles=("mlp", "mlp_out"))
        given.add(block.source)
        if block.has_value_embedding:
            yield _tensor(f"{name}.attention.values.table", "table", shape.vocab_size, kv, layer=block.index)
        for i in range(block.num_mlps - 1):
            yield from _mlp(config, shape, f"{name}.more_mlps.{i}", block, roles=("matrix", "matrix"))
        if config.attention.x0_to_value:
            yield _tensor(f"{name}.parts.x0.matrix", "matrix", kv, d, layer=block.index)


def _mlp(
    config: TrainConfig, shape: Shape, name: str, block: BlockSpec, *, roles: tuple[Role, Role]
) -> Iterator[tuple[TensorInfo, tuple[int, ...]]]:
    for part in ("input", "gate") if config.mlp.activation == "swiglu" else ("input",):
        yield _tensor(f"{name}.{part}", roles[0], shape.mlp_width, shape.width, layer=block.index)
    yield _tensor(f"{name}.output", roles[1], shape.width, shape.mlp_width, layer=block.index)


def _tensor(name: str, role: Role, *size: int, layer: int | None = None) -> tuple[TensorInfo, tuple[int, ...]]:
    return TensorInfo(name=name, role=role, layer=layer), size


def _num_vectors(config: TrainConfig, shape: Shape) -> int:
    attention, residual, embedding, head = config.attention, config.residual, config.embedding, config.head
    every = {"none": 0, "scalar": 2, "channel": 1}[residual.x0_mix] + 2 * residual.branch_scales
    every += attention.qk_gain_learned + (attention.x0_to_value > 0) + (attention.output_gate != "none")
    total = every * len(shape.blocks)
    for block in shape.blocks:
        total += block.has_value_residual * (2 if attention.value_residual == "factors" else 1)
        total += (block.has_xsa and attention.xsa_form == "learned") + 2 * block.has_lanes
        total += block.has_value_embedding + block.has_shared_values
    total += shape.num_skips * {"none": 0, "add": 1, "gated": 2}[residual.skips]
    total += any(layer.rule == "lanes" for layer in shape.layers) and residual.lane_output == "learned"
    if config.recurrence.loops:
        extra = shape.num_passes - 1
        total += config.recurrence.loop_embedding * shape.num_passes
        total += (2 * config.recurrence.loop_film + config.recurrence.loop_norm) * extra
    if embedding.bigram_buckets:
        tables = 2 if embedding.bigram_orders == "separate_trigram" else 1
        total += tables * (1 + 2 * embedding.bigram_gate + embedding.word_start_boost)
    total += {"none": 0, "channel": 1, "gate": 2}[embedding.smear] + embedding.token_type
    total += attention.value_embedding == "shared"
    return total + head.output_bias + head.unigram_bias + head.context_bias + 2 * (head.copy != "none")


def _is_seen(config: TrainConfig, info: TensorInfo) -> bool:
    """Whether it is multiplied by something, rather than looked up alone."""
    return info.role != "table" and (info.role != "embedding" or config.head.tied)


def _plan(
    scheme: Scheme, size: tuple[int, ...], export: ExportConfig, *, is_seen: bool, factor: float, spread: float
) -> TensorPlan:
    """How a matrix will be stored.

    is_seen: whether calibration sees products of it; factor: on its steps; spread: its expected standard deviation,
    where there is a floor under its steps.
    """
    if scheme.is_float:
        return TensorPlan(shape=size, bytes_each=2.0 if scheme.format == "float16" else 4.0)
    rows, columns = size
    lines, shared = {
        "row": (rows, columns),
        "column": (columns, rows),
        "auto": (rows, columns),
        "group": (rows * math.ceil(columns / max(scheme.group, 1)), min(scheme.group, columns)),
        "tensor": (1, rows * columns),
    }[scheme.axis]
    if scheme.format == "binary":
        return TensorPlan(shape=size, bytes_each=_BINARY_BYTES, scales=lines)
    if scheme.format == "step":
        is_split = scheme.row_steps != "tensor"
        scales = (rows if is_split else 1) + columns * (scheme.has_feedback_columns and is_seen)
        rule = "row" if scheme.row_steps == "sigma" else "tensor"
        return TensorPlan(
            shape=size,
            step=scheme.sigmas * factor,
            rule=rule,  # type: ignore[arg-type]
            zeroed=export.correction.prune_fraction,
            scales=scales + columns * (scheme.awq_alpha > 0 and is_seen),
        )
    step = _step(scheme, shared) * factor
    floor = scheme.floor / spread if scheme.floor else 0.0
    return TensorPlan(
        shape=size,
        step=max(step, floor),
        rule="row" if scheme.clip == "sdclip" else "absmax",
        levels=scheme.levels,
        zeroed=export.correction.prune_fraction,
        # Steps at the floor are all the same, and take next to nothing.
        scales=lines * (step > floor) + columns * (scheme.awq_alpha > 0 and is_seen),
    )


def _step(scheme: Scheme, shared: int) -> float:
    """Of integers, in standard deviations. shared: weights that share it."""
    if scheme.format == "ternary":
        return _MEAN_SIZE
    if scheme.clip == "sdclip":
        return scheme.sigmas / scheme.levels
    largest = absmax_step(shared, scheme.levels)
    if scheme.clip == "quantile":
        return min(largest, gaussian_size(scheme.quantile) / scheme.levels)
    if scheme.clip in ("search", "search_tensor") and scheme.levels < _SEARCHED_LEVELS:
        return min(largest, gaussian_size(_SMALLEST_QUANTILE) / scheme.levels)
    return largest


def _vectors(found: Stored, *, bytes_each: float) -> Sequence[TensorPlan]:
    """As many as there are, with their numbers shared out evenly."""
    whole, rest = divmod(found.vector_size, max(found.num_vectors, 1))
    return [TensorPlan(shape=(whole + (i < rest),), bytes_each=bytes_each) for i in range(found.num_vectors)]


def _vector_format(export: ExportConfig) -> str:
    return "float32" if export.export.scheme == "none" else export.export.vector_format


def _correction_bytes(export: ExportConfig, found: Stored, schemes: Mapping[str, Scheme]) -> float:
    """Of corrections of low rank, as far as their budget goes."""
    levers = export.correction
    if export.export.scheme == "none":
        return 0.0
    rounded = [size for info, size in found.matrices if not schemes[info.name].is_float]
    numbers = sum(levers.residual_rank * (rows + columns) for rows, columns in rounded)
    total = min(_FACTOR_BYTES * numbers, _FACTOR_BYTES / 2 * levers.residual_budget_bytes)
    largest = sorted(rounded, key=math.prod, reverse=True)[: levers.lqer_top_k]
    left, right = _LQER_BITS
    return total + sum(levers.lqer_rank * (rows * left + columns * right) / 8 for rows, columns in largest)


def _header_bytes(export: ExportConfig, values: Values) -> int:
    """Of what an artifact says of itself, compressed: the recipe, the levers, digests that are not known yet."""
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in _DIGESTS}
    content = {
        "recipe": dict(values),
        "constants": dict(CONSTANTS.defaults()),
        "export": to_plain(export),
        "digests": digests,
        "run_id": digests["train"][:16],
        "val_bpb": 1.2345678901234567,
    }
    return len(zlib.compress(to_json(content).encode(), 9))
