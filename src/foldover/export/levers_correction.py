"""Levers of what is taken from and added to rounded weights.

Part of the catalogue that `foldover.export.levers` puts together. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import Phase, lever

PHASE: Phase = "export"
GOLF = "openai/parameter-golf"
PHASE_3 = "SPThole/parameter-golf-experimentations, exp00"
SHULTZ = "JusticeShultz/parameter-golf, train_gpt.py"


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
