"""Caps on artifacts are checked with what the budget trains."""

from __future__ import annotations

import pytest

from foldover.core import Budget, Limit, Recipe, UserError, Values
from foldover.lab import over_cap
from foldover.lab.caps import predicted_bytes
from foldover.lm.levers import LEVERS, PRESETS
from foldover.lm.resolve import resolve

FLOORED = {"export.artifact": True, "matrix_format": "int8", "grid.clip": "absmax", "scale_floor": 1 / 127}
RECIPE = Recipe(trainer="lm", values=LEVERS.complete({**FLOORED, "gptq": False}, PRESETS["golf-micro"]))


def steps(amount: float, cap: int) -> Budget:
    return Budget(limit=Limit(kind="steps", amount=amount), artifact_bytes=cap)


def test_a_floor_saves_less_in_a_long_run_and_the_cap_knows_it() -> None:
    assumed = resolve(RECIPE).derived.integer("artifact_bytes")
    assert over_cap(RECIPE, steps(20, int(0.97 * assumed)), Values()) == ""
    assert "over the cap" in over_cap(RECIPE, steps(100_000, int(0.97 * assumed)), Values())
    assert over_cap(RECIPE, steps(100_000, int(1.2 * assumed)), Values()) == ""


def test_what_is_predicted_is_what_the_budget_trains() -> None:
    assumed = resolve(RECIPE).derived.integer("artifact_bytes")
    assert predicted_bytes(RECIPE, steps(20, 10**9), Values()) < 0.97 * assumed
    assert predicted_bytes(RECIPE, steps(1000, 10**9), Values()) == assumed
    assert predicted_bytes(Recipe(trainer="lm", values=PRESETS["golf-micro"]), steps(20, 10**9), Values()) is None


def test_code_that_counts_is_part_of_a_fitted_size_and_not_added_twice() -> None:
    cap = resolve(RECIPE).derived.integer("artifact_bytes") // 2
    fitted = Recipe(trainer="lm", values=LEVERS.complete({"allocate_to_bytes": cap}, RECIPE.values))
    assert over_cap(fitted, steps(100, cap), Values(code_bytes=5000)) == ""
    assert "5,000 bytes of code" in over_cap(RECIPE, steps(100, cap), Values(code_bytes=5000))


def test_a_cap_without_an_artifact_is_a_mistake() -> None:
    with pytest.raises(UserError, match="no artifact"):
        over_cap(Recipe(trainer="lm", values=PRESETS["golf-micro"]), steps(10, 10**6), Values())
