"""Best points and differences of fitted surfaces, against plain least squares and planted truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import t as student

from foldover.core import AnalysisError
from foldover.stats import best_in_region, fit_surface, pure_error_lack_of_fit, surface_difference, table_from_columns

FACED = list(itertools.product((-1.0, 0.0, 1.0), repeat=2))
PLACES = [[i / 10 for i in range(-10, 11)]] * 2


def planted(noise: float, *, seeds: int = 3, seed: int = 0, direction: float = 1.0):
    """Smallest at (0.5, -1) inside the square: the second factor would go on."""
    rng = np.random.default_rng(seed)
    shift = rng.standard_normal(seeds)
    rows = [(a, b, s) for s in range(seeds) for a, b in FACED]
    y = [
        direction * ((a - 0.5) ** 2 + 0.3 * (b + 2.0) ** 2) + shift[s] + noise * rng.standard_normal()
        for a, b, s in rows
    ]
    columns = {"A": [r[0] for r in rows], "B": [r[1] for r in rows], "seed": [r[2] for r in rows], "y": y}
    return table_from_columns(columns, response="y", factors=["A", "B"]), rows, np.array(y)


def plain_model(rows) -> np.ndarray:
    return np.array([[1.0, a, b, a * b, a * a, b * b, s == 1, s == 2] for a, b, s in rows], dtype=float)


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_the_best_point_is_found_at_the_edge_of_the_region(direction):
    table, *_ = planted(0.01, direction=direction)
    found = best_in_region(
        fit_surface(table, block="seed"), PLACES, direction="minimize" if direction > 0 else "maximize"
    )
    assert found.x == (0.5, -1.0)
    assert found.low[0] <= 0.5 <= found.high[0]
    assert found.high[0] - found.low[0] <= 0.2
    assert (found.low[1], found.high[1]) == (-1.0, -1.0)


def test_noise_widens_where_the_best_point_may_lie():
    found = best_in_region(fit_surface(planted(3.0)[0], block="seed"), PLACES)
    assert found.high[0] - found.low[0] >= 1.0


def test_the_best_point_is_one_that_the_factors_can_take():
    table, *_ = planted(0.01)
    found = best_in_region(fit_surface(table, block="seed"), [[-1.0, 0.0, 1.0], [-0.2, 0.4]])
    assert found.x[0] in (0.0, 1.0)
    assert found.x[1] == -0.2


def test_a_difference_has_the_interval_of_plain_least_squares():
    table, rows, y = planted(0.4)
    X = plain_model(rows)
    coefficients, *_ = np.linalg.lstsq(X, y, rcond=None)
    df = len(y) - X.shape[1]
    variance = float(np.sum((y - X @ coefficients) ** 2)) / df
    first, second = (0.3, -0.7), (1.0, 1.0)
    contrast = plain_model([(*first, 0)])[0] - plain_model([(*second, 0)])[0]
    estimate = contrast @ coefficients
    half = student.ppf(0.95, df) * np.sqrt(variance * contrast @ np.linalg.inv(X.T @ X) @ contrast)
    found = surface_difference(fit_surface(table, block="seed"), first, second, level=0.9)
    assert (found.estimate, found.low, found.high) == pytest.approx((estimate, estimate - half, estimate + half))


def test_a_factor_needs_levels():
    fit = fit_surface(planted(0.1)[0], block="seed")
    with pytest.raises(AnalysisError, match="needs levels"):
        best_in_region(fit, [[0.0], []])


def test_lack_of_fit_beside_blocks_leaves_them_out_of_the_error():
    _, rows, y = planted(0.2)
    X = plain_model(rows)
    cells = np.array([[row[:2] == cell for cell in FACED] for row in rows], dtype=float)
    full = np.column_stack([cells, X[:, 6:]])

    def rss(model: np.ndarray) -> float:
        return float(np.sum((y - model @ np.linalg.lstsq(model, y, rcond=None)[0]) ** 2))

    found = pure_error_lack_of_fit(X[:, :6], y, blocks=X[:, 6:])
    assert (found.df_lack, found.df_error) == (9 - 6, 27 - 9 - 2)
    assert found.f == pytest.approx(((rss(X) - rss(full)) / 3) / (rss(full) / 16))
    # Seeds differ by far more than runs: without blocks their spread is taken for error.
    assert pure_error_lack_of_fit(X[:, :6], y).sum_squares_error > 3 * found.sum_squares_error
