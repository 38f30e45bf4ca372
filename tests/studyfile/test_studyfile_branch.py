"""`branch = "warmdown"`: read, written back, and refused at its line where it cannot work or saves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from foldover.core import StudyError
from foldover.studyfile import parse, render
from foldover.trainers import get_trainer

TEXT = """\
[study]
name = "branches"
question = "What does one trunk tell of several budgets?"
trainer = "lm"

[baseline]
preset = "golf-micro"

[factors.A]
lever = "depth"
low = 2
high = 3

[factors.B]
lever = "matrix_lr"
low = 0.02
high = 0.04

[[stages]]
name = "screen"
kind = "screen"
runs = 4
budgets = ["40 steps", "80 steps"]
seeds = [1]
branch = "warmdown"
"""


@pytest.fixture
def problems() -> Callable[..., list[str]]:
    """What is wrong with the text after changes: old, new, old, new, ..."""

    def find(*changes: str) -> list[str]:
        text = TEXT
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        with pytest.raises(StudyError) as caught:
            parse(text, "study.toml", get_trainer)
        return caught.value.lines()

    return find


def test_a_stage_may_branch_its_warmdowns_and_is_written_back():
    study = parse(TEXT, "study.toml", get_trainer)
    assert study.stage("screen").branch == "warmdown"
    again = parse(render(study), "study.toml", get_trainer)
    assert replace(again, source="") == replace(study, source="")
    plain = parse(TEXT.replace('branch = "warmdown"\n', ""), "study.toml", get_trainer)
    assert plain.stage("screen").branch is None
    assert "branch" not in render(plain).partition("[[stages]]")[2]


def test_another_kind_of_branch_is_refused_at_its_line(problems):
    (line,) = problems('"warmdown"', '"cooldown"')
    assert line.startswith("study.toml:25: stage screen: `branch` cannot be 'cooldown'.")


def test_a_trainer_that_cannot_branch_says_so(problems):
    (line,) = problems(
        '"lm"', '"simulator"', '"golf-micro"', '"autoresearch"', '["40 steps", "80 steps"]', '["2min", "5min"]',
        "low = 2", "low = 6", "high = 3", "high = 8", "low = 0.02", "low = 0.03",
    )  # fmt: skip
    assert line == "study.toml:25: stage screen: this trainer cannot branch a run from another. Leave `branch` out."


@pytest.mark.parametrize(
    ("set_", "said"),
    [
        ("warmup_ratio = 0.1", "cannot have `schedule.warmup_ratio`, which depends on the whole budget (got 0.1)."),
        ("batch_start = 0.5", "cannot have `batch.batch_start`, which depends on the whole budget (got 0.5)."),
        ("adaptive_threshold = 0.1", "cannot have `schedule.adaptive_threshold`, which depends on the whole budget"),
        ("weight_decay = 0.1", "cannot have weight decay that tapers from the first step on (got 0.0)."),
    ],
)
def test_what_depends_on_the_whole_budget_before_the_warmdown_is_refused(set_, said, problems):
    (line,) = problems('preset = "golf-micro"\n', f'preset = "golf-micro"\nset = {{ {set_} }}\n')
    assert line.startswith("study.toml:26: stage screen: its warm-downs cannot branch from a trunk: ")
    assert said in line


def test_a_factor_that_depends_on_the_whole_budget_is_refused(problems):
    (line,) = problems('"matrix_lr"', '"warmup_ratio"', "low = 0.02", "low = 0.0", "high = 0.04", "high = 0.2")
    assert line.startswith("study.toml:25: stage screen: its warm-downs cannot branch")
    assert "`schedule.warmup_ratio`" in line


def test_warmdown_steps_with_a_limit_in_seconds_are_refused(problems):
    (line,) = problems(
        '["40 steps", "80 steps"]', '["4s", "8s"]',
        'preset = "golf-micro"\n', 'preset = "golf-micro"\nset = { warmdown_steps = 10 }\n',
    )  # fmt: skip
    assert "only its speed tells when these begin (got 10)" in line


def test_a_single_budget_has_nothing_to_share(problems):
    (line,) = problems(', "80 steps"]', "]")
    assert line.startswith("study.toml:25: stage screen: `branch` saves nothing")


def test_a_single_budget_and_a_factor_of_the_warmdown_share_a_trunk():
    text = TEXT.replace(', "80 steps"]', "]").replace('"matrix_lr"', '"warmdown_ratio"')
    text = text.replace("low = 0.02", "low = 0.25").replace("high = 0.04", "high = 0.5")
    assert parse(text, "study.toml", get_trainer).stage("screen").branch == "warmdown"
