"""The page on trainers of one's own, done as it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """report.json of the study on that page."""
    page = (Path(__file__).parents[2] / "docs" / "own-trainer.md").read_text(encoding="utf-8")
    here = tmp_path_factory.mktemp("own-trainer")
    for language, name in (("python", "mytrainer.py"), ("toml", "mystudy.toml")):
        block = re.search(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        assert block is not None
        (here / name).write_text(block.group(1), encoding="utf-8")
    environment = dict(os.environ, PYTHONPATH=str(here), FOLDOVER_TRAINERS="mine=mytrainer:MyTrainer")
    command = [sys.executable, "-m", "foldover", "run", "mystudy.toml", "--dir", "mine", "--quiet", "--jobs", "1"]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, object] = json.loads((here / "mine" / "report.json").read_text(encoding="utf-8"))
    return loaded


def test_effects_of_the_formula_are_found(report: dict[str, list[dict[str, float]]]) -> None:
    found = {effect["term"]: effect["estimate"] for effect in report["effects"]}
    # 0.02 a layer over 4 layers, and a quarter of the rate; the seed moves both by at most 0.002.
    assert found["A"] == pytest.approx(-0.08, abs=0.002)
    assert found["B"] == pytest.approx(-0.0375, abs=0.002)


def test_every_run_of_the_study_finished(report: dict[str, list[dict[str, str]]]) -> None:
    assert [run["status"] for run in report["runs"]] == ["finished"] * 12
