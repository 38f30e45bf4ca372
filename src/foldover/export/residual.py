"""Low-rank corrections of rounding errors (levers.md F9 and F10).

Legend: E = W - W' (r, c), the error of a tensor; k a rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foldover.export.parts import Part
from foldover.export.restore import low_rank, lqer_factors
from foldover.export.tensors import TensorInfo

POWER_ITERATIONS = 6
EARLY_BLOCKS = 4
TARGET_ROLES = ("attention_out", "mlp_out")
FLOAT16_BYTES = 2
PART_NAMES = frozenset(("left", "right", "lqer_left", "lqer_right", "lqer_scales"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correction:
    """Parts to store, and what they add to the weights (r, c). settings: what reading them needs."""

    parts: tuple[Part, ...]
    values: np.ndarray
    settings: dict[str, int]

    @property
    def num_bytes(self) -> int:
        """As they are, before any compression."""
        return sum(part.array.nbytes for part in self.parts)


@np.errstate(over="ignore", invalid="ignore")  # beyond float16: that does not help
def residual(error: np.ndarray, rank: int) -> Correction | None:
    """The best correction of that rank in float16, nearly, by power iterations; None if it would not help."""
    if rank < 1:
        return None
    lefts, rights = [], []
    rest = error.astype(np.float32)
    for _ in range(min(rank, *error.shape)):
        u, v = _rank_one(rest)
        lefts.append(u)
        rights.append(v)
        rest = rest - np.outer(u.astype(np.float32), v.astype(np.float32))
    left, right = np.stack(lefts, axis=1), np.stack(rights)
    return _if_it_helps(
        error,
        low_rank(left, right),
        (Part(name="left", array=left, kind="float"), Part(name="right", array=right, kind="float")),
        {},
    )


def choose_residuals(
    errors: Mapping[str, np.ndarray], infos: Sequence[TensorInfo], *, rank: int, budget_bytes: int, target: str
) -> dict[str, Correction]:
    """Corrections within a budget of bytes, by priority and then by reduction of |E|^2 a byte.

    target: `early_proj_combo` puts the matrices that write to the stream in the first four blocks ahead.
    """
    if rank < 1 or budget_bytes < 1:
        return {}
    by_name = {info.name: info for info in infos}
    ranked = []
    for name in sorted(errors):
        error = errors[name]
        found = residual(error, rank) if FLOAT16_BYTES * rank * sum(error.shape) <= budget_bytes else None
        if found is None:
            continue
        before = float(np.square(error, dtype=np.float64).sum())
        after = float(np.square(error - found.values, dtype=np.float64).sum())
        is_target = target == "early_proj_combo" and _is_early_output(by_name[name])
        ranked.append((-int(is_target), -(before - after) / found.num_bytes, name, found))
    chosen, left = {}, budget_bytes
    for _, _, name, found in sorted(ranked, key=lambda entry: entry[:3]):
        if found.num_bytes <= left:
            chosen[name] = found
            left -= found.num_bytes
    return chosen


@np.errstate(over="ignore", invalid="ignore")
def lqer(error: np.ndarray, rank: int, group: int) -> Correction | None:
    """The singular part of that rank, two bits on the left and four on the right; None if it would not help."""
    rank = min(rank, *error.shape)
    if rank < 1 or not error.any():
        return None
    u, s, vt = np.linalg.svd(error.astype(np.float64), full_matrices=False)
    left, right = u[:, :rank] * s[:rank], vt[:rank]
    left_scale = np.float16(np.abs(left).max() / 1.5)
    groups = [right[:, i : i + group] for i in range(0, right.shape[1], group)]
    right_scales = np.stack([np.abs(part).max(axis=1) / 7.5 for part in groups], axis=1).astype(np.float16)
    if left_scale == 0 or not np.isfinite(left_scale):
        return None
    spread = np.repeat(np.where(right_scales > 0, right_scales, 1.0), group, axis=1)[:, : right.shape[1]]
    left_codes = np.clip(np.rint(left / np.float64(left_scale)), -2, 1).astype(np.int8)
    right_codes = np.clip(np.rint(right / spread), -8, 7).astype(np.int8)
    scales = np.concatenate([[left_scale], right_scales.ravel()]).astype(np.float16)
    return _if_it_helps(
        error,
        low_rank(*lqer_factors(left_codes, right_codes, scales, group)),
        (
            Part(name="lqer_left", array=left_codes, kind="codes"),
            Part(name="lqer_right", array=right_codes, kind="codes"),
            Part(name="lqer_scales", array=scales, kind="float"),
        ),
        {"lqer_group": group},
    )


def choose_lqer(errors: Mapping[str, np.ndarray], *, rank: int, top_k: int, group: int) -> dict[str, Correction]:
    """Corrections of the `top_k` tensors of the largest errors."""
    if rank < 1:
        return {}
    largest = sorted(errors, key=lambda name: (-float(np.square(errors[name], dtype=np.float64).sum()), name))[:top_k]
    found = {name: lqer(errors[name], rank, group) for name in largest}
    return {name: correction for name, correction in found.items() if correction is not None}


def _rank_one(error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u (r,) and v (c,), float16, the singular value in u."""
    v = error[int(np.square(error).sum(axis=1).argmax())].astype(np.float64)
    u = np.zeros(error.shape[0])
    for _ in range(POWER_ITERATIONS):
        u = error @ (v / (np.linalg.norm(v) or 1.0))
        v = error.T @ (u / (np.linalg.norm(u) or 1.0))
    length = np.linalg.norm(v)
    v = v / (length or 1.0)
    return (error @ v).astype(np.float16), v.astype(np.float16)


def _is_early_output(info: TensorInfo) -> bool:
    return info.role in TARGET_ROLES and info.layer is not None and info.layer < EARLY_BLOCKS


def _if_it_helps(
    error: np.ndarray, values: np.ndarray, parts: tuple[Part, ...], settings: dict[str, int]
) -> Correction | None:
    before = np.square(error, dtype=np.float64).sum()
    after = np.square(error - values, dtype=np.float64).sum()
    return Correction(parts=parts, values=values, settings=settings) if after < before else None
