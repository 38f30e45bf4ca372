"""Levers of training with the packed model in mind.

Part of the catalogue that `foldover.lm.levers` puts together. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import lever

LAB = "foldover"
SHULTZ = "JusticeShultz/parameter-golf, train_gpt.py"
FORWARD_WEIGHTS = ("none", "int8", "int6", "int5", "int4", "ternary", "binary")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Training with the packed model in mind: penalties on the weights, and weights quantised in the forward pass.

    The penalties act together, times `weight`, on slices of a few tensors a step, which take turns.
    """

    weight: float = lever(
        0.0,
        "Weight of the compression penalties: the reconstruction error of rounded weights, and what else is on.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        aliases=("COMPRESSION_REG_WEIGHT",),
        fires="compression_penalty",
        source=SHULTZ,
    )
    grid: float = lever(
        0.0,
        "Penalty on the distance of weights, in units of their row's step, from the nearest level.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        needs="compression.weight",
        aliases=("COMPRESSION_GRID_REG_WEIGHT",),
        source=SHULTZ,
    )
    scale: float = lever(
        0.0,
        "Penalty on differences of the log root mean square of adjacent rows.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        needs="compression.weight",
        aliases=("COMPRESSION_SCALE_REG_WEIGHT",),
        source=SHULTZ,
    )
    rank1: float = lever(
        0.0,
        "Penalty on what a rank-1 correction leaves of the rounding error.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        needs="compression.weight",
        aliases=("COMPRESSION_RANK1_REG_WEIGHT",),
        source=SHULTZ,
    )
    ternary: float = lever(
        0.0,
        "Penalty on the distance from the ternary weights of the same mean size.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        needs="compression.weight",
        aliases=("TERNARY_REG_WEIGHT",),
        source=SHULTZ,
    )
    outlier: float = lever(
        0.0,
        "Penalty on the rows' largest weights, over the mean size.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        needs="compression.weight",
        aliases=("OUTLIER_REG_WEIGHT",),
        source=SHULTZ,
    )
    entropy: float = lever(
        0.0,
        "Penalty on the entropy, in bits a weight, of the levels that the weights are shared out to by nearness [lab].",
        low=0.0,
        high=1e6,
        neutral=0.0,
        needs="compression.weight",
        source=LAB,
    )
    interval: int = lever(
        1,
        "Steps from one that is penalised to the next.",
        low=1,
        high=10000,
        unit="steps",
        needs="compression.weight",
        aliases=("COMPRESSION_REG_INTERVAL",),
        source=SHULTZ,
    )
    penalty_from: int = lever(
        0,
        "First step that is penalised.",
        low=0,
        high=1000000,
        unit="steps",
        needs="compression.weight",
        aliases=("COMPRESSION_REG_WARMUP_STEPS",),
        source=SHULTZ,
    )
    tensors: int = lever(
        4,
        "Tensors penalised at a time; they take turns, the largest first.",
        low=1,
        high=1000,
        needs="compression.weight",
        aliases=("COMPRESSION_REG_SAMPLE_TENSORS",),
        source=SHULTZ,
    )
    max_columns: int = lever(
        256,
        "Widest slice of a tensor that is penalised at a time.",
        low=1,
        high=65536,
        needs="compression.weight",
        aliases=("COMPRESSION_REG_MAX_COLS",),
        source=SHULTZ,
    )
    bits: int = lever(8, "Bits of the grid of the penalties.", low=2, high=8, needs="compression.weight", source=SHULTZ)
    full_row_scale: bool = lever(
        False,
        "Whether a slice's grid is that of the whole row, as in the packed model, rather than its own.",
        needs="compression.weight",
        aliases=("COMPRESSION_FULL_ROW_SCALE",),
        source=LAB,
    )
    normalized: bool = lever(
        False,
        "Whether reconstruction, rank-1 and ternary penalties are divided by the slice's mean square.",
        needs="compression.weight",
        source=LAB,
    )
    forward_weights: str = lever(
        "none",
        "Matrices of the blocks as the forward pass sees them, with straight-through gradients: integers of so many "
        "bits a row, or ternary or binary in groups; ternary and binary models are evaluated like that too.",
        choices=FORWARD_WEIGHTS,
        neutral="none",
        fires="quantized_forward_started",
        aliases=("QAT",),
        source="Bengio et al. 2013, arXiv 1308.3432; Ma et al. 2024, arXiv 2402.17764",
    )
    qat_start: float = lever(
        1.0,
        "Weights are quantised once the factor on learning rates has fallen to this in the warm-down. 1: always.",
        low=0.0,
        high=1.0,
        needs="compression.forward_weights=int8|int6|int5|int4",
        aliases=("LATE_QAT_THRESHOLD",),
        source="openai/parameter-golf, record of 2026-03-21",
    )
    group_size: int = lever(
        128,
        "Weights of a row that share a scale, in ternary and binary models.",
        low=8,
        high=65536,
        needs="compression.forward_weights=ternary|binary",
        source="openai/parameter-golf, record of 2026-03-24",
    )
    weight_noise: float = lever(
        0.0,
        "Uniform noise on the matrices in the forward pass, its width in int8 steps of the row (noisy QAT).",
        low=0.0,
        high=16.0,
        neutral=0.0,
        fires="weight_noise",
        source="openai/parameter-golf, pull request 363",
    )
