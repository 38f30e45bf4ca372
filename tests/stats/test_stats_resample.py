"""Bootstrap: agreement with scipy and theory, units that stay together, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from foldover.core import AnalysisError
from foldover.stats import bootstrap, bootstrap_difference, bootstrap_mean, bootstrap_paired

RNG = np.random.default_rng(1)
SKEWED = list(RNG.standard_normal(25) ** 2)
OTHER = list(RNG.standard_normal(18))


def test_bca_of_a_mean_agrees_with_scipy() -> None:
    found = bootstrap_mean(SKEWED, replicates=20_000)
    wanted = stats.bootstrap((SKEWED,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.06 * (wanted.high - wanted.low))


def test_bca_of_a_difference_agrees_with_scipy() -> None:
    found = bootstrap_difference(SKEWED, OTHER, replicates=20_000)
    wanted = stats.bootstrap(
        (SKEWED, OTHER),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        n_resamples=20_000,
        method="BCa",
        rng=2,
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.06 * (wanted.high - wanted.low))


def test_standard_error_is_the_plug_in_one() -> None:
    plug_in = float(np.std(SKEWED)) / math.sqrt(len(SKEWED))
    assert bootstrap_mean(SKEWED, replicates=20_000).se == pytest.approx(plug_in, rel=0.03)


def test_studentised_interval_covers_better_than_percentile() -> None:
    rng = np.random.default_rng(2)
    hits = {"percentile": 0, "studentised": 0}
    for _ in range(300):
        values = list(rng.exponential(size=10))
        for kind in hits:
            found = bootstrap_mean(values, kind=kind, replicates=499)  # type: ignore[arg-type]
            hits[kind] += found.low <= 1.0 <= found.high
    assert hits["studentised"] > hits["percentile"]
    assert hits["studentised"] / 300 > 0.9


def test_clusters_stay_together() -> None:
    # Values repeated within a seed carry no more information than the seed: the se must not shrink.
    single = bootstrap_mean(OTHER, kind="percentile", replicates=10_000)
    copied = bootstrap_mean([[x, x, x] for x in OTHER], kind="percentile", replicates=10_000)
    assert copied.se == pytest.approx(single.se, rel=1e-9)


def test_few_units_carry_a_warning_and_the_t_interval() -> None:
    found = bootstrap_mean([1.0, 1.2, 1.1, 1.4, 0.9])
    assert "fewer than 8" in found.notes[0]
    assert found.t is not None
    assert found.t.high - found.t.low > found.high - found.low


def test_enough_units_carry_no_warning() -> None:
    assert bootstrap_mean(OTHER).notes == ()


def test_paired_bootstrap_is_the_bootstrap_of_differences() -> None:
    a, b = dict(enumerate(SKEWED[:10])), dict(enumerate(OTHER[:10]))
    differences = [a[s] - b[s] for s in range(10)]
    assert bootstrap_paired(a, b) == bootstrap_mean(differences)


def test_result_is_named_by_its_seed() -> None:
    assert bootstrap_mean(OTHER, seed=3) == bootstrap_mean(OTHER, seed=3)
    assert bootstrap_mean(OTHER, seed=3).low != bootstrap_mean(OTHER, seed=4).low


def test_any_statistic_of_weights() -> None:
    values = np.array(OTHER)

    def second_moment(weights: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray(weights @ values**2 / weights.sum(axis=1))

    found = bootstrap(second_moment, len(values), kind="percentile")
    assert found.low < float((values**2).mean()) < found.high


@pytest.mark.parametrize("replicates", [0, 198])
def test_too_few_replicates_are_refused(replicates: int) -> None:
    with pytest.raises(AnalysisError, match="too few bootstrap replicates"):
        bootstrap_mean(OTHER, replicates=replicates)


def test_one_unit_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least 2 units"):
        bootstrap_mean([1.0])


def test_studentised_interval_of_a_bare_statistic_is_refused() -> None:
    with pytest.raises(AnalysisError, match="needs the statistic's standard error"):
        bootstrap(lambda w: w @ np.array(OTHER), len(OTHER), kind="studentised")


def test_studentised_interval_of_two_units_is_refused() -> None:
    with pytest.raises(AnalysisError, match="too few units"):
        bootstrap_mean([1.0, 2.0], kind="studentised")


def test_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(AnalysisError, match="not a finite number"):
        bootstrap_mean([1.0, math.nan, 2.0])
