import pytest

from foldover.core import Design, DesignError, Factor, Row, from_json, to_json

DEPTH = Factor(letter="A", lever="model.depth", low=6, high=8, kind="int")
RATE = Factor(letter="B", lever="optimizer.lr", low=0.01, high=0.16, scale="log")


def _design(*rows, **more):
    return Design(name="d", kind="explicit", factors=(DEPTH, RATE), rows=rows, **more)


def test_rows_decode_to_levers():
    row = Row(label="c01", levels=(0.0, 0.0), order=0)
    assert dict(_design(row).decode(row)) == {"model.depth": 7, "optimizer.lr": 0.04}


def test_realised_levels_follow_the_lattice():
    row = Row(label="c01", levels=(0.3, 0.3), order=0)
    assert _design(row).realised(row) == (0.0, 0.3)


def test_rows_are_given_in_run_order():
    rows = [Row(label=f"c{i}", levels=(1, 1), order=order) for i, order in enumerate((2, 0, 1))]
    assert [row.label for row in _design(*rows).in_run_order()] == ["c1", "c2", "c0"]


def test_replicate_names_its_condition():
    assert Row(label="c07-r2", levels=(), order=0, replicate=2).condition == "c07"
    assert Row(label="c07", levels=(), order=0).condition == "c07"


def test_factor_is_found_by_letter():
    assert _design().factor("B") is RATE
    with pytest.raises(DesignError, match="There are A, B"):
        _design().factor("Q")


def test_two_rows_of_one_label_are_refused():
    row = Row(label="c01", levels=(1, 1), order=0)
    with pytest.raises(DesignError, match="one label"):
        _design(row, row)


def test_row_without_a_level_for_each_factor_is_refused():
    with pytest.raises(DesignError, match="row c01"):
        _design(Row(label="c01", levels=(1,), order=0))


def test_two_factors_of_one_letter_are_refused():
    with pytest.raises(DesignError, match="one letter"):
        Design(name="d", kind="full", factors=(DEPTH, DEPTH), rows=())


def test_unlisted_term_has_no_aliases():
    assert _design(aliases=(("A", ("BC",)),)).aliased_with("A") == ("BC",)
    assert _design().aliased_with("A") == ()


def test_design_survives_canonical_json():
    row = Row(label="c01", levels=(1.0, -1.0), order=0, block="host", whole_plot="w1", kind="edge")
    design = _design(row, whole_plot=("A",), block_words=("AB",), constraints=("A=1 & B=1",), model=("A",))
    assert from_json(Design, to_json(design)) == design


def test_design_written_before_whole_plots_can_be_read():
    text = (
        '{"name":"d","kind":"full","factors":[{"letter":"A","lever":"x","low":0,"high":1}],'
        '"rows":[{"label":"c01","levels":[-1.0],"order":0}]}'
    )
    assert from_json(Design, text).rows[0].replicate == 1
