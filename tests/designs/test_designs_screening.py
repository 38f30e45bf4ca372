import itertools

import pytest

from foldover.core import DesignError
from foldover.designs import PLACKETT_BURMAN_RUNS, alias_matrix, e_s2, generalized_wordlength_pattern, plackett_burman


def _levels(design):
    return [row.levels for row in design.rows]


@pytest.mark.parametrize("runs", PLACKETT_BURMAN_RUNS)
def test_columns_are_orthogonal_and_balanced_at_every_order(factors, runs):
    rows = _levels(plackett_burman(factors(min(runs - 1, 49)), runs=runs))
    columns = list(zip(*rows, strict=True))
    assert len(rows) == runs
    assert all(sum(column) == 0 for column in columns)
    assert all(sum(a * b for a, b in zip(x, y, strict=True)) == 0 for x, y in itertools.combinations(columns, 2))


def test_pb12_is_the_cyclic_design_with_a_last_row_of_lows(answers, factors):
    rows = _levels(plackett_burman(factors(11)))
    first = tuple(answers["P10"]["input"]["first_row"])
    assert rows[0] == first
    assert rows[1] == (first[-1], *first[:-1])
    assert rows[11] == (-1,) * 11


@pytest.mark.parametrize(("runs", "case"), [(20, "pb20_first_row"), (24, "pb24_first_row")])
def test_pb20_and_pb24_begin_with_the_published_rows(answers, factors, runs, case):
    rows = _levels(plackett_burman(factors(runs - 1), runs=runs))
    assert list(rows[0]) == answers["D27"]["expected"][case]


def test_pb12_has_the_known_generalised_pattern(answers, factors):
    expected = answers["D11"]["expected"]["gwlp"]
    assert generalized_wordlength_pattern(_levels(plackett_burman(factors(11)))) == pytest.approx(expected, abs=1e-6)


def test_each_main_effect_of_pb12_is_aliased_by_a_third_with_45_interactions(answers, factors):
    expected = answers["P10"]["expected"]
    entries = [e for e in alias_matrix(plackett_burman(factors(11))) if e.term != "1"]
    assert {round(abs(e.coefficient), 9) for e in entries} == {round(expected["abs_alias_value"], 9)}
    assert all(
        sum(e.term == letter for e in entries) == expected["n_2fi_partially_aliased_with_each_main"]
        for letter in "ABCDEFGHJKL"
    )


def test_half_of_pb12_has_the_known_supersaturated_measure(answers):
    case = answers["D12"]
    assert e_s2(case["expected"]["design"]) == case["expected"]["E_s2"]


def test_half_of_pb12_is_where_the_last_column_is_high(answers, factors):
    half = [row[:10] for row in _levels(plackett_burman(factors(11))) if row[10] == 1]
    assert sorted(half) == sorted(tuple(row) for row in answers["D12"]["expected"]["design"])


def test_fewest_runs_are_taken_without_a_number(factors):
    assert len(plackett_burman(factors(12)).rows) == 20


@pytest.mark.parametrize(
    ("runs", "message"),
    [(14, "multiple of 4"), (16, "regular fraction"), (92, "no construction"), (12, "at most 11 factors")],
)
def test_orders_that_do_not_exist_are_refused(factors, runs, message):
    with pytest.raises(DesignError, match=message):
        plackett_burman(factors(15 if runs == 12 else 5), runs=runs)


def test_refused_order_lists_the_available_ones(factors):
    with pytest.raises(DesignError, match="88, 96 are available"):
        plackett_burman(factors(5), runs=92)


def test_pattern_of_three_level_rows_is_refused():
    with pytest.raises(DesignError, match="levels -1 and"):
        generalized_wordlength_pattern([(0.0, 1.0), (1.0, -1.0)])
