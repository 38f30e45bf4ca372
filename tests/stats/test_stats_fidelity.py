"""What short budgets say of long ones: tau against scipy, what is kept and lost, intervals over seeds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from foldover.core import AnalysisError, Effect
from foldover.stats import order_fidelity, same_sign_probability

NAMES = [f"c{i}" for i in range(8)]


def some(noise: float, *, shift: float = 0.0, seed: int = 0, seeds: int = 5) -> dict[str, dict[int, float]]:
    rng = np.random.default_rng(seed)
    return {
        name: {s: i + shift * (i % 3) + noise * rng.standard_normal() for s in range(seeds)}
        for i, name in enumerate(NAMES)
    }


def test_tau_is_kendalls_and_pairs_are_counted() -> None:
    from scipy.stats import kendalltau

    short, long = some(1.0), some(1.5, shift=1.0, seed=1)
    x, y = ([float(np.mean(list(cells[name].values()))) for name in NAMES] for cells in (short, long))
    found = order_fidelity(short, long)
    assert found.tau == pytest.approx(float(kendalltau(x, y).statistic))
    kept = [(x[i] - x[j]) * (y[i] - y[j]) > 0 for i, j in itertools.combinations(range(8), 2)]
    assert found.kept == pytest.approx(sum(kept) / len(kept))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.tau <= found.high


def test_choosing_by_the_short_budget_costs_what_the_long_one_says() -> None:
    short = {"a": {1: 1.0}, "b": {1: 2.0}, "c": {1: 3.0}}
    long = {"a": {1: 5.0}, "b": {1: 4.0}, "c": {1: 6.0}}
    found = order_fidelity(short, long)
    assert (found.best_kept, found.loss, found.low) == (False, 1.0, None)
    # Where more is better the best is c at both budgets.
    assert order_fidelity(short, long, lower_is_better=False).best_kept


def test_without_noise_the_interval_has_no_width() -> None:
    found = order_fidelity(some(0.0), some(0.0))
    assert (found.tau, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_interval_covers_the_order_of_the_truth_about_as_often_as_it_says() -> None:
    # Truth: the same order at both budgets but for one pair that changes places, 26 of 28 pairs kept: tau 6/7.
    inside = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        short = {n: {s: i + 0.15 * rng.standard_normal() for s in range(8)} for i, n in enumerate(NAMES)}
        order = [1, 0, *range(2, 7), 7]
        long = {n: {s: order[i] + 0.15 * rng.standard_normal() for s in range(8)} for i, n in enumerate(NAMES)}
        found = order_fidelity(short, long, replicates=199)
        assert found.low is not None
        assert found.high is not None
        inside += found.low - 1e-9 <= 1.0 - 2.0 / 28.0 <= found.high + 1e-9
    assert inside >= 34


def test_what_has_no_order_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least three conditions"):
        order_fidelity({"a": {1: 1.0}, "b": {1: 1.0}}, {"a": {1: 1.0}, "b": {1: 1.0}})
    with pytest.raises(AnalysisError, match="no seed ran under all"):
        order_fidelity(
            {"a": {1: 1.0}, "b": {2: 1.0}, "c": {1: 1.0}}, some(0.0) | {"a": {1: 1.0}, "b": {1: 1.0}, "c": {1: 1.0}}
        )


def test_signs_agree_as_often_as_normal_draws_do() -> None:
    effect = Effect(
        term="A", package="p", budget="5 min", estimate=0.01, se=0.01, low=None, high=None, level=0.95, p=None, q=None,
        retained=None, df=4.0, n=80, aliased_with=(), method="paper",
    )  # fmt: skip
    other = replace(effect, estimate=-0.004, se=0.005)
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.01, 0.01, 200_000), rng.normal(-0.004, 0.005, 200_000)
    assert same_sign_probability(effect, other) == pytest.approx(float((a * b > 0).mean()), abs=0.005)
    assert same_sign_probability(effect, replace(effect, se=None)) is None
