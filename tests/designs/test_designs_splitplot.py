import itertools

import pytest

from foldover.core import DesignError, Factor
from foldover.designs import cross_plots, fractional_factorial, full_factorial, replicate, split_plot, strata


def test_strata_of_the_half_fraction_are_the_published_ones(answers, factors):
    case = answers["D13"]
    design = split_plot(factors(5), case["input"]["whole_plot"], generators=case["input"]["generators"])
    found = strata(design)
    assert list(found.whole_plot) == case["expected"]["whole_plot_stratum"]
    assert list(found.drawn_in) == case["expected"]["aliases_in_whole_plot_stratum"]
    assert [e for e in found.sub_plot if len(e) == 2] == case["expected"]["sub_plot_stratum_2fi"]
    assert found.num_whole_plots == 4


def test_runs_of_a_whole_plot_stay_together_and_share_its_levels(factors):
    design = split_plot(factors(5), "AB", runs=16, seed=3)
    plots = [list(rows) for _, rows in itertools.groupby(design.in_run_order(), key=lambda row: row.whole_plot)]
    assert [len(rows) for rows in plots] == [4, 4, 4, 4]
    assert all(len({row.levels[:2] for row in rows}) == 1 for rows in plots)


def test_whole_plots_are_permuted_by_the_seed(factors):
    orders = {
        tuple(dict.fromkeys(row.whole_plot for row in split_plot(factors(5), "AB", runs=16, seed=s).in_run_order()))
        for s in range(6)
    }
    assert len(orders) > 1


def test_whole_plot_factors_are_taken_as_basic_ones(factors):
    design = split_plot(factors(5), "DE", runs=16)
    assert len({row.whole_plot for row in design.rows}) == 4


def test_every_export_setting_runs_under_every_trained_model(factors):
    export = tuple(Factor(letter=x, lever=f"export.{x}", low=4, high=8, kind="int") for x in "FG")
    design = cross_plots(fractional_factorial(factors(5), runs=16), full_factorial(export), seed=1)
    assert len(design.rows) == 64
    assert len({row.whole_plot for row in design.rows}) == 16
    assert {"F", "G", "AF", "FG"} <= set(strata(design).sub_plot)
    assert set("ABCDE") <= set(strata(design).whole_plot)


def test_replicated_whole_plots_are_new_ones(factors):
    design = replicate(split_plot(factors(3), "A", seed=1), 2)
    assert len({row.whole_plot for row in design.rows}) == 4


def test_unreplicated_whole_plots_are_noted(factors):
    assert "no error of their own" in split_plot(factors(3), "A").notes[-1]


def test_whole_plots_of_a_single_run_are_refused(factors):
    with pytest.raises(DesignError, match="whole plot of its own"):
        split_plot(factors(5), "ABCD", generators=["E=ABCD"])


@pytest.mark.parametrize("letters", ["", "Q", "ABC"])
def test_whole_plot_letters_that_fit_nothing_are_refused(factors, letters):
    with pytest.raises(DesignError):
        split_plot(factors(3), letters)
