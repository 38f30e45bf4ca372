"""Sections on what was planned: run accounting, factors, design."""

from __future__ import annotations

from collections import Counter

from foldover.core import Scalar
from foldover.lab.evidence import Evidence
from foldover.report.numbers import counted, listed
from foldover.report.section import Section, SectionTable, columns


def accounting(evidence: Evidence) -> Section | None:
    """Runs by package, host, regime and budgets; totals by host and by regime are kept apart from the rows."""
    views = [view for view in evidence.stages() if view.packages]
    if not views:
        return None
    study = evidence.study
    rows: dict[tuple[str, str, str], tuple[list[str], int]] = {}
    for view in views:
        key = (study.stage(view.name).accounted_as, view.host, "fixed seed" if view.is_fixed else "explicit seeds")
        budgets, runs = rows.get(key, ([], 0))
        labels = [package.budget.label() for package in view.packages]
        rows[key] = ([*budgets, *labels], runs + sum(len(package.runs) for package in view.packages))
    by_host, by_regime = Counter[str](), Counter[str]()
    for (_, host, regime), (_, runs) in rows.items():
        by_host[study.title_of(host) or "all hosts"] += runs
        by_regime[regime] += runs
    total = by_host.total()
    cells: tuple[tuple[Scalar, ...], ...] = tuple(
        (name, study.title_of(host), regime, ", ".join(dict.fromkeys(budgets)), runs)
        for (name, host, regime), (budgets, runs) in rows.items()
    )
    split = listed(f"{runs} on {host}" for host, runs in by_host.items()) if len(by_host) > 1 else ""
    return Section(
        name="accounting",
        title="Run accounting",
        claims=(f"{counted(total, 'run')} in {counted(len(rows), 'package')}{f': {split}' if split else ''}.",),
        tables=(
            SectionTable(
                name="accounting",
                title="Runs by package",
                columns=columns("package", "host", "regime", "budgets", "runs:count"),
                rows=cells,
            ),
            SectionTable(
                name="accounting-totals",
                title="Totals",
                columns=columns("what", "runs:count"),
                rows=(*by_host.items(), *by_regime.items(), ("all", total)),
            ),
        ),
    )


def program(evidence: Evidence) -> Section:
    """The factors, and the rows of every design with its coded levels."""
    study = evidence.study
    tables = [
        SectionTable(
            name="factors",
            title="Factors",
            columns=columns("letter", "lever", "low:setting", "high:setting", "center:setting:centre"),
            rows=tuple(
                (f.letter, f.lever, f.low, f.high, None if f.kind == "choice" else f.decode(0.0)) for f in study.factors
            ),
        )
    ]
    for view in evidence.stages():
        design = next((plan.design for plan in view.plans if plan.design is not None), None)
        if design is None or view.kind != "screen":
            continue
        relation = " = ".join(("I", *design.words)) if design.words else "none"
        tables.append(
            SectionTable(
                name=f"design-{view.slug}",
                title=f"Design of {view.where}",
                columns=columns("row", *(f"{f.letter}:setting" for f in design.factors)),
                rows=tuple((row.label, *map(_short, row.levels)) for row in design.rows),
                note=f"Generators {listed(design.generators) or 'none'}; defining relation {relation}"
                + (f"; resolution {design.resolution}." if design.resolution else "."),
            )
        )
    rows = _picked(evidence)
    if rows:
        tables.append(
            SectionTable(
                name="conditions",
                title="Conditions that are no row of a design: coded levels, and levers",
                columns=columns(
                    "condition",
                    "first_in:text:first in stage",
                    "role",
                    *(f"{f.letter}:setting" for f in study.factors),
                    *(f"{lever}:setting" for lever in dict.fromkeys(f.lever for f in study.factors)),
                ),
                rows=rows,
            )
        )
    return Section(name="program", title="Factors and designs", tables=tuple(tables))


def _picked(evidence: Evidence) -> tuple[tuple[Scalar, ...], ...]:
    """Recipes that were picked, changed or searched for, each once, at its first stage."""
    views = evidence.stages()
    designed = {c.recipe.digest for v in views if v.kind in ("screen", "surface") for c in v.conditions.values()}
    levers = list(dict.fromkeys(factor.lever for factor in evidence.study.factors))
    found: dict[str, tuple[Scalar, ...]] = {}
    for view in views:
        for c in view.conditions.values():
            if c.recipe.digest not in designed:
                values = (c.recipe.values.get(lever) for lever in levers)
                found.setdefault(c.recipe.digest, (c.label, view.name, c.role, *map(_short, c.levels), *values))
    return tuple(found.values())


def _short(level: float) -> Scalar:
    return int(level) if level == int(level) else level
