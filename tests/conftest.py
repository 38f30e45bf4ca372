"""Fixtures that several packages share."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from foldover.core import Study
    from foldover.data import PreparedData

# Two workers with two threads each wait for each other on two cores; before numpy or torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Nothing is timed here, least of all by a machine that does other work too.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ORACLES = ("pandas", "pydoe", "pyDOE", "statsmodels")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without the oracles that results are held against (`make test-base`), the files that ask them are left out."""
    missing = [name for name in ORACLES if find_spec(name) is None]
    if not missing or collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if any(f"import {name}" in text or f"from {name}" in text for name in missing) else None


@pytest.fixture(scope="session")
def prepared() -> PreparedData:
    """The embedded corpus under the default tokenizer, from the default cache: built once on a machine."""
    from foldover.data import prepare

    return prepare()


@pytest.fixture(scope="session")
def quick_path() -> Path:
    """The shipped study on the simulator: every stage in seconds."""
    return Path(__file__).parents[1] / "studies" / "quick.toml"


@pytest.fixture(scope="session")
def quick_study(quick_path: Path) -> Study:
    """The same, parsed."""
    from foldover.lab import check

    return check(quick_path)
