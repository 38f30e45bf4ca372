"""Win counts describe; Mann-Whitney tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foldover.core import AnalysisError
from foldover.stats import cliffs_delta, mann_whitney, win_counts

VALUES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=6)


def test_members_of_each_group_are_listed() -> None:
    found = win_counts({"c07": [1.0, 1.1], "c03": [1.2]}, {"c14": [1.3, 1.4]}, name_a="best", name_b="worst")
    assert found.members_a == (("c07", 2), ("c03", 1))
    assert (found.label, found.name_b) == ("6/6", "worst")


def test_p_of_a_win_count_is_refused() -> None:
    found = win_counts({"a": [1.0]}, {"b": [2.0]})
    with pytest.raises(AnalysisError, match="no p-value"):
        _ = found.p


@given(VALUES, VALUES)
def test_wins_losses_and_ties_make_all_pairs(a: list[float], b: list[float]) -> None:
    found = win_counts({"a": a}, {"b": b})
    assert found.wins + found.losses + found.ties == len(a) * len(b)
    assert found.wins == sum(x < y for x in a for y in b)


@given(VALUES, VALUES)
def test_cliffs_delta_is_antisymmetric(a: list[float], b: list[float]) -> None:
    assert cliffs_delta(a, b) == -cliffs_delta(b, a)


@given(VALUES, VALUES)
def test_cliffs_delta_is_u_rescaled(a: list[float], b: list[float]) -> None:
    u = mann_whitney(a, b, method="normal").u if len({*a, *b}) > 1 else len(a) * len(b) / 2
    assert cliffs_delta(a, b) == pytest.approx(2 * u / (len(a) * len(b)) - 1)


def test_higher_is_better_turns_the_count_round() -> None:
    low = win_counts({"a": [1.0, 5.0]}, {"b": [2.0]})
    high = win_counts({"a": [1.0, 5.0]}, {"b": [2.0]}, lower_is_better=False)
    assert (low.wins, high.wins, low.cliffs_delta) == (1, 1, high.cliffs_delta)


def test_condition_in_both_groups_is_refused() -> None:
    with pytest.raises(AnalysisError, match="share conditions"):
        win_counts({"a": [1.0]}, {"a": [2.0]})


def test_empty_group_is_refused() -> None:
    with pytest.raises(AnalysisError, match="group a needs at least 1"):
        win_counts({}, {"b": [2.0]})


def test_sixteen_of_sixteen_has_p_2_in_70() -> None:
    assert mann_whitney([1.0, 2, 3, 4], [5.0, 6, 7, 8]).p == pytest.approx(2 / 70)


def test_four_of_four_has_p_one_third() -> None:
    assert mann_whitney([1.0, 2.0], [3.0, 4.0]).p == pytest.approx(1 / 3)


def test_exact_p_with_ties_is_the_permutation_distribution() -> None:
    found = mann_whitney([1.0, 2.0, 2.0], [2.0, 3.0, 4.0])
    wanted = stats.permutation_test(
        ([1.0, 2.0, 2.0], [2.0, 3.0, 4.0]), lambda a, b: stats.mannwhitneyu(a, b).statistic, n_resamples=1000
    )
    assert found.exact
    assert found.p == pytest.approx(wanted.pvalue)


def test_large_samples_use_the_normal_approximation() -> None:
    a, b = [float(i) for i in range(30)], [i + 0.5 for i in range(30)]
    assert not mann_whitney(a, b).exact


def test_exact_test_with_ties_too_large_to_list_is_refused() -> None:
    a = [float(i % 5) for i in range(30)]
    with pytest.raises(AnalysisError, match="would need"):
        mann_whitney(a, a, method="exact")
