"""What a simulated recipe becomes: width, parameters, FLOPs, and how fast it is pretended to run.

Legend: d width, L blocks, V vocabulary, H heads, T context (the shape rule of karpathy/autoresearch 228791f).
"""

from __future__ import annotations

import math

from foldover.core import Budget, Recipe, Resolved, Values
from foldover.simulator.levers import CONTEXT, HEAD_DIM, coded_levels, width_of

VOCABULARY = 8192
GATE_CHANNELS = 32
LONG_WINDOWS_EVERY = 4

# Inventions, of the right order for an A100 and an L40S without a compiled model. Where the limit is in seconds
# nothing in the response depends on them.
FLOPS_PER_SECOND = {"windows": 1.1e14, "linux": 0.7e14}
STEP_OVERHEAD_SECONDS = 0.03


def resolve(recipe: Recipe) -> Resolved:
    """Derived numbers, and the width in the place of the aspect as what the run depends on.

    Raises RecipeError for a width off the surface.
    """
    values = recipe.values
    coded_levels(values)
    depth, batch = values.integer("model.depth"), values.integer("batch.total_batch")
    width = width_of(depth, values.integer("model.aspect"))
    derived = Values(
        width=width,
        num_heads=width // HEAD_DIM,
        num_params=num_params(depth, width),
        flops_per_token=flops_per_token(depth, width),
        tokens_per_step=batch,
        rows_per_step=batch // CONTEXT,
    )
    effective = {name: value for name, value in values.items() if name != "model.aspect"}
    return Resolved(recipe=recipe, derived=derived, effective=Values({**effective, "width": width}))


def num_params(depth: int, width: int) -> int:
    """2 V d + (value embeddings) V d + 12 L d^2 + 32 H (value embeddings) + 2 L."""
    value_layers = (depth + 1) // 2
    gates = GATE_CHANNELS * (width // HEAD_DIM) * value_layers
    return (2 + value_layers) * VOCABULARY * width + 12 * depth * width**2 + gates + 2 * depth


def flops_per_token(depth: int, width: int) -> int:
    """6 per parameter of head and blocks, and 12 d min(window, T) a block for attention (windows SSSL)."""
    value_layers = (depth + 1) // 2
    blocks = 12 * depth * width**2 + GATE_CHANNELS * (width // HEAD_DIM) * value_layers
    is_long = [i % LONG_WINDOWS_EVERY == LONG_WINDOWS_EVERY - 1 or i == depth - 1 for i in range(depth)]
    windows = sum(CONTEXT if long else CONTEXT // 2 for long in is_long)
    return 6 * (VOCABULARY * width + blocks) + 12 * width * windows


def step_seconds(derived: Values, host: str) -> float:
    """How long one optimiser step is pretended to take."""
    flops = derived.number("flops_per_token") * derived.number("tokens_per_step")
    return flops / FLOPS_PER_SECOND[host] + STEP_OVERHEAD_SECONDS


def num_steps(derived: Values, budget: Budget, host: str) -> int:
    """Steps within the budget; the last one may end after the limit, as in real training."""
    limit, tokens = budget.limit, derived.number("tokens_per_step")
    per_step = {
        "seconds": step_seconds(derived, host),
        "steps": 1.0,
        "tokens": tokens,
        "flops": tokens * derived.number("flops_per_token"),
    }[limit.kind]
    return max(1, math.ceil(limit.amount / per_step))


def budget_minutes(derived: Values, budget: Budget, host: str) -> float:
    """The budget on the surface's own axis; steps, tokens and FLOPs are turned into time by the speed model."""
    if budget.limit.kind == "seconds":
        return budget.limit.amount / 60.0
    return num_steps(derived, budget, host) * step_seconds(derived, host) / 60.0
