"""Conditions that their budgets leave no room for are found by a plan, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldover.core import BudgetError
from foldover.lab import check, outline

STUDY = """
[study]
name = "reserves"
question = "?"
trainer = "lm"

[baseline]
preset = "golf-micro"

[factors.A]
lever = "GPTQ_RESERVE_SECONDS"
low = 0.0
high = 4.0

[factors.B]
lever = "matrix_lr"
low = 0.02
high = 0.04

[[stages]]
name = "screen"
kind = "screen"
design = "2^2"
budgets = [{budgets}]
seeds = [1]
"""


def planned(tmp_path: Path, *budgets: str):
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(budgets=", ".join(f'"{budget}"' for budget in budgets)))
    return outline(check(path), jobs=1)


def test_every_condition_that_a_budget_leaves_no_room_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(BudgetError) as error:
        planned(tmp_path, "2s", "4s", "5s")
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    for line, budget in zip(lines, ("2 s", "4 s"), strict=True):
        assert line.startswith(
            f"stage screen @ {budget}, c03, c04: `schedule.reserve_seconds` leaves nothing of {budget}"
        )


def test_a_reserve_is_no_factor_of_a_stage_in_steps(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"c03, c04: `schedule.reserve_seconds` cannot act within 20 steps"):
        planned(tmp_path, "20 steps")
