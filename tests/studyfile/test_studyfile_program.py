"""Programs of many stages: what is wrong with one is told at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldover.core import StudyError
from foldover.studyfile import parse, render, scale_study
from foldover.trainers import get_trainer

TEXT = (Path(__file__).parents[2] / "studies" / "staged-screening.toml").read_text(encoding="utf-8")

MISTAKES = [
    ('from = "pilot", best = 4', 'from = "pilto", best = 4', "there is no stage 'pilto' before this one"),
    ('from = "seeds", condition', 'from = "linux-24h", condition', "does not come before this one. Move it up."),
    (
        'condition = "c10" },\n]\nbudgets = ["60min"]',
        'condition = "c17" },\n]\nbudgets = ["60min"]',
        "no condition 'c17'",
    ),
    ('from = "anchors-60min", among = "bridge"', 'from = "anchors-60min", among = "brigde"', "no role 'brigde'"),
    (
        'best = 4, budget = "10min"',
        'best = 4, budget = "7min"',
        "has no budget 7 min (there are: 2 min, 5 min, 10 min)",
    ),
    ('budgets = ["5min", "10min"]\nseeds', 'budgets = ["10min", "5min"]\nseeds', "budgets are in the wrong order"),
    ('fix = ["D"]\ndesign = "2^4"', 'fix = ["D"]\ndesign = "2^(4-1)"\ngenerators = ["E=ABD"]', "D is fixed and varied"),
    ('after = "pilot"\nfix = ["D"]', 'fix = ["D"]', "only by the verdict of a stage"),
    ('fix = ["D"]', 'fix = { D = "middle" }', "fixed at `low`, `high`, `better` or `best`"),
    ('fix = ["D"]', 'fix = ["A", "B", "C", "D", "E"]', "every factor is fixed"),
    ("runs = 80\n", "runs = 64\n", "64 runs of 10 min, but stage screens has 80"),
    ('matched_to = "screens"\nbudgets = ["10min"]', 'matched_to = "screens"\nbudgets = ["2min"]', "no runs of 2 min"),
    (
        'host = "linux"\nbudgets = ["10min", "60min"]',
        'host = ["linux", "windows"]\nbudgets = ["60min"]',
        "never pooled",
    ),
    ('host = "linux"\nbudgets = ["10min", "60min"]', 'host = "mars"\nbudgets = ["60min"]', "there is no host 'mars'"),
    ('package = "Linux 12h anchors"', 'package = "Windows 12h anchors"', "would pool hosts or regimes"),
    ('regime = "fixed"\nseed = 36008\nreruns = 3', 'regime = "fixed"\nseeds = [36008]', "the regime is fixed"),
    ("seeds = [401, 402]", "seeds = [401, 402]\nseed = 3", '`seed` goes with `regime = "fixed"`'),
    ("set = { aspect = 64 }\n", "", "a bridge changes what it picks"),
    ("set = { aspect = 64 }\n", "set = { aspekt = 64 }\n", "`aspekt` is not a lever"),
    (
        'role = "control", from = "screens", condition = "c10"',
        'role = "control", from = "screens"',
        "nothing would be taken",
    ),
    (
        'role = "control", from = "screens", condition = "c10"',
        'role = "control", from = "screens", condition = "c10", match = "num_params"',
        "`match` and `over` go together",
    ),
    (
        'role = "control", from = "screens", condition = "c10"',
        'role = "control", from = "screens", condition = "c10", match = "width", over = ["A"]',
        "`match` cannot be 'width'",
    ),
    (
        'role = "control", from = "screens", condition = "c10"',
        'role = "control", from = "screens", condition = "c10", match = "num_params", over = ["Q"]',
        "`over` names factors by letter (got 'Q'; there are A, B, C, D, E)",
    ),
    (
        '{ C = [-1, -0.25, 0.5, 1], E = [-1, 0, 1, 1.5] }\nbudgets = ["5min"]',
        '{ C = [1, -1] }\nbudgets = ["5min"]',
        "rising levels",
    ),
    (
        'best = 2, budget = "2min" },\n    { role = "worst", from = "pilot", worst = 2',
        'best = 17 },\n    { role = "worst", from = "pilot", worst = 2',
        "more than the 16 of stage pilot",
    ),
    (
        'best = 2, budget = "2min" },\n    { role = "worst", from = "pilot", worst = 2',
        'best = 9, budget = "2min" },\n    { role = "worst", from = "pilot", worst = 8',
        "with those above it takes 17 conditions, and stage pilot can have 16",
    ),
    (
        'role = "control", from = "screens", condition = "c10"',
        'role = "control", from = "random", best = 81',
        "81 conditions are more than the 80 of stage random",
    ),
    (
        'role = "control", from = "screens", condition = "c10"',
        'role = "one", from = "screens", condition = "c10" }, { role = "control", from = "screens", condition = "c10"',
        "condition c10 of stage screens is picked already",
    ),
    ('matched_to = "screens"\n', 'host = "linux"\nmatched_to = "screens"\n', "stage screens is on another host"),
    ('title = "Linux L40S"', 'title = "Linux L40S"\nthread = 2', "unknown key `thread`. Did you mean `threads`?"),
    ('title = "Linux L40S"', 'title = "Linux L40S"\nthreads = 0', "threads must be at least 1"),
    ("seeds = [101, 102, 103, 104, 105]", "seeds = [36008]", "A confirmation needs new seeds."),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_is_told_at_its_line(old, new, message):
    assert old in TEXT
    at = TEXT.index(old)
    with pytest.raises(StudyError) as caught:
        parse(TEXT.replace(old, new, 1), "s.toml", get_trainer)
    told = [problem for problem in caught.value.problems if message in problem.message]
    assert told, [problem.message for problem in caught.value.problems]
    # Within the stage's block: the line of the key, or that of the block where a key is missing.
    first = TEXT[:at].rfind("[[stages]]") if "[[stages]]" in TEXT[:at] else 0
    lines = range(TEXT[:first].count("\n") + 1, TEXT[: at + len(old)].count("\n") + len(new.splitlines()) + 6)
    assert told[0].line in lines


def test_a_gate_that_can_never_fire_is_an_error():
    """One run a condition under an explicit seed carries no error: nothing can be fixed by it."""
    explicit = TEXT.replace('regime = "fixed"\nseed = 36008\n\n# Extremes', "seeds = [36008]\n\n# Extremes", 1)
    assert explicit != TEXT
    with pytest.raises(StudyError, match="the gate of stage pilot can never fire"):
        parse(explicit, "s.toml", get_trainer)


@pytest.mark.parametrize("name", ["staged-screening", "staged-screening-cpu", "staged-screening-gpu"])
def test_a_shipped_program_is_read_and_written_back(name):
    path = Path(__file__).parents[2] / "studies" / f"{name}.toml"
    study = parse(path.read_text(encoding="utf-8"), "s.toml", get_trainer)
    again = parse(render(study), "again.toml", get_trainer)
    assert (again.stages, again.hosts, again.host, again.gate) == (study.stages, study.hosts, study.host, study.gate)
    kinds = {stage.kind for stage in study.stages}
    assert kinds == {"screen", "confirm", "replicate", "search", "bridge", "anchors"}


def test_the_studys_own_host_by_its_label_is_no_other_host():
    own = TEXT.replace('matched_to = "screens"\n', 'host = "windows"\nmatched_to = "screens"\n', 1)
    assert own != TEXT
    assert parse(own, "s.toml", get_trainer).stages


def test_scaled_counts_are_rounded_up_but_not_by_the_rounding_of_a_double():
    text = TEXT.replace('budgets = ["5min"]', 'budgets = ["50e9 flops"]')
    scaled = scale_study(parse(text, "s.toml", get_trainer), 0.55)
    assert 27_500_000_000 in {b.limit.amount for s in scaled.stages for b in s.budgets}
    assert 27_500_000_001 not in {b.limit.amount for s in scaled.stages for b in s.budgets}


def test_a_scaled_program_is_the_same_but_for_its_budgets():
    study = parse(TEXT, "s.toml", get_trainer)
    scaled = scale_study(study, 0.5)
    again = parse(scaled.source, "again.toml", get_trainer)
    assert again.stages == scaled.stages
    assert [b.limit.amount * 2 for s in scaled.stages for b in s.budgets] == [
        b.limit.amount for s in study.stages for b in s.budgets
    ]
    assert [(p.role, p.stage, p.best) for s in scaled.stages for p in s.picks] == [
        (p.role, p.stage, p.best) for s in study.stages for p in s.picks
    ]
