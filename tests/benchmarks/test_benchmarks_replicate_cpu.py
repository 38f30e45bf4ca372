"""The page of the staged program with real training, made here from a study on the simulator."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.replicate_cpu import STUDY, write_page

from foldover.core import Settings
from foldover.lab import check, create, outline, run_study


def test_the_page_says_what_ran_and_shows_its_pictures(tmp_path: Path) -> None:
    session = create(STUDY.with_name("quick.toml"), tmp_path / "study")
    run_study(session, Settings(jobs=1))
    page = write_page(session, tmp_path / "out", command="the command")
    text = page.read_text(encoding="utf-8")
    runs = sum(1 for path in (tmp_path / "study" / "runs").iterdir() if not path.name.startswith("."))
    assert "Written by `the command` on 20" in text
    assert f"{runs} of {runs} runs" in text
    pictures = re.findall(r"\]\((replication-cpu/[\w.-]+\.svg)\)", text)
    assert pictures
    assert all((tmp_path / "out" / picture).is_file() for picture in pictures)
    assert {f"replication-cpu/{path.name}" for path in (tmp_path / "out" / "replication-cpu").iterdir()} == set(
        pictures
    )
    assert str(tmp_path) not in text


def test_the_shipped_program_has_613_runs_with_budgets_that_repeat() -> None:
    study = check(STUDY)
    assert sum(stage.cost.runs for stage in outline(study, jobs=2).stages) == 613
    assert {stage.kind for stage in study.stages} == {"screen", "replicate", "search", "bridge", "confirm", "anchors"}
    assert {budget.limit.kind for stage in study.stages for budget in stage.budgets} == {"flops"}
