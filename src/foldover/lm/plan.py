"""The layer plan: which block runs when, with which window, residual rule, skips and pass. No torch.

Sharing, recurrence, U-net skips, windows, parallel blocks and lanes are entries of lists here, so that the model
only follows them.

Legend: L positions before recurrence (`model.depth`), T context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foldover.lm.levers import TrainConfig

Rule = Literal["sequential", "parallel", "lanes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One executed layer.

    position: in this phase; index: its place before recurrence, which decides window, base and rule; block: whose
    parameters. window: keys a query may look back on, itself not counted. pops: the skip that joins before it.
    begins_pass: the pass of the recurrent segment that begins here; mlp_copy: which of the block's MLPs.
    """

    position: int
    index: int
    block: int
    window: int
    rope_base: float
    rule: Rule
    norm_scale: float
    enters_lanes: bool
    pushes: bool
    pops: int | None
    begins_pass: int | None
    mlp_copy: int
    has_value_embedding: bool
    has_shared_values: bool
    has_xsa: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What is executed from some progress through training on."""

    begins_at: float
    layers: tuple[LayerSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpec:
    """The parameters of a block: everything that one of its positions needs. source: whose matrices it has."""

    index: int
    source: int
    num_mlps: int
    has_value_embedding: bool
    has_shared_values: bool
    has_xsa: bool
    has_value_residual: bool
    has_lanes: bool


def layer_phases(config: TrainConfig) -> tuple[Phase, ...]:
    """The phases of training in order; evaluation always uses the last. Assumes a checked recipe."""
    return tuple(
        Phase(begins_at=begins_at, layers=_layers(config, extra_passes))
        for begins_at, extra_passes in _passes_by_progress(config)
    )


def block_plan(config: TrainConfig, phases: tuple[Phase, ...]) -> tuple[BlockSpec, ...]:
    """What each block must hold to serve all its positions in all phases."""
    sources = layer_sources(config)
    uses: dict[int, list[LayerSpec]] = {}
    for phase in phases:
        for layer in phase.layers:
            uses.setdefault(layer.block, []).append(layer)
    return tuple(
        BlockSpec(
            index=block,
            source=sources[block],
            num_mlps=1 + max(layer.mlp_copy for layer in uses[block]),
            has_value_embedding=any(layer.has_value_embedding for layer in uses[block]),
            has_shared_values=any(layer.has_shared_values for layer in uses[block]),
            has_xsa=any(layer.has_xsa for layer in uses[block]),
            has_value_residual=config.attention.value_residual != "none"
            and any(layer.position > 0 for layer in uses[block]),
            has_lanes=any(layer.rule == "lanes" for layer in uses[block]),
        )
        for block in sorted(uses)
    )


def layer_sources(config: TrainConfig) -> tuple[int, ...]:
    """For each position, the block whose matrices it uses (`model.layer_map`)."""
    if not config.model.layer_map:
        return tuple(range(config.model.depth))
    return tuple(int(part) for part in config.model.layer_map.split(","))


def order_of(depth: int, *, start: int, end: int, extra_passes: int) -> tuple[tuple[int, int], ...]:
    """(index, pass) of every executed layer: 0..start-1, then start..end 1 + extra_passes times, then the rest.

    parameter-golf PR 1394.
    """
    if not extra_passes:
        return tuple((i, 0) for i in range(depth))
    segment = range(start, end + 1)
    looped = [(i, number) for number in range(extra_passes + 1) for i in segment]
    return (*((i, 0) for i in range(start)), *looped, *((i, 0) for i in range(end + 1, depth)))


def _passes_by_progress(config: TrainConfig) -> list[tuple[float, int]]:
    """(begins_at, extra passes): none, then one, then all of them."""
    recurrence = config.recurrence
    if not recurrence.loops:
        return [(0.0, 0)]
    phases = [(0.0, 0)] if recurrence.active_from > 0 else []
    if recurrence.loops > 1 and recurrence.all_from > recurrence.active_from:
        return [*phases, (recurrence.active_from, 1), (recurrence.all_from, recurrence.loops)]
    return [*phases, (recurrence.active_from, recurrence.loops)]


def _layers(config: TrainConfig, extra_passes: int) -> tuple[LayerSpec, ...]:
    model, attention, residual, recurrence = config.model, config.attention, config.residual, config.recurrence
    depth = model.depth
    num_blocks = model.unique_blocks or depth
    order = order_of(depth, start=recurrence.loop_start, end=recurrence.loop_end, extra_passes=extra_passes)
    first_lane = next((p for p, (i, _) in enumerate(order) if i >= residual.lane_start), len(order))
    num_skips = len(order) // 2 if residual.skips != "none" else 0
    first_pop = len(order) // 2
    layers = []
    for position, (index, number) in enumerate(order):
        skip = position - first_pop
        layers.append(
            LayerSpec(
                position=position,
                index=index,
                block=index % num_blocks,
                window=_window(config, index),
                rope_base=model.rope_base * (attention.rope_odd_factor if index % 2 else 1.0),
                rule="lanes"
                if position >= first_lane
                else "parallel"
                if index >= residual.parallel_start
                else "sequential",
                norm_scale=(index + 1) ** -0.5 if residual.layer_norm_scale else 1.0,
                enters_lanes=position == first_lane,
                pushes=position < num_skips,
                pops=skip if 0 <= skip < num_skips else None,
                begins_pass=number if extra_passes and index == recurrence.loop_start else None,
                mlp_copy=number if recurrence.untied_mlps else 0,
                has_value_embedding=attention.value_embedding == "alternate" and index % 2 == (depth - 1) % 2,
                has_shared_values=attention.value_embedding == "shared"
                and index >= depth - attention.value_embedding_last_n,
                has_xsa=index >= depth - attention.xsa_last_n,
            )
        )
    return tuple(layers)


def _window(config: TrainConfig, index: int) -> int:
    """By the pattern (the last block sees all), at most `attention.window_size` keys with the query's own."""
    context, pattern = config.model.context, config.model.window_pattern
    is_long = index == config.model.depth - 1 or pattern[index % len(pattern)] == "L"
    window = context if is_long else context // 2
    return min(window, config.attention.window_size - 1) if config.attention.window_size else window
