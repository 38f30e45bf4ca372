"""How many runs name the factors that matter: curves, thresholds in hindsight, interpolation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foldover.cli.race import _naming_lines
from foldover.lab.naming import RANDOM, SEEDS_OF_CURVE, Named, NamingProblem, names_of, naming_curves, runs_until
from foldover.planning.race import best_threshold, named
from foldover.planning.strategies.trial import corners

ROWS = tuple((a, b, a * b) for a in (-1.0, 1.0) for b in (-1.0, 1.0))


def a_problem(noise: float) -> NamingProblem:
    """A is worth 0.02, B 0.01, C nothing; noise: sd of a run."""

    def values(points, budget, seeds):
        x = np.array(points)
        drawn = np.random.default_rng(next(iter(seeds))).standard_normal((len(points), len(seeds)))
        return (0.01 * x[:, 0] + 0.005 * x[:, 1])[:, None] + noise * drawn

    return NamingProblem(
        space=corners("ABC"),
        rows=ROWS,
        target=10.0,
        budgets=(10.0, 5.0),
        smallest_effect=0.003,
        q=0.05,
        values=values,
    )


def test_without_much_noise_every_way_names_the_planted_factors():
    found = [one for each in range(3) for one in names_of(a_problem(1e-5), each, first_seed=1 + 1000 * each)]
    curves = naming_curves(found, frozenset("AB"))
    assert [(curve.way, curve.budget) for curve in curves] == [("screen", 10.0), ("screen", 5.0), (RANDOM, 10.0)]
    assert all(curve.points[-1].hindsight == 1.0 for curve in curves)
    assert [curve.points[-1].declared for curve in curves] == [1.0, 1.0, None]
    assert [point.runs for point in curves[0].points] == [4 * seeds for seeds in SEEDS_OF_CURVE]
    # Fewer than ten runs a factor carry no forest, so nothing is named.
    assert [point.hindsight for point in curves[2].points if point.runs < 30] == [0.0] * 5


def test_noise_beyond_the_effects_names_nothing_reliably():
    found = [one for each in range(4) for one in names_of(a_problem(0.5), each, first_seed=1 + 1000 * each)]
    screen = naming_curves(found, frozenset("AB"))[0]
    assert screen.needed == math.inf


def test_where_a_curve_gets_to_its_share_is_interpolated():
    assert runs_until([(64, 0.8), (96, 0.9), (128, 1.0)]) == pytest.approx(112.0)
    assert runs_until([(64, 0.96), (96, 0.9)]) == 64.0
    assert runs_until([(64, 0.8), (96, 0.9)]) == math.inf


def test_the_threshold_in_hindsight_is_the_best_of_all():
    rng = np.random.default_rng(3)
    shares = [dict(zip("ABC", rng.random(3) * [1.0, 0.7, 0.4], strict=True)) for _ in range(60)]
    truth = frozenset("AB")
    candidates = sorted({share for each in shares for share in each.values()} | {0.0})
    right = {least: sum(named(each, least) == truth for each in shares) for least in candidates}
    least = best_threshold(shares, truth)
    assert right[least] == max(right.values())
    assert least == min(c for c, count in right.items() if count == right[least])


def test_the_table_says_how_far_off_the_screen_is():
    def some(way, share, runs):
        return [
            Named(way=way, budget=10.0, runs=runs, declared=frozenset("A" if i < share else ""), sizes={"A": 1.0})
            for i in range(20)
        ]

    # Sizes name A always; the rule names it in 19 of 20 at 50 runs and in fewer at 25.
    found = [*some("screen", 15, 25), *some("screen", 19, 50), *some("screen", 20, 100)]
    search = [
        Named(way=RANDOM, budget=10.0, runs=runs, declared=None, sizes={"A": float(i < share)})
        for runs, share in ((25, 10), (50, 18), (100, 20))
        for i in range(20)
    ]
    curves = naming_curves([*found, *search], frozenset("A"))
    assert (curves[0].needed, curves[0].needed_in_hindsight) == (50.0, 25.0)
    assert curves[1].needed == pytest.approx(75.0)
    lines = _naming_lines(curves)
    assert lines[-1].startswith("runs of the screen over those of random search: 0.67, more than half")
    assert lines[-1].endswith("threshold in hindsight: 0.33, at most half")
