"""Every input of the must-raise list that concerns designs is refused; the rest of the list is for the statistics."""

import pytest

from foldover.core import DesignError, Factor
from foldover.designs import (
    add_centers,
    conference_matrix,
    definitive_screening,
    fractional_factorial,
    full_factorial,
    optimal_design,
    parse_request,
    plackett_burman,
    refuse_aliased_terms,
    require_estimable,
)

CHOICE = Factor(letter="A", lever="optimizer.name", low="adamw", high="muon", kind="choice")

REFUSED = {
    "generators k=5 base=3: D=AB, E=AB": [lambda f: fractional_factorial(f(5), generators=["D=AB", "E=AB"])],
    "generator E=ABQ with 4 base factors": [lambda f: fractional_factorial(f(5), generators=["E=ABQ"])],
    "generator D=D": [lambda f: fractional_factorial(f(4), generators=["D=D"])],
    "generators D=AB and ABD given as a second generator": [
        lambda f: fractional_factorial(f(5), generators=["D=AB", "ABD"])
    ],
    "2^(k-p) with k-p < 2 or p >= k": [lambda f: parse_request("2^(5-4)"), lambda f: parse_request("2^(5-5)")],
    "model y~A+B+C+D+A:B+C:D on I=ABCD": [
        lambda f: refuse_aliased_terms(["A", "B", "C", "D", "A:B", "C:D"], "ABCD", ["D=ABC"]),
        lambda f: require_estimable(fractional_factorial(f(4), runs=8), ["A", "B", "C", "D", "AB", "CD"]),
    ],
    "estimate 2fi on resolution III fraction": [
        lambda f: require_estimable(fractional_factorial(f(5), runs=8), "main+2fi")
    ],
    "Plackett-Burman with N not multiple of 4, or N < k+1": [
        lambda f: plackett_burman(f(5), runs=14),
        lambda f: plackett_burman(f(12), runs=12),
    ],
    "PB for N=92 or other order without a stored construction": [
        lambda f: plackett_burman(f(5), runs=92),
        lambda f: plackett_burman(f(5), runs=52),
    ],
    "centre point with a categorical factor": [lambda f: add_centers(full_factorial((CHOICE, *f(3)[1:])), 2)],
    "log factor with low <= 0; low == high; integer factor whose coded centre is not an integer and rounding is off": [
        lambda f: Factor(letter="A", lever="x", low=0.0, high=1.0, scale="log"),
        lambda f: Factor(letter="A", lever="x", low=1.0, high=1.0),
        lambda f: Factor(letter="A", lever="x", low=6, high=9, kind="int", may_round=False).decode(0),
    ],
    "DSD with m < 3, or m odd without adding a dummy column": [
        lambda f: definitive_screening(f(2)),
        lambda f: conference_matrix(5),
    ],
    "D-optimal with n < p or with a candidate set that cannot support the model": [
        lambda f: optimal_design(f(2), runs=5, model="quadratic"),
        lambda f: optimal_design(f(2), runs=8, model="quadratic", levels=2),
    ],
}


@pytest.mark.parametrize("call", REFUSED)
def test_input_of_the_list_is_refused_with_a_cause_and_a_remedy(call, factors):
    for attempt in REFUSED[call]:
        with pytest.raises(DesignError) as caught:
            attempt(factors)
        assert len(caught.value.what) > 20


def test_every_design_case_of_the_list_is_tried(answers):
    listed = {case["call"] for case in answers["D21"]["input"]["cases"]}
    statistics = (
        "test",
        "Lenth",
        "BH ",
        "TOST",
        "ANOVA",
        "pooled",
        "effects from",
        "analysis",
        "p-value",
        "formula",
    )
    assert set(REFUSED) <= listed
    assert all(any(word in call for word in statistics) for call in listed - set(REFUSED))
