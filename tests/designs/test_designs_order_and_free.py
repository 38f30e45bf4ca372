import pytest

from foldover.core import DesignError, Factor
from foldover.designs import (
    explicit_design,
    full_factorial,
    is_allowed,
    random_design,
    randomize,
    randomize_rest,
    read_constraints,
)

KIND = Factor(letter="B", lever="optimizer.name", low="adamw", high="muon", kind="choice")
DEPTH = Factor(letter="A", lever="model.depth", low=6, high=8, kind="int")


def test_seed_none_restores_the_standard_order(factors):
    design = full_factorial(factors(3), seed=2)
    assert randomize(design, None) == full_factorial(factors(3))


def test_rows_that_are_done_keep_their_positions(factors):
    design = full_factorial(factors(3), seed=2)
    done = [row.label for row in design.in_run_order()[:3]]
    again = randomize_rest(design, 9, done)
    assert [row.label for row in again.in_run_order()[:3]] == done
    assert sorted(row.order for row in again.rows) == list(range(8))
    assert again.in_run_order() != design.in_run_order()


def test_nothing_left_to_randomise_is_refused(factors):
    design = full_factorial(factors(1))
    with pytest.raises(DesignError, match="nothing left"):
        randomize_rest(design, 1, ["c01", "c02"])


def test_unknown_done_rows_are_refused(factors):
    with pytest.raises(DesignError, match="no such rows"):
        randomize_rest(full_factorial(factors(1)), 1, ["c09"])


def test_orders_over_seeds_put_every_row_first_about_equally_often(factors):
    first = [full_factorial(factors(2), seed=seed).in_run_order()[0].label for seed in range(400)]
    assert all(60 < first.count(label) < 140 for label in ("c01", "c02", "c03", "c04"))


def test_random_rows_differ_and_depend_on_the_seed_alone(factors):
    one, same, other = (random_design(factors(5), runs=12, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert len({row.levels for row in one.rows}) == 12
    assert {row.levels for row in one.rows} != {row.levels for row in other.rows}


def test_random_rows_between_levels_are_realised_ones():
    design = random_design((DEPTH, KIND), runs=5, seed=3, between=True)
    assert all(design.realised(row) == row.levels for row in design.rows)


def test_random_rows_keep_the_constraints(factors):
    limits = ["A=+1 & B=+1"]
    design = random_design(factors(3), runs=6, seed=1, constraints=limits)
    assert all(is_allowed(row.levels, design.factors, read_constraints(limits)) for row in design.rows)


def test_more_random_rows_than_corners_are_refused(factors):
    with pytest.raises(DesignError, match="only 4 combinations"):
        random_design(factors(2), runs=5, seed=1)


def test_constraints_that_leave_too_few_are_refused(factors):
    with pytest.raises(DesignError, match="too few"):
        random_design(factors(2), runs=4, seed=1, constraints=["A=+1"])


def test_explicit_rows_in_natural_levels():
    design = explicit_design((DEPTH, KIND), [(6, "muon"), (7, "adamw")], natural=True, labels=["start", "mid"])
    assert [row.levels for row in design.rows] == [(-1.0, 1.0), (0.0, -1.0)]
    assert [row.label for row in design.rows] == ["start", "mid"]


@pytest.mark.parametrize("rows", [[], [(1,)], [(1, 0.5)], [("6", 1)]])
def test_explicit_rows_that_are_none_are_refused(rows):
    with pytest.raises(DesignError):
        explicit_design((DEPTH, KIND), rows)
