"""`foldover check` and `foldover plan`."""

from __future__ import annotations

from pathlib import Path

import pytest

# (what the file says, what it says instead, the message)
MISTAKES = [
    ('lever = "matrix_lr"', 'lever = "matrix_rl"', "factor C: `matrix_rl` is not a lever. Did you mean `matrix_lr`?"),
    ("high = 524288", "high = 1048576", "factor D: `high`: `batch.total_batch` cannot be 1048576."),
    ("smallest_effect = 0.002", "smallest_efect = 0.002", "[decision]: unknown key `smallest_efect`."),
    ('budgets = ["2min", "5min"]', 'budgets = ["2min", "5 parsecs"]', "stage screen: a budget is not readable"),
    ("best = 1", "best = -1", "stage confirm: `best` must be a whole number from 0 on (got -1)."),
]


@pytest.fixture
def spoiled(quick_path: Path, tmp_path: Path) -> tuple[Path, list[int]]:
    """A study with five mistakes, and their lines."""
    text = quick_path.read_text(encoding="utf-8")
    for old, new, _ in MISTAKES:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / "spoiled.toml"
    path.write_text(text, encoding="utf-8")
    return path, [1 + text[: text.index(new)].count("\n") for _, new, _ in MISTAKES]


def test_a_study_without_a_mistake_is_said_to_have_none(call, quick_path):
    called = call("check", quick_path)
    assert (called.code, called.out) == (0, f"{quick_path}: study `quick`, 5 factors, 3 stages: no problem\n")


def test_five_mistakes_are_named_with_their_lines_in_one_call(call, spoiled):
    path, lines = spoiled
    called = call("check", path)
    for line, (_, _, message) in zip(lines, MISTAKES, strict=True):
        assert f"{path}:{line}: {message}" in called.err
    assert (called.code, called.out, called.err.splitlines()[-1]) == (2, "", "5 problems")


def test_problems_come_in_order_of_line(call, spoiled):
    path, lines = spoiled
    told = [problem["line"] for problem in call("check", path, "--json").json["problems"]]
    assert told == sorted(lines)


def test_one_problem_is_counted_as_one(call, quick_path, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(quick_path.read_text().replace("best = 1", "best = -1"))
    assert call("check", path).err.splitlines()[-1] == "1 problem"


def test_the_other_verbs_refuse_a_spoiled_study_with_the_same_text(call, spoiled, tmp_path):
    path, _ = spoiled
    problems = [line for line in call("check", path).err.splitlines() if line.startswith(str(path))]
    for arguments in (("plan", path), ("run", path, "--dir", tmp_path / "s")):
        called = call(*arguments)
        assert (called.code, called.err.splitlines()) == (2, problems)


@pytest.mark.parametrize("name", ["quick.toml", "demo.toml"])
def test_shipped_studies_have_no_mistake(call, quick_path, name):
    assert call("check", quick_path.parent / name).code == 0


def test_a_plan_shows_all_that_is_paid_for(call, quick_path):
    called = call("plan", quick_path, "--jobs", 2)
    assert called.code == 0
    for text in (
        "generators: E=ABCD",
        "defining relation: I = ABCDE (resolution V)",
        "AB = CDE",
        "batch.total_batch from 262144 to 524288",
        "= 64 runs",
        "stage confirm (confirm): at most 2 conditions",
        "total: at most 91 runs, about 2 s with 2 at a time",
    ):
        assert text in called.out


def test_a_plan_has_a_line_for_every_condition(call, quick_path):
    lines = [line.split() for line in call("plan", quick_path).out.splitlines()]
    assert [line[0] for line in lines if line and line[0].startswith("c") and line[0][1:].isdigit()] == [
        f"c{i:02d}" for i in range(1, 17)
    ]


def test_a_plan_writes_nothing(call, quick_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("plan", quick_path)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_where_two_conditions_are_the_same_run(call, quick_path, tmp_path):
    path = tmp_path / "s.toml"
    text = quick_path.read_text().replace("high = 72", "high = 60")
    path.write_text(text.replace('design = "2^(5-1)"\ngenerators = ["E=ABCD"]', 'design = "2^5"'))
    assert "same run as c01" in call("plan", path).out


def test_a_budget_that_the_trainer_does_not_reach_is_told_before_anything_runs(call, quick_path, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(quick_path.read_text().replace('"2min"', '"2s"'))
    called = call("plan", path)
    assert (called.code, "0.0333" in called.err) == (2, True)
