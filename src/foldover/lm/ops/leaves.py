"""The leaves of a CPU, put together."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from foldover.lm.model.leaves import Leaves
from foldover.lm.ops import functions
from foldover.lm.ops.primitives import Primitives


def cpu_leaves(dtype: torch.dtype, primitives: Primitives) -> Leaves:
    """The hand-written leaves around these loops, for activations of that number format."""

    def of(function: Any) -> Any:
        return lambda *arguments: function.apply(*arguments, primitives)

    place = partial(functions.Place, primitives=primitives)
    return Leaves(
        dtype=dtype,
        norm=of(functions.Norm),
        relu_squared=of(functions.ReluSquared),
        mix=of(functions.Mix),
        add_rows=of(functions.AddRows),
        rotate_then_norm=place,
        norm_then_rotate=place,
        full=partial(functions.full_attention, primitives),
        windowed=partial(functions.windowed_attention, primitives),
        documents=partial(functions.document_attention, primitives),
        capped_loss=of(functions.CappedLoss),
        head_loss=of(functions.HeadLoss),
    )
