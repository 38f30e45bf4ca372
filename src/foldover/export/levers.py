"""Levers of the export: how a trained state becomes an artifact. No torch.

The defaults are the best public practice (openai/parameter-golf, record of 2026-04-06): six bits a matrix and eight
a table, each row's step a fixed share of its standard deviation, GPTQ, and the smallest of all codecs.
`export.artifact=false` is neutral: a run ends with its trained state. `export.scheme=none` stores floats as they are,
and the round trip costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import LeverSet, Phase, Values, lever, levers_of
from foldover.export.levers_calibration import CalibrationLevers
from foldover.export.levers_correction import Correction
from foldover.export.levers_grid import Grid

GOLF = "openai/parameter-golf"
SDCLIP = f"{GOLF}, record of 2026-04-06"
SHULTZ = "JusticeShultz/parameter-golf, train_gpt.py"
LAB = "foldover"
PHASE: Phase = "export"

INTEGERS = ("int8", "int7", "int6", "int5", "int4", "int3", "int2")
LOW_BIT = ("ternary", "binary")
FLOATS = ("float16", "float32")
FORMATS = (*INTEGERS, *LOW_BIT, *FLOATS)
SCHEMES = ("none", "integer", "step")
CODECS = ("auto", "zlib", "zstd", "lzma", "brotli", "ans")
OWN_CODECS = ("auto", "ans")  # whose files have the predicted bytes, or fewer

_ENTRY = r"[A-Za-z0-9_.*?-]+=(" + "|".join((*FORMATS, "step")) + r")(:[0-9]+(\.[0-9]+)?)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Whether a run ends with an artifact, and which tensors are stored how."""

    artifact: bool = lever(
        False,
        "Whether the trained state becomes an artifact: a file, whose score after the round trip is the recipe's.",
        neutral=False,
        phase=PHASE,
        source=GOLF,
    )
    scheme: str = lever(
        "integer",
        "How matrices are stored: as floats, as integers of so many bits, or by a uniform step in standard deviations "
        "that leaves the number of bits to the entropy coder.",
        choices=SCHEMES,
        neutral="none",
        phase=PHASE,
        needs="export.artifact",
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
        needs="export.artifact",
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
        needs="export.artifact",
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

    @property
    def level(self) -> int | None:
        """Of the codec; None for its strongest, and where it has none."""
        return self.codec_level if self.codec_level and self.codec not in OWN_CODECS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """All that an export may be told, typed."""

    export: Export
    grid: Grid
    calibration: CalibrationLevers
    correction: Correction


EXPORT_LEVERS: LeverSet = levers_of(ExportConfig)

EXPORT_PRESETS: dict[str, Values] = {
    "none": EXPORT_LEVERS.complete({"export.artifact": True, "export.scheme": "none"}),
    # The baseline of openai/parameter-golf: int8 rows with its floor under the steps, zlib-9.
    "baseline": EXPORT_LEVERS.complete(
        {
            "export.artifact": True,
            "export.matrix_format": "int8",
            "export.keep_float_below": 65536,
            "export.codec": "zlib",
            "export.codec_level": 9,
            "grid.clip": "quantile",
            "grid.scale_floor": 1 / 127,
            "calibration.gptq": False,
        }
    ),
    "public": EXPORT_LEVERS.complete({"export.artifact": True, "export.codec": "brotli"}),
    # Uniform steps, split over columns by what GPTQ can make up for; with a cap, over tensors by what they cost.
    "uniform": EXPORT_LEVERS.complete(
        {
            "export.artifact": True,
            "export.scheme": "step",
            "export.codec": "ans",
            "grid.column_steps": "feedback",
            "calibration.gptq_order": "natural",
        }
    ),
}
