"""Noise, its sources, and drift."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import measure_noise, time_trend, variance_components


def crossed(seed_sd: float, host_sd: float, noise: float, num: tuple[int, int, int] = (8, 6, 5)) -> dict[str, list]:  # type: ignore[type-arg]
    rng = np.random.default_rng(3)
    conditions, seeds, hosts = (range(n) for n in num)
    effects = [rng.standard_normal(n) * sd for n, sd in zip(num, (1.0, seed_sd, host_sd), strict=True)]
    rows = list(itertools.product(conditions, seeds, hosts))
    y = [effects[0][c] + effects[1][s] + effects[2][h] + noise * rng.standard_normal() for c, s, h in rows]
    return {"y": y, "condition": [r[0] for r in rows], "seed": [r[1] for r in rows], "host": [r[2] for r in rows]}


def test_pooled_sd_is_the_root_of_the_mean_square_within() -> None:
    found = measure_noise(["a", "a", "b", "b", "b"], [1.0, 2.0, 5.0, 6.0, 7.0])
    assert found.sd == pytest.approx(math.sqrt((0.5 + 2.0) / 3))
    assert (found.df, [c[0] for c in found.cells]) == (3, ["a", "b"])


def test_chi_squared_interval_covers_the_sd() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(500):
        found = measure_noise(["a"] * 4 + ["b"] * 4, list(rng.standard_normal(8)))
        hits += found.low <= 1.0 <= found.high
    assert abs(hits / 500 - 0.95) < 0.03


def test_unequal_sds_carry_a_warning() -> None:
    found = measure_noise(["a", "a", "b", "b"], [1.0, 1.001, 2.0, 2.1])
    assert found.ratio == pytest.approx(100.0)
    assert "threefold" in found.notes[0]


def test_noise_without_repeats_is_refused() -> None:
    with pytest.raises(AnalysisError, match="no condition has two runs"):
        measure_noise(["a", "b"], [1.0, 2.0])


def test_planted_components_are_recovered() -> None:
    data = crossed(0.5, 0.0, 0.1, num=(8, 40, 3))
    found = variance_components(
        data["y"], {"seed": data["seed"], "host": data["host"]}, fixed={"condition": data["condition"]}
    )
    seed, host, residual = found
    assert seed.sd == pytest.approx(0.5, rel=0.25)
    assert residual.sd == pytest.approx(0.1, rel=0.1)
    assert host.variance < 0.001
    assert sum(c.share for c in found) == pytest.approx(1.0)


def test_component_below_zero_is_reported_on_the_boundary() -> None:
    y = [1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0]
    seed, _ = variance_components(y, {"seed": [1, 1, 1, 1, 2, 2, 2, 2]})
    assert seed.variance == 0.0
    assert "boundary" in seed.notes[0]


def test_source_test_agrees_with_one_way_anova() -> None:
    from scipy import stats

    groups = [[1.0, 1.2, 1.1], [1.5, 1.4, 1.7], [0.9, 1.0, 1.3]]
    seed, _ = variance_components(list(itertools.chain(*groups)), {"seed": np.repeat([0, 1, 2], 3).tolist()})
    wanted = stats.f_oneway(*groups)
    assert (seed.f, seed.p) == pytest.approx((wanted.statistic, wanted.pvalue))


def test_unbalanced_data_are_refused_with_the_source() -> None:
    with pytest.raises(AnalysisError, match="levels of seed have unequal"):
        variance_components([1.0, 2.0, 3.0], {"seed": [1, 1, 2]})


def test_nested_sources_are_refused() -> None:
    with pytest.raises(AnalysisError, match="not crossed"):
        variance_components([1.0, 2, 3, 4], {"seed": [1, 1, 2, 2], "host": [1, 1, 2, 2]})


def test_source_with_one_level_is_refused() -> None:
    with pytest.raises(AnalysisError, match="one level only"):
        variance_components([1.0, 2.0, 3.0], {"seed": [1, 1, 1]})


def test_planted_drift_is_found() -> None:
    hours = [0.0, 1, 2, 3, 4, 5]
    conditions = ["a", "b"] * 3
    noise = [0.01, -0.02, 0.0, 0.02, -0.01, 0.0]
    y = [(1.0 if c == "a" else 5.0) + 0.3 * h + e for h, c, e in zip(hours, conditions, noise, strict=True)]
    found = time_trend(hours, conditions, y)
    assert found.low < 0.3 < found.high
    assert found.p < 0.001


def test_drift_agrees_with_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(2)
    hours, conditions, y = rng.random(12), [i % 3 for i in range(12)], rng.random(12)
    X = np.column_stack([hours, np.eye(3)[conditions]])
    fit = sm.OLS(y, X).fit()
    found = time_trend(list(hours), [str(c) for c in conditions], list(y))
    assert (found.slope, found.se, found.p) == pytest.approx((fit.params[0], fit.bse[0], fit.pvalues[0]))


def test_drift_without_spread_in_time_is_refused() -> None:
    with pytest.raises(AnalysisError, match="time does not vary"):
        time_trend([1.0, 1, 2, 2], ["a", "a", "b", "b"], [1.0, 2, 3, 4])
