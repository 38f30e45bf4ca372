"""Levers of what calibration text teaches: GPTQ.

Part of the catalogue that `foldover.export.levers` puts together. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import Phase, lever

PHASE: Phase = "export"
GOLF = "openai/parameter-golf"


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
