"""Known answers of designs, with their sources, as `known_answers.json` beside this file keeps them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldover.core import Factor
from foldover.designs import ALPHABET

_TABLE = json.loads((Path(__file__).parent / "known_answers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def answers() -> dict[str, Any]:
    return _TABLE["cases"]


@pytest.fixture(scope="session")
def catalogue_rows() -> list[dict[str, Any]]:
    return _TABLE["minimum_aberration"]


@pytest.fixture(scope="session")
def factors() -> Callable[[int], tuple[Factor, ...]]:
    """factors(n): A, B, C, ... on linear scales from 10 to 20."""

    def make(n: int) -> tuple[Factor, ...]:
        return tuple(Factor(letter=x, lever=f"lever.{x}", low=10.0, high=20.0) for x in ALPHABET[:n])

    return make
