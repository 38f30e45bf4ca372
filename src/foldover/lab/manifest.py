"""The accounting of a study's runs, as tables: packages, totals, matrices, base, and the program as it was."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import foldover
from foldover.core import Scalar, Study, digest
from foldover.lab.session import Session
from foldover.planning import Plan
from foldover.rundir import write_atomic

_EPOCH = (1980, 1, 1, 0, 0, 0)  # what an archive says of its files, so that equal files give an equal archive
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
    """Write packages.csv, totals.json, base.csv, matrices/STAGE.csv, contents.csv and source.zip; gives their paths."""
    found, plans = manifest(session), session.workspace.plans()
    contents = _contents()
    archive = _archive(contents)
    out.mkdir(parents=True, exist_ok=True)
    (out / "matrices").mkdir(exist_ok=True)
    texts = {"packages.csv": _packages(found), "base.csv": _base(session.study), "contents.csv": _listing(contents)}
    texts |= {f"matrices/{plan.stage}.csv": _matrix(session.study, plan) for plan in plans}
    texts["totals.json"] = json.dumps(_totals(session, found, contents, archive), indent=1, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        write_atomic(out / name, text)
    write_atomic(out / "source.zip", archive)
    return tuple(out / name for name in (*texts, "source.zip"))


def _packages(found: Manifest) -> str:
    header = ("package", "host", "regime", "budgets", "rows", "ended", "trunks")
    rows = [(r.package, r.host, r.regime, "; ".join(r.budgets), r.rows, r.ended, r.trunks) for r in found.packages]
    return _csv(header, rows)


def _totals(session: Session, found: Manifest, contents: Sequence[tuple[str, bytes]], archive: bytes) -> dict[str, Any]:
    study = session.study
    return {
        "study": study.name,
        "packages": len(found.packages),
        "rows": found.total,
        "rows_by_host": dict(found.by_host),
        "ended": found.ended,
        "is_complete": found.is_complete,
        "study_sha256": hashlib.sha256(study.source.encode()).hexdigest(),
        "source_sha256": hashlib.sha256(archive).hexdigest(),
        "contents_sha256": digest([[name, hashlib.sha256(data).hexdigest()] for name, data in contents]),
        "version": foldover.__version__,
    }


def _base(study: Study) -> str:
    """Every lever of the baseline with its value, then every constant."""
    rows = [("lever", name, value) for name, value in study.baseline.values.items()]
    rows += [("constant", name, value) for name, value in study.constants.items()]
    return _csv(("kind", "name", "value"), rows)


def _matrix(study: Study, plan: Plan) -> str:
    """Every condition of a stage: coded levels, the levers of the factors decoded, and what else differs."""
    letters = [factor.letter for factor in study.factors]
    levers = [factor.lever for factor in study.factors]
    runs = Counter(run.condition for run in plan.runs if not run.is_trunk)
    rows = []
    for c in plan.conditions:
        own: list[Scalar] = [
            c.recipe.values.get(factor.lever, factor.decode(level))
            for factor, level in zip(study.factors, c.levels, strict=True)
        ]
        others = [f"{name}={new}" for name, _, new in c.recipe.diff(study.baseline) if name not in levers]
        rows.append((c.label, c.role, c.origin, *c.levels, *own, "; ".join(others), runs[c.label]))
    header = ("condition", "role", "from", *letters, *levers, "other changes", "runs")
    return _csv(header, rows)


def _contents() -> list[tuple[str, bytes]]:
    """The files of the installed package, by path."""
    root = Path(foldover.__file__).parent
    paths = [p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyc"]
    return [(f"foldover/{path.relative_to(root).as_posix()}", path.read_bytes()) for path in sorted(paths)]


def _listing(contents: Sequence[tuple[str, bytes]]) -> str:
    rows = [(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in contents]
    return _csv(("path", "bytes", "sha256"), rows)


def _archive(contents: Sequence[tuple[str, bytes]]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
