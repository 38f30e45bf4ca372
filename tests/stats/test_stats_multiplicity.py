"""Adjusted p-values: agreement with statsmodels and properties of every procedure."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import adjust
from foldover.stats.multiplicity import PROCEDURES, Procedure

P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20)
METHODS = st.sampled_from(PROCEDURES)
STATSMODELS = {"bh": "fdr_bh", "by": "fdr_by", "hochberg": "simes-hochberg"}


@pytest.mark.parametrize("method", PROCEDURES)
def test_agrees_with_statsmodels(method: Procedure) -> None:
    from statsmodels.stats.multitest import multipletests

    p = [0.2, 0.001, 0.04, 0.03, 0.03, 0.9, 0.0004]
    assert adjust(p, method) == pytest.approx(multipletests(p, method=STATSMODELS.get(method, method))[1], rel=1e-12)


@given(P_VALUES, METHODS)
def test_adjusted_p_is_never_below_p(p: list[float], method: Procedure) -> None:
    assert all(q is not None and x <= q <= 1.0 for x, q in zip(p, adjust(p, method), strict=True))


@given(P_VALUES, METHODS)
def test_order_of_p_is_kept(p: list[float], method: Procedure) -> None:
    pairs = sorted(zip(p, adjust(p, method), strict=True))
    assert all(a[1] <= b[1] for a, b in itertools.pairwise(pairs))  # type: ignore[operator]


@given(P_VALUES, METHODS, st.randoms(use_true_random=False))
def test_shuffled_input_gives_shuffled_output(p: list[float], method: Procedure, random: object) -> None:
    order = list(range(len(p)))
    random.shuffle(order)  # type: ignore[attr-defined]
    direct = adjust(p, method)
    assert adjust([p[i] for i in order], method) == tuple(direct[i] for i in order)


@given(P_VALUES, METHODS)
def test_equal_p_get_equal_values(p: list[float], method: Procedure) -> None:
    doubled = adjust([*p, *p], method)
    assert doubled[: len(p)] == doubled[len(p) :]


@given(P_VALUES, METHODS)
def test_missing_members_count_as_one(p: list[float], method: Procedure) -> None:
    assert adjust([*p, None], method)[:-1] == adjust([*p, 1.0], method)[:-1]
    assert adjust(p, method, family_size=len(p) + 1) == adjust([*p, 1.0], method)[:-1]


def test_missing_p_stays_missing() -> None:
    assert adjust([0.01, None], "bh") == (0.02, None)


def test_empty_family_is_empty() -> None:
    assert adjust([], "bh") == ()


@given(P_VALUES)
def test_procedures_are_ordered_by_strictness(p: list[float]) -> None:
    bh, hochberg, holm, bonferroni = (adjust(p, m) for m in ("bh", "hochberg", "holm", "bonferroni"))
    for a, b, c, d in zip(bh, hochberg, holm, bonferroni, strict=True):
        assert a is not None
        assert a <= b + 1e-12 <= c + 2e-12 <= d + 3e-12  # type: ignore[operator]


@pytest.mark.parametrize("bad", [math.nan, -0.1, 1.5, math.inf])
def test_p_outside_the_unit_interval_is_refused(bad: float) -> None:
    with pytest.raises(AnalysisError, match="p-value 2 of 2 is not in"):
        adjust([0.1, bad], "bh")


def test_family_smaller_than_its_members_is_refused() -> None:
    with pytest.raises(AnalysisError, match="family of 1 cannot have 2"):
        adjust([0.1, 0.2], "bh", family_size=1)


def test_unknown_procedure_is_refused() -> None:
    with pytest.raises(AnalysisError, match="unknown multiplicity procedure"):
        adjust([0.1], "sidak")  # type: ignore[arg-type]
