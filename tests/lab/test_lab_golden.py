"""What the shipped quick study finds, held still.

After a change that is meant to move these numbers:
    FOLDOVER_UPDATE_GOLDEN=1 python -m pytest tests/lab/test_lab_golden.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from foldover.lab import open_session

GOLDEN = Path(__file__).parent / "quick_golden.json"


@pytest.fixture(scope="module")
def found(finished: Path) -> dict[str, Any]:
    document = json.loads((finished / "report.json").read_text())
    effects = {
        f"{e['term']} {e['budget']}": [e["estimate"], e["low"], e["high"], e["p"], e["q"]] for e in document["effects"]
    }
    plans = open_session(finished).workspace.plans()
    recommendation = document["recommendation"]
    result = {
        "run_ids": {plan.stage: [run.run_id for run in plan.runs] for plan in plans},
        "effects": effects,
        "means": {f"{c['condition']} {c['package']}": c["mean"] for c in document["conditions"]},
        "verdicts": {f"{v['stage']}: {v['subject']}": v["decision"] for v in document["verdicts"]},
        "recommended": [recommendation["condition"], recommendation["package"], recommendation["recipe"]["digest"]],
    }
    if os.environ.get("FOLDOVER_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return result


@pytest.fixture(scope="module")
def golden(found: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(GOLDEN.read_text())
    return content


@pytest.mark.parametrize("part", ["run_ids", "verdicts", "recommended"])
def test_the_quick_study_plans_and_decides_as_it_did(found, golden, part):
    assert found[part] == golden[part]


@pytest.mark.parametrize("part", ["effects", "means"])
def test_the_quick_study_finds_the_numbers_it_found(found, golden, part):
    assert found[part].keys() == golden[part].keys()
    for name, numbers in golden[part].items():
        # Other processors round the last digits otherwise.
        assert found[part][name] == pytest.approx(numbers, rel=1e-9, abs=1e-12), name
