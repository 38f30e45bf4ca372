"""All tensors: from weights to what is stored, in the order of levers.md F: symmetry, pruning, rounding, corrections.

What `restore` gives back is a function of the stored tensors alone; the report says what they cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from foldover.core import RecipeError
from foldover.export.levers import ExportConfig
from foldover.export.parts import StoredTensor
from foldover.export.quantize import (
    Inputs,
    Quantized,
    TensorReport,
    as_matrix,
    inputs_of,
    output_error,
    quantize,
    relative_mse,
    stored_float,
    stored_grid,
    worst_row,
)
from foldover.export.residual import PART_NAMES, Correction, choose_lqer, choose_residuals
from foldover.export.restore import restore_tensor
from foldover.export.scheme import Scheme, schemes_of
from foldover.export.selective import BytesOf, zero_ones
from foldover.export.sizes import entropy_bytes
from foldover.export.tensors import Calibration, TensorInfo, checked_weights
from foldover.export.transforms import mlp_permutations, permuted, permuted_calibration, pruned

Tensors = Sequence[tuple[TensorInfo, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """What is stored, sorted by name, and a report on each; ones_zeroed: codes that selective pruning took."""

    stored: tuple[StoredTensor, ...]
    reports: tuple[TensorReport, ...]
    ones_zeroed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Weights sorted by name, symmetry transforms applied, and what calibration says of each.

    Packing these by other schemes repeats none of the work that depends on the calibration alone.
    """

    config: ExportConfig
    tensors: Tensors
    schemes: Mapping[str, Scheme]
    inputs: Mapping[str, Inputs]

    def weights(self) -> dict[str, np.ndarray]:
        """float32 by name."""
        return {info.name: array for info, array in self.tensors}


def pack(
    weights: Mapping[str, np.ndarray],
    infos: Sequence[TensorInfo],
    config: ExportConfig,
    *,
    calibration: Calibration | None = None,
    bytes_of: BytesOf | None = None,
) -> Packed:
    """Weights as stored tensors, by the levers.

    weights: float arrays by name, described by `infos`; calibration: what GPTQ, AWQ and reports need; bytes_of: size
    of the artifact, for `correction.prune_to_bytes`. Raises OutsideError by name for weights that are not finite,
    RecipeError for levers that need a calibration where there is none, BudgetError where selective pruning cannot
    reach its target.
    """
    prepared = prepare(weights, infos, config, calibration)
    return pack_prepared(prepared, prepared.schemes, bytes_of=bytes_of)


def prepare(
    weights: Mapping[str, np.ndarray],
    infos: Sequence[TensorInfo],
    config: ExportConfig,
    calibration: Calibration | None = None,
) -> Prepared:
    """Weights ready for packing, with the schemes that the levers declare. Errors as of `pack`."""
    tensors: Tensors = checked_weights(weights, infos)
    if config.export.mlp_permute:
        orders = mlp_permutations(tensors)
        calibration = None if calibration is None else permuted_calibration(calibration, infos, orders)
        tensors = permuted(tensors, orders)
    schemes = schemes_of(config, [(info, array.shape) for info, array in tensors])
    if calibration is None and any(scheme.has_gptq or scheme.awq_alpha for scheme in schemes.values()):
        raise RecipeError(
            "GPTQ and AWQ need a calibration and there is none",
            fix="Calibrate, or set `calibration.gptq=false` and `grid.awq_alpha=0`.",
        )
    inputs = {info.name: inputs_of(info, array, schemes[info.name], calibration) for info, array in tensors}
    return Prepared(config=config, tensors=tensors, schemes=schemes, inputs=inputs)


