"""From stored tensors back to weights: numpy alone, elementwise, so the same bits on every machine.

Schemes of stored tensors, with their parts in order:

    float   values (float16 or float32)
    grid    codes (r, c); scales (r, 1), (1, c), (1, 1) or (r, groups); optional: columns (c,), left (r, k) and
            right (k, c), lqer_left (r, k), lqer_right (k, c) and lqer_scales

A weight of the grid is code * scale * 2^exponent * column, plus what the corrections add. No product of matrices is
computed: corrections are added rank by rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from foldover.core import ArtifactError
from foldover.export.parts import StoredTensor

MAX_EXPONENT = 300


def restore(stored: Iterable[StoredTensor]) -> dict[str, np.ndarray]:
    """Weights by name, float32, in the shapes of the model. Raises ArtifactError for a tensor that is not whole."""
    return {tensor.name: restore_tensor(tensor) for tensor in stored}


def restore_tensor(stored: StoredTensor) -> np.ndarray:
    """The weights of one tensor, float32. Raises ArtifactError."""
    parts = {part.name: part.array for part in stored.parts}
    if len(parts) != len(stored.parts):
        raise _broken(stored, "two parts have one name")
    read = {"float": _floats, "grid": _grid}.get(stored.scheme)
    if read is None:
        raise _broken(stored, f"the scheme {stored.scheme!r} is not known")
    with np.errstate(over="ignore", invalid="ignore"):  # found below
        weights = read(stored, parts)
    if not np.isfinite(weights).all():
        raise _broken(stored, "weights are not finite")
    return weights.reshape(stored.shape)


def steps_of_scales(scales: np.ndarray, exponent: int, columns: int, group: int) -> np.ndarray:
    """Scales as stored to float32 steps that broadcast to (r, columns). group: columns that share a step, or 0."""
    steps = np.ldexp(scales.astype(np.float32), exponent)
    return np.repeat(steps, group, axis=1)[:, :columns] if group else steps


def grid_values(codes: np.ndarray, steps: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
    """code * step * column, float32."""
    values: np.ndarray = codes.astype(np.float32) * steps
    return values if columns is None else values * columns.astype(np.float32)


def low_rank(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left (r, k) times right (k, c), float32, the ranks added one by one."""
    total = np.zeros((left.shape[0], right.shape[1]), dtype=np.float32)
    for k in range(left.shape[1]):
        total += np.outer(left[:, k].astype(np.float32), right[k].astype(np.float32))
    return total


def lqer_factors(left: np.ndarray, right: np.ndarray, scales: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes to float32 factors: one scale on the left, then one for each `group` numbers of a row on the right."""
    values = scales.astype(np.float32)
    rank, columns = right.shape
    by_group = values[1:].reshape(rank, -(-columns // group))
    spread = np.repeat(by_group, min(group, columns), axis=1)[:, :columns]
    return left.astype(np.float32) * values[0], right.astype(np.float32) * spread


def _floats(stored: StoredTensor, parts: dict[str, np.ndarray]) -> np.ndarray:
    values = parts.get("values")
    if values is None or len(parts) != 1 or values.size != math.prod(stored.shape):
        raise _broken(stored, "it does not hold its values and nothing else")
    return values.astype(np.float32)


def _grid(stored: StoredTensor, parts: dict[str, np.ndarray]) -> np.ndarray:
    codes, scales, columns = parts.get("codes"), parts.get("scales"), parts.get("columns")
    if codes is None or scales is None or codes.ndim != 2 or codes.size != math.prod(stored.shape):
        raise _broken(stored, "its codes or scales do not fit its shape")
    r, c = codes.shape
    exponent, group = _setting(stored, "exponent"), _setting(stored, "group")
    if abs(exponent) > MAX_EXPONENT or not 0 <= group <= c:
        raise _broken(stored, f"exponent {exponent} or group {group} is out of bounds")
    wide = (r, -(-c // group)) if group else None
    if scales.shape != wide and (group or scales.shape not in ((r, 1), (1, c), (1, 1))):
        raise _broken(stored, f"scales of shape {scales.shape} do not fit codes of shape {codes.shape}")
    if columns is not None and columns.shape != (c,):
        raise _broken(stored, f"columns of shape {columns.shape} do not fit codes of shape {codes.shape}")
    weights = grid_values(codes, steps_of_scales(scales, exponent, c, group), columns)
    known = {"codes", "scales", "columns"}
    if "left" in parts:
        known |= {"left", "right"}
        weights += low_rank(*_factors(stored, parts, "left", "right", (r, c)))
    if "lqer_left" in parts:
        known |= {"lqer_left", "lqer_right", "lqer_scales"}
        left, right = _factors(stored, parts, "lqer_left", "lqer_right", (r, c))
        lqer_group = _setting(stored, "lqer_group")
        lqer_scales = parts.get("lqer_scales")
        expected = (1 + right.shape[0] * -(-c // max(lqer_group, 1)),)
        if lqer_group < 1 or lqer_scales is None or lqer_scales.shape != expected:
            raise _broken(stored, "the scales of its correction do not fit")
        weights += low_rank(*lqer_factors(left, right, lqer_scales, lqer_group))
    if parts.keys() - known:
        raise _broken(stored, f"parts {sorted(parts.keys() - known)} are not known")
    return weights


def _factors(
    stored: StoredTensor, parts: dict[str, np.ndarray], left: str, right: str, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    a, b = parts[left], parts.get(right)
    if b is None or a.ndim != 2 or b.ndim != 2 or (a.shape[0], b.shape[1]) != shape or a.shape[1] != b.shape[0]:
        raise _broken(stored, f"`{left}` and `{right}` do not fit")
    return a, b


def _setting(stored: StoredTensor, name: str) -> int:
    value = stored.settings.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _broken(stored, f"its setting `{name}` is no whole number")
    return value


def _broken(stored: StoredTensor, why: str) -> ArtifactError:
    return ArtifactError(f"stored tensor `{stored.name}` cannot be restored: {why}", fix="Export the run again.")
