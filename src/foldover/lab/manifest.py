"""The accounting of a study's runs, as tables: packages, totals, matrices, base, and the program as it was."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import foldover
from foldover.core import Recipe, Scalar, Study, digest
from foldover.lab import source
from foldover.lab.evidence import slug
from foldover.lab.session import Session
from foldover.planning import Plan
from foldover.rundir import write_atomic

REGIMES = {"explicit": "explicit seeds", "fixed": "one fixed seed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRow:
    """A row of the run accounting. rows: runs that are planned; ended: that have ended; trunks are counted apart."""

    package: str
    host: str
    regime: str
    budgets: tuple[str, ...]
    rows: int
    ended: int
    trunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All packages of what is planned so far, and totals that are worked out from them, by host."""

    study: str
    packages: tuple[PackageRow, ...]
    by_host: Mapping[str, int]
    total: int
    ended: int
    is_complete: bool


def manifest(session: Session) -> Manifest:
    """Count the runs of every package; every run belongs to one."""
    study, plans = session.study, session.workspace.plans()
    runs = [run for plan in plans for run in plan.runs]
    rows = []
    for name in dict.fromkeys(stage.accounted_as for stage in study.stages):
        stages = [stage for stage in study.stages if stage.accounted_as == name]
        own = [run for run in runs if run.stage in {stage.name for stage in stages}]
        counted = [run for run in own if not run.is_trunk]
        budgets = {budget.limit.amount: budget.label() for stage in stages for budget in stage.budgets}
        rows.append(
            PackageRow(
                package=name,
                host=study.title_of(study.host_of(stages[0])),
                regime=REGIMES[stages[0].regime],
                budgets=tuple(label for _, label in sorted(budgets.items())),
                rows=len(counted),
                ended=sum(session.workspace.runs.has_ended(run.run_id) for run in counted),
                trunks=len(own) - len(counted),
            )
        )
    by_host = Counter({row.host: 0 for row in rows})
    for row in rows:
        by_host[row.host] += row.rows
    decided = {decision.stage for decision in session.workspace.decisions()}
    return Manifest(
        study=study.name,
        packages=tuple(rows),
        by_host=dict(by_host),
        total=sum(row.rows for row in rows),
        ended=sum(row.ended for row in rows),
        is_complete=decided == {stage.name for stage in study.stages},
    )


def write_manifest(session: Session, out: Path) -> tuple[Path, ...]:
    """Write the accounting into a folder, which is made if need be; gives the files.

    packages.csv: a row a package; totals.json: sums, kept apart; base.csv: the baseline; conditions/PACKAGE.csv: a row
    a condition; matrices/PACKAGE.csv: a row a run; contents.csv and source.zip: the program as it is.
    """
    found, files = manifest(session), source.contents()
    packed = source.archive(files)
    names = _file_names(found)
    texts = {"packages.csv": _packages(found, names), "base.csv": _base(session.study)}
    for row in found.packages:
        texts[f"conditions/{names[row.package]}"] = _conditions(session, row.package)
        texts[f"matrices/{names[row.package]}"] = _matrix(session, row.package)
    texts["contents.csv"] = source.listing(files)
    texts["totals.json"] = json.dumps(_totals(session, found, files, packed), indent=1, ensure_ascii=False) + "\n"
    for folder in (out, out / "conditions", out / "matrices"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_atomic(out / name, text)
    write_atomic(out / "source.zip", packed)
    return tuple(out / name for name in (*texts, "source.zip"))


def _file_names(found: Manifest) -> dict[str, str]:
    """Package to file, told apart where two packages' names read the same in a file name."""
    names: dict[str, str] = {}
    for row in found.packages:
        name = slug(row.package) or "package"
        same = sum(other.startswith(f"{name}.") or other.startswith(f"{name}--") for other in names.values())
        names[row.package] = f"{name}--{same + 1}.csv" if same else f"{name}.csv"
    return names


def _packages(found: Manifest, names: Mapping[str, str]) -> str:
    header = ("package", "host", "regime", "budgets", "rows", "ended", "trunks", "file")
    rows = [
        (r.package, r.host, r.regime, "; ".join(r.budgets), r.rows, r.ended, r.trunks, names[r.package])
        for r in found.packages
    ]
    return _csv(header, rows)


def _totals(session: Session, found: Manifest, files: Sequence[source.File], packed: bytes) -> dict[str, Any]:
    by_regime: Counter[str] = Counter()
    for row in found.packages:
        by_regime[row.regime] += row.rows
    changed = source.changed_since(session.workspace.root)
    return {
        "study": found.study,
        "packages": len(found.packages),
        "rows": found.total,
        "rows_by_host": dict(found.by_host),
        "rows_by_regime": dict(by_regime),
        "ended": found.ended,
        "is_complete": found.is_complete,
        "study_sha256": hashlib.sha256(session.study.source.encode()).hexdigest(),
        "source_sha256": hashlib.sha256(packed).hexdigest(),
        "contents_sha256": digest([[name, hashlib.sha256(data).hexdigest()] for name, data in files]),
        "source_changed_since_the_study_began": None if changed is None else list(changed),
        "version": foldover.__version__,
    }


def _base(study: Study) -> str:
    """Every lever of the baseline with its value, then every constant."""
    rows = [("lever", name, value) for name, value in study.baseline.values.items()]
    rows += [("constant", name, value) for name, value in study.constants.items()]
    return _csv(("kind", "name", "value"), rows)


def _conditions(session: Session, package: str) -> str:
    """Every condition of a package, stage by stage: levels coded and decoded, and what else is not the baseline."""
    study = session.study
    levers = [factor.lever for factor in study.factors]
    rows = []
    for plan in _plans_of(session, package):
        runs = Counter(run.condition for run in plan.runs if not run.is_trunk)
        for c in plan.conditions:
            others = [f"{name}={new}" for name, _, new in c.recipe.diff(study.baseline) if name not in levers]
            levels = _levels(study, c.levels, c.recipe)
            rows.append((plan.stage, c.label, c.role, c.origin, *levels, "; ".join(others), runs[c.label]))
    return _csv(("stage", "condition", "role", "from", *_heads(study), "other changes", "runs"), rows)


def _matrix(session: Session, package: str) -> str:
    """Every run of a package: its condition, coded and decoded, with host, budget, seed and rerun."""
    study = session.study
    rows = [
        (
            run.run_id, run.stage, run.condition, *_levels(study, run.levels, run.recipe), study.title_of(run.host),
            run.budget.label(), run.seed, run.rerun,
        )
        for plan in _plans_of(session, package)
        for run in plan.runs
        if not run.is_trunk
    ]  # fmt: skip
    return _csv(("run_id", "stage", "condition", *_heads(study), "host", "budget", "seed", "rerun"), rows)


def _plans_of(session: Session, package: str) -> list[Plan]:
    study = session.study
    return [plan for plan in session.workspace.plans() if study.stage(plan.stage).accounted_as == package]


def _heads(study: Study) -> tuple[str, ...]:
    return (*(factor.letter for factor in study.factors), *(factor.lever for factor in study.factors))


def _levels(study: Study, coded: Sequence[float], recipe: Recipe) -> tuple[Scalar, ...]:
    """Coded levels, then the levers' values: those of the recipe, where it has them."""
    decoded = (
        recipe.values.get(factor.lever, factor.decode(level))
        for factor, level in zip(study.factors, coded, strict=True)
    )
    return (*coded, *decoded)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
