"""A program of all kinds of stages, killed again and again: it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest

STAGED = Path(__file__).parents[2] / "studies" / "staged-screening.toml"
PACE = 0.0001

SMALL = (
    ("runs = 50", "runs = 7"),
    ("runs = 20", "runs = 6"),
    ("runs = 80\nbatch = 16", "runs = 16\nbatch = 4"),
    ("seeds = [201, 202, 203, 204, 205]", "seeds = [201]"),
    ("seeds = [101, 102, 103, 104, 105]", "seeds = [101, 102]"),
    ("seeds = [301, 302, 303, 304]", "seeds = [301, 302]"),
    ('budgets = ["2min", "5min", "10min"]', 'budgets = ["2min", "10min"]'),
    ('budgets = ["12h"]', 'budgets = ["20min"]'),
    ('budgets = ["24h"]', 'budgets = ["30min"]'),
    ('surface = "calibrated"', f'surface = "calibrated"\npace = {PACE}'),
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    text = STAGED.read_text(encoding="utf-8")
    for old, new in SMALL:
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_program_that_is_killed_goes_on_and_ends_the_same(killed_twice, small):
    decided = [
        [(d.stage, v.subject, v.decision, v.because) for d in session.workspace.decisions() for v in d.verdicts]
        for session in killed_twice(small)
    ]
    assert decided[0] == decided[1]
