import math

import pytest

from foldover.core import DesignError, Factor, RecipeError, Values
from foldover.designs import add_centers, check_design, explicit_design, full_factorial

DEPTH = Factor(letter="A", lever="model.depth", low=6, high=8, kind="int")
BATCH = Factor(letter="D", lever="data.batch", low=2**18, high=2**19, kind="int", scale="pow2")


def _aspect(low, high):
    return Factor(letter="B", lever="model.aspect", low=low, high=high, kind="int")


def _effective(factors):
    """A model whose width is depth times aspect, rounded up to a multiple of 128."""

    def resolve(levels):
        natural = {f.lever: f.decode(x) for f, x in zip(factors, levels, strict=True)}
        width = 128 * math.ceil(natural["model.depth"] * natural.pop("model.aspect") / 128)
        return Values({**natural, "width": width})

    return resolve


def _notes(low, high, *, centers=0, more=()):
    factors = (DEPTH, _aspect(low, high), *more)
    design = full_factorial(factors)
    return check_design(add_centers(design, centers) if centers else design, _effective(factors))


def test_realised_widths_are_the_known_ones(answers):
    factors = (DEPTH, _aspect(48, 72))
    for case in answers["D14"]["expected"]["realised_width"]:
        levels = (DEPTH.encode(case["depth"]), factors[1].encode(case["aspect"]))
        assert _effective(factors)(levels)["width"] == case["width"]


def test_two_rows_that_resolve_to_one_run_are_an_error():
    note = next(n for n in _notes(48, 64) if n.kind == "same_run")
    assert (note.severity, note.rows, note.factors) == ("error", ("c01", "c02"), ("B",))
    assert "rows c01, c02 resolve to the same run although B (`model.aspect`) differ" in note.message


def test_dead_level_names_the_levels_and_where():
    note = next(n for n in _notes(48, 64) if n.kind == "dead_level")
    assert note.message == (
        "factor B: levels 48 and 64 of `model.aspect` give the same model at depth 6 (rows c01, c02)"
    )


def test_levels_of_the_paper_are_not_dead():
    assert not [n for n in _notes(48, 72) if n.severity == "error"]


def test_centre_that_is_a_corner_is_flagged():
    note = next(n for n in _notes(48, 72, centers=2, more=(BATCH,)) if n.kind == "level_not_realised")
    assert note.factors == ("D",)
    assert "the centre of `data.batch` is realised as" in note.message


def test_declared_pseudo_centre_is_flagged_with_its_coded_level():
    aspect = Factor(letter="B", lever="model.aspect", low=48, high=72, center=64, kind="int")
    design = add_centers(full_factorial((DEPTH, aspect)), 1)
    note = next(n for n in check_design(design, _effective((DEPTH, aspect))) if n.kind == "level_not_realised")
    assert "realised as 64, coded +0.333" in note.message


def test_derived_number_that_moves_with_two_factors_is_named():
    note = next(n for n in _notes(48, 72) if n.kind == "confounded_quantity")
    assert note.severity == "info"
    assert note.factors == ("A", "B")
    assert "`width`" in note.message


def test_lever_without_effect_is_dead_in_every_row():
    gate = Factor(letter="C", lever="attention.gate", low=False, high=True, kind="choice")
    design = full_factorial((DEPTH, gate))
    notes = check_design(design, lambda levels: Values({"depth": levels[0]}))
    assert any(n.kind == "dead_level" and "in every row" in n.message and n.factors == ("C",) for n in notes)


def test_corner_that_cannot_be_built_outside_the_design_is_no_dead_level():
    design = explicit_design((DEPTH, _aspect(48, 72)), [(-1, -1), (1, 1)])

    def resolve(levels):
        if levels[0] != levels[1]:
            raise RecipeError("impossible")
        return Values({"x": levels[0]})

    assert not [n for n in check_design(design, resolve) if n.kind == "dead_level"]


def test_row_that_cannot_be_built_raises():
    def resolve(levels):
        raise RecipeError("impossible")

    with pytest.raises(RecipeError):
        check_design(full_factorial((DEPTH,)), resolve)


def test_replicates_are_not_taken_for_the_same_run():
    design = explicit_design((DEPTH,), [(-1,), (1,), (-1,)])
    assert not [n for n in check_design(design, lambda x: Values({"d": x[0]})) if n.kind == "same_run"]


def test_lost_efficiency_of_realised_levels_is_told():
    coarse = Factor(letter="A", lever="model.heads", low=4, high=12, kind="int", multiple_of=4)
    other = Factor(letter="B", lever="x", low=0.0, high=1.0)
    design = explicit_design((coarse, other), [(-0.4, -1), (0.4, -1), (-0.4, 1), (0.6, 1)])
    kinds = {n.kind for n in check_design(design, lambda x: Values({"a": x[0], "b": x[1]}))}
    assert "efficiency" in kinds


def test_errors_come_first():
    severities = [n.severity for n in _notes(48, 64, centers=1, more=(BATCH,))]
    assert severities == sorted(severities, key=("error", "warning", "info").index)


def test_batch_off_the_lattice_is_refused_if_it_may_not_round():
    strict = Factor(letter="D", lever="b", low=2**18, high=2**19, kind="int", scale="pow2", may_round=False)
    with pytest.raises(DesignError, match="not on its lattice"):
        strict.decode(0)
