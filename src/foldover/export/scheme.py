"""From levers to what is done to each tensor: a pure function of names, roles and shapes. No torch."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from foldover.core import RecipeError
from foldover.export.levers import INTEGERS, LOW_BIT, ExportConfig
from foldover.export.tensors import TensorInfo

Format = Literal[
    "float32", "float16", "int8", "int7", "int6", "int5", "int4", "int3", "int2", "ternary", "binary", "step"
]
Clip = Literal["absmax", "quantile", "search", "search_tensor", "sdclip"]
Axis = Literal["row", "column", "auto", "group", "tensor"]
RowSteps = Literal["tensor", "sigma", "gradient"]
Order = Literal["natural", "activation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """What is done to one tensor.

    sigmas: of `sdclip`, where integers end, of the format `step`, the step itself; group: weights that share a
    step, 0 for a whole row; permits of errors are those of the levers of the same names.
    """

    format: Format = "float32"
    clip: Clip = "absmax"
    quantile: float = 1.0
    sigmas: float = 0.0
    hessian_clip_lambda: float = 0.0
    axis: Axis = "row"
    group: int = 0
    is_asymmetric: bool = False
    floor: float = 0.0
    row_steps: RowSteps = "tensor"
    has_feedback_columns: bool = False
    awq_alpha: float = 0.0
    has_gptq: bool = False
    damping: float = 0.01
    block: int = 128
    order: Order = "natural"

    @property
    def is_float(self) -> bool:
        """Whether the weights are stored as numbers rather than codes."""
        return self.format in ("float32", "float16")

    @property
    def levels(self) -> int:
        """Levels above zero: 31 of int6, 1 of ternary and binary, of a step what 16 bits hold."""
        if self.format == "step":
            return 2**15 - 1
        return 2 ** (int(self.format[3:]) - 1) - 1 if self.format in INTEGERS else 1

    @property
    def lowest(self) -> int:
        """The smallest code."""
        return -self.levels - (1 if self.is_asymmetric and self.format in INTEGERS else 0)

    @property
    def is_scalable(self) -> bool:
        """Whether the step is a multiple of sigma, so that any step is possible."""
        return self.format == "step" or (self.format in INTEGERS and self.clip == "sdclip")

    def coarser(self, factor: float) -> Scheme:
        """The same with steps so many times as wide.

        Where narrower steps of integers would cut off larger weights, more bits make room, up to eight: an entropy
        coder does not charge for levels that are not used. ValueError where the step is no multiple of sigma.
        """
        if not self.is_scalable:
            raise ValueError(f"the step of {self.format} by {self.clip} follows from the weights")
        if self.format == "step" or factor >= 1.0:
            return replace(self, sigmas=self.sigmas * factor)
        step = self.sigmas / self.levels * factor
        wider = [replace(self, format=cast(Format, f"int{bits}")) for bits in range(int(self.format[3:]), 9)]
        found = next((scheme for scheme in wider if scheme.levels * step >= self.sigmas), wider[-1])
        return replace(found, sigmas=found.levels * step)


def schemes_of(config: ExportConfig, tensors: Sequence[tuple[TensorInfo, tuple[int, ...]]]) -> dict[str, Scheme]:
    """By name, for tensors with their shapes.

    Raises RecipeError for an override that matches no matrix, since it would do nothing.
    """
    if config.export.scheme == "none":
        return {info.name: Scheme() for info, _ in tensors}
    overrides = _overrides(config.export.overrides)
    layers = [info.layer for info, _ in tensors if info.layer is not None]
    ends = {min(layers), max(layers)} if layers else set()
    found, used = {}, set()
    for info, shape in tensors:
        if not info.is_matrix:
            found[info.name] = Scheme(format=cast(Format, config.export.vector_format))
            continue
        override = next(
            (i for i, (pattern, _, _) in enumerate(overrides) if fnmatch.fnmatchcase(info.name, pattern)), None
        )
        if override is not None:
            used.add(override)
            _, kind, sigmas = overrides[override]
            found[info.name] = _scheme(config, info, kind, sigmas)
        elif math.prod(shape) <= config.export.keep_float_below:
            found[info.name] = Scheme(format=cast(Format, config.export.keep_float_format))
        else:
            kind, sigmas = _declared(config, info, is_boundary=info.layer in ends)
            found[info.name] = _scheme(config, info, kind, sigmas)
    for i, (pattern, _, _) in enumerate(overrides):
        if i not in used:
            raise RecipeError(
                f"`export.overrides`: `{pattern}` is the first match of no matrix",
                fix="Name a matrix, as `foldover inspect` lists them, and put special patterns before general ones.",
            )
    return found


def _declared(config: ExportConfig, info: TensorInfo, *, is_boundary: bool) -> tuple[Format, float | None]:
    """Format and, of a step, its sigmas, by role."""
    extra = config.export.boundary_bits if is_boundary else 0
    if config.export.scheme == "step":
        declared = config.grid.embedding_step if info.role in ("embedding", "head") else config.grid.matrix_step
        return "step", declared / 2.0**extra
    levers, role = config.export, info.role
    mlp = levers.matrix_format if levers.mlp_format == "matrix" else levers.mlp_format
    by_role: dict[str, str] = {
        "embedding": levers.embedding_format,
        "head": levers.embedding_format,
        "table": levers.table_format,
        "attention": levers.attention_format,
        "attention_out": levers.attention_format,
        "mlp": mlp,
        "mlp_out": mlp if levers.mlp_out_format == "mlp" else levers.mlp_out_format,
        "matrix": levers.matrix_format,
    }
    kind = levers.matrix_format if by_role[role] == "matrix" else by_role[role]
    if extra and kind in INTEGERS:
        kind = f"int{min(8, int(kind[3:]) + extra)}"
    return cast(Format, kind), None


def _scheme(config: ExportConfig, info: TensorInfo, kind: Format, sigmas: float | None) -> Scheme:
    grid, calibration = config.grid, config.calibration
    if kind in ("float32", "float16"):
        return Scheme(format=kind)
    is_low_bit = kind in LOW_BIT
    # Rows of a table are inputs as well, which the gradients of its outputs say nothing of.
    is_table = info.role in ("embedding", "table")
    axis = cast(Axis, grid.axis if kind in INTEGERS else "group" if is_low_bit and grid.low_bit_group else "row")
    return Scheme(
        format=kind,
        clip=cast(Clip, grid.clip) if kind in INTEGERS else "absmax",
        quantile=grid.quantile,
        sigmas=_sigmas(config, info, kind) if sigmas is None else sigmas,
        hessian_clip_lambda=grid.hessian_clip_lambda if kind in INTEGERS else 0.0,
        axis=axis,
        group=0 if axis != "group" else grid.low_bit_group if is_low_bit else grid.quant_group,
        is_asymmetric=grid.asymmetric and kind in INTEGERS,
        floor=grid.scale_floor if kind in INTEGERS else 0.0,
        row_steps=cast(RowSteps, "tensor" if is_table and grid.row_steps == "gradient" else grid.row_steps),
        has_feedback_columns=grid.column_steps == "feedback" and calibration.gptq and not is_low_bit,
        awq_alpha=0.0 if is_low_bit else grid.awq_alpha,
        has_gptq=calibration.gptq,
        damping=calibration.gptq_damping,
        block=calibration.gptq_block,
        order=cast(Order, calibration.gptq_order),
    )


def _sigmas(config: ExportConfig, info: TensorInfo, kind: Format) -> float:
    grid, is_table = config.grid, info.role in ("embedding", "head")
    if kind == "step":
        return grid.embedding_step if is_table else grid.matrix_step
    if is_table:
        return grid.embedding_clip_sigmas
    own = {"attention": grid.attention_clip_sigmas, "mlp": grid.mlp_clip_sigmas}.get(
        info.role.removesuffix("_out"), 0.0
    )
    return own or grid.matrix_clip_sigmas


def _overrides(text: str) -> list[tuple[str, Format, float | None]]:
    if text == "none":
        return []
    found = []
    for entry in text.split(","):
        pattern, _, rest = entry.partition("=")
        kind, _, sigmas = rest.partition(":")
        if sigmas and not float(sigmas) > 0.0:
            raise RecipeError(f"`export.overrides`: the step of `{pattern}` must be above 0", value=sigmas)
        found.append((pattern, cast(Format, kind), float(sigmas) if sigmas else None))
    return found


def formats_used(schemes: Mapping[str, Scheme]) -> dict[str, int]:
    """How many tensors have each format."""
    counts: dict[str, int] = {}
    for scheme in schemes.values():
        counts[scheme.format] = counts.get(scheme.format, 0) + 1
    return dict(sorted(counts.items()))
