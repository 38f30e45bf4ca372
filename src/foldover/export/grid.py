"""Steps and codes: what is stored of a matrix is a whole number of steps a weight (levers.md F1 to F3, E8).

Scales are rounded to fp16 first, so that codes are those of the steps that are read back. A power of two, stored
once a tensor, keeps scales inside the range of normal fp16 numbers: nothing flushes to zero.

Legend: r rows, c columns, g groups of a row; lines are what shares a step, (n, m): n of them, m weights each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from foldover.export.restore import grid_values, steps_of_scales
from foldover.export.scheme import Axis, Scheme

CANDIDATE_QUANTILES = (1.0, 0.99999, 0.9999, 0.9995, 0.999)
GOOD_EXPONENTS = (-14, 15)  # of normal fp16 numbers
SMALLEST_SCALE = 2.0**-24  # the smallest fp16 number above zero
SMALLEST_STEP = 2.0**-126  # the smallest normal fp32 number
LARGEST_STEP = 2.0**126
MOST_SPREAD = 8.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """The steps of a tensor, as stored and as used.

    scales: fp16, (r, 1), (1, c), (1, 1) or (r, g); values: float32, what scales and exponent give, broadcasting to
    (r, c). floored: lines whose step a floor made wider; guarded: lines of no spread, whose step follows from
    their largest weight instead.
    """

    scales: np.ndarray
    exponent: int
    group: int
    values: np.ndarray
    floored: int = 0
    guarded: int = 0


def make_steps(
    weights: np.ndarray,
    scheme: Scheme,
    *,
    importance: np.ndarray | None = None,
    gradients: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> Steps:
    """The steps of a matrix (r, c).

    importance: of columns, (c,), the diagonal of a Hessian: weighs the errors of a clip search and widens rows by
    `hessian_clip_lambda`; gradients: mean squares of the rows' output gradients, (r,), for row_steps=gradient;
    columns: what a uniform step is multiplied by in each column, (c,).
    """
    if scheme.format == "step":
        return _uniform(weights, scheme, gradients, columns)
    if scheme.axis == "auto":
        found = [make_steps(weights, replace(scheme, axis=axis), importance=importance) for axis in ("row", "column")]
        errors = [weighted_error(weights, _rounded(weights, steps, scheme), importance) for steps in found]
        return found[int(errors[1] < errors[0])]
    if scheme.format in ("ternary", "binary"):
        sizes = [np.abs(lines).mean(axis=1, dtype=np.float64) for lines in _lines(weights, scheme.axis, scheme.group)]
        return _stored(sizes, weights.shape, scheme)
    if scheme.clip in ("search", "search_tensor"):
        return _searched(weights, scheme, importance)
    return _clipped(weights, scheme, importance)


def encode(weights: np.ndarray, steps: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Codes of the nearest levels, int16 (r, c). steps: float32, broadcasting to (r, c)."""
    if scheme.format == "binary":
        return np.where(weights >= 0, 1, -1).astype(np.int16)
    with np.errstate(over="ignore"):  # beyond the last level anyway
        codes: np.ndarray = np.clip(np.rint(weights / steps), scheme.lowest, scheme.levels).astype(np.int16)
    return codes


def narrowed(codes: np.ndarray) -> np.ndarray:
    """int8 where that holds every code."""
    fits = codes.size == 0 or (codes.min() >= -128 and codes.max() <= 127)
    return codes.astype(np.int8 if fits else np.int16)


def weighted_error(weights: np.ndarray, values: np.ndarray, importance: np.ndarray | None) -> float:
    """Sum of squared errors, each column's times its importance."""
    squares = np.square(weights - values, dtype=np.float64)
    return float(squares.sum() if importance is None else (squares @ importance.astype(np.float64)).sum())


def _rounded(weights: np.ndarray, steps: Steps, scheme: Scheme) -> np.ndarray:
    return grid_values(encode(weights, steps.values, scheme), steps.values, None)


