"""Order of conditions on two hosts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foldover.core import AnalysisError
from foldover.stats import Moments, host_interaction, ordering_agreement, welch

NAMES = ("a", "b", "c", "d", "e")


def runs(means: list[float], sd: float = 0.01, n: int = 4, seed: int = 0) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {name: list(m + sd * rng.standard_normal(n)) for name, m in zip(NAMES, means, strict=False)}


@given(st.permutations(range(5)), st.permutations(range(5)))
def test_tau_agrees_with_scipy(x: list[int], y: list[int]) -> None:
    found = ordering_agreement(
        dict(zip(NAMES, map(float, x), strict=True)), dict(zip(NAMES, map(float, y), strict=True))
    )
    wanted = stats.kendalltau(x, y)
    assert (found.tau, found.p) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert found.concordant + found.discordant == 10


def test_ties_are_counted_apart() -> None:
    found = ordering_agreement({"a": 1.0, "b": 1.0, "c": 2.0}, {"a": 1.0, "b": 2.0, "c": 3.0})
    assert (found.concordant, found.discordant, found.ties) == (2, 0, 1)
    assert found.tau == pytest.approx(stats.kendalltau([1, 1, 2], [1, 2, 3]).statistic)


def test_reversal_that_both_hosts_separate_is_supported() -> None:
    found = ordering_agreement(runs([1.0, 2.0, 3.0]), runs([2.0, 1.0, 3.0], seed=1))
    assert [(r.a, r.b, r.supported) for r in found.reversals] == [("a", "b", True)]
    assert found.reversals[0].probability == pytest.approx(1.0)


def test_reversal_within_noise_is_not_supported() -> None:
    first = {"a": [1.00, 1.10, 0.95], "b": [1.02, 1.08, 1.00], "c": [3.0, 3.1, 3.05]}
    second = {"a": [1.05, 1.10, 1.00], "b": [1.00, 1.06, 0.98], "c": [3.0, 3.2, 3.05]}
    (reversal,) = ordering_agreement(first, second).reversals
    assert not reversal.supported
    assert reversal.probability is not None
    assert 0.3 < reversal.probability < 0.8


def test_pairs_in_the_other_order_of_names_are_recognised() -> None:
    second = runs([2.0, 1.0, 3.0], seed=1)
    backwards = {name: second[name] for name in ("c", "b", "a")}
    assert ordering_agreement(runs([1.0, 2.0, 3.0]), backwards).reversals[0].supported


def test_means_alone_support_no_reversal() -> None:
    found = ordering_agreement({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 2.0, "b": 1.0, "c": 3.0})
    assert not found.reversals[0].supported
    assert "means only" in found.notes[-1]


def test_offset_and_slope_describe_the_second_host() -> None:
    found = ordering_agreement({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 3.0, "b": 5.0, "c": 7.0})
    assert (found.slope, found.offset) == pytest.approx((2.0, 3.0))


def test_moments_of_a_table_serve_as_runs() -> None:
    cells = {n: Moments(n=4, mean=m, sd=0.001) for n, m in zip("abc", (1.0, 2.0, 3.0), strict=True)}
    swapped = cells | {"a": cells["b"], "b": cells["a"]}
    assert ordering_agreement(cells, swapped).reversals[0].supported


def test_condition_on_one_host_only_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"lack a partner .*'d'"):
        ordering_agreement({"a": 1.0, "b": 2.0, "d": 3.0}, {"a": 1.0, "b": 2.0})


def test_two_conditions_have_no_order_to_compare() -> None:
    with pytest.raises(AnalysisError, match="at least three"):
        ordering_agreement({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0})


def test_interaction_of_two_by_two_is_welch_of_the_difference() -> None:
    hosts = {"w": runs([1.0, 1.02], 0.02), "l": runs([1.0, 1.08], 0.03, seed=5)}
    found = host_interaction(hosts)
    cells = [np.array(hosts[h][c]) for h in ("w", "l") for c in ("a", "b")]
    v = [c.var(ddof=1) / len(c) for c in cells]
    t2 = (cells[0].mean() - cells[1].mean() - cells[2].mean() + cells[3].mean()) ** 2 / sum(v)
    df = sum(v) ** 2 / sum(x**2 / 3 for x in v)
    assert (found.f, found.df2) == pytest.approx((t2, df), rel=1e-9)


def test_interaction_keeps_its_level_under_unequal_variances() -> None:
    rng = np.random.default_rng(2)
    rejected = 0
    for _ in range(500):
        hosts = {
            h: {c: list(rng.normal(i + j, 0.1 + 0.5 * i, 5)) for i, c in enumerate("abc")} for j, h in enumerate("wl")
        }
        rejected += host_interaction(hosts).p < 0.05
    assert abs(rejected / 500 - 0.05) < 0.03


def test_planted_interaction_is_found() -> None:
    assert host_interaction({"w": runs([1.0, 2.0, 3.0]), "l": runs([2.0, 1.0, 3.0], seed=1)}).p < 1e-6


def test_hosts_with_other_conditions_are_refused() -> None:
    with pytest.raises(AnalysisError, match="same conditions"):
        host_interaction({"w": runs([1.0, 2.0]), "l": runs([1.0, 2.0, 3.0])})


def test_difference_of_two_conditions_is_what_welch_says() -> None:
    first = runs([1.0, 2.0, 3.0])
    found = ordering_agreement(first, runs([2.0, 1.0, 3.0], seed=1)).reversals[0]
    assert found.first == pytest.approx(welch(first["a"], first["b"]).difference)
