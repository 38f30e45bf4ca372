"""What is known of a score: its sums, its standard error, how it came about. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldover.core import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Sums that a bits-per-byte is made of. nats: summed negative log-likelihood of the scored tokens.

    standard_error: of the bits per byte, over rows or documents; None where there are fewer than two.
    """

    nats: float
    tokens: int
    bytes: int
    standard_error: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether there is a number to report."""
        return math.isfinite(self.nats)

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte."""
        return self.nats / (math.log(2.0) * self.bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A score under the name of its response. seconds: of its own pass, none if it is another one's score."""

    name: str
    score: Score
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All scores of a model, in order: as it is, in the windows asked for, with what is mixed in, adapted.

    `val_bpb` is the plain score and nothing changes it; `sliding_bpb` that of the windows of the levers; `mixed_bpb`
    has temperature, sidecars and mixtures too; `adapted_bpb` has everything. What the levers leave out is the score
    before it, to the bit, so that all four exist in every run. rejected: scores that were measured and not kept (an
    adaptation that diverged); notes: what of the rules was checked, and how; fired: events of levers that acted.
    """

    measured: tuple[Measured, ...]
    rejected: tuple[Measured, ...] = ()
    notes: tuple[str, ...] = ()
    proof_seconds: float = 0.0
    fired: tuple[str, ...] = ()

    @property
    def responses(self) -> Values:
        """Bits per byte by name; those that are not finite left out."""
        return Values({m.name: m.score.bits_per_byte for m in self.measured if m.score.is_finite})


def ratio_error(nats: NDArray[np.float64], sizes: NDArray[Any]) -> float | None:
    """Standard error of bits per byte, the ratio of two sums over units (U,), each a draw.

    None for fewer than two units, or nats that are not finite.

    Cochran 1977, Sampling Techniques, section 6.4, without the finite population.
    """
    units, total = len(nats), float(sizes.sum())
    if units < 2 or total <= 0 or not math.isfinite(nats.sum()):
        return None
    apart = nats - nats.sum() / total * sizes
    return float(np.sqrt(units / (units - 1) * np.square(apart).sum()) / total / math.log(2.0))
