"""Levers of the quantisers' steps.

Part of the catalogue that `foldover.export.levers` puts together. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import Phase, lever

PHASE: Phase = "export"
GOLF = "openai/parameter-golf"
SDCLIP = f"{GOLF}, record of 2026-04-06"
PHASE_3 = "SPThole/parameter-golf-experimentations, exp00"
SHULTZ = "JusticeShultz/parameter-golf, train_gpt.py"
LAB = "foldover"
CLIPS = ("absmax", "quantile", "search", "search_tensor", "sdclip")
AXES = ("row", "column", "auto", "group", "tensor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The steps of the quantisers."""

    clip: str = lever(
        "sdclip",
        "Where a row's integers end: its largest weight, a quantile, the best of some quantiles (a row, or all rows "
        "of a tensor alike), or a multiple of its standard deviation.",
        choices=CLIPS,
        phase=PHASE,
        needs="export.scheme=integer",
        source=f"{GOLF}, pull request 1394",
    )
    quantile: float = lever(
        0.9999984,
        "Quantile of a row's sizes where its integers end.",
        low=0.5,
        high=1.0,
        phase=PHASE,
        needs="grid.clip=quantile",
        source=GOLF,
    )
    matrix_clip_sigmas: float = lever(
        12.85,
        "Where the integers of a matrix's row end, in its standard deviations: with levels this sets the step.",
        low=0.5,
        high=1000.0,
        scale="log",
        phase=PHASE,
        needs="grid.clip=sdclip",
        aliases=("MATRIX_CLIP_SIGMAS",),
        source=SDCLIP,
    )
    embedding_clip_sigmas: float = lever(
        20.0,
        "The same, of the token table and of the head.",
        low=0.5,
        high=1000.0,
        scale="log",
        phase=PHASE,
        needs="grid.clip=sdclip",
        aliases=("EMBED_CLIP_SIGMAS",),
        source=SDCLIP,
    )
    attention_clip_sigmas: float = lever(
        0.0,
        "The same, of attention. 0: as of other matrices.",
        low=0.0,
        high=1000.0,
        neutral=0.0,
        phase=PHASE,
        needs="grid.clip=sdclip",
        aliases=("ATTN_CLIP_SIGMAS",),
        source=f"{GOLF}, pull request 1394",
    )
    mlp_clip_sigmas: float = lever(
        0.0,
        "The same, of MLPs. 0: as of other matrices.",
        low=0.0,
        high=1000.0,
        neutral=0.0,
        phase=PHASE,
        needs="grid.clip=sdclip",
        aliases=("MLP_CLIP_SIGMAS",),
        source=f"{GOLF}, pull request 1394",
    )
    hessian_clip_lambda: float = lever(
        0.0,
        "How much wider the clip of a row is whose large weights meet large inputs.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        phase=PHASE,
        needs="grid.clip=sdclip",
        aliases=("HESSIAN_CLIP_LAMBDA",),
        source=SDCLIP,
    )
    axis: str = lever(
        "row",
        "What shares a step: a row, a column, whichever of the two errs less, a group of a row, or the whole tensor.",
        choices=AXES,
        phase=PHASE,
        needs="export.scheme=integer",
        aliases=("QUANT_AXIS", "INT8_AXIS_MODE"),
        source=SHULTZ,
    )
    quant_group: int = lever(
        128,
        "Weights of a row that share a step, where groups do.",
        low=8,
        high=65536,
        phase=PHASE,
        needs="grid.axis=group",
        source=f"{GOLF}, record of 2026-03-24",
    )
    low_bit_group: int = lever(
        128,
        "Weights of a row that share a size, in ternary and binary formats. 0: the whole row.",
        low=0,
        high=65536,
        phase=PHASE,
        needs="export.scheme=integer",
        source=f"{GOLF}, record of 2026-03-24",
    )
    asymmetric: bool = lever(
        False,
        "Whether integers reach one level further below zero, -32 to 31 at six bits.",
        neutral=False,
        phase=PHASE,
        needs="export.scheme=integer",
        source=GOLF,
    )
    scale_floor: float = lever(
        0.0,
        "Smallest step that is allowed; parameter-golf's baseline has 1/127, which coarsens rows of small weights.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        phase=PHASE,
        needs="export.scheme=integer",
        source=GOLF,
    )
    matrix_step: float = lever(
        0.2,
        "Step of matrices, in standard deviations of the tensor.",
        low=0.001,
        high=10.0,
        scale="log",
        phase=PHASE,
        needs="export.scheme=step",
        source=LAB,
    )
    embedding_step: float = lever(
        0.1,
        "Step of the token table and of the head, in their standard deviations.",
        low=0.001,
        high=10.0,
        scale="log",
        phase=PHASE,
        needs="export.scheme=step",
        source=LAB,
    )
    row_steps: str = lever(
        "tensor",
        "Rows of a step: all alike, as their standard deviation, or, in matrices, finer where the loss feels a row's "
        "output more (by the square root of its mean squared gradient).",
        choices=("tensor", "sigma", "gradient"),
        neutral="tensor",
        phase=PHASE,
        needs="export.scheme=step",
        source=LAB,
    )
    column_steps: str = lever(
        "none",
        "Columns of a step: all alike, or coarser where GPTQ's feedback leaves less error, which is the best split "
        "of a rate over columns.",
        choices=("none", "feedback"),
        neutral="none",
        phase=PHASE,
        needs="calibration.gptq",
        source=f"reverse water-filling; {LAB}",
    )
    awq_alpha: float = lever(
        0.0,
        "Columns are multiplied by the mean size of their inputs to this power before rounding.",
        low=0.0,
        high=2.0,
        neutral=0.0,
        phase=PHASE,
        needs="export.scheme=integer|step",
        aliases=("AWQ_ALPHA",),
        source=f"Lin et al. 2023, arXiv 2306.00978; {PHASE_3}",
    )
