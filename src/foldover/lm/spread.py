"""How large the weights of a recipe begin, and become: what can be known of it before training. No torch.

A floor under the steps of an export is a size, not a share of the weights: how many bytes it saves hangs on theirs.
A matrix begins with a known spread and is moved by updates of a known size, whose directions agree less and less; over
S full steps (a step in a warm-down counts for its rate) they add up to about S ** 0.7 of them. Tables move by a rate
of AdamW, those of tokens that come seldom less. The exponents and factors were read off golf models of widths 64 and
256 after 30 to 600 full steps: most matrices are within a fifth of it, which is a quarter of a bit a weight.

Legend: r rows, c columns.
"""

from __future__ import annotations

import math

from foldover.export.tensors import TensorInfo
from foldover.lm.levers import TrainConfig
from foldover.lm.rates import update_scale, width_factor
from foldover.lm.schedule import Moment, lr_multiplier
from foldover.lm.shape import Shape

# Steps that are assumed where a budget does not say how many there will be.
ASSUMED_STEPS = 1000
_MATRIX_GROWTH, _MATRIX_EXPONENT = 1.2, 0.7
_TABLE_GROWTH, _TABLE_EXPONENT = 1.0, 0.43
_SHARED_TABLE_STD = 0.01
_MOMENTS = 200  # at which a schedule is asked for its rate
_TABLES = ("embedding", "head", "table")


def expected_spread(
    config: TrainConfig, shape: Shape, info: TensorInfo, size: tuple[int, ...], *, steps: float | None
) -> float:
    """Standard deviation of a stored matrix (r, c) after so many steps; None: `ASSUMED_STEPS`."""
    full = full_steps(config, ASSUMED_STEPS if steps is None else steps)
    if info.role in _TABLES:
        growth = _TABLE_GROWTH * _table_rate(config, shape, info) * full**_TABLE_EXPONENT
    else:
        rows, columns = size
        optimizer = config.optimizer
        update = optimizer.matrix_lr * update_scale(optimizer.update_scale, rows, columns) / math.sqrt(max(size))
        # Decay takes as much as updates add once so many steps have been taken.
        lasting = 1.0 / (optimizer.matrix_lr * optimizer.weight_decay) if optimizer.weight_decay else full
        growth = _MATRIX_GROWTH * update * min(full, lasting) ** _MATRIX_EXPONENT
    return math.hypot(first_spread(config, shape, info, size), growth)


def first_spread(config: TrainConfig, shape: Shape, info: TensorInfo, size: tuple[int, ...]) -> float:
    """The same before the first step (`foldover.lm.model.parameter`)."""
    init, width = config.init, shape.width
    if info.role == "embedding":
        return init.embedding_std
    if info.role == "head":
        return init.head_std
    if info.role == "table":
        if info.name.startswith("held."):
            return _SHARED_TABLE_STD
        return 1.0 / math.sqrt(width) if info.name.endswith(".values.table") else 0.0
    if info.name.endswith((".output", ".outer")):
        return 0.0
    return {
        "uniform": 1.0 / math.sqrt(width),
        "fan_in": 1.0 / math.sqrt(3.0 * size[-1]),
        "orthogonal": 1.0 / math.sqrt(max(size)),
    }[init.matrices]


def full_steps(config: TrainConfig, steps: float) -> float:
    """The sum of a schedule's factors on the rates over so many steps."""
    places = [(i + 0.5) / _MOMENTS for i in range(_MOMENTS)]
    moments = [
        Moment(progress=place, step=int(place * steps), remaining_steps=(1.0 - place) * steps) for place in places
    ]
    return steps * sum(lr_multiplier(config.schedule, moment) for moment in moments) / _MOMENTS


def _table_rate(config: TrainConfig, shape: Shape, info: TensorInfo) -> float:
    optimizer = config.optimizer
    if info.role == "head":
        rate = optimizer.unembedding_lr
    elif info.role == "embedding" and config.head.tied and optimizer.tied_embedding_lr:
        rate = optimizer.tied_embedding_lr
    else:
        rate = optimizer.embedding_lr
    return rate * width_factor(optimizer, shape.width)
