"""`--workers` reaches the runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from foldover.lab import create
from foldover.rundir import RunRoot, read_ended

Call = Callable[..., Any]


def test_runs_are_executed_as_the_option_says(call: Call, quick_path: Path, tmp_path: Path) -> None:
    create(quick_path, tmp_path / "study")
    assert call("execute", tmp_path / "study", "--workers", "fork", "--jobs", 2, "--quiet").code == 0
    ended = RunRoot(tmp_path / "study").ended()
    assert len(ended) > 8
    assert {read_ended(path).outcome.machine["workers"] for path in ended} == {"fork"}


def test_another_kind_of_workers_is_a_mistake_of_the_user(call: Call, quick_path: Path, tmp_path: Path) -> None:
    called = call("run", quick_path, "--dir", tmp_path / "study", "--workers", "warm")
    assert called.code == 2
    assert "'warm' is not one of 'reset', 'fork', 'fresh'" in called.err
