"""What common seeds save: known answers, and the formula against independent draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import pair_gain, pairing_gain, table_from_columns

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


def drawn(seeds: int, *, shared: float, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return shared * rng.standard_normal((seeds, 1)) + rng.standard_normal((seeds, 4))


def saved_in(y: np.ndarray) -> float:
    """Log ratio of the paired variance of A to that of independent runs, by plain sums."""
    within = [(row[2] + row[3] - row[0] - row[1]) / 2 for row in y]
    unpaired = sum(4 / 16 * float(np.var(y[:, i], ddof=1)) for i in range(4))
    return math.log(float(np.var(within, ddof=1)) / unpaired)


def test_the_interval_of_a_screen_is_the_jackknife_over_seeds() -> None:
    from scipy.stats import t as student

    y = drawn(6, shared=3.0)
    left_out = [saved_in(np.delete(y, i, axis=0)) for i in range(6)]
    mean = sum(left_out) / 6
    half = student.ppf(0.95, 5) * math.sqrt(5 / 6 * sum((x - mean) ** 2 for x in left_out))
    gain = next(g for g in pairing_gain(a_table(y, 6), level=0.9) if g.term == "A")
    assert gain.high == pytest.approx(1 - math.exp(saved_in(y) - half))
    assert gain.low == pytest.approx(1 - min(math.exp(saved_in(y) + half), 4.0))  # at worst four conditions add up
    assert gain.low is not None
    assert gain.low <= gain.saved <= gain.high


def test_two_seeds_give_no_interval_and_many_tell_a_saving() -> None:
    assert {g.low for g in pairing_gain(a_table(drawn(2, shared=3.0), 2))} == {None}
    for gain in pairing_gain(a_table(drawn(60, shared=3.0), 60)):
        assert gain.low is not None
        # One part in ten is left of the variance.
        assert gain.low > 0.8
        assert gain.low < 0.9 < gain.high


def test_the_interval_of_two_conditions_is_that_of_difference_and_sum() -> None:
    from scipy.stats import f as fisher
    from scipy.stats import pearsonr

    y = drawn(8, shared=1.0)
    a, b = dict(enumerate(y[:, 0].tolist())), dict(enumerate(y[:, 1].tolist()))
    gain = pair_gain(a, b)
    assert gain.paired_sd**2 == pytest.approx(float(np.var(y[:, 0] - y[:, 1], ddof=1)))
    assert gain.unpaired_sd**2 == pytest.approx(float(np.var(y[:, 0], ddof=1) + np.var(y[:, 1], ddof=1)))
    assert gain.low is not None
    assert gain.low < gain.saved < gain.high
    # Each end is the ratio of variances at which Pitman's test of its equality has p = 0.05: then t^2 is F's quantile.
    for end in (gain.low, gain.high):
        ratio = 2.0 / (1.0 - end) - 1.0  # variance of the sum to that of the difference
        u, v = y[:, 0] - y[:, 1], (y[:, 0] + y[:, 1]) / math.sqrt(ratio)
        r = float(pearsonr(u - v, u + v).statistic)
        assert r**2 * 6 / (1 - r**2) == pytest.approx(fisher.ppf(0.95, 1, 6))


def test_a_pair_needs_two_common_seeds_that_change_something() -> None:
    with pytest.raises(AnalysisError, match="two common seeds"):
        pair_gain({1: 0.0, 2: 1.0}, {2: 1.0, 3: 0.0})
    with pytest.raises(AnalysisError, match="change nothing"):
        pair_gain({1: 1.0, 2: 1.0}, {1: 2.0, 2: 2.0})
    assert pair_gain({1: 1.0, 2: 2.0}, {1: 2.0, 2: 3.0}).saved == 1.0
