"""Nothing heavy is loaded before it is needed: asked of fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "scipy", "matplotlib", "statsmodels", "pandas", "pyarrow")

PLAN = """
import foldover
from pathlib import Path
study = foldover.check(Path("studies/demo.toml"))
assert foldover.outline(study, jobs=2).total_runs > 0
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import foldover", id="package"),
        pytest.param("import foldover.cli", id="command line"),
        pytest.param("import foldover.lab, foldover.planning, foldover.designs", id="planning"),
        pytest.param("from foldover.trainers import get_trainer; get_trainer('lm')", id="built-in trainer"),
        pytest.param(PLAN, id="outline of the demonstration study"),
    ],
)
def test_loads_nothing_heavy(root: Path, code: str) -> None:
    assert loaded(root, code) & set(HEAVY) == set()


def test_importing_the_package_loads_none_of_its_packages(root: Path) -> None:
    assert "numpy" not in loaded(root, "import foldover")
    code = "import foldover, sys; print([name for name in sys.modules if name.startswith('foldover.')])"
    assert run(root, code).strip() == "[]"


def test_help_needs_neither_numpy_nor_torch(root: Path) -> None:
    code = "from foldover.cli import app; app.main(['--help'], standalone_mode=False)"
    assert loaded(root, code) & {"numpy", *HEAVY} == set()


def test_planning_works_where_torch_cannot_be_imported(root: Path) -> None:
    run(root, "import sys; sys.modules['torch'] = None" + PLAN)


def loaded(root: Path, code: str) -> set[str]:
    """Top-level modules that are loaded after the code ran."""
    tail = "\nimport sys\nprint('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    return set(run(root, code + tail).splitlines()[-1].split())


def run(root: Path, code: str) -> str:
    """What the code prints in a new interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "FOLDOVER_TRAINERS"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
