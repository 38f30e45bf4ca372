"""Levers and constants of the simulator, and the coded levels of a recipe in natural units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from foldover.core import LeverSet, RecipeError, Values, lever, levers_of
from foldover.simulator.calibrated import calibration
from foldover.simulator.surface import FURTHEST, HOSTS, SURFACES

HEAD_DIM = 128
CONTEXT = 2048
SOURCE = "arXiv 2606.05186"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Shape of the network that is pretended."""

    depth: int = lever(8, "Number of blocks (factor A: 6 and 8).", low=5, high=9, source=SOURCE)
    aspect: int = lever(
        64,
        "Width a block: depth times aspect, rounded up to a multiple of 128, is the width (factor B: 48 and 72).",
        low=36,
        high=84,
        source=SOURCE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """The optimiser that is pretended."""

    matrix_lr: float = lever(
        0.04, "Learning rate of the matrices (factor C: 0.03 and 0.05).", low=0.02, high=0.06, source=SOURCE
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How much text one step is pretended to see."""

    total_batch: int = lever(
        524288,
        "Tokens an optimiser step (factor D: 2^18 and 2^19).",
        low=186368,
        high=741376,
        multiple_of=CONTEXT,
        unit="tokens",
        scale="log",
        source=SOURCE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Learning rate over the budget."""

    warmdown_ratio: float = lever(
        0.5,
        "Share of the budget, at its end, over which the rate falls (factor E: 0.25 and 0.5).",
        low=0.125,
        high=0.625,
        fires="warmdown_started",
        source=SOURCE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimConfig:
    """A whole recipe of the simulator, typed."""

    model: Model
    optimizer: Optimizer
    batch: Batch
    schedule: Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What defines the question: which truth, on which host, and what goes wrong."""

    surface: str = lever(
        "calibrated",
        "The truth: calibrated to a published study, null (no effects) or linear (simple planted effects).",
        choices=SURFACES,
    )
    host: str = lever("windows", "The machine that is pretended.", choices=HOSTS, source=SOURCE)
    rerun: int = lever(0, "Number of the rerun of a seed: reruns differ by a small noise only.", low=0, high=10**6)
    failure_rate: float = lever(0.0, "Probability that a run fails, whatever its recipe.", low=0.0, high=1.0, neutral=0)
    divergence_rate: float = lever(
        0.0,
        "Probability that deep, wide recipes with a large batch (A = B = D = +1) diverge within 5 minutes.",
        low=0.0,
        high=1.0,
        neutral=0.0,
    )
    pace: float = lever(
        0.0,
        "Seconds really waited per second of budget; 0 does not wait. For trying out kills and time limits.",
        low=0.0,
        high=1.0,
        neutral=0.0,
    )


LEVERS: LeverSet = levers_of(SimConfig)
CONSTANTS: LeverSet = levers_of(Constants)


def width_of(depth: int, aspect: int) -> int:
    """depth times aspect, rounded up to a multiple of 128 (karpathy/autoresearch 228791f)."""
    return HEAD_DIM * math.ceil(depth * aspect / HEAD_DIM)


def coded_levels(values: Values) -> tuple[float, float, float, float, float]:
    """(A, B, C, D, E) of a recipe in natural units; B is the realised width's place between those of 48 and 72.

    Raises RecipeError for a width that the surface does not reach.
    """
    depth, aspect = values.integer("model.depth"), values.integer("model.aspect")
    narrow, width, wide = (width_of(depth, a) for a in (48, aspect, 72))
    b = 2.0 * (width - narrow) / (wide - narrow) - 1.0
    if abs(b) > FURTHEST:
        raise RecipeError(
            f"`model.aspect` {aspect} at depth {depth} gives width {width}, which the surface does not reach",
            value=b,
            fix=f"Widths of aspects 48 to 72 ({narrow} to {wide}) are inside.",
        )
    x = (
        depth - 7.0,
        b,
        (values.number("optimizer.matrix_lr") - 0.04) / 0.01,
        (math.log2(values.integer("batch.total_batch")) - 18.5) / 0.5,
        (values.number("schedule.warmdown_ratio") - 0.375) / 0.125,
    )
    # Decimal levels such as 0.05 have no exact binary form: without rounding a corner would miss its -1 or +1.
    a, b, c, d, e = (round(level, 9) + 0.0 for level in x)
    return a, b, c, d, e


@cache
def presets() -> Mapping[str, Values]:
    """`autoresearch` (the defaults) and the recipes that the surface's source names, e.g. `c07`, `bridge_d8`."""
    # Both bridges have aspect 64: at depth 6 that is the width of 48, at depth 8 one of its own.
    aspects = {"bridge_d6": 64, "bridge_d8": 64}
    named = {
        name: LEVERS.complete(
            {
                "model.depth": round(7 + a),
                "model.aspect": aspects.get(name, round(60 + 12 * b)),
                "optimizer.matrix_lr": round(0.04 + 0.01 * c, 9),
                "batch.total_batch": round(2 ** (18.5 + 0.5 * d)),
                "schedule.warmdown_ratio": 0.375 + 0.125 * e,
            }
        )
        for name, (a, b, c, d, e) in calibration().recipes.items()
    }
    return {"autoresearch": LEVERS.defaults(), **named}