def _lines(array: np.ndarray, axis: Axis, group: int) -> list[np.ndarray]:
    """What shares a step, (n, m) each: one array, or one for each group of columns."""
    if axis == "group":
        return [array[:, i : i + group] for i in range(0, array.shape[1], group)]
    if axis == "tensor":
        return [array.reshape(1, -1)]
    return [array.T if axis == "column" else array]


def _stored(
    sizes: list[np.ndarray],
    shape: tuple[int, ...],
    scheme: Scheme,
    *,
    guarded: int = 0,
    least: np.ndarray | None = None,
) -> Steps:
    """Steps from the sizes (n,) of a level, one array for each group of columns. least: of each line's steps, (n,).

    Lines of zeros have a step of 0 in binary, which has no code for zero, else any step that can be divided by.
    """
    wanted = np.minimum(np.stack(sizes, axis=1), LARGEST_STEP)  # (n, groups)
    floors = np.maximum(wanted, scheme.floor if least is None else np.minimum(least, LARGEST_STEP)[:, None])
    floored = int(((wanted > 0) & (floors > wanted)).sum())
    positive = floors[(wanted > 0) & (floors >= SMALLEST_STEP)]
    exponent = _exponent(positive)
    with np.errstate(under="ignore"):
        scales = np.ldexp(np.where(wanted > 0, floors, 0.0), -exponent)
    is_small = (scales > 0) & (scales < SMALLEST_SCALE)
    scales = np.where(is_small, SMALLEST_SCALE, scales)
    is_nothing = (scales == 0) | (np.ldexp(scales, exponent) < SMALLEST_STEP)
    wide = np.where(is_nothing, 0.0 if scheme.format == "binary" else 1.0, scales)
    scales = wide.astype(np.float16)
    # Below the normal numbers a step that is rounded down may leave its largest weight more than half a step away.
    is_short = (scales < wide) & (wide < 2.0 ** GOOD_EXPONENTS[0])
    scales = np.where(is_short, np.nextafter(scales, np.float16(np.inf)), scales)
    floored += int(is_small.sum()) + int((is_nothing & (wanted > 0)).sum())
    if scheme.axis == "column":
        scales = scales.T
    group = scheme.group if scheme.axis == "group" else 0
    group = min(group, shape[1])
    values = steps_of_scales(scales, exponent, shape[1], group)
    return Steps(scales=scales, exponent=exponent, group=group, values=values, floored=floored, guarded=guarded)


def _exponent(steps: np.ndarray) -> int:
    """0 where normal fp16 numbers hold all steps; else the power of two that brings the largest to their top."""
    if not steps.size:
        return 0
    low, high = int(np.frexp(steps.min())[1]) - 1, int(np.frexp(steps.max())[1]) - 1
    return 0 if GOOD_EXPONENTS[0] <= low and high < GOOD_EXPONENTS[1] else high - (GOOD_EXPONENTS[1] - 1)


def _clipped(weights: np.ndarray, scheme: Scheme, importance: np.ndarray | None) -> Steps:
    """The largest level of each line where the rule says."""
    sizes, guarded = [], 0
    spread = np.broadcast_to(1.0 if importance is None else importance, weights.shape)
    pairs = zip(_lines(weights, scheme.axis, scheme.group), _lines(spread, scheme.axis, scheme.group), strict=True)
    for lines, columns in pairs:
        largest = np.abs(lines).max(axis=1).astype(np.float64)
        if scheme.clip == "absmax":
            ends = largest
        elif scheme.clip == "quantile":
            ends = np.quantile(np.abs(lines).astype(np.float64), scheme.quantile, axis=1)
        else:
            ends = scheme.sigmas * lines.std(axis=1, dtype=np.float64)
            if scheme.hessian_clip_lambda:
                ends *= 1.0 + scheme.hessian_clip_lambda * (_row_importance(lines, columns) - 1.0)
            # A line that is mostly its own mean would be cut off far below its weights.
            is_flat = ends < np.sqrt(np.square(lines, dtype=np.float64).mean(axis=1))
            guarded += int((is_flat & (largest > 0)).sum())
            ends = np.where(is_flat, largest, ends)
        sizes.append(np.where(ends > 0, ends, largest) / scheme.levels)
    return _stored(sizes, weights.shape, scheme, guarded=guarded)


