"""Predictions of conditions and of single runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import Table, predict_condition, table_from_columns

CUBE = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))


def screen(rng: np.random.Generator, num_seeds: int = 6, seed_sd: float = 0.05) -> Table:
    y = 1.0 + CUBE @ [0.1, 0.05, 0.0] + seed_sd * rng.standard_normal((num_seeds, 1))
    y = y + 0.02 * rng.standard_normal((num_seeds, 8))
    columns: dict[str, Any] = {letter: np.tile(CUBE[:, j], num_seeds).tolist() for j, letter in enumerate("ABC")}
    columns |= {"seed": np.repeat(range(num_seeds), 8).tolist(), "y": y.ravel().tolist()}
    return table_from_columns(columns, response="y", factors="ABC")


def test_without_a_block_the_prediction_is_that_of_statsmodels() -> None:
    import statsmodels.api as sm

    table = screen(np.random.default_rng(0))
    found = predict_condition(table, {"A": 1.0, "B": -1.0, "C": 0.5}, terms="main", block=None)
    theirs = sm.OLS(table.y, sm.add_constant(table.levels)).fit().get_prediction([[1.0, 1.0, -1.0, 0.5]])
    frame = theirs.summary_frame()
    assert found.mean == pytest.approx(frame["mean"][0])
    assert (found.low, found.high) == pytest.approx((frame["mean_ci_lower"][0], frame["mean_ci_upper"][0]))
    assert (found.run_low, found.run_high) == pytest.approx((frame["obs_ci_lower"][0], frame["obs_ci_upper"][0]))


def test_the_mean_interval_of_a_seeded_screen_keeps_its_level() -> None:
    rng = np.random.default_rng(1)
    truth = 1.0 - 0.1 - 0.05
    hits = [
        (p := predict_condition(screen(rng), {"A": -1.0, "B": -1.0, "C": 1.0}, terms="main")).low <= truth <= p.high
        for _ in range(400)
    ]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.033)


def test_a_run_is_less_certain_than_the_mean() -> None:
    found = predict_condition(screen(np.random.default_rng(2)), {"A": 1.0, "B": 1.0, "C": 1.0})
    assert found.run_high - found.run_low > 2 * (found.high - found.low)


def test_every_factor_needs_a_level() -> None:
    with pytest.raises(AnalysisError, match=r"\['C'\]"):
        predict_condition(screen(np.random.default_rng(3)), {"A": 1.0, "B": 1.0})


def test_levels_beyond_the_runs_are_refused() -> None:
    with pytest.raises(AnalysisError, match="beyond the levels"):
        predict_condition(screen(np.random.default_rng(3)), {"A": 2.0, "B": 1.0, "C": 0.0})
