"""The same designs from pyDOE, an independent package, where it makes them right."""

import numpy as np
import pydoe
import pytest

from foldover.designs import (
    box_behnken,
    central_composite,
    definitive_screening,
    fractional_factorial,
    full_factorial,
    generalized_wordlength_pattern,
    plackett_burman,
)


def _rows(matrix):
    return sorted(tuple(round(float(x), 9) + 0.0 for x in row) for row in matrix)


def _own(design):
    return _rows(row.levels for row in design.rows)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_full_factorial_agrees(factors, k):
    assert _own(full_factorial(factors(k))) == _rows(pydoe.ff2n(k))


@pytest.mark.parametrize(
    ("generators", "text"),
    [(["E=ABCD"], "a b c d abcd"), (["E=-ABCD"], "a b c d -abcd"), (["D=AB", "E=AC", "F=BC"], "a b c ab ac bc")],
)
def test_fraction_agrees(factors, generators, text):
    assert _own(fractional_factorial(factors(len(text.split())), generators=generators)) == _rows(pydoe.fracfact(text))


@pytest.mark.parametrize("k", [11, 19, 23])
def test_plackett_burman_agrees_in_its_generalised_pattern(factors, k):
    theirs = generalized_wordlength_pattern([tuple(row) for row in pydoe.pbdesign(k)])
    ours = generalized_wordlength_pattern([row.levels for row in plackett_burman(factors(k)).rows])
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_central_composite_agrees(factors, k):
    theirs = pydoe.ccdesign(k, center=(4, 2), alpha="rotatable", face="circumscribed")
    assert _own(central_composite(factors(k), centers=(4, 2))) == _rows(theirs)


@pytest.mark.parametrize("k", [3, 4, 5])
def test_box_behnken_agrees(factors, k):
    assert _own(box_behnken(factors(k), centers=3)) == _rows(pydoe.bbdesign(k, center=3))


@pytest.mark.parametrize("k", [4, 6, 8, 10])
def test_definitive_screening_agrees_in_its_information(factors, k):
    theirs = np.asarray(pydoe.definitive_screening_design(k), dtype=float)
    ours = np.array([row.levels for row in definitive_screening(factors(k)).rows])
    assert theirs.shape == ours.shape
    assert np.allclose(np.linalg.eigvalsh(theirs.T @ theirs), np.linalg.eigvalsh(ours.T @ ours))
