import pytest

from foldover.core import DesignError, Factor
from foldover.designs import fractional_factorial, full_factorial, is_allowed, optimal_design, read_constraints
from foldover.designs.constraints import Constraint

DEPTH = Factor(letter="A", lever="model.depth", low=6, high=8, kind="int")
NAME = Factor(letter="B", lever="optimizer.name", low="adamw", high="muon", kind="choice")


def test_combination_in_natural_levels_is_the_same_as_in_coded_ones():
    natural, coded = read_constraints(["model.depth=8 & optimizer.name=muon", "A=+1 & B=+1"])
    for levels in [(-1.0, 1.0), (1.0, 1.0), (1.0, -1.0)]:
        assert natural.allows(levels, (DEPTH, NAME)) == coded.allows(levels, (DEPTH, NAME)) == (levels != (1.0, 1.0))


def test_linear_bound_counts_coded_levels(factors):
    bound = Constraint.parse("A + 2*B - C <= 1")
    assert bound.allows((1, 0, 0), factors(3))
    assert not bound.allows((1, 1, 1), factors(3))
    assert bound.allows((1, 1, 1), factors(3)) != Constraint.parse("A + 2*B - C >= 2").allows((1, 1, 1), factors(3))


def test_forbidden_combination_is_an_error_that_names_the_rows(factors):
    with pytest.raises(DesignError, match="rows c07, c08"):
        full_factorial(factors(3), constraints=["A=+1 & B=+1"])


def test_fraction_is_designed_around_a_forbidden_corner_by_its_sign(factors):
    corner = "A=+1 & B=+1 & C=+1 & D=+1 & E=+1"
    design = fractional_factorial(factors(5), runs=16, constraints=[corner], on_forbidden="around")
    assert design.generators == ("E=-ABCD",)
    assert all(is_allowed(row.levels, design.factors, read_constraints([corner])) for row in design.rows)


def test_fraction_that_cannot_avoid_a_combination_says_so(factors):
    with pytest.raises(DesignError, match="each of the 2 fractions"):
        fractional_factorial(factors(5), runs=16, constraints=["A=+1 & B=+1"], on_forbidden="around")


def test_optimal_design_avoids_a_forbidden_combination(factors):
    limits = ["A=+1 & B=+1"]
    design = optimal_design(factors(3), runs=6, model="main", constraints=limits, restarts=5)
    assert all(is_allowed(row.levels, design.factors, read_constraints(limits)) for row in design.rows)


@pytest.mark.parametrize("text", ["A", "A=1 & B", "A ** 2 <= 1", ""])
def test_unreadable_constraints_are_refused(text):
    with pytest.raises(DesignError, match="not readable"):
        read_constraints([text])


def test_constraint_on_an_unknown_factor_is_refused():
    with pytest.raises(DesignError, match=r"no factor model\.width"):
        is_allowed((1, 1), (DEPTH, NAME), read_constraints(["model.width=8"]))


def test_constraint_on_an_unknown_level_is_refused():
    with pytest.raises(DesignError, match="sgd"):
        is_allowed((1, 1), (DEPTH, NAME), read_constraints(["optimizer.name=sgd"]))