def pack_prepared(prepared: Prepared, schemes: Mapping[str, Scheme], *, bytes_of: BytesOf | None = None) -> Packed:
    """The same by any schemes, as an allocation chooses them: widths and steps may differ, GPTQ's levers not."""
    config, tensors = prepared.config, prepared.tensors
    found = {
        info.name: _rounded(prepared, info, array, schemes[info.name])
        for info, array in tensors
        if not schemes[info.name].is_float
    }
    corrections = _corrections(tensors, found, config)
    stored: Sequence[StoredTensor] = [
        _stored(info, array, schemes[info.name], found.get(info.name), corrections.get(info.name, ()))
        for info, array in tensors
    ]
    ones_zeroed = 0
    if config.correction.prune_to_bytes and config.export.scheme != "none":
        if bytes_of is None:
            raise ValueError("selective pruning needs `bytes_of`")
        stored, ones_zeroed = zero_ones(stored, target_bytes=config.correction.prune_to_bytes, bytes_of=bytes_of)
    reports = [
        _report(info, array, schemes[info.name], tensor, found.get(info.name), prepared.inputs[info.name])
        for (info, array), tensor in zip(tensors, stored, strict=True)
    ]
    return Packed(stored=tuple(stored), reports=tuple(reports), ones_zeroed=ones_zeroed)


def pack_one(prepared: Prepared, name: str, scheme: Scheme) -> StoredTensor:
    """One tensor by a scheme, without the corrections that tensors compete for. KeyError for another name."""
    info, array = next((info, array) for info, array in prepared.tensors if info.name == name)
    found = None if scheme.is_float else _rounded(prepared, info, array, scheme)
    return _stored(info, array, scheme, found, ())


def _rounded(prepared: Prepared, info: TensorInfo, array: np.ndarray, scheme: Scheme) -> Quantized:
    matrix = pruned(as_matrix(array), prepared.config.correction.prune_fraction)
    return quantize(info.name, matrix, scheme, prepared.inputs[info.name])


def _corrections(
    tensors: Tensors, found: Mapping[str, Quantized], config: ExportConfig
) -> dict[str, tuple[Correction, ...]]:
    """Of errors that rounding left: residuals first, then LQER on what these leave."""
    levers = config.correction
    if config.export.scheme == "none" or not (levers.residual_rank or levers.lqer_rank):
        return {}
    errors = {info.name: as_matrix(array) - found[info.name].values() for info, array in tensors if info.name in found}
    residuals = choose_residuals(
        errors,
        [info for info, _ in tensors],
        rank=levers.residual_rank,
        budget_bytes=levers.residual_budget_bytes,
        target=levers.residual_target,
    )
    for name, correction in residuals.items():
        errors[name] = errors[name] - correction.values
    coarse = choose_lqer(errors, rank=levers.lqer_rank, top_k=levers.lqer_top_k, group=levers.lqer_group)
    return {
        name: tuple(by_name[name] for by_name in (residuals, coarse) if name in by_name)
        for name in residuals.keys() | coarse.keys()
    }


def _stored(
    info: TensorInfo,
    array: np.ndarray,
    scheme: Scheme,
    found: Quantized | None,
    corrections: tuple[Correction, ...],
) -> StoredTensor:
    if found is None:
        return stored_float(info, array, scheme)
    parts = tuple(part for correction in corrections for part in correction.parts)
    settings = {name: value for correction in corrections for name, value in correction.settings.items()}
    return stored_grid(info, array.shape, scheme, found, parts, settings)


def _report(
    info: TensorInfo,
    array: np.ndarray,
    scheme: Scheme,
    stored: StoredTensor,
    found: Quantized | None,
    inputs: Inputs,
) -> TensorReport:
    before, after = as_matrix(array), as_matrix(restore_tensor(stored))
    first = stored.parts[0].array
    row, ratio = worst_row(before, after)
    report = TensorReport(
        name=info.name,
        role=info.role,
        layer=info.layer,
        format=scheme.format if found is not None else first.dtype.name,
        shape=array.shape,
        bits=8.0 * (first.nbytes if found is None else entropy_bytes(first)) / first.size,
        relative_mse=relative_mse(before, after),
        worst_row=row,
        worst_row_ratio=ratio,
    )
    if found is None:
        return report
    return replace(
        report,
        output_error=output_error(before, after, inputs.hessian),
        clipped=found.clipped,
        lines=found.steps.scales.size,
        floored=found.steps.floored,
        guarded=found.steps.guarded,
        zeroed=int(np.count_nonzero(found.codes) - np.count_nonzero(first)),
        gptq=found.gptq,
        damping=found.damping,
        correction_bytes=sum(part.array.nbytes for part in stored.parts if part.name in PART_NAMES),
    )
