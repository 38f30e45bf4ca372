"""Permutation tests: exact ones equal scipy's, sampled ones agree with exact ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foldover.core import AnalysisError
from foldover.stats import freedman_lane, permutation_test, sign_flip_test

VALUES = st.lists(st.integers(0, 20).map(float), min_size=2, max_size=5)


@given(VALUES, VALUES)
def test_exact_p_agrees_with_scipy(a: list[float], b: list[float]) -> None:
    found = permutation_test(a, b)
    wanted = stats.permutation_test(
        (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), n_resamples=np.inf, vectorized=True, alternative="less"
    )
    assert permutation_test(a, b, alternative="less").p == pytest.approx(wanted.pvalue)
    assert found.exact


@given(VALUES, VALUES)
def test_two_sided_p_is_the_same_for_both_orders(a: list[float], b: list[float]) -> None:
    assert permutation_test(a, b).p == permutation_test(b, a).p


def test_blocks_restrict_the_splits() -> None:
    found = permutation_test([1.0, 5.0], [2.0, 6.5], blocks_a=["w", "l"], blocks_b=["w", "l"])
    assert (found.splits, found.p) == (4, 0.5)


def test_block_shift_does_not_change_a_blocked_test() -> None:
    a, b, blocks = [1.0, 2.0, 5.0, 6.0], [1.5, 2.7, 5.2, 6.9], ["w", "w", "l", "l"]
    shift = [0.0, 0.0, 100.0, 100.0]
    plain = permutation_test(a, b, blocks_a=blocks, blocks_b=blocks)
    moved = permutation_test(
        [x + s for x, s in zip(a, shift, strict=True)],
        [x + s for x, s in zip(b, shift, strict=True)],
        blocks_a=blocks,
        blocks_b=blocks,
    )
    assert plain.p == moved.p


def test_sampled_p_agrees_with_the_t_test_on_normal_data() -> None:
    rng = np.random.default_rng(1)
    a, b = list(rng.standard_normal(15)), list(rng.standard_normal(15) + 0.8)
    found = permutation_test(a, b)
    assert not found.exact
    assert found.p == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.01)


def test_sampled_test_is_named_by_its_seed() -> None:
    a, b = [float(i) for i in range(15)], [i + 1.5 for i in range(15)]
    assert permutation_test(a, b, seed=7) == permutation_test(a, b, seed=7)
    assert permutation_test(a, b, seed=7).seed == 7


def test_block_with_one_label_only_is_refused() -> None:
    with pytest.raises(AnalysisError, match="no block holds runs of both"):
        permutation_test([1.0, 2.0], [3.0], blocks_a=["w", "w"], blocks_b=["l"])


def test_blocks_on_one_side_are_refused() -> None:
    with pytest.raises(AnalysisError, match="one group only"):
        permutation_test([1.0, 2.0], [3.0], blocks_a=["w", "l"])


def test_too_few_replicates_are_refused() -> None:
    with pytest.raises(AnalysisError, match="too few replicates"):
        permutation_test(list(range(15)), list(range(15)), replicates=100)


def test_five_seeds_give_a_smallest_p_of_one_sixteenth() -> None:
    found = sign_flip_test([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found.p == found.smallest_p == 1 / 16


@given(st.lists(st.integers(-20, 20).map(float), min_size=2, max_size=8))
def test_sign_flips_agree_with_scipy(d: list[float]) -> None:
    wanted = stats.permutation_test(
        (d,), lambda x, axis: x.mean(axis), permutation_type="samples", n_resamples=np.inf, alternative="less"
    )
    assert sign_flip_test(d, alternative="less").p == pytest.approx(wanted.pvalue)


def test_many_differences_are_sampled() -> None:
    found = sign_flip_test(list(np.linspace(-1.0, 1.5, 30)))
    assert (found.exact, found.splits) == (False, 2**30)


def test_freedman_lane_agrees_with_least_squares_on_normal_data() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    other = np.column_stack([np.ones(40), rng.standard_normal(40)])
    x = rng.standard_normal(40) + 0.3 * other[:, 1]
    y = 0.3 * x + 2.0 * other[:, 1] + rng.standard_normal(40)
    wanted = sm.OLS(y, np.column_stack([x, other])).fit()
    found = freedman_lane(list(x), other, list(y))
    assert found.observed == pytest.approx(wanted.tvalues[0])
    assert found.p == pytest.approx(wanted.pvalues[0], abs=0.015)


def test_freedman_lane_within_blocks_ignores_their_shifts() -> None:
    rng = np.random.default_rng(3)
    blocks = np.repeat([0, 1, 2, 3], 8)
    other = np.eye(4)[blocks]
    x, y = rng.standard_normal(32), rng.standard_normal(32)
    plain = freedman_lane(list(x), other, list(y), blocks=list(blocks))
    moved = freedman_lane(list(x), other, list(y + 50.0 * blocks), blocks=list(blocks))
    assert plain.p == moved.p


def test_aliased_term_is_refused() -> None:
    other = np.column_stack([np.ones(6), np.arange(6.0)])
    with pytest.raises(AnalysisError, match="cannot be told from the others"):
        freedman_lane([2.0 * i + 1 for i in range(6)], other, [1.0, 2.0, 4.0, 3.0, 5.0, 7.0])
