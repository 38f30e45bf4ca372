"""Levers of the export: how a trained state becomes an artifact. No torch.

The defaults are the best public practice (openai/parameter-golf, record of 2026-04-06): six bits a matrix and eight
a table, each row's step a fixed share of its standard deviation, GPTQ, and the smallest of all codecs.
`export.scheme=none` is neutral: floats are stored as they are, and the round trip costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import LeverSet, Phase, Values, lever, levers_of

GOLF = "openai/parameter-golf"
SDCLIP = f"{GOLF}, record of 2026-04-06"
PHASE_3 = "SPThole/parameter-golf-experimentations, exp00"
SHULTZ = "JusticeShultz/parameter-golf, train_gpt.py"
LAB = "foldover"
PHASE: Phase = "export"

INTEGERS = ("int8", "int7", "int6", "int5", "int4", "int3", "int2")
LOW_BIT = ("ternary", "binary")
FLOATS = ("float16", "float32")
FORMATS = (*INTEGERS, *LOW_BIT, *FLOATS)
SCHEMES = ("none", "integer", "step")
CLIPS = ("absmax", "quantile", "search", "search_tensor", "sdclip")
AXES = ("row", "column", "auto", "group", "tensor")
CODECS = ("auto", "zlib", "zstd", "lzma", "brotli", "ans")

_ENTRY = r"[A-Za-z0-9_.*?-]+=(" + "|".join((*FORMATS, "step")) + r")(:[0-9]+(\.[0-9]+)?)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Which tensors are stored how."""

    scheme: str = lever(
        "integer",
        "How matrices are stored: as floats, as integers of so many bits, or by a uniform step in standard deviations "
        "that leaves the number of bits to the entropy coder.",
        choices=SCHEMES,
        neutral="none",
        phase=PHASE,
        source="Gray & Neuhoff 1998, Quantization",
    )
    matrix_format: str = lever(
        "int6",
        "Of matrices, where nothing below says otherwise.",
        choices=FORMATS,
        neutral="float32",
        phase=PHASE,
        needs="export.scheme=integer",
        aliases=("BITS",),
        source=GOLF,
    )
    embedding_format: str = lever(
        "int8",
        "Of the token table and of the head.",
        choices=FORMATS,
        neutral="float32",
        phase=PHASE,
        needs="export.scheme=integer",
        aliases=("BITS_EMBED",),
        source=GOLF,
    )
    table_format: str = lever(
        "matrix",
        "Of other tables: value embeddings, n-grams.",
        choices=("matrix", *FORMATS),
        neutral="matrix",
        phase=PHASE,
        needs="export.scheme=integer",
        source=LAB,
    )
    attention_format: str = lever(
        "matrix",
        "Of the matrices of attention.",
        choices=("matrix", *FORMATS),
        neutral="matrix",
        phase=PHASE,
        needs="export.scheme=integer",
        aliases=("BITS_ATTN",),
        source=GOLF,
    )
    mlp_format: str = lever(
        "matrix",
        "Of the matrices of MLPs.",
        choices=("matrix", *FORMATS),
        neutral="matrix",
        phase=PHASE,
        needs="export.scheme=integer",
        aliases=("BITS_MLP",),
        source=GOLF,
    )
    mlp_out_format: str = lever(
        "mlp",
        "Of the matrices that write an MLP's hidden units to the stream.",
        choices=("mlp", *FORMATS),
        neutral="mlp",
        phase=PHASE,
        needs="export.scheme=integer",
        aliases=("BITS_MLP_PROJ",),
        source="SPThole/parameter-golf-experimentations, exp69",
    )
    boundary_bits: int = lever(
        0,
        "Bits that the matrices of the first and the last block have on top.",
        low=0,
        high=4,
        neutral=0,
        phase=PHASE,
        needs="export.scheme=integer|step",
        source="SPThole/parameter-golf-experimentations, exp28b",
    )
    overrides: str = lever(
        "none",
        "Formats of single tensors, `PATTERN=FORMAT` or `PATTERN=FORMAT:SIGMAS` with commas between, the first that "
        "matches counts; with `step`, SIGMAS is the step, with integers that of sdclip.",
        neutral="none",
        pattern=rf"none|{_ENTRY}(,{_ENTRY})*",
        phase=PHASE,
        needs="export.scheme=integer|step",
        source=LAB,
    )
    keep_float_below: int = lever(
        2048,
        "Matrices of at most so many weights stay floats.",
        low=0,
        high=2**31,
        unit="weights",
        phase=PHASE,
        needs="export.scheme=integer|step",
        source=f"{GOLF}: 65536",
    )
    keep_float_format: str = lever(
        "float16",
        "Of the matrices that stay floats.",
        choices=FLOATS,
        neutral="float32",
        phase=PHASE,
        needs="export.scheme=integer|step",
        source=GOLF,
    )
    vector_format: str = lever(
        "float32",
        "Of vectors and scalars: scales, gates, biases.",
        choices=FLOATS,
        neutral="float32",
        phase=PHASE,
        needs="export.scheme=integer|step",
        source=GOLF,
    )
    mlp_permute: bool = lever(
        False,
        "Whether hidden units of an MLP are sorted by their steps and sizes, which changes no function and few bytes.",
        neutral=False,
        phase=PHASE,
        aliases=("MLP_PERMUTE",),
        source=SHULTZ,
    )
    allocate_to_bytes: int = lever(
        0,
        "Cap under which widths and steps are chosen tensor by tensor, by what each costs in loss. 0: as declared.",
        low=0,
        high=2**40,
        neutral=0,
        unit="bytes",
        phase=PHASE,
        needs="export.scheme=integer|step",
        source="Shoham & Gersho 1988, Efficient bit allocation for an arbitrary set of quantizers",
    )
    codec: str = lever(
        "auto",
        "What compresses the stored arrays; auto takes the smallest file.",
        choices=CODECS,
        phase=PHASE,
        aliases=("COMPRESSOR",),
        source=GOLF,
    )
    codec_level: int = lever(
        0,
        "Effort of the compressor. 0: the most it has.",
        low=0,
        high=22,
        phase=PHASE,
        needs="export.codec=zlib|zstd|lzma|brotli",
        source=GOLF,
    )
    byte_shuffle: bool = lever(
        True,
        "Whether high and low bytes of numbers of several bytes are kept apart.",
        neutral=False,
        phase=PHASE,
        source=SDCLIP,
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationLevers:
    """What the export learns from text, and GPTQ, which uses it. The text is never of the validation side."""

    gptq: bool = lever(
        True,
        "Whether each column's rounding error is made up for by the columns after it.",
        neutral=False,
        phase=PHASE,
        needs="export.scheme=integer|step",
        source="Frantar et al. 2022, arXiv 2210.17323",
    )
    gptq_damping: float = lever(
        0.01,
        "Added to the diagonal of the Hessian, a share of its mean; ten times more where that does not suffice.",
        low=0.0,
        high=1.0,
        phase=PHASE,
        needs="calibration.gptq",
        source=f"{GOLF}, record of 2026-03-25",
    )
    gptq_block: int = lever(
        128,
        "Columns between two updates of all that are left; of no effect but speed and rounding.",
        low=1,
        high=65536,
        phase=PHASE,
        needs="calibration.gptq",
        source="Frantar et al. 2022, arXiv 2210.17323",
    )
    gptq_order: str = lever(
        "activation",
        "Order of the columns: as they are, or those with the largest inputs first.",
        choices=("natural", "activation"),
        phase=PHASE,
        needs="calibration.gptq",
        source=f"{GOLF}, record of 2026-03-25",
    )
    batches: int = lever(
        16,
        "Batches of text that calibration sees.",
        low=1,
        high=65536,
        phase=PHASE,
        needs="export.scheme=integer|step",
        aliases=("GPTQ_CALIBRATION_BATCHES",),
        source=GOLF,
    )
    rows: int = lever(
        8,
        "Rows of a context's length in a batch.",
        low=1,
        high=65536,
        phase=PHASE,
        needs="export.scheme=integer|step",
        source=GOLF,
    )
    text: str = lever(
        "train",
        "Text of the calibration: of the training side, or written by the model itself.",
        choices=("train", "self"),
        phase=PHASE,
        needs="export.scheme=integer|step",
        source=f"{GOLF}, record of 2026-03-25",
    )
    text_temperature: float = lever(
        0.8,
        "Temperature at which the model writes it.",
        low=0.01,
        high=10.0,
        phase=PHASE,
        needs="calibration.text=self",
        source=f"{GOLF}, record of 2026-03-25",
    )
    reserve_seconds: float = lever(
        0.0,
        "Seconds of a budget in seconds that training leaves for calibration on training text.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        unit="seconds",
        aliases=("GPTQ_RESERVE_SECONDS",),
        source=GOLF,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is taken from and added to the rounded weights."""

    prune_fraction: float = lever(
        0.0,
        "Share of each matrix's weights, the smallest, that are zero before rounding.",
        low=0.0,
        high=0.99,
        neutral=0.0,
        phase=PHASE,
        needs="export.scheme=integer|step",
        aliases=("PRUNE_FRAC",),
        source=PHASE_3,
    )
    prune_to_bytes: int = lever(
        0,
        "Size to which codes of +-1 are zeroed, those of the smallest steps first. 0: none.",
        low=0,
        high=2**40,
        neutral=0,
        unit="bytes",
        phase=PHASE,
        needs="export.scheme=integer|step",
        aliases=("TARGET_BYTES",),
        source=f"{GOLF}, record of 2026-03-25",
    )
    residual_rank: int = lever(
        0,
        "Rank of the corrections of rounding errors that a byte budget pays for.",
        low=0,
        high=64,
        neutral=0,
        phase=PHASE,
        needs="export.scheme=integer|step",
        aliases=("INT8_RESIDUAL_RANK",),
        source=SHULTZ,
    )
    residual_budget_bytes: int = lever(
        65536,
        "Bytes of all those corrections together.",
        low=0,
        high=2**31,
        neutral=0,
        unit="bytes",
        phase=PHASE,
        needs="correction.residual_rank",
        aliases=("INT8_RESIDUAL_BUDGET_BYTES",),
        source=SHULTZ,
    )
    residual_target: str = lever(
        "none",
        "Which tensors are corrected first: by benefit a byte alone, or the matrices that write to the stream in the "
        "first four blocks before all others.",
        choices=("none", "early_proj_combo"),
        neutral="none",
        phase=PHASE,
        needs="correction.residual_rank",
        aliases=("INT8_TARGETED_RESIDUAL_MODE",),
        source=SHULTZ,
    )
    lqer_rank: int = lever(
        0,
        "Rank of the coarse corrections, two bits on the left and four on the right.",
        low=0,
        high=64,
        neutral=0,
        phase=PHASE,
        needs="export.scheme=integer|step",
        aliases=("LQER_RANK",),
        source=f"Zhang et al. 2024, arXiv 2402.02446; {GOLF}, record of 2026-04-27",
    )
    lqer_top_k: int = lever(
        3,
        "Tensors, those of the largest errors, that have one.",
        low=1,
        high=10000,
        phase=PHASE,
        needs="correction.lqer_rank",
        aliases=("LQER_TOP_K",),
        source=f"{GOLF}, record of 2026-04-27",
    )
    lqer_group: int = lever(
        64,
        "Numbers of the right factor that share a scale.",
        low=4,
        high=65536,
        phase=PHASE,
        needs="correction.lqer_rank",
        aliases=("LQER_GROUP",),
        source=f"{GOLF}, record of 2026-04-27",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """All that an export may be told, typed."""

    export: Export
    grid: Grid
    calibration: CalibrationLevers
    correction: Correction


EXPORT_LEVERS: LeverSet = levers_of(ExportConfig)

EXPORT_PRESETS: dict[str, Values] = {
    "none": EXPORT_LEVERS.complete({"export.scheme": "none"}),
    # The baseline of openai/parameter-golf: int8 rows with its floor under the steps, zlib-9.
    "baseline": EXPORT_LEVERS.complete(
        {
            "export.matrix_format": "int8",
            "export.keep_float_below": 65536,
            "export.codec": "zlib",
            "export.codec_level": 9,
            "export.byte_shuffle": False,
            "grid.clip": "quantile",
            "grid.scale_floor": 1 / 127,
            "calibration.gptq": False,
        }
    ),
    "public": EXPORT_LEVERS.complete({"export.codec": "brotli"}),
    # Uniform steps, split over columns by what GPTQ can make up for; with a cap, over tensors by what they cost.
    "uniform": EXPORT_LEVERS.complete(
        {
            "export.scheme": "step",
            "export.codec": "ans",
            "grid.column_steps": "feedback",
            "calibration.gptq_order": "natural",
        }
    ),
}
