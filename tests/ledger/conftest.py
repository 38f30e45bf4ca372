"""A study of two packages, its run folders on disk, and a ledger of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from foldover.core import (
    Artifact,
    Budget,
    DesignRequest,
    Factor,
    Failure,
    Gate,
    Limit,
    Outcome,
    Package,
    Recipe,
    RunSpec,
    Stage,
    Status,
    Study,
    Values,
    Verdict,
)
from foldover.ledger import Ledger
from foldover.rundir import RunRoot

BUDGETS = (Budget(limit=Limit(kind="seconds", amount=2.0)), Budget(limit=Limit(kind="seconds", amount=6.0)))
FACTORS = (
    Factor(letter="A", lever="model.depth", low=2, high=4, kind="int"),
    Factor(letter="B", lever="optimizer.matrix_lr", low=0.02, high=0.08, scale="log"),
)
BASELINE = Recipe(trainer="toy", values=Values({"model.depth": 2, "optimizer.matrix_lr": 0.04}))
STUDY = Study(
    name="toy",
    question="What does a small budget want?",
    response="val_bpb",
    direction="minimize",
    baseline=BASELINE,
    factors=FACTORS,
    stages=(
        Stage(name="screen", kind="screen", budgets=BUDGETS, seeds=(1, 2), design=DesignRequest(runs=4)),
        Stage(name="confirm", kind="confirm", budgets=BUDGETS[1:], seeds=(11, 12), after="screen"),
    ),
    gate=Gate(),
    constants=Values(corpus="toy"),
    source="# the file",
)
VERDICTS = (
    Verdict(
        stage="screen",
        subject="A",
        decision="fix_low",
        because="+0.1 [0.05, 0.15]",
        rule="bh q=0.05",
        evidence="e" * 64,
    ),
    Verdict(stage="screen", subject="B", decision="keep_open", because="0", rule="bh q=0.05", evidence="e" * 64),
)
DECISIONS = (("screen", VERDICTS, "d" * 64),)


def specs_of(budget: Budget) -> list[RunSpec]:
    name = f"screen-{budget.limit.amount:g}s"
    rows = (("c01", (-1.0, -1.0)), ("c02", (1.0, -1.0)), ("c03", (-1.0, 1.0)), ("c04", (1.0, 1.0)))
    return [
        RunSpec(
            study=STUDY.name,
            stage="screen",
            package=name,
            condition=label,
            levels=levels,
            recipe=replace(
                BASELINE,
                values=BASELINE.values.with_({f.lever: f.decode(x) for f, x in zip(FACTORS, levels, strict=True)}),
            ),
            budget=budget,
            seed=seed,
            constants=STUDY.constants,
        )
        for seed in (1, 2)
        for label, levels in rows
    ]


def package_of(specs: list[RunSpec]) -> Package:
    first = specs[0]
    return Package(
        name=first.package,
        stage=first.stage,
        budget=first.budget,
        seeds=(1, 2),
        runs=tuple(spec.run_id for spec in specs),
    )


PACKAGES = tuple((package_of(specs_of(budget)), specs_of(budget)) for budget in BUDGETS)
SPECS = [spec for _, specs in PACKAGES for spec in specs]


def outcome_of(spec: RunSpec, status: Status = "finished") -> Outcome:
    value = 2.0 + 0.1 * spec.levels[0] + 0.01 * spec.seed
    return Outcome(
        run_id=spec.run_id,
        status=status,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:00:03+00:00",
        responses=Values(val_bpb=value, val_loss=value / 2) if status == "finished" else Values(),
        counters=Values(steps=20),
        fired=("warmdown",),
        artifact=Artifact(path="model.bin", bytes=10, sha256="a" * 64, codec="raw") if spec.seed == 1 else None,
        failure=None if status == "finished" else Failure(kind="ValueError", message="no"),
    )


def run(root: Path, spec: RunSpec, status: Status = "finished") -> Path:
    """What a worker does, without the work."""
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        for step in range(5):
            folder.add_to_curve(step=step, loss=4.0 / (step + 1))
        folder.add_event("warmdown", step=3)
        return runs.finish(folder, outcome_of(spec, status))


def lose(root: Path, spec: RunSpec) -> Path:
    """What a worker leaves that dies, put aside."""
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        (folder.path / "curve.jsonl").write_text('{"loss":4.0,"step":0}\n')
    assert runs.put_aside_dead() == (spec.run_id,)
    return runs.lost()[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Everything a test needs by name, since conftest modules cannot be imported."""

    root: Path
    study: Study
    packages: tuple[tuple[Package, list[RunSpec]], ...]
    specs: list[RunSpec]
    verdicts: tuple[Verdict, ...]
    decisions: tuple[tuple[str, tuple[Verdict, ...], str], ...]
    run: Callable[..., Path]
    lose: Callable[..., Path]

    @property
    def db(self) -> Path:
        return self.root / "ledger.sqlite"

    def planned(self) -> Ledger:
        ledger = Ledger.open(self.db)
        ledger.add_study(self.study)
        for package, specs in self.packages:
            ledger.add_package(package, specs)
        return ledger

    def fill(self) -> None:
        """Every run in the ledger: one lost attempt, one failure, a decision."""
        self.lose(self.root, self.specs[0])
        for number, spec in enumerate(self.specs):
            self.run(self.root, spec, "failed" if number == 3 else "finished")
        runs = RunRoot(self.root)
        with self.planned() as ledger:
            for folder in (*runs.lost(), *runs.ended()):
                assert ledger.ingest(folder)
            for stage, verdicts, evidence in self.decisions:
                ledger.add_decision(stage, verdicts, evidence)


def lab_in(root: Path) -> Lab:
    return Lab(
        root=root,
        study=STUDY,
        packages=PACKAGES,
        specs=SPECS,
        verdicts=VERDICTS,
        decisions=DECISIONS,
        run=run,
        lose=lose,
    )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return lab_in(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled study folder, to be copied: making one flushes hundreds of files to disk."""
    root = tmp_path_factory.mktemp("template") / "study"
    root.mkdir()
    lab_in(root).fill()
    return root


@pytest.fixture
def filled(lab: Lab, template: Path) -> Lab:
    shutil.copytree(template, lab.root, dirs_exist_ok=True)
    return lab


@pytest.fixture
def ledger(lab: Lab) -> Iterator[Ledger]:
    """Everything planned, nothing run."""
    with lab.planned() as opened:
        yield opened
