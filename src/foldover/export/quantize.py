"""One tensor: from weights to codes, and what that cost. numpy alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from foldover.core import Scalar, Values
from foldover.export.gptq import Feedback, feedback_of, gptq
from foldover.export.grid import Steps, encode, make_steps, narrowed
from foldover.export.parts import Part, StoredTensor
from foldover.export.restore import grid_values
from foldover.export.scheme import Scheme
from foldover.export.tensors import Calibration, TensorInfo, gradients_of, hessian_of, input_sizes_of, uses_of
from foldover.export.transforms import as_columns, awq_columns

LOG = logging.getLogger(__name__)

GptqOutcome = Literal["off", "used", "no Hessian", "fallback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorReport:
    """What became of a tensor.

    bits: zeroth-order entropy of its codes a weight (16 or 32 of floats); relative_mse: |W - W'|^2 / |W|^2;
    output_error: tr(E H E') / tr(W H W'), None without a Hessian; clipped: share of weights beyond the last level by
    more than half a step; lines: what shares a step, of which `floored` have a step that a floor made wider and
    `guarded` no spread to derive one from; zeroed: weights that pruning took; correction_bytes: of low rank; worst_row:
    the row that errs most, None where none does, and its squared error over that of a row on average.
    """

    name: str
    role: str
    layer: int | None
    format: str
    shape: tuple[int, ...]
    bits: float
    relative_mse: float
    output_error: float | None = None
    clipped: float = 0.0
    lines: int = 0
    floored: int = 0
    guarded: int = 0
    zeroed: int = 0
    gptq: GptqOutcome = "off"
    damping: float = 0.0
    correction_bytes: int = 0
    worst_row: int | None = None
    worst_row_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantized:
    """Codes of a tensor, int8 or int16 (r, c), and how they are read; columns: float16 (c,), None where all are 1."""

    codes: np.ndarray
    steps: Steps
    columns: np.ndarray | None
    clipped: float
    gptq: GptqOutcome
    damping: float

    def values(self) -> np.ndarray:
        """The weights that are read back, before corrections, float32 (r, c)."""
        return grid_values(self.codes, self.steps.values, self.columns)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What is known of the inputs of one tensor (of its bank, one entry a matrix), ready for any scheme.

    hessian: (n, c, c); sizes: mean |x|, (n, c); gradients: (rows of all,); feedback: one a matrix where GPTQ was
    asked for; uses: how often a token passes through it.
    """

    hessian: np.ndarray | None = None
    sizes: np.ndarray | None = None
    gradients: np.ndarray | None = None
    feedback: tuple[Feedback | None, ...] = field(default=())
    uses: float = 1.0


def as_matrix(array: np.ndarray) -> np.ndarray:
    """(r, c): a vector as one row, a bank with its matrices one below the other."""
    return array.reshape(-1, array.shape[-1] if array.ndim else 1)


def inputs_of(info: TensorInfo, array: np.ndarray, scheme: Scheme, calibration: Calibration | None) -> Inputs:
    """What a scheme needs of the calibration. Raises OutsideError where that does not fit the tensor."""
    if scheme.is_float or calibration is None:
        return Inputs()
    r, c = as_matrix(array).shape
    bank = array.shape[0] if array.ndim == 3 else 1
    hessian = hessian_of(calibration, info.name, c, bank)
    feedback: tuple[Feedback | None, ...] = ()
    if scheme.has_gptq and hessian is not None:
        feedback = tuple(feedback_of(each, damping=scheme.damping, order=scheme.order) for each in hessian)
    return Inputs(
        hessian=hessian,
        sizes=input_sizes_of(calibration, info.name, c, bank),
        gradients=gradients_of(calibration, info.name, r),
        feedback=feedback,
        uses=uses_of(calibration, info.name),
    )


def quantize(name: str, weights: np.ndarray, scheme: Scheme, inputs: Inputs) -> Quantized:
    """The codes of a matrix (r, c) that is not stored as floats. A bank lies one matrix below the other."""
    columns = _columns(scheme, inputs)
    # A uniform step is a share of the weights' own spread, so that splitting it over columns leaves the rate; what
    # ends at the largest weight has to see the weights that are rounded.
    is_own = columns is None or scheme.format == "step"
    scaled = weights if is_own or columns is None else weights / columns.astype(np.float32)
    importance = None if inputs.hessian is None else np.einsum("ncc->c", inputs.hessian)
    if importance is not None and columns is not None and not is_own:
        importance = importance * np.square(columns.astype(np.float64))
    steps = make_steps(scaled, scheme, importance=importance, gradients=inputs.gradients, columns=columns)
    widths = steps.values if columns is None else steps.values * columns.astype(np.float32)
    outcome: GptqOutcome = "off"
    if scheme.has_gptq:
        outcome = "no Hessian" if inputs.hessian is None else "used"
    if any(feedback is None for feedback in inputs.feedback):
        outcome = "fallback"
        LOG.warning("gptq=fallback tensor=%s reason=no Cholesky factor at 1000 times the damping", name)
    codes = (
        _with_feedback(weights, widths, scheme, inputs.feedback)
        if scheme.has_gptq and inputs.feedback
        else encode(weights, widths, scheme)
    )
    with np.errstate(over="ignore"):
        beyond = np.abs(weights) > (scheme.levels + 0.5) * widths
    return Quantized(
        codes=narrowed(codes),
        steps=steps,
        columns=columns,
        clipped=0.0 if scheme.format in ("ternary", "binary") else float(beyond.mean()),
        gptq=outcome,
        damping=max((each.damping for each in inputs.feedback if each is not None), default=0.0),
    )