def _row_importance(lines: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """mean_j |w_j| h_j a line, over its mean (record of 2026-04-06); h: columns (n, m) over their mean."""
    relative = columns / max(float(columns.mean()), 1e-300)
    importance = (np.abs(lines) * relative).mean(axis=1, dtype=np.float64)
    mean: float = importance.mean()
    return importance / mean if mean > 0 else np.ones_like(importance)


def _searched(weights: np.ndarray, scheme: Scheme, importance: np.ndarray | None) -> Steps:
    """The quantile that errs least among candidates, line by line or one for the tensor (levers.md F2)."""
    found = [
        _clipped(weights, replace(scheme, clip="quantile", quantile=quantile), importance)
        for quantile in CANDIDATE_QUANTILES
    ]
    spread = np.ones(weights.shape[1]) if importance is None else importance
    squares = [np.square(weights - _rounded(weights, steps, scheme), dtype=np.float64) * spread for steps in found]
    if scheme.clip == "search_tensor":
        return found[int(np.argmin([error.sum() for error in squares]))]
    errors = np.stack([_line_sums(error, scheme) for error in squares])
    sizes = np.stack([np.ldexp(steps.scales.astype(np.float64), steps.exponent) for steps in found])
    best = np.take_along_axis(sizes, errors.argmin(axis=0)[None], axis=0)[0]  # as scales: (n, 1), (1, n) or (n, g)
    is_zero = np.stack([_line_sums(np.abs(weights), scheme)])[0] == 0
    best = np.where(is_zero, 0.0, best)
    columns = best.T if scheme.axis == "column" else best
    return _stored([columns[:, i] for i in range(columns.shape[1])], weights.shape, scheme)


def _line_sums(array: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Sums over what shares a step, in the shape of the scales."""
    sums = np.stack([lines.sum(axis=1) for lines in _lines(array, scheme.axis, scheme.group)], axis=1)
    return sums.T if scheme.axis == "column" else sums


def _uniform(weights: np.ndarray, scheme: Scheme, gradients: np.ndarray | None, columns: np.ndarray | None) -> Steps:
    """A share of the tensor's standard deviation, or of each row's, or split among rows by what the loss feels.

    By gradients g, steps go as 1 / sqrt(mean g^2), equal slopes of loss against rate, with a geometric mean of the
    tensor's step, and at most `MOST_SPREAD` away from it: a row that the text did not use is not worth nothing.
    No step is so narrow that the last code would not reach the largest weight.
    """
    largest = np.abs(weights if columns is None else weights / columns).max(axis=1).astype(np.float64)
    least = largest / scheme.levels * (1.0 + 2.0**-10)  # as float16 it may be rounded down
    sigma = float(weights.std(dtype=np.float64)) or float(np.abs(weights).max())
    if scheme.row_steps == "sigma":
        own = weights.std(axis=1, dtype=np.float64)
        own = np.where(own > 0, own, np.abs(weights).max(axis=1))
        return _stored([scheme.sigmas * own], weights.shape, replace(scheme, axis="row"), least=least)
    if scheme.row_steps == "gradient" and gradients is not None:
        relative = 1.0 / np.sqrt(np.maximum(gradients.astype(np.float64), 1e-12 * float(gradients.max() or 1.0)))
        for _ in range(2):  # drawn in, the mean moves
            relative = np.clip(relative / np.exp(np.log(relative).mean()), 1.0 / MOST_SPREAD, MOST_SPREAD)
        return _stored([scheme.sigmas * sigma * relative], weights.shape, replace(scheme, axis="row"), least=least)
    step = np.array([scheme.sigmas * sigma])
    return _stored([step], weights.shape, replace(scheme, axis="tensor"), least=least.max(keepdims=True))
