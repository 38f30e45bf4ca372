"""What the Makefile promises before anything is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """The files that make looks at, alone."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "PYTHON")
    }
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_missing_python_gets_one_clear_line(clone: Path) -> None:
    done = make(clone, "demo", "PYTHON=/nonexistent/python3")
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 1
    assert "foldover needs Python 3.11 or newer as '/nonexistent/python3'" in done.stdout
    assert not (clone / ".venv").exists()


def test_too_old_python_gets_one_clear_line_with_its_version(clone: Path) -> None:
    old = clone / "python3.9"
    old.write_text('#!/bin/sh\ncase "$1" in --version) echo "Python 3.9.18" ;; *) exit 1 ;; esac\n', encoding="utf-8")
    old.chmod(0o755)
    done = make(clone, "test", f"PYTHON={old}")
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 1
    assert "found: Python 3.9.18" in done.stdout
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_a_second_call_installs_nothing(clone: Path, target: str) -> None:
    assert "pip install" in make(clone, "-n", target).stdout
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".installed").touch()
    assert "pip" not in make(clone, "-n", target).stdout


def test_a_changed_pin_installs_again(clone: Path) -> None:
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".installed").touch()
    os.utime(clone / "constraints.txt", (2e9, 2e9))
    assert "pip install" in make(clone, "-n", "test").stdout
