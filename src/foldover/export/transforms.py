"""What is done to weights before rounding: hidden units sorted, small weights removed, columns scaled.

F11, F8 and F5 of levers.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from foldover.export.tensors import Calibration, TensorInfo

SORT_LEVELS = 127
SORT_RESOLUTION = 1024
NUM_SAMPLES = 12
SMALLEST_INPUT = 1e-6


def mlp_permutations(
    tensors: Sequence[tuple[TensorInfo, np.ndarray]],
) -> dict[str, np.ndarray]:
    """An order of the hidden units of each MLP, by owner: units of like steps and sizes become neighbours.

    The key of a unit: its row's step in the first matrix and its column's in the last, in 1/1024, the sums of
    their int8 codes' sizes, and 12 codes of each (JusticeShultz/parameter-golf). MLPs in banks are left out.
    """
    found = {}
    for owner in sorted({info.owner for info, _ in tensors if info.role == "mlp_out"}):
        members = [(info, array) for info, array in tensors if info.owner == owner]
        inputs = [array for info, array in members if info.role == "mlp"]
        outputs = [array for info, array in members if info.role == "mlp_out"]
        if not inputs or any(array.ndim != 2 for array in (*inputs, *outputs)):
            continue
        if len({array.shape[0] for array in inputs} | {array.shape[1] for array in outputs}) != 1:
            continue
        sides = [_codes(inputs[0]), _codes(outputs[0].T)]
        keys = [_in_thousandths(step) for _, step in sides] + [np.abs(codes).sum(axis=1) for codes, _ in sides]
        samples = [codes[:, :: max(1, codes.shape[1] // NUM_SAMPLES)][:, :NUM_SAMPLES].T for codes, _ in sides]
        found[owner] = np.lexsort([*np.concatenate(samples)[::-1], *keys[::-1]])
    return found


def permuted(
    tensors: Sequence[tuple[TensorInfo, np.ndarray]], orders: Mapping[str, np.ndarray]
) -> list[tuple[TensorInfo, np.ndarray]]:
    """Rows of the matrices that make hidden units, and columns of those that read them, in their owners' orders."""
    found = []
    for info, array in tensors:
        order = orders.get(info.owner)
        if order is not None and info.role == "mlp":
            array = array[order]
        elif order is not None and info.role == "mlp_out":
            array = array[:, order]
        found.append((info, np.ascontiguousarray(array)))
    return found


def permuted_calibration(
    calibration: Calibration, infos: Sequence[TensorInfo], orders: Mapping[str, np.ndarray]
) -> Calibration:
    """What was measured, in the orders of the permuted weights."""
    hessians, sizes = dict(calibration.hessians), dict(calibration.input_sizes)
    gradients = dict(calibration.gradients)
    for info in infos:
        order, name = orders.get(info.owner), info.name
        if order is None:
            continue
        if info.role == "mlp_out" and name in hessians:
            hessians[name] = hessians[name][..., order, :][..., order]
        if info.role == "mlp_out" and name in sizes:
            sizes[name] = sizes[name][..., order]
        if info.role == "mlp" and name in gradients:
            gradients[name] = gradients[name][..., order]
    return replace(calibration, hessians=hessians, input_sizes=sizes, gradients=gradients)


def pruned(weights: np.ndarray, fraction: float) -> np.ndarray:
    """The smallest weights zero: exactly floor(fraction n) of them, of equals the first."""
    count = int(fraction * weights.size)
    if not count:
        return weights
    flat = weights.ravel().copy()
    flat[np.argsort(np.abs(flat), kind="stable")[:count]] = 0.0
    return flat.reshape(weights.shape)


def awq_columns(input_sizes: np.ndarray, alpha: float) -> np.ndarray:
    """Factors that rounded columns are multiplied by when read back, float16 (c,): mean |x| to the power -alpha.

    Over their geometric mean, so that they keep clear of the ends of float16 (Lin et al. 2023, arXiv 2306.00978).
    """
    logs = -alpha * np.log(np.maximum(input_sizes.astype(np.float64), SMALLEST_INPUT))
    return as_columns(np.exp(logs - logs.mean()))


def as_columns(relative: np.ndarray) -> np.ndarray:
    """Relative steps of columns as float16, clear of zero and infinity."""
    columns: np.ndarray = np.clip(relative, 2.0**-14, 2.0**15).astype(np.float16)
    return columns


def _codes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 codes by the largest weight of a row, and the rows' steps."""
    steps = np.abs(rows).max(axis=1).astype(np.float64) / SORT_LEVELS
    safe = np.where(steps > 0, steps, 1.0)
    return np.rint(rows / safe[:, None]).astype(np.int32), steps


def _in_thousandths(steps: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.rint(np.minimum(SORT_RESOLUTION * steps, 2.0**50)).astype(np.int64)
    return rounded
