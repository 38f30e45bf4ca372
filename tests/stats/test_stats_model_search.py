"""Near-best models of fractions under sparsity and heredity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import near_best_models

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}
DESIGN = np.array(CASES["P11"]["input"]["design"], dtype=float)[:, :7]
Y = np.array(CASES["P11"]["input"]["y"])


def test_cast_fatigue_is_f_and_fg_as_in_the_books() -> None:
    best = near_best_models(DESIGN, Y, "ABCDEFG", most_terms=2)[0]
    assert best.terms == ("F", "FG")
    assert best.r2 == pytest.approx(CASES["P11"]["expected"]["R2_F_FG"], rel=1e-6)


def test_strong_heredity_asks_for_both_parents() -> None:
    for model in near_best_models(DESIGN, Y, "ABCDEFG", most_terms=4, heredity="strong", within=6.0):
        for term in model.terms:
            assert all(letter in model.terms for letter in term)


def test_models_are_sorted_and_within_the_asked_distance() -> None:
    models = near_best_models(DESIGN, Y, "ABCDEFG", most_terms=3, within=3.0)
    deltas = [model.delta for model in models]
    assert deltas == sorted(deltas)
    assert deltas[0] == 0.0
    assert deltas[-1] <= 3.0


def test_too_few_runs_for_the_size_are_refused() -> None:
    with pytest.raises(AnalysisError, match="too few"):
        near_best_models(DESIGN, Y, "ABCDEFG", most_terms=9)
