"""`design = "one_at_a_time"`: a reference and each factor alone; and the study files that we ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldover.core import StudyError
from foldover.lab import outline
from foldover.studyfile import parse, render
from foldover.trainers import get_trainer

SHIPPED = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))
STUDY = """\
[study]
name = "sweep"
question = "Which level is best?"
trainer = "lm"

[baseline]
preset = "micro"

[factors.A]
lever = "matrix_lr"
low = 0.01
high = 0.02

[factors.B]
lever = "matrix_lr"
low = 0.01
high = 0.04

[factors.C]
lever = "scalar_lr"
low = 0.1
high = 0.2

[[stages]]
name = "sweep"
kind = "screen"
design = "one_at_a_time"
budgets = ["20 steps"]
seeds = [1, 2]
"""


def test_levels_of_one_lever_are_run_one_by_one_against_the_reference():
    study = parse(STUDY, "study.toml", get_trainer)
    (stage,) = outline(study, jobs=1).stages
    rows = [(c.natural["optimizer.matrix_lr"], c.natural["optimizer.scalar_lr"]) for c in stage.conditions]
    assert rows == [(0.01, 0.1), (0.02, 0.1), (0.04, 0.1), (0.01, 0.2)]
    assert not any(c.same_as for c in stage.conditions)
    assert stage.cost.runs == 8
    assert stage.notes == ()


def test_it_is_written_as_it_is_read():
    study = parse(STUDY, "study.toml", get_trainer)
    again = parse(render(study), "study.toml", get_trainer)
    assert (again.stages, again.factors) == (study.stages, study.factors)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "low = 0.01\nhigh = 0.04",
            "low = 0.02\nhigh = 0.04",
            "of the same lever has another low level (0.01)",
        ),
        ('design = "one_at_a_time"', "runs = 4", "`optimizer.matrix_lr` is varied by factor A already"),
        (
            'design = "one_at_a_time"',
            'design = "one_at_a_time"\nruns = 4',
            "`runs` follows from the design",
        ),
        ('design = "one_at_a_time"', 'design = "all"', 'Write e.g. "2^(5-1)", "2^5" or "one_at_a_time"'),
    ],
)
def test_a_mistake_is_named(old, new, message):
    with pytest.raises(StudyError) as caught:
        parse(STUDY.replace(old, new), "study.toml", get_trainer)
    assert any(message in line for line in caught.value.lines())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_study_that_we_ship_parses_and_plans(path):
    study = parse(path.read_text(encoding="utf-8"), str(path), get_trainer)
    found = outline(study, jobs=2)
    assert found.total_runs > 0
    assert found.total_wall_seconds > 0


@pytest.mark.parametrize(
    "path", [path for path in SHIPPED if path.stem.startswith("export-")], ids=lambda path: path.stem
)
def test_comparisons_after_training_need_one_training_a_seed_and_differ_in_every_row(path):
    study = parse(path.read_text(encoding="utf-8"), str(path), get_trainer)
    (stage,) = outline(study, jobs=2).stages
    assert (stage.cost.trunks, len(stage.seeds)) == (3, 3)
    assert stage.cost.continued == 3 * stage.num_conditions
    assert not any(condition.same_as for condition in stage.conditions)
    assert study.response in get_trainer("lm").responses[1:]
