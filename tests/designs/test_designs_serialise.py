import json

import pytest

from foldover.core import DesignError, Factor
from foldover.designs import (
    add_centers,
    add_optimal,
    block,
    central_composite,
    cross_plots,
    fold_over,
    fractional_factorial,
    from_csv,
    from_json,
    full_factorial,
    optimal_design,
    random_design,
    replicate,
    to_csv,
    to_json,
)

KIND = Factor(letter="B", lever="optimizer.name", low="adamw", high="muon", kind="choice")
GATE = Factor(letter="C", lever="attention.gate", low=False, high=True, kind="choice")
DEPTH = Factor(letter="A", lever="model.depth", low=6, high=8, kind="int")
MIXED = (DEPTH, KIND, GATE)


def _designs(factors):
    export = tuple(Factor(letter=x, lever=x, low=1, high=2, kind="int") for x in "FG")
    return {
        "fraction": fractional_factorial(factors(5), runs=16, seed=3),
        "foldover": fold_over(fractional_factorial(factors(6), runs=16, seed=3), "A"),
        "blocks and centres": add_centers(block(full_factorial(factors(3)), 2, names=["a, b", 'say "c"'], seed=4), 2),
        "replicates": replicate(full_factorial(factors(2), seed=1), 3, as_blocks=True),
        "composite": central_composite(factors(3), seed=2),
        "split plot": cross_plots(full_factorial(factors(2)), full_factorial(export), seed=1),
        "random": random_design(MIXED, runs=4, seed=3, between=True),
        "optimal": optimal_design(factors(2), runs=6, model="quadratic", restarts=3),
        "augmented": add_optimal(full_factorial(factors(2), seed=1), 3, model="quadratic", restarts=3),
    }


NAMES = (
    "fraction",
    "foldover",
    "blocks and centres",
    "replicates",
    "composite",
    "split plot",
    "random",
    "optimal",
    "augmented",
)


@pytest.mark.parametrize("name", NAMES)
def test_json_round_trip_loses_nothing(factors, name):
    design = _designs(factors)[name]
    assert from_json(to_json(design)) == design


@pytest.mark.parametrize("name", NAMES)
def test_csv_round_trip_loses_nothing(factors, name):
    design = _designs(factors)[name]
    assert from_csv(to_csv(design)) == design


def test_csv_has_coded_and_natural_columns():
    lines = to_csv(full_factorial(MIXED)).splitlines()
    assert lines[1] == "label,order,block,whole_plot,replicate,kind,A,B,C,model.depth,optimizer.name,attention.gate"
    assert lines[2] == "c01,0,,,1,factorial,-1.0,-1.0,-1.0,6,adamw,false"


def test_natural_level_that_was_changed_by_hand_is_refused():
    text = to_csv(full_factorial(MIXED)).replace("6,adamw,false", "7,adamw,false")
    with pytest.raises(DesignError, match=r"row c01: `model\.depth` is 7, but A = -1 is 6"):
        from_csv(text)


def test_plain_table_in_coded_levels_is_read():
    design = from_csv("A,B,C,y\n-1,-1,-1,3.1\n1,+1,-1,2.9\n0,-,+,3.0\n", MIXED)
    assert [row.levels for row in design.rows] == [(-1, -1, -1), (1, 1, -1), (0, -1, 1)]


def test_plain_table_in_natural_levels_is_recognised():
    design = from_csv("depth;optimizer.name;C\n6;muon;true\n8;adamw;false\n", MIXED)
    assert [row.levels for row in design.rows] == [(-1, 1, 1), (1, -1, -1)]


def test_natural_levels_off_the_corners_are_read_when_said_so():
    design = from_csv("A\tB\tC\n7\tmuon\ttrue\n", MIXED, levels="natural")
    assert design.rows[0].levels == (0.0, 1.0, 1.0)


def test_run_order_labels_and_blocks_of_a_plain_table_are_kept():
    text = "run,RunOrder,block,A,B,C\nx,3,mon,-1,-1,-1\ny,1,tue,1,1,1\n"
    design = from_csv(text, MIXED)
    assert [(row.label, row.order, row.block) for row in design.rows] == [("x", 1, "mon"), ("y", 0, "tue")]


def test_repeated_rows_become_replicates():
    design = from_csv("A,B,C\n-1,-1,-1\n1,1,1\n-1,-1,-1\n", MIXED)
    assert [(row.label, row.replicate) for row in design.rows] == [("c01", 1), ("c02", 1), ("c01-r2", 2)]


def test_byte_order_mark_and_comments_are_passed_over():
    design = from_csv("\ufeff# from elsewhere\nA,B,C\n\n-1,1,-1\n", MIXED)
    assert len(design.rows) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table is empty"),
        ("A,B,C\n", "no rows"),
        ("A,B\n1,1\n", r"no column for factor C \(`attention\.gate`\)"),
        ("A,B,C\n1,1\n", "row 1 has 2 cells"),
        ("A,B,C\n1,soap,1\n", "row 1, column B: not a number"),
    ],
)
def test_tables_that_cannot_be_read_say_where(text, message):
    with pytest.raises(DesignError, match=message):
        from_csv(text, MIXED)


def test_unknown_natural_level_names_row_and_levels():
    with pytest.raises(DesignError, match=r"row 1: factor B .* 'adamw', 'muon'"):
        from_csv("A,B,C\n6,soap,true\n", MIXED, levels="natural")


def test_plain_table_without_factors_is_refused():
    with pytest.raises(DesignError, match="with its factors"):
        from_csv("A,B\n1,1\n")


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"format": "other"}'])
def test_json_of_something_else_is_refused(text):
    with pytest.raises(DesignError):
        from_json(text)


def test_json_of_a_later_version_is_refused(factors):
    plain = json.loads(to_json(full_factorial(factors(2))))
    with pytest.raises(DesignError, match="another version"):
        from_json(json.dumps({**plain, "version": 99}))


def test_damaged_json_design_names_the_field(factors):
    plain = json.loads(to_json(full_factorial(factors(2))))
    del plain["design"]["rows"]
    with pytest.raises(DesignError, match="rows"):
        from_json(json.dumps(plain))
