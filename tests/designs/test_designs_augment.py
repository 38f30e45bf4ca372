import pytest

from foldover.core import DesignError, Factor
from foldover.designs import (
    add_axial,
    add_centers,
    add_rows,
    block,
    estimability,
    fractional_factorial,
    full_factorial,
    replicate,
)

KIND = Factor(letter="C", lever="optimizer.name", low="adamw", high="muon", kind="choice")
DEPTH = Factor(letter="D", lever="model.aspect", low=48, high=72, center=64, kind="int")


def test_centre_runs_stand_at_zero_and_are_mixed_into_the_order(factors):
    design = add_centers(full_factorial(factors(3), seed=1), 3)
    centers = [row for row in design.rows if row.kind == "center"]
    assert [row.label for row in centers] == ["z01", "z02", "z03"]
    assert {row.levels for row in centers} == {(0.0, 0.0, 0.0)}
    assert sorted(row.order for row in design.rows) == list(range(11))


def test_each_block_gets_its_own_centre_runs(factors):
    design = add_centers(block(full_factorial(factors(3)), 2), 2)
    assert sorted(row.block for row in design.rows if row.kind == "center") == ["1", "1", "2", "2"]


def test_centre_of_a_choice_is_refused_and_named(factors):
    with pytest.raises(DesignError, match=r"C \(`optimizer.name`\) has none"):
        add_centers(full_factorial((*factors(2), KIND)), 2)


def test_centre_runs_at_every_combination_of_choices(factors):
    design = add_centers(full_factorial((*factors(2), KIND)), 2, per_combination=True)
    assert sorted(row.levels for row in design.rows if row.kind == "center") == [(0, 0, -1)] * 2 + [(0, 0, 1)] * 2


def test_pseudo_centre_is_noted(factors):
    design = add_centers(full_factorial((*factors(2), DEPTH)), 1)
    assert any("pseudo-centre: `model.aspect` (D) is 64" in note for note in design.notes)


def test_no_centre_runs_are_refused(factors):
    with pytest.raises(DesignError, match="at least one centre run"):
        add_centers(full_factorial(factors(2)), 0)


def test_replicates_keep_their_condition(factors):
    design = replicate(full_factorial(factors(2), seed=3), 3)
    assert len(design.rows) == 12
    assert {row.condition for row in design.rows} == {"c01", "c02", "c03", "c04"}
    assert {row.replicate for row in design.rows if row.condition == "c02"} == {1, 2, 3}


def test_replicates_as_blocks_are_run_one_after_another(factors):
    design = replicate(full_factorial(factors(2), seed=3), 2, as_blocks=True)
    assert [row.replicate for row in design.in_run_order()] == [1] * 4 + [2] * 4


def test_second_replication_is_refused(factors):
    with pytest.raises(DesignError, match="replicated already"):
        replicate(replicate(full_factorial(factors(2)), 2), 2)


def test_axial_block_makes_a_screen_a_second_order_design(factors):
    screen = add_centers(fractional_factorial(factors(5), runs=16, seed=2), 3)
    assert estimability(screen, "quadratic").lost
    design = add_axial(screen, 2.0, num_centers=2)
    assert not estimability(design, "quadratic").lost
    assert [row.block for row in design.in_run_order()] == ["first"] * 19 + ["axial"] * 12


def test_added_rows_follow_the_others(factors):
    design = add_rows(full_factorial(factors(2), seed=5), [(0.5, 0.5), (-0.5, 0.0)], block="later")
    assert [row.label for row in design.rows[4:]] == ["x01", "x02"]
    assert {row.order for row in design.rows[4:]} == {4, 5}
