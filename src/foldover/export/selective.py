"""Selective pruning (levers.md F7): the cheapest codes of +-1 become zero until the artifact fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from foldover.core import BudgetError
from foldover.export.parts import StoredTensor
from foldover.export.restore import steps_of_scales

BytesOf = Callable[[Sequence[StoredTensor]], int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ones:
    """Codes of one that may go. tensors, places: of each, cheapest first: index of the tensor and in its codes."""

    tensors: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.tensors)


def zero_ones(
    stored: Sequence[StoredTensor], *, target_bytes: int, bytes_of: BytesOf
) -> tuple[tuple[StoredTensor, ...], int]:
    """The tensors with as few codes of +-1 zeroed as makes them fit, and how many that are.

    The error of zeroing a code is at most its step squared: the smallest go first, over all tensors; binary ones
    have no zero and are left. target_bytes: decimal. Raises BudgetError where zeroing all of them does not suffice.
    """
    if bytes_of(stored) <= target_bytes:
        return tuple(stored), 0
    ones = _ones(stored)
    least = _without(stored, ones, len(ones))
    if (smallest := bytes_of(least)) > target_bytes:
        raise BudgetError(
            f"with every code of 1 at zero the artifact has {smallest:,} bytes",
            value=target_bytes,
            fix="Use fewer bits or a wider step, or raise `correction.prune_to_bytes`.",
        )
    low, high, best = 0, len(ones), least  # `best` has `high` zeroed and fits; `low` does not
    while high - low > 1:
        middle = (low + high) // 2
        candidate = _without(stored, ones, middle)
        if bytes_of(candidate) <= target_bytes:
            high, best = middle, candidate
        else:
            low = middle
    return best, high


def _ones(stored: Sequence[StoredTensor]) -> _Ones:
    costs, tensors, places = [], [], []
    for i, tensor in enumerate(stored):
        parts = {part.name: part.array for part in tensor.parts}
        if tensor.scheme != "grid" or tensor.settings.get("format") == "binary":
            continue
        codes = parts["codes"]
        group = int(tensor.settings.get("group") or 0)
        steps = steps_of_scales(parts["scales"], tensor.settings.integer("exponent"), codes.shape[1], group)
        if "columns" in parts:
            steps = steps * parts["columns"].astype(np.float32)
        place = np.flatnonzero(np.abs(codes) == 1)
        costs.append(np.broadcast_to(steps, codes.shape).ravel()[place])
        tensors.append(np.full(len(place), i, dtype=np.int32))
        places.append(place)
    if not costs:
        return _Ones(tensors=np.zeros(0, dtype=np.int32), places=np.zeros(0, dtype=np.int64))
    order = np.argsort(np.concatenate(costs), kind="stable")
    return _Ones(tensors=np.concatenate(tensors)[order], places=np.concatenate(places)[order])


def _without(stored: Sequence[StoredTensor], ones: _Ones, count: int) -> tuple[StoredTensor, ...]:
    tensors, places = ones.tensors[:count], ones.places[:count]
    found = []
    for i, tensor in enumerate(stored):
        here = places[tensors == i]
        if len(here):
            parts = []
            for part in tensor.parts:
                if part.name == "codes":
                    codes = part.array.copy()
                    codes.ravel()[here] = 0
                    part = replace(part, array=codes)
                parts.append(part)
            tensor = replace(tensor, parts=tuple(parts))
        found.append(tensor)
    return tuple(found)
