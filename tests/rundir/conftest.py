"""A run that can be planned, begun and ended without training anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldover.core import Budget, Limit, Outcome, Recipe, RunSpec, Values
from foldover.rundir import RunRoot

SPEC = RunSpec(
    study="toy",
    stage="screen",
    package="screen-2s",
    condition="c01",
    levels=(-1.0, 1.0),
    recipe=Recipe(trainer="toy", values=Values(depth=2, lr=0.04)),
    budget=Budget(limit=Limit(kind="seconds", amount=2.0)),
    seed=1,
)
OUTCOME = Outcome(
    run_id=SPEC.run_id,
    status="finished",
    started="2026-01-01T00:00:00+00:00",
    finished="2026-01-01T00:00:03+00:00",
    responses=Values(val_bpb=1.5),
)


def run(root: RunRoot) -> Path:
    with root.claim(SPEC) as folder:
        assert folder is not None
        folder.log_path.write_text("hello\n")
        folder.add_to_curve(step=0, loss=4.0)
        folder.add_to_curve(step=1, loss=3.0)
        folder.add_event("warmdown", step=1)
        return root.finish(folder, OUTCOME)


@pytest.fixture
def spec() -> RunSpec:
    return SPEC


@pytest.fixture
def outcome() -> Outcome:
    return OUTCOME


@pytest.fixture
def root(tmp_path: Path) -> RunRoot:
    return RunRoot(tmp_path)


@pytest.fixture
def ended(root: RunRoot) -> Path:
    """The folder of a run that ended."""
    return run(root)


@pytest.fixture
def begun(root: RunRoot) -> Path:
    """What a worker leaves that dies at work."""
    with root.claim(SPEC) as folder:
        assert folder is not None
        (folder.path / "curve.jsonl").write_text('{"loss":4.0,"step":0}\n{"lo')
        return folder.path
