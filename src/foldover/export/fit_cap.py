"""Under a byte cap: options for every tensor, the best choice among them, and all steps fitted to the cap."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from foldover.core import BudgetError
from foldover.export.allocate import Allocation, FrontierPoint, Option, allocate, fit_factor
from foldover.export.levers import INTEGERS
from foldover.export.pack import Packed, Prepared, pack_one, pack_prepared
from foldover.export.quantize import Inputs, as_matrix, output_error, relative_mse
from foldover.export.restore import restore_tensor
from foldover.export.scheme import Format, Scheme
from foldover.export.selective import BytesOf
from foldover.export.sensitivity import Sensitivity

FACTORS = tuple(2.0 ** (k / 2) for k in range(-8, 9))
SMALLEST_ERROR = 1e-30
# Share of the cap that stays free, since a predicted size can be so much too small.
MARGIN = 0.0005
_NARROWER = 0.9999
MAX_ROUNDS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """An artifact under a cap.

    num_bytes: by `bytes_of`; factor: on all steps, after the choice; frontier: least predicted losses by bytes.
    """

    packed: Packed
    schemes: Mapping[str, Scheme]
    num_bytes: int
    factor: float
    frontier: tuple[FrontierPoint, ...]


def fit_cap(
    prepared: Prepared,
    bytes_of: BytesOf,
    *,
    cap_bytes: int,
    sensitivities: Sequence[Sensitivity] = (),
    tolerance: float = 0.005,
) -> Fitted:
    """The artifact of least predicted loss under the cap, and at most `tolerance` of the cap below it where steps
    are multiples of sigma.

    sensitivities: measured losses of rounding each tensor alone by the declared schemes; without them losses are
    predicted from output gradients where calibration has them, and else taken as relative output errors. Selective
    pruning, where it is asked for, comes last. Raises BudgetError for a cap that no options reach.
    """
    whole = replace(prepared.config.correction, prune_to_bytes=0)
    try:
        fitted = _fitted(
            replace(prepared, config=replace(prepared.config, correction=whole)),
            bytes_of,
            int((1.0 - MARGIN) * cap_bytes),
            {found.name: found.loss for found in sensitivities},
            max(tolerance - 3.0 * MARGIN, MARGIN),  # a predicted size can be too large, too
        )
    except BudgetError as error:
        raise BudgetError(error.what, value=cap_bytes, fix=error.fix) from None
    if not prepared.config.correction.prune_to_bytes:
        return fitted
    packed = pack_prepared(prepared, fitted.schemes, bytes_of=bytes_of)
    return replace(fitted, packed=packed, num_bytes=bytes_of(packed.stored))


def _fitted(
    prepared: Prepared, bytes_of: BytesOf, cap_bytes: int, measured: Mapping[str, float], tolerance: float
) -> Fitted:
    options, candidates = _options(prepared, bytes_of, measured)
    kept = [pack_one(prepared, name, scheme) for name, scheme in prepared.schemes.items() if scheme.is_float]
    fixed = float(bytes_of(kept))
    budget = float(cap_bytes)
    for _ in range(MAX_ROUNDS):
        allocation = allocate(options, cap_bytes=budget, fixed_bytes=fixed)
        schemes = dict(prepared.schemes) | {name: candidates[name][i] for name, i in allocation.choice}
        if any(scheme.is_scalable for scheme in schemes.values()):
            return _fit_steps(prepared, schemes, allocation, bytes_of, cap_bytes, tolerance)
        packed = pack_prepared(prepared, schemes)
        num_bytes = bytes_of(packed.stored)
        if num_bytes <= cap_bytes:
            break
        budget *= 0.999 * cap_bytes / num_bytes
    else:
        raise BudgetError(
            f"the smallest choice of widths that was reached takes {num_bytes:,} bytes, more than the cap",
            value=cap_bytes,
            fix="Raise the cap, or use steps in sigmas: `export.scheme=step`.",
        )
    return Fitted(packed=packed, schemes=schemes, num_bytes=num_bytes, factor=1.0, frontier=allocation.frontier)


def candidates_of(scheme: Scheme) -> tuple[Scheme, ...]:
    """Ways to store a tensor about as declared: coarser and finer steps, or the widths of the same rule."""
    if scheme.is_scalable:
        return tuple(scheme.coarser(factor) for factor in FACTORS)
    if scheme.format in INTEGERS:
        return tuple(replace(scheme, format=cast(Format, width)) for width in INTEGERS)
    return (scheme,)


def predicted_loss(weights: np.ndarray, values: np.ndarray, inputs: Inputs) -> float | None:
    """Half of sum_r mean(g_r^2) (E H E')_rr: the mean rise, for one use of the tensor, of a loss whose curvature in
    outputs is that of their gradients' squares. None where Hessian or gradients are missing. weights, values: (r, c).
    """
    if inputs.hessian is None or inputs.gradients is None:
        return None
    total = 0.0
    parts = (np.split(array, len(inputs.hessian)) for array in (weights - values, inputs.gradients))
    for hessian, error, gradients in zip(inputs.hessian, *parts, strict=True):
        rows = np.einsum("rc,rc->r", error @ hessian.astype(np.float32), error)
        total += 0.5 * float(np.maximum(rows, 0.0) @ gradients)
    return total


def error_of(weights: np.ndarray, values: np.ndarray, inputs: Inputs) -> float:
    """What a tensor's loss is taken to be proportional to: predicted loss, else output error, else weight error.

    Each use of a tensor by a token, as of a block in a loop, adds its own.
    """
    error = predicted_loss(weights, values, inputs)
    if error is None:
        error = output_error(weights, values, inputs.hessian)
    return inputs.uses * (relative_mse(weights, values) if error is None else error)


def _loss_scales(prepared: Prepared, measured: Mapping[str, float]) -> dict[str, Callable[[float], float]]:
    """From a tensor's error to its loss: times what was measured at the declared scheme over the error there.

    A measured loss can be below zero, by noise: the scale of such a tensor is the median of the others.
    """
    if not measured:
        return {info.name: lambda error: error for info, _ in prepared.tensors}
    ratios: dict[str, float] = {}
    for info, array in prepared.tensors:
        if info.name in measured:
            values = as_matrix(restore_tensor(pack_one(prepared, info.name, prepared.schemes[info.name])))
            error = error_of(as_matrix(array), values, prepared.inputs[info.name])
            ratios[info.name] = measured[info.name] / max(error, SMALLEST_ERROR)
    positive = sorted(ratio for ratio in ratios.values() if ratio > 0)
    typical = positive[len(positive) // 2] if positive else 1.0
    scales = {info.name: ratios.get(info.name, 0.0) for info, _ in prepared.tensors}
    return {name: _times(scale if scale > 0 else typical) for name, scale in scales.items()}


def _times(scale: float) -> Callable[[float], float]:
    return lambda error: scale * error


def _options(
    prepared: Prepared, bytes_of: BytesOf, measured: Mapping[str, float]
) -> tuple[dict[str, list[Option]], dict[str, list[Scheme]]]:
    """Options of every tensor that is rounded, and the schemes that they stand for.

    A tensor's bytes are those that it takes alone; what tensors share, as tables of a coder, is put right by one
    factor, from all declared ones together.
    """
    losses = _loss_scales(prepared, measured)
    nothing = bytes_of(())
    options: dict[str, list[Option]] = {}
    candidates: dict[str, list[Scheme]] = {}
    alone, together = 0, []
    for info, array in prepared.tensors:
        declared = prepared.schemes[info.name]
        if declared.is_float:
            continue
        together.append(pack_one(prepared, info.name, declared))
        alone += bytes_of(together[-1:]) - nothing
        candidates[info.name] = list(candidates_of(declared))
        options[info.name] = []
        for scheme in candidates[info.name]:
            stored = pack_one(prepared, info.name, scheme)
            error = error_of(as_matrix(array), as_matrix(restore_tensor(stored)), prepared.inputs[info.name])
            label = f"{scheme.format}:{scheme.sigmas:.4g}" if scheme.is_scalable else scheme.format
            num_bytes = bytes_of([stored]) - nothing
            options[info.name].append(Option(label=label, num_bytes=num_bytes, loss=losses[info.name](error)))
    share = (bytes_of(together) - nothing) / max(alone, 1)
    scaled = {
        name: [replace(option, num_bytes=share * option.num_bytes) for option in found]
        for name, found in options.items()
    }
    return scaled, candidates


def _fit_steps(
    prepared: Prepared,
    schemes: Mapping[str, Scheme],
    allocation: Allocation,
    bytes_of: BytesOf,
    cap_bytes: int,
    tolerance: float,
) -> Fitted:
    """All steps that are multiples of sigma by one factor, so that the whole lands just under the cap."""
    factor, fitted = _by_one_factor(prepared, schemes, bytes_of, cap_bytes, tolerance)
    if fitted.num_bytes < (1.0 - tolerance) * cap_bytes:
        # Bytes jump at this factor, since the codes of some tensor begin to need low bits: the others use what is left.
        jumping = _jumping(prepared, schemes, bytes_of, factor)
        pinned = {name: _coarser(scheme, factor) for name, scheme in schemes.items()}
        _, again = _by_one_factor(prepared, pinned, bytes_of, cap_bytes, tolerance, kept=jumping)
        fitted = max(fitted, again, key=lambda found: found.num_bytes)
    return replace(fitted, factor=factor, frontier=allocation.frontier)


def _by_one_factor(
    prepared: Prepared,
    schemes: Mapping[str, Scheme],
    bytes_of: BytesOf,
    cap_bytes: int,
    tolerance: float,
    kept: str = "",
) -> tuple[float, Fitted]:
    """The factor on the steps of all tensors but `kept`, and what it gives."""
    trials: dict[float, tuple[Packed, dict[str, Scheme]]] = {}

    def bytes_at(factor: float) -> int:
        scaled = {name: scheme if name == kept else _coarser(scheme, factor) for name, scheme in schemes.items()}
        trials.clear()
        trials[factor] = (pack_prepared(prepared, scaled), scaled)
        return bytes_of(trials[factor][0].stored)

    factor, num_bytes = fit_factor(bytes_at, cap_bytes=cap_bytes, tolerance=tolerance)
    if factor not in trials:
        num_bytes = bytes_at(factor)
    packed, scaled = trials[factor]
    return factor, Fitted(packed=packed, schemes=scaled, num_bytes=num_bytes, factor=factor, frontier=())


def _jumping(prepared: Prepared, schemes: Mapping[str, Scheme], bytes_of: BytesOf, factor: float) -> str:
    """The tensor whose own bytes grow most where steps become a little narrower than by this factor."""

    def growth(name: str) -> int:
        sizes = [
            bytes_of([pack_one(prepared, name, _coarser(schemes[name], each))]) for each in (factor * _NARROWER, factor)
        ]
        return sizes[0] - sizes[1]

    return max((name for name, scheme in schemes.items() if scheme.is_scalable), key=growth)


def _coarser(scheme: Scheme, factor: float) -> Scheme:
    return scheme.coarser(factor) if scheme.is_scalable and not math.isclose(factor, 1.0, rel_tol=1e-12) else scheme