def stored_grid(
    info: TensorInfo,
    shape: tuple[int, ...],
    scheme: Scheme,
    found: Quantized,
    corrections: Sequence[Part] = (),
    settings: dict[str, int] | None = None,
) -> StoredTensor:
    """The tensor of these codes, with the parts and settings of its corrections."""
    parts = [
        Part(name="codes", array=found.codes, kind="codes"),
        Part(name="scales", array=np.ascontiguousarray(found.steps.scales), kind="float"),
    ]
    if found.columns is not None:
        parts.append(Part(name="columns", array=found.columns, kind="float"))
    numbers: dict[str, Scalar] = {"format": scheme.format, "exponent": found.steps.exponent}
    if found.steps.group:
        numbers["group"] = found.steps.group
    return StoredTensor(
        name=info.name,
        shape=shape,
        scheme="grid",
        settings=Values({**numbers, **(settings or {})}),
        parts=(*parts, *corrections),
    )


def stored_float(info: TensorInfo, array: np.ndarray, scheme: Scheme) -> StoredTensor:
    """The tensor as it is, in float32 where float16 would overflow."""
    with np.errstate(over="ignore"):
        values = array.astype(np.float16 if scheme.format == "float16" else np.float32)
    if not np.isfinite(values).all():
        values = array.astype(np.float32)
    return StoredTensor(
        name=info.name, shape=array.shape, scheme="float", parts=(Part(name="values", array=values, kind="float"),)
    )


def output_error(weights: np.ndarray, values: np.ndarray, hessian: np.ndarray | None) -> float | None:
    """tr(E H E') / tr(W H W'), None without a Hessian (n, c, c) or without output. Matrices of a bank add up."""
    if hessian is None:
        return None
    lost = total = 0.0
    rows = np.split(weights, len(hessian)), np.split(weights - values, len(hessian))
    for each, before, error in zip(hessian, *rows, strict=True):
        h = each.astype(np.float32)
        lost += float(np.vdot(error @ h, error))
        total += float(np.vdot(before @ h, before))
    return max(lost, 0.0) / total if total > 0 else None


def relative_mse(weights: np.ndarray, values: np.ndarray) -> float:
    """|W - W'|^2 / |W|^2, 0 of a tensor of zeros that stays one."""
    total = float(np.square(weights, dtype=np.float64).sum())
    lost = float(np.square(weights - values, dtype=np.float64).sum())
    return lost / total if total > 0 else lost


def worst_row(weights: np.ndarray, values: np.ndarray) -> tuple[int | None, float]:
    """The row that errs most, and its squared error over that of a row on average; None and 0 where none errs."""
    errors = np.square(weights - values, dtype=np.float64).sum(axis=1)
    mean = float(errors.mean())
    if mean == 0.0:
        return None, 0.0
    row = int(errors.argmax())
    return row, float(errors[row]) / mean


def _columns(scheme: Scheme, inputs: Inputs) -> np.ndarray | None:
    """What columns are multiplied by when read back, float16 (c,), by AWQ or by GPTQ's feedback or by both."""
    factors = []
    if scheme.awq_alpha and inputs.sizes is not None:
        factors.append(awq_columns(inputs.sizes.mean(axis=0), scheme.awq_alpha).astype(np.float64))
    if scheme.has_feedback_columns and len(inputs.feedback) == 1 and inputs.feedback[0] is not None:
        factors.append(inputs.feedback[0].column_steps())
    return as_columns(np.prod(factors, axis=0)) if factors else None


def _with_feedback(
    weights: np.ndarray, widths: np.ndarray, scheme: Scheme, feedbacks: tuple[Feedback | None, ...]
) -> np.ndarray:
    wide = np.broadcast_to(widths, weights.shape)
    parts = zip(np.split(weights, len(feedbacks)), np.split(wide, len(feedbacks)), feedbacks, strict=True)
    return np.concatenate(
        [
            encode(rows, steps, scheme) if feedback is None else gptq(rows, steps, feedback, scheme)
            for rows, steps, feedback in parts
        ]
    )
