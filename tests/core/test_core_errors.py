"""Errors say what is wrong, the value, and what to do; their class gives the exit code."""

from __future__ import annotations

import pytest

import foldover.core as core
from foldover.core import FoldoverError, OutsideError, Problem, StudyError, UserError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("a setting has no `=`"), "a setting has no `=`."),
        (UserError("a limit must be positive", value=-1), "a limit must be positive (got -1)."),
        (UserError("a run has one budget", value="x", fix="Give one."), "a run has one budget (got 'x'). Give one."),
        (UserError("no such file", fix="Look."), "no such file. Look."),
        (UserError("what now?", fix="This."), "what now? This."),
        (UserError("zero is a value", value=0), "zero is a value (got 0)."),
        (UserError("ends itself.", fix="Go on."), "ends itself. Go on."),
    ],
)
def test_a_text_has_what_is_wrong_the_value_and_what_to_do(error, text):
    assert str(error) == text


def test_the_parts_of_an_error_are_kept():
    error = UserError("wrong", value=3, fix="Do.")
    assert (error.what, error.value, error.fix) == ("wrong", 3, "Do.")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UserError", 2),
        ("StudyError", 2),
        ("RecipeError", 2),
        ("DesignError", 2),
        ("AnalysisError", 2),
        ("BudgetError", 2),
        ("DataError", 2),
        ("OutsideError", 3),
        ("LedgerError", 3),
        ("TrainerError", 3),
        ("FoldoverError", 3),
    ],
)
def test_the_class_of_an_error_gives_the_exit_code(name, code):
    assert getattr(core, name).exit_code == code


def test_every_error_belongs_to_the_user_or_to_the_outside():
    errors = [x for x in vars(core).values() if isinstance(x, type) and issubclass(x, FoldoverError)]
    assert all(issubclass(x, UserError | OutsideError) for x in errors if x is not FoldoverError)


def test_problems_of_a_study_come_in_order_of_line_with_their_file():
    error = StudyError(
        "s.toml", [Problem(line=7, message="b."), Problem(line=2, message="a."), Problem(line=0, message="c.")]
    )
    assert str(error) == "s.toml: c.\ns.toml:2: a.\ns.toml:7: b."
