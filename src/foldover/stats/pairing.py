"""What common seeds save: the spread of an effect paired by seed beside that of the same runs under seeds of their own.

Under one seed the conditions share weights and rows of text, so part of what a seed does cancels in a contrast. With
C conditions of sd s_i over seeds and half of them at each level, independent runs give an effect with variance
4 / C^2 times the sum of s_i^2; that of the effects taken within each seed is what pairing leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foldover.core import AnalysisError
from foldover.stats.estimators import effects_within_blocks
from foldover.stats.screen import prepare_screen
from foldover.stats.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingGain:
    """Sds over seeds of one term's effect. saved: share of the variance that pairing takes away (may be negative).

    times: how many seeds of independent runs are worth one of paired runs.
    """

    term: str
    seeds: int
    paired_sd: float
    unpaired_sd: float

    @property
    def saved(self) -> float:
        """1 minus the ratio of the variances."""
        return 1.0 - (self.paired_sd / self.unpaired_sd) ** 2

    @property
    def times(self) -> float:
        """The ratio of the variances."""
        return (self.unpaired_sd / self.paired_sd) ** 2 if self.paired_sd else float("inf")


def pairing_gain(table: Table, *, terms: Sequence[str] | str = "main") -> tuple[PairingGain, ...]:
    """The gain of every term of a screen whose conditions all ran under the same seeds.

    Raises AnalysisError for fewer than two seeds and where a run is missing: its seed pairs nothing then.
    """
    screen = prepare_screen(table, terms=terms, block="seed")
    num_seeds = len(screen.block_labels)
    if num_seeds < 2 or not screen.balanced or screen.num_runs != num_seeds * len(screen.cell_labels):
        raise AnalysisError(
            "pairing needs every condition once under each of two or more seeds", value=screen.block_labels
        )
    assert screen.block is not None, "the block was asked for"
    within = effects_within_blocks(screen, table.y[None, :])[:, 0, :]
    cells = np.empty((len(screen.cell_labels), num_seeds))
    cells[screen.cell, screen.block] = table.y
    weights = 2.0 * np.linalg.pinv(np.column_stack([np.ones(len(screen.cells)), screen.cells]))[1:]
    unpaired = np.sqrt(weights**2 @ cells.var(axis=1, ddof=1))
    return tuple(
        PairingGain(
            term=name,
            seeds=num_seeds,
            paired_sd=float(within[:, j].std(ddof=1)),
            unpaired_sd=float(unpaired[j]),
        )
        for j, name in enumerate(screen.names)
    )
