"""The published effects of the staged-screening paper, recomputed from what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.stats import adjust
from foldover.stats.tails import f_upper, t_quantile, t_two_sided

PAPER: dict[str, Any] = json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["paper"]
SCREENS = {5: PAPER["effects_5min"], 10: PAPER["effects_10min"]}


@pytest.mark.parametrize("budget", [5, 10])
def test_one_standard_error_on_70_df_gives_all_five_intervals(budget: int) -> None:
    se = PAPER["derived"][f"se_effect_{budget}min"]
    half = t_quantile(0.975, 70.0) * se
    for _, effect, low, high, *_ in SCREENS[budget]:
        assert (effect - half, effect + half) == pytest.approx((low, high), abs=1.1e-4)


@pytest.mark.parametrize("budget", [5, 10])
def test_printed_p_values_follow_from_t_on_70_df(budget: int) -> None:
    se = PAPER["derived"][f"se_effect_{budget}min"]
    for _, effect, _, _, p, *_ in SCREENS[budget]:
        # Effects are printed to 5e-5 only; p must lie between those of the rounding's ends.
        ends = t_two_sided(np.array([abs(effect) + 6e-5, max(abs(effect) - 6e-5, 0.0)]) / se, 70.0)
        assert ends[0] * 0.97 <= p <= ends[1] * 1.03


@pytest.mark.parametrize("budget", [5, 10])
def test_printed_q_values_are_bh_of_the_printed_p(budget: int) -> None:
    rows = SCREENS[budget]
    q = adjust([row[4] for row in rows], "bh")
    assert list(q) == pytest.approx([row[5] for row in rows], rel=5e-3)


@pytest.mark.parametrize("budget", [5, 10])
def test_residual_sd_follows_from_the_standard_error(budget: int) -> None:
    assert PAPER["derived"][f"se_effect_{budget}min"] * np.sqrt(80) / 2 == pytest.approx(
        PAPER["derived"][f"residual_sd_{budget}min"], rel=1e-3
    )


def test_residual_degrees_of_freedom() -> None:
    assert PAPER["derived"]["residual_df"] == 80 - 1 - 5 - 4
    assert PAPER["derived"]["dfixed"]["residual_df"] == PAPER["dfixed"]["n_rows"] - 22


def test_dfixed_intervals_have_one_half_width() -> None:
    halves = [(row[3] - row[2]) / 2 for row in PAPER["dfixed"]["rows"]]
    assert halves == pytest.approx([0.0013] * 10, abs=1e-4)


def test_dfixed_budget_delta_p_implies_the_derived_standard_error() -> None:
    low, high = PAPER["derived"]["dfixed"]["se_effect_range"]
    delta = abs(PAPER["dfixed"]["AB_budget_delta"])
    p = t_two_sided(np.array([(delta + 5e-5) / (low * 2**0.5), (delta - 5e-5) / (high * 2**0.5)]), 42.0)
    assert p[0] <= PAPER["dfixed"]["AB_budget_delta_p"] <= p[1]


def test_dfixed_interaction_ratios() -> None:
    rows = {row[0]: row for row in PAPER["dfixed"]["rows"]}
    assert rows["A:B"][1] / rows["A"][1] == pytest.approx(PAPER["dfixed"]["AB_over_A_5min"], abs=2e-3)
    assert rows["A:B"][4] / rows["A"][4] == pytest.approx(PAPER["dfixed"]["AB_over_A_10min"], abs=3e-3)


@pytest.mark.parametrize("budget", [5, 10])
def test_interactions_with_d_follow_from_the_two_screens(budget: int) -> None:
    full = {row[0]: row[1] for row in SCREENS[budget]}
    at_low = {row[0]: row[1 if budget == 5 else 4] for row in PAPER["dfixed"]["rows"]}
    for letter in "ABCE":
        name = f"{letter}:D"
        name = name if name in PAPER["derived"]["implied_D_interactions"][str(budget)] else "E:D"
        implied = full[letter] - at_low[letter]
        assert implied == pytest.approx(PAPER["derived"]["implied_D_interactions"][str(budget)][name], abs=1e-4)


def test_eta_squared_gives_the_seed_f_of_the_targeted_package() -> None:
    share = {row[0]: row[1] for row in PAPER["eta_sq"]["rows"]}
    assert sum(share.values()) == pytest.approx(1.0, abs=2e-4)
    f = (share["seed"] / 4) / (share["residual"] / 68)
    assert f == pytest.approx(6.34, abs=0.01)
    assert f_upper(f, 4, 68) == pytest.approx(0.00021, abs=2e-5)
