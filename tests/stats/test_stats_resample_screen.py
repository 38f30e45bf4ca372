"""Bootstrap of a screen: right errors by every scheme, one answer, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import bootstrap_effects
from foldover.stats.resample_screen import Scheme

BASE = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
HALF = np.column_stack([BASE, BASE.prod(axis=1)])
SEEDS = np.repeat(np.arange(10), 16)
X = np.tile(HALF, (10, 1))
RNG = np.random.default_rng(1)
Y = 1.0 + X @ [0.03, 0.02, -0.01, 0.04, 0.0] + 0.01 * RNG.standard_normal(160) + 0.02 * RNG.standard_normal(10)[SEEDS]
TERMS = {letter: X[:, j] for j, letter in enumerate("ABCDE")}
SCHEMES: tuple[Scheme, ...] = ("case", "cell", "seed", "residual")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_estimates_are_high_minus_low(scheme: Scheme) -> None:
    found = bootstrap_effects(TERMS, Y, seeds=list(SEEDS), scheme=scheme, replicates=199)
    for effect, (name, column) in zip(found.effects, TERMS.items(), strict=True):
        assert effect.term == name
        assert effect.estimate == pytest.approx(Y[column > 0].mean() - Y[column < 0].mean(), abs=1e-12)


@pytest.mark.parametrize("scheme", ["case", "residual", "seed"])
def test_standard_error_is_that_of_the_noise(scheme: Scheme) -> None:
    # True se 2 x 0.01 / sqrt(160) = 0.00158; the sample gives it to some 25%, the mean over terms closer.
    found = bootstrap_effects(TERMS, Y, seeds=list(SEEDS), scheme=scheme, replicates=2000)
    mean = math.sqrt(np.mean([e.se**2 for e in found.effects]))
    assert mean == pytest.approx(0.00158, rel=0.25)


def test_cells_keep_the_seed_effect_in_their_spread() -> None:
    found = bootstrap_effects(TERMS, Y, seeds=list(SEEDS), scheme="cell", replicates=2000)
    expected = 2.0 * math.sqrt(np.mean([Y[(row == X).all(axis=1)].var() for row in HALF]) / 160)
    assert found.effects[0].se == pytest.approx(expected, rel=0.06)


def test_case_scheme_agrees_with_refitting() -> None:
    """Weights with a batched solve give what a loop of least squares on resampled rows gives."""
    from foldover.stats.resample import draw_weights

    weights = draw_weights(np.random.default_rng(0), 199, 160)
    model = np.column_stack([np.ones(160), X, np.eye(10)[SEEDS][:, 1:]])
    refits = []
    for w in weights:
        rows = np.repeat(np.arange(160), w.astype(int))
        refits.append(2.0 * np.linalg.lstsq(model[rows], Y[rows], rcond=None)[0][1])
    found = bootstrap_effects(TERMS, Y, seeds=list(SEEDS), scheme="case", replicates=199)
    assert found.effects[0].se == pytest.approx(np.std(refits, ddof=1), rel=1e-8)
    assert found.effects[0].bias == pytest.approx(np.mean(refits) - found.effects[0].estimate, abs=1e-10)


@pytest.mark.parametrize("scheme", ["seed", "case"])
def test_bca_lies_near_percentile_for_symmetric_noise(scheme: Scheme) -> None:
    plain = bootstrap_effects(TERMS, Y, seeds=list(SEEDS), scheme=scheme, replicates=4000).effects[0]
    bca = bootstrap_effects(TERMS, Y, seeds=list(SEEDS), scheme=scheme, replicates=4000, kind="bca").effects[0]
    assert (bca.low, bca.high) == pytest.approx((plain.low, plain.high), abs=0.4 * plain.se)


def test_large_cells_are_resampled_too() -> None:
    terms = {"A": np.repeat([-1.0, 1.0], 40)}
    y = np.random.default_rng(0).standard_normal(80)
    found = bootstrap_effects(terms, y, scheme="cell", replicates=4000)
    assert found.effects[0].se == pytest.approx(math.sqrt(y[:40].var() / 40 + y[40:].var() / 40), rel=0.05)


def test_few_seeds_carry_a_warning() -> None:
    few = SEEDS < 5
    terms = {name: column[few] for name, column in TERMS.items()}
    assert "fewer than 8" in bootstrap_effects(terms, Y[few], seeds=list(SEEDS[few])).notes[0]


def test_result_is_named_by_its_seed() -> None:
    one, two = (bootstrap_effects(TERMS, Y, seeds=list(SEEDS), replicates=199, seed=4) for _ in range(2))
    assert one == two


def test_incomplete_seed_is_refused() -> None:
    terms = {name: column[:-1] for name, column in TERMS.items()}
    with pytest.raises(AnalysisError, match="do not all hold the same conditions"):
        bootstrap_effects(terms, Y[:-1], seeds=list(SEEDS[:-1]), scheme="seed")


def test_whole_seeds_need_seeds() -> None:
    with pytest.raises(AnalysisError, match="when the seeds are given"):
        bootstrap_effects(TERMS, Y, scheme="seed")


def test_single_runs_cannot_be_resampled_within_cells() -> None:
    terms = {name: column[:16] for name, column in TERMS.items()}
    with pytest.raises(AnalysisError, match="has one run"):
        bootstrap_effects(terms, Y[:16], scheme="cell")


def test_aliased_terms_are_refused() -> None:
    terms = TERMS | {"BCDE": X[:, 0]}
    with pytest.raises(AnalysisError, match="aliased"):
        bootstrap_effects(terms, Y, scheme="residual")


def test_bca_of_cells_is_refused() -> None:
    with pytest.raises(AnalysisError, match="whole seeds or runs"):
        bootstrap_effects(TERMS, Y, scheme="cell", kind="bca")


def test_too_few_replicates_are_refused() -> None:
    with pytest.raises(AnalysisError, match="too few bootstrap"):
        bootstrap_effects(TERMS, Y, scheme="cell", replicates=100)
