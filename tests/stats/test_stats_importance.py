"""Functional ANOVA: orthogonal shares, recovery from search logs, warnings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import functional_anova, importance_of_log
from foldover.stats.importance import _forest

GRID = list(itertools.product([0, 1], [0, 1, 2], [0, 1]))
LEVELS = {name: [row[i] for row in GRID] for i, name in enumerate("ABC")}


@given(st.lists(st.integers(-50, 50), min_size=12, max_size=12).filter(lambda v: len(set(v)) > 1))
def test_shares_of_all_orders_add_up_to_one(values: list[int]) -> None:
    found = functional_anova(LEVELS, [float(v) for v in values], max_order=3)
    assert sum(s.share for s in found.shares) == pytest.approx(1.0)
    assert found.rest == pytest.approx(0.0, abs=1e-9)


def test_rows_may_come_in_any_order() -> None:
    values = [float(i**2 % 7) for i in range(12)]
    order = list(np.random.default_rng(0).permutation(12))
    shuffled = {n: [v[i] for i in order] for n, v in LEVELS.items()}
    one, two = functional_anova(LEVELS, values), functional_anova(shuffled, [values[i] for i in order])
    assert one.share("A", "B") == pytest.approx(two.share("A", "B"))


def test_two_level_share_is_the_contrast_share() -> None:
    rng = np.random.default_rng(1)
    X = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
    y = rng.standard_normal(8)
    columns = {"A": X[:, 0], "B": X[:, 1], "C": X[:, 2], "AB": X[:, 0] * X[:, 1]}
    total = float(((y - y.mean()) ** 2).sum())
    found = functional_anova({n: list(X[:, i]) for i, n in enumerate("ABC")}, list(y))
    for name, column in columns.items():
        assert found.share(*name) == pytest.approx((column @ y) ** 2 / 8 / total)


def test_incomplete_grid_is_refused() -> None:
    with pytest.raises(AnalysisError, match="each of 12 combinations"):
        functional_anova({n: v[:-1] for n, v in LEVELS.items()}, [float(i) for i in range(11)])


def test_constant_response_is_refused() -> None:
    with pytest.raises(AnalysisError, match="constant"):
        functional_anova(LEVELS, [1.0] * 12)


SPACE = {"A": (-1, 1), "B": (-1, 1), "lr": (0.01, 0.02, 0.04)}


def log(n: int = 90) -> tuple[dict[str, list[float]], list[float]]:
    rng = np.random.default_rng(4)
    levels = {name: list(rng.choice(values, n)) for name, values in SPACE.items()}
    a, b, lr = (np.array(levels[name]) for name in SPACE)
    return levels, list(3.0 * a + b * np.sign(lr - 0.015) + 0.05 * rng.standard_normal(n))


def test_planted_importance_is_recovered_from_a_random_log() -> None:
    levels, y = log()
    found = importance_of_log(levels, y, space=SPACE, sampling="random", num_trees=40)
    # Truth: 9 for A; sign(lr) is -1, 1, 1: mean 1/3, so B has 1/9 and B x lr 8/9 of variance 1.
    assert found.share("A") == pytest.approx(0.9, abs=0.03)
    assert found.share("B", "lr") == pytest.approx(0.8 / 9, abs=0.03)
    assert found.shares[0].low <= found.share("A") <= found.shares[0].high


def test_importance_is_labelled_descriptive() -> None:
    levels, y = log()
    assert "descriptive" in importance_of_log(levels, y, space=SPACE, sampling="random", num_trees=20).notes[0]


def test_adaptive_sample_carries_a_warning() -> None:
    levels, y = log()
    found = importance_of_log(levels, y, space=SPACE, sampling="adaptive", num_trees=20)
    assert any("adaptive" in note for note in found.notes)


def test_forest_is_named_by_its_seed() -> None:
    levels, y = log()
    one, two = (importance_of_log(levels, y, space=SPACE, sampling="random", num_trees=20, seed=2) for _ in range(2))
    assert one == two


def test_too_few_rows_are_refused() -> None:
    levels, y = log(29)
    with pytest.raises(AnalysisError, match="3 factors need at least 30 rows"):
        importance_of_log(levels, y, space=SPACE, sampling="random")


def test_level_outside_the_space_is_refused() -> None:
    levels, y = log()
    levels["lr"][3] = 0.08
    with pytest.raises(AnalysisError, match=r"outside the declared space .*0\.08"):
        importance_of_log(levels, y, space=SPACE, sampling="random")


def test_constant_log_is_refused() -> None:
    levels, _ = log()
    with pytest.raises(AnalysisError, match="constant"):
        importance_of_log(levels, [1.0] * 90, space=SPACE, sampling="random")


def test_unknown_share_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        functional_anova(LEVELS, [float(i) for i in range(12)]).share("Z")


def grown(codes: list[int], y: list[float]) -> dict[int, float]:
    """One tree on one factor, by recursion: prediction at each code that it saw."""
    if len(y) > 3 and len(set(codes)) > 1:
        options = []
        for cut in sorted(set(codes))[:-1]:
            left = [v for c, v in zip(codes, y, strict=True) if c <= cut]
            right = [v for c, v in zip(codes, y, strict=True) if c > cut]
            drop = len(left) * np.mean(left) ** 2 + len(right) * np.mean(right) ** 2 - len(y) * np.mean(y) ** 2
            options.append((drop, cut))
        drop, cut = max(options)
        if drop > 1e-9:
            sides = [[(c, v) for c, v in zip(codes, y, strict=True) if (c <= cut) == left] for left in (True, False)]
            found = [grown([c for c, _ in side], [v for _, v in side]) for side in sides]
            return found[0] | found[1]
    return dict.fromkeys(codes, float(np.mean(y)))


def test_trees_that_grow_at_once_are_those_of_the_recursion() -> None:
    rng = np.random.default_rng(8)
    X = rng.integers(0, 6, (40, 1))
    y = rng.standard_normal(40) + X[:, 0] ** 2
    grid = np.arange(6)[:, None]
    forest = _forest(X, y, grid, (6,), 12, np.random.default_rng(3))
    drawn = np.random.default_rng(3).integers(0, 40, (12, 40))
    for tree, rows in zip(forest, drawn, strict=True):
        for code, value in grown(X[rows, 0].tolist(), y[rows].tolist()).items():
            assert tree[code] == pytest.approx(value)
