"""What an examination found: plain records, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foldover.lm.diagnostics.predictions import Accuracy, Boundary, Calibration, PositionBin, Share
from foldover.lm.diagnostics.weights import MatrixFigures, RecurringRow

Branch = Literal["attention", "mlp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNorm:
    """Gradient norm of the parameters of one role."""

    group: str
    norm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchFigures:
    """One branch of one executed position.

    contribution: mean of |what it adds| / |stream|; ablation_bpb: val_bpb without it less val_bpb, on some rows.
    """

    position: int
    branch: Branch
    contribution: float
    ablation_bpb: float
    is_dead: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFigures:
    """One executed position. stream_rms: of the stream behind it; activations are those of the MLP's hidden units."""

    position: int
    stream_rms: float
    largest_activation: float
    large_activations: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Values of a learned scalar or vector that scales, mixes or gates."""

    name: str
    size: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCourse:
    """Means of a gate while it was trained, None where not finite. progress: share of the budget at each of them."""

    name: str
    progress: tuple[float, ...]
    means: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedTokens:
    """A confusion with the tokens' texts."""

    target: str
    predicted: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Logits:
    """Largest |logit|, the cap, and the share of logits beyond nine tenths of it."""

    largest: float
    cap: float
    near_cap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything; losses in nats a target. ablated_tokens: targets that ablations were measured on."""

    state: str
    run_id: str
    tokens: int
    ablated_tokens: int
    val_bpb: float
    loss: float
    positions: tuple[PositionBin, ...]
    kinds: tuple[Share, ...]
    calibration: Calibration
    accuracy: Accuracy
    boundary: Boundary
    confusions: tuple[ConfusedTokens, ...]
    logits: Logits
    layers: tuple[PositionFigures, ...]
    branches: tuple[BranchFigures, ...]
    matrices: tuple[MatrixFigures, ...]
    recurring_rows: tuple[RecurringRow, ...]
    gates: tuple[Gate, ...]
    gate_courses: tuple[GateCourse, ...]
    gradients: tuple[GroupNorm, ...]
