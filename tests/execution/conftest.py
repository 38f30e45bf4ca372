from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from foldover.core import Budget, Limit, Outcome, Recipe, RunSpec, Values
from foldover.rundir import RunRoot, read_ended

HERE = Path(__file__).parent

MakeSpec = Callable[..., RunSpec]


@pytest.fixture(autouse=True)
def fake_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the trainers of `fake_trainer`, in this process and in the workers it starts."""
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{path}" if path else str(HERE))
    names = {"fake": "Fake", "deadly": "Deadly", "preloading": "Preloading", "unloadable": "Unloadable"}
    entries = (f"{name}=fake_trainer:{stem}Trainer" for name, stem in names.items())
    monkeypatch.setenv("FOLDOVER_TRAINERS", ",".join(entries))
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture
def spec_of() -> MakeSpec:
    def make(
        mode: str = "ok",
        *,
        pause: float = 0.0,
        estimate: float = 0.0,
        number: int = 0,
        seed: int = 1,
        limit: str = "60 s",
        grace: float = 60.0,
        trainer: str = "fake",
    ) -> RunSpec:
        return RunSpec(
            study="test",
            stage="screen",
            package="screen",
            condition=f"c{number:02d}",
            levels=(),
            recipe=Recipe(trainer=trainer, values=Values(mode=mode, pause=pause, estimate=estimate, number=number)),
            budget=Budget(limit=Limit.parse(limit), grace_seconds=grace),
            seed=seed,
        )

    return make


@pytest.fixture
def outcome_of(tmp_path: Path) -> Callable[[RunSpec], Outcome]:
    """The outcome of an ended run under `tmp_path`."""
    return lambda spec: read_ended(RunRoot(tmp_path).folder(spec.run_id)).outcome
