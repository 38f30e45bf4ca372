import itertools

import numpy as np
import pytest

from foldover.core import DesignError, Factor
from foldover.designs import conference_matrix, definitive_screening
from foldover.designs.definitive import CONFERENCE_ORDERS


def _matrix(design):
    return np.array([row.levels for row in design.rows])


@pytest.mark.parametrize("order", CONFERENCE_ORDERS)
def test_conference_matrices_are_what_they_are_called(order):
    C = np.array(conference_matrix(order))
    assert ((order - 1) * np.eye(order) == C.T @ C).all()
    assert (np.diag(C) == 0).all()


def test_six_factors_have_the_known_structure(answers, factors):
    expected = answers["P19"]["expected"]
    X = _matrix(definitive_screening(factors(6)))
    assert len(X) == expected["runs"]
    assert ((X == 0).sum(axis=0) == expected["zeros_per_column"]).all()
    assert (expected["main_XtX_diag"] * np.eye(6) == X.T @ X).all()
    levels = {tuple(row) for row in X}
    assert sum(tuple(-x for x in row) in levels for row in levels if any(row)) == 2 * expected["foldover_pairs"]


@pytest.mark.parametrize("k", range(3, 15))
def test_main_effects_are_free_of_squares_and_interactions(factors, k):
    X = _matrix(definitive_screening(factors(k)))
    second = [X[:, i] * X[:, j] for i, j in itertools.combinations_with_replacement(range(k), 2)]
    assert (np.diag(np.diag(X.T @ X)) == X.T @ X).all()
    assert not (X.T @ np.array(second).T).any()


def test_squares_have_the_known_correlation(answers, factors):
    case = answers["D25"]
    for m, runs, r in zip(case["input"]["m"], case["expected"]["runs"], case["expected"]["r"], strict=True):
        X = _matrix(definitive_screening(factors(m)))
        assert len(X) == runs
        assert np.corrcoef((X**2).T)[0, 1] == pytest.approx(r, abs=1e-8)


def test_odd_number_of_factors_leaves_a_column_empty_and_says_so(factors):
    design = definitive_screening(factors(5))
    assert len(design.rows) == 13
    assert "1 columns left empty" in design.notes[0]


def test_fake_factors_buy_runs(factors):
    assert len(definitive_screening(factors(6), fake=2).rows) == 17


def test_fewer_than_three_factors_are_refused(factors):
    with pytest.raises(DesignError, match="three or more"):
        definitive_screening(factors(2))


def test_odd_conference_order_is_refused():
    with pytest.raises(DesignError, match="must be even"):
        conference_matrix(7)


def test_centre_that_rounds_to_an_end_is_refused(factors):
    batch = Factor(letter="A", lever="data.batch", low=2**18, high=2**19, kind="int", scale="pow2")
    with pytest.raises(DesignError, match="both realised"):
        definitive_screening((batch, *factors(4)[1:]))
