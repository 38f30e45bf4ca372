"""What common seeds save: known answers, and the formula against independent draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import pairing_gain, table_from_columns

CORNERS = list(itertools.product((-1, 1), repeat=2))


def a_table(y: np.ndarray, seeds: int):
    columns = {
        "A": [a for a, _ in CORNERS] * seeds,
        "B": [b for _, b in CORNERS] * seeds,
        "seed": [s for s in range(seeds) for _ in CORNERS],
        "y": list(y.ravel()),
    }
    return table_from_columns(columns, response="y", factors=["A", "B"])


def test_a_seed_that_moves_all_conditions_alike_cancels() -> None:
    shift = np.array([0.0, 1.0, 3.0])[:, None]
    own = np.array([[0.0, 0.0, 0.1, 0.0], [0.0, 0.1, 0.0, 0.0], [0.1, 0.0, 0.0, 0.0]])
    y = shift + own
    gains = {gain.term: gain for gain in pairing_gain(a_table(y, 3))}
    within = [(row[2] + row[3] - row[0] - row[1]) / 2 for row in y]
    assert gains["A"].paired_sd == pytest.approx(float(np.std(within, ddof=1)))
    unpaired = math.sqrt(4 / 16 * sum(float(np.var(y[:, i], ddof=1)) for i in range(4)))
    assert gains["A"].unpaired_sd == pytest.approx(unpaired)
    assert gains["A"].saved == pytest.approx(1 - (gains["A"].paired_sd / unpaired) ** 2)
    assert gains["A"].times > 100


def test_independent_runs_gain_nothing() -> None:
    rng = np.random.default_rng(2)
    gains = pairing_gain(a_table(rng.standard_normal((400, 4)), 400))
    for gain in gains:
        assert gain.times == pytest.approx(1.0, abs=0.2)
        assert gain.unpaired_sd == pytest.approx(1.0, abs=0.05)  # 4/16 times 4 variances of 1


def test_seeds_that_are_not_common_pair_nothing() -> None:
    table = a_table(np.arange(8.0).reshape(2, 4), 2)
    with pytest.raises(AnalysisError, match="every condition once under each"):
        pairing_gain(table.rows(range(7)))
