"""The surface against its published test vectors (surface.json of the fit; the same numbers in data/)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import BudgetError, DesignError, RecipeError
from foldover.simulator import HOSTS, PLANTED, SURFACES, calibration, full_factorial, get_surface
from foldover.simulator.streams import recipe_key, uniform
from foldover.simulator.surface import cell_noise, seed_noise

KNOWN = json.loads((Path(__file__).parent / "data" / "surface-known-answers.json").read_text())
VECTORS = KNOWN["test_vectors"]
CALIBRATED = get_surface("calibrated")
CORNERS = full_factorial()
FRACTION = CORNERS[np.prod(CORNERS, axis=1) == 1.0]
TERMS = [
    (*key.split("_"), term, effect)
    for key, effects in KNOWN["true_effects_full_2_5"].items()
    for term, effect in effects.items()
    if term != "mean"
]
coded = st.tuples(*[st.floats(-2.0, 2.0) for _ in range(5)])
minutes = st.floats(1.0, 2880.0)


def name(vector):
    return f"{vector['recipe']}-{vector['host']}-{vector['budget']}"


@pytest.mark.parametrize("vector", VECTORS, ids=name)
def test_value_agrees_with_the_test_vector(vector):
    value = CALIBRATED.values(
        [vector["x"]], vector["budget"], vector["host"], seeds=[vector["seed"]], rerun=vector["rep"]
    )
    assert value.item() == pytest.approx(vector["value"], abs=1e-7)


@pytest.mark.parametrize("vector", VECTORS, ids=name)
def test_mean_and_sd_agree_with_the_test_vector(vector):
    at = (vector["x"], vector["budget"], vector["host"])
    assert [CALIBRATED.mean(*at), CALIBRATED.sd(*at)] == pytest.approx([vector["mean"], vector["sd"]], abs=1e-7)


@pytest.mark.parametrize("vector", VECTORS, ids=name)
def test_noise_agrees_with_the_test_vector(vector):
    v, w = cell_noise([vector["x"]], vector["budget"], vector["host"], seeds=[vector["seed"]], rerun=vector["rep"])
    found = [seed_noise([vector["seed"]]).item(), v.item(), w.item()]
    assert found == pytest.approx([vector["u"], vector["v"], vector["w"]], abs=1e-7)


@pytest.mark.parametrize("key", KNOWN["grid_means"])
def test_means_of_the_32_corners_are_the_published_ones(key):
    host, budget = key.split("_")
    found = CALIBRATED.mean(CORNERS, float(budget), host)
    np.testing.assert_allclose(found, KNOWN["grid_means"][key], atol=6e-7)


@pytest.mark.parametrize(("host", "budget", "term", "effect"), TERMS)
def test_true_effect_over_the_full_factorial_is_the_published_one(host, budget, term, effect):
    assert CALIBRATED.true_effect(term, float(budget), host) == pytest.approx(effect, abs=6e-7)


def test_true_effects_over_the_16_run_fraction_are_those_of_the_monte_carlo():
    found = [CALIBRATED.true_effect(letter, 5, points=FRACTION) for letter in "ABCDE"]
    assert found == pytest.approx(KNOWN["monte_carlo"]["5"]["true"], abs=1e-6)


def test_seed_noise_moves_every_condition_the_same_way():
    seeds = range(400)
    values = CALIBRATED.values(CORNERS[[0, 31]], 5, seeds=seeds)
    assert np.corrcoef(values)[0, 1] == pytest.approx(CALIBRATED.rho, abs=0.08)


def test_pairing_by_seed_halves_the_variance_of_a_difference_of_alike_recipes():
    x = calibration().recipes["c07"], calibration().recipes["c03"]
    a, b = CALIBRATED.values(x, 60, seeds=range(3000))
    paired = np.var(a - b)
    unpaired = np.var(a) + np.var(b)
    assert paired / unpaired == pytest.approx(1 - CALIBRATED.rho, abs=0.1)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("budget", [5.0, 10.0, 720.0])
def test_sd_of_each_cell_over_seeds_is_the_stated_one(surface, budget):
    truth = get_surface(surface)
    found = truth.values(FRACTION, budget, seeds=range(3000)).std(axis=1, ddof=1)
    expected = np.hypot(truth.sd(FRACTION, budget), truth.rerun)
    np.testing.assert_allclose(found, expected, rtol=0.06)


def test_mean_of_each_cell_over_seeds_is_the_stated_one():
    found = CALIBRATED.values(FRACTION, 5, "linux", seeds=range(3000))
    errors = (found.mean(axis=1) - CALIBRATED.mean(FRACTION, 5, "linux")) / (found.std(axis=1) / np.sqrt(3000))
    assert np.abs(errors).max() < 4.0


def test_noise_grows_in_the_bad_region():
    worst, best = (CALIBRATED.sd(calibration().recipes[name], 5) for name in ("c14", "c07"))
    assert worst / best > 10


def test_reruns_of_a_seed_differ_by_the_rerun_noise_only():
    x = [calibration().recipes["c14"]]
    values = np.array([CALIBRATED.values(x, 5, seeds=[36008], rerun=rerun).item() for rerun in range(2000)])
    assert values.std() == pytest.approx(CALIBRATED.rerun, rel=0.06)


@pytest.mark.parametrize("term", ["A", "D", "BE"])
def test_effects_within_seeds_spread_as_stated(term):
    column = np.prod([FRACTION[:, "ABCDE".index(letter)] for letter in term], axis=0)
    found = column @ CALIBRATED.values(FRACTION, 5, seeds=range(4000)) / 8
    assert found.std() == pytest.approx(CALIBRATED.effect_sd(term, 5, points=FRACTION), rel=0.05)


def test_a_value_does_not_depend_on_what_else_is_asked():
    together = CALIBRATED.values(FRACTION, 5, seeds=[7, 8, 9])
    alone = CALIBRATED.values(FRACTION[[3]], 5, seeds=[8])
    assert together[3, 1] == alone.item()


def test_order_of_recipes_and_seeds_does_not_change_values():
    forward = CALIBRATED.values(FRACTION, 10, seeds=[1, 2, 3])
    backward = CALIBRATED.values(FRACTION[::-1], 10, seeds=[3, 2, 1])
    np.testing.assert_array_equal(forward, backward[::-1, ::-1])


def test_a_seed_has_the_same_part_on_both_hosts_and_all_budgets():
    surface = replace(CALIBRATED, rho=1.0, rerun=0.0)
    x = [calibration().recipes["c07"]]
    scaled = [
        ((surface.values(x, t, host, seeds=[3]) - surface.mean(x, t, host)) / surface.sd(x, t, host)).item()
        for t in (2, 60)
        for host in HOSTS
    ]
    assert scaled == pytest.approx([seed_noise([3]).item()] * 4)


@given(x=coded, early=minutes, late=minutes)
def test_more_time_never_hurts_inside_the_corners(x, early, late):
    inside = np.clip(x, -1.0, 1.0)
    early, late = sorted((early, late))
    assert CALIBRATED.mean(inside, late) <= CALIBRATED.mean(inside, early) + 1e-12


@given(x=coded, t=minutes, host=st.sampled_from(HOSTS))
def test_sd_is_positive_everywhere(x, t, host):
    assert CALIBRATED.sd(x, t, host) > 0


@given(x=coded, t=minutes, host=st.sampled_from(HOSTS))
def test_null_surface_is_flat(x, t, host):
    null = get_surface("null")
    assert null.mean(x, t, host) == null.mean((0, 0, 0, 0, 0), t, host)


@pytest.mark.parametrize("term", ["A", "B", "C", "D", "E", "AB", "CDE"])
@pytest.mark.parametrize("host", HOSTS)
def test_effects_of_the_linear_surface_are_the_planted_ones(term, host):
    assert get_surface("linear").true_effect(term, 5, host) == pytest.approx(PLANTED.get(term, 0.0), abs=1e-12)


def test_control_overtakes_the_greedy_recipe_on_the_second_host():
    x = [calibration().recipes[name] for name in ("control_c10", "greedy", "bridge_d8")]
    order = {host: np.argsort(CALIBRATED.mean(x, 60, host)).tolist() for host in HOSTS}
    assert order == {"windows": [2, 1, 0], "linux": [2, 0, 1]}


def test_a_rounded_zero_has_one_key():
    assert recipe_key((-0.00001, 0.0, -0.0, 1, -1)) == "+0.0000,+0.0000,+0.0000,+1.0000,-1.0000"


@given(st.integers())
def test_uniform_draws_lie_strictly_inside_the_unit_interval(number):
    assert 0.0 < uniform(f"u|{number}") < 1.0


@pytest.mark.parametrize("budget", [0.99, 2881.0, float("nan")])
def test_budget_beyond_the_surface_is_refused(budget):
    with pytest.raises(BudgetError, match="from 1 minute to 48 hours"):
        CALIBRATED.mean((0, 0, 0, 0, 0), budget)


@pytest.mark.parametrize("x", [(2.1, 0, 0, 0, 0), (float("nan"), 0, 0, 0, 0), (0, 0, 0, 0)])
def test_recipe_off_the_surface_is_refused(x):
    with pytest.raises(RecipeError):
        CALIBRATED.mean(x, 5)


def test_unknown_host_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match="windows, linux"):
        CALIBRATED.sd((0, 0, 0, 0, 0), 5, "mac")


def test_unknown_surface_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match="calibrated, null, linear"):
        get_surface("flat")


@pytest.mark.parametrize("term", ["", "F", "A:B"])
def test_term_of_unknown_factors_is_refused(term):
    with pytest.raises(DesignError, match="not made of"):
        CALIBRATED.true_effect(term, 5)


def test_effect_over_points_without_two_balanced_levels_is_refused():
    with pytest.raises(DesignError, match="half"):
        CALIBRATED.true_effect("A", 5, points=CORNERS[:20])
