"""`foldover` called in this process, and the quick study after one `run`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from foldover.cli import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Called]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Exit code, stdout and stderr of `foldover ARGUMENTS`."""

    def run(*arguments: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["foldover", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return Called(code=int(caught.value.code or 0), out=out, err=err)

    return run


@pytest.fixture(scope="session")
def finished(quick_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the quick study. Not to be written to."""
    from foldover.cli.watch import ProgressView
    from foldover.core import Settings
    from foldover.lab import create, run_study

    root = tmp_path_factory.mktemp("cli") / "quick"
    run_study(create(quick_path, root), Settings(jobs=2), ProgressView(quiet=True))
    return root


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "study")
