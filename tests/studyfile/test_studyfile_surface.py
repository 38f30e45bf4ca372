"""Stages of kind `surface`, and picks that are matched in size: read, written back, and refused at their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldover.core import StudyError, Values
from foldover.lab import outline
from foldover.studyfile import parse, render, scale_study
from foldover.trainers import get_trainer

SHIPPED = (Path(__file__).parents[2] / "studies" / "beyond.toml").read_text(encoding="utf-8")
TEXT = SHIPPED.replace('A = "best", D = "best"', 'A = "better", D = "best"')
FIX = 'fix = { A = "better", D = "best", E = "high" }'

OVER = 'over = ["A", "B"], trim = "E"'

MISTAKES = [
    (FIX, 'fix = { A = "better", D = "best", E = "highest" }', "`high`, `better` or `best` (got 'highest')"),
    (FIX, 'fix = { A = "better", B = "low", D = "low", E = "high" }', "has 2 to 4 factors, but 1 are open: C"),
    (f'after = "screen"\n{FIX}', 'fix = ["A", "D", "E"]', "only by the verdict of a stage"),
    (f'after = "screen"\n{FIX}', 'fix = { A = "best", D = "low", E = "low" }', "the best condition of a stage has it"),
    (f'after = "screen"\n{FIX}', 'after = "screen"', "follows a stage only for what it fixes"),
    (f'after = "screen"\n{FIX}', f'after = "anchors"\n{FIX}', "a surface follows a screen, but stage anchors is"),
    # Depth has no whole number between 2 and 3.
    (FIX, 'fix = { D = "better", E = "high" }', "rounds to 2, one of its levels"),
    (FIX, f'{FIX}\nruns = 9', "`runs` belongs to a stage of kind"),
    (f'"num_params", {OVER}', '"num_params", over = ["A", "B"], trim = "Q"', "names a factor by letter (got 'Q'"),
    (f'"num_params", {OVER}', '"num_params", over = ["A", "B"], trim = "B"', "factor B is in `over` already"),
    (
        'role = "control", from = "screen"',
        'role = "control", trim = "E", from = "screen"',
        "`trim` makes up what a `match` leaves",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_is_told_at_its_line(old, new, message):
    assert TEXT.count(old) == 1
    at = TEXT.index(old)
    with pytest.raises(StudyError) as caught:
        parse(TEXT.replace(old, new), "s.toml", get_trainer)
    told = [problem for problem in caught.value.problems if message in problem.message]
    assert told, [problem.message for problem in caught.value.problems]
    first = TEXT.rfind("[[stages]]", 0, at)
    assert TEXT[:first].count("\n") < told[0].line <= TEXT[:at].count("\n") + new.count("\n") + 3


def test_a_surface_is_read_written_back_and_scaled():
    study = parse(TEXT, "s.toml", get_trainer)
    surface = study.stage("surface")
    assert surface.fix == Values(A="better", D="best", E="high")
    assert surface.design is not None
    assert (surface.design.kind, surface.design.runs) == ("faced", 9)
    for other in (study, scale_study(study, 0.5)):
        again = parse(render(other), "again.toml", get_trainer)
        assert again.stages == other.stages


def test_what_a_surface_may_be_picked_from_is_known_before_it_runs():
    pick = '\n[[stages]]\nname = "more"\nkind = "anchors"\nbudgets = ["9e9 flops"]\nseeds = [91]\n'
    good = f'{TEXT}{pick}pick = [{{ role = "best", from = "surface", condition = "z01" }}]\n'
    assert parse(good, "s.toml", get_trainer).stage("more").picks[0].condition == "z01"
    with pytest.raises(StudyError, match="stage surface has no condition 'c09'"):
        parse(good.replace('"z01"', '"c09"'), "s.toml", get_trainer)
    with pytest.raises(StudyError, match="10 conditions are more than the 9 of stage surface"):
        parse(good.replace('condition = "z01"', "best = 10"), "s.toml", get_trainer)


def test_a_trainer_without_that_number_cannot_match_in_it():
    class NoSize:
        """The trainer, but for what its recipes say of their size."""

        def __init__(self, name: str) -> None:
            self.trainer = get_trainer(name)

        def __getattr__(self, name: str) -> object:
            return getattr(self.trainer, name)

        def resolve(self, recipe):
            from dataclasses import replace

            found = self.trainer.resolve(recipe)
            kept = {name: value for name, value in found.derived.items() if name != "num_params"}
            return replace(found, derived=Values(kept))

    with pytest.raises(StudyError) as caught:
        parse(TEXT, "s.toml", NoSize)
    told = [problem for problem in caught.value.problems if "has a `num_params`" in problem.message]
    assert told
    assert 'match = "num_params"' in TEXT.splitlines()[told[0].line - 1]


def test_the_plan_shows_the_rows_of_a_surface_before_anything_runs():
    (surface,) = (s for s in outline(parse(TEXT, "s.toml", get_trainer), jobs=2).stages if s.kind == "surface")
    assert [row.label for row in surface.conditions] == [
        *("c01", "c02", "c03", "c04"), "z01", *("a01", "a02", "a03", "a04"),
    ]  # fmt: skip
    assert "where A really stands is decided by the verdicts of screen" in surface.notes
    assert "where D really stands is decided by the best condition of screen" in surface.notes
