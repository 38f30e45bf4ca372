"""Sections on response surfaces: the second-order model of a stage that ran one, or the one that could follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foldover.core import AnalysisError, DesignError, Factor, Package
from foldover.lab.evidence import Evidence, StageView
from foldover.lab.surface_analysis import lack_of_second_order
from foldover.planning.followup import surface_follow_up
from foldover.report.numbers import counted, listed, percent, setting, signed
from foldover.report.section import Mark, Section, SectionPicture, SectionTable, columns, decimals_of
from foldover.stats import RegionBest, SurfaceFit, Table, best_in_region, fit_surface, surface_difference
from foldover.stats.tails import critical_t, t_two_sided

# Levels of a factor that a best point is looked for at: with three or more factors the lattice grows fast.
MANY_LEVELS, FEW_LEVELS = 21, 11


def response_surface(view: StageView) -> Section | None:
    """Coefficients with intervals, whether the model fits, and its best point inside the region, at each budget."""
    claims: list[str] = []
    tables: list[SectionTable] = []
    pictures: list[SectionPicture] = []
    for package in view.packages:
        table = view.rows(package)
        if table is None:
            continue
        letters = view.varying(table)
        block = "seed" if not view.is_fixed and len(set(table.seeds)) > 1 else None
        try:
            fit = fit_surface(table, letters=letters, block=block)
        except AnalysisError:
            continue  # too few conditions have a result
        if fit.df < 1:
            continue
        budget = package.budget.label()
        rows, is_thin = _coefficients(view, fit), view.is_descriptive(package)
        found = _best(view, table, fit)
        name = f"surface-{view.slug}-{len(tables) // 2 + 1}"
        decimals = decimals_of([(low, high) for _, _, low, high, _ in rows])
        tables += [
            SectionTable(
                name=name,
                title=f"Second-order model at {budget}, for a unit of coded level ({view.where})",
                columns=columns("term", "coefficient:signed", "low:signed", "high:signed", "p:probability"),
                rows=rows,
                decimals=decimals,
                note=_fit_note(table, fit, letters, block),
            ),
            _best_table(view, package, found, name=f"{name}-best"),
        ]
        claims += [_curvature_claim(view, budget, rows), _best_claim(view, package, fit, found)]
        pictures.append(
            SectionPicture(
                name=f"figure-{name}",
                title=f"Second-order model at {budget} ({view.where})",
                axis=f"coefficient on {view.evidence.study.response}",
                marks=tuple(
                    Mark(label=term, series=budget, value=value, low=low, high=high, hollow=is_thin)
                    for term, value, low, high, _ in rows
                ),
                zero=True,
            )
        )
    if not tables:
        return None
    return Section(
        name=f"surface-{view.slug}",
        title=f"Response surface: {view.where}",
        claims=tuple(claims),
        notes=(
            f"Least squares with seeds as blocks; {percent(view.evidence.study.gate.level)} intervals from t, of the "
            "best point from draws of the coefficients. The best point of a fitted surface is flattered: it is a "
            "forecast until it is run afresh.",
        ),
        tables=tuple(tables),
        pictures=tuple(pictures),
    )


def next_surface(evidence: Evidence) -> Section | None:
    """The response surface that would follow: retained factors but the largest, which is held at its better level.

    None where the study has run one itself.
    """
    if evidence.stages("surface"):
        return None
    for view in reversed(evidence.stages("screen")):
        if view.is_fixed or not view.packages:
            continue
        kept = [e for e in evidence.effects if e.package == view.packages[-1].name and e.retained and len(e.term) == 1]
        if len(kept) < 3:
            continue
        ordered = sorted(kept, key=lambda e: -abs(e.estimate))
        largest = ordered[0]
        factors = {factor.letter: factor for factor in evidence.study.factors}
        open_ = [factors[effect.term] for effect in ordered[1:]]
        try:
            design = surface_follow_up(open_)
        except DesignError:
            return None
        held = factors[largest.term]
        level = held.low if largest.estimate * evidence.sign > 0 else held.high
        letters = design.letters
        return Section(
            name="next-surface",
            title="A response surface that could follow",
            notes=(
                f"Face-centred composite of {listed(letters)} with {held.letter} (`{held.lever}`) held at "
                f"{setting(level)}, its better level in {view.where}: {len(design.rows)} runs a seed. It would tell "
                "curvature from the straight lines that two levels suppose; a stage of kind `surface` runs it. Nothing "
                "of it has run.",
            ),
            tables=(
                SectionTable(
                    name="next-surface",
                    title="Rows of the response surface",
                    columns=columns("row", *(f"{f.letter}:setting:{f.lever}" for f in design.factors)),
                    rows=tuple(
                        (row.label, *(f.decode(x) for f, x in zip(design.factors, row.levels, strict=True)))
                        for row in design.rows
                    ),
                ),
            ),
        )
    return None


Coefficient = tuple[str, float, float, float, float]


def _coefficients(view: StageView, fit: SurfaceFit) -> tuple[Coefficient, ...]:
    t = critical_t(view.evidence.study.gate.level, float(fit.df))
    rows = []
    for name, value, se in zip(fit.names, fit.coef.tolist(), fit.se.tolist(), strict=True):
        if name == "1" or name.startswith("block "):
            continue
        p = float(t_two_sided(value / se, float(fit.df))) if se > 0.0 else 1.0
        rows.append((name, value, value - t * se, value + t * se, p))
    return tuple(rows)


def _fit_note(table: Table, fit: SurfaceFit, letters: Sequence[str], block: str | None) -> str:
    text = f"{counted(len(table), 'run')}, residual sd {fit.sigma:.3g} on {fit.df} degrees of freedom"
    misfit = lack_of_second_order(table, letters, block)
    if misfit is None:
        return f"{text}; whether the model fits cannot be tested."
    against = "condition x seed" if block else "replicates"
    says = "the model does not fit" if misfit.p < 0.05 else "no lack of fit is shown"
    test = f"F({misfit.df_lack}, {misfit.df_error}) = {misfit.f:.2f} against {against}, p = {misfit.p:.2g}"
    return f"{text}; {says} ({test})."


def _curvature_claim(view: StageView, budget: str, rows: Sequence[Coefficient]) -> str:
    squares = [(term, low, high) for term, _, low, high, _ in rows if term.endswith("^2")]
    bent = [term[0] for term, low, high in squares if not low <= 0.0 <= high]
    open_ = [term[0] for term, low, high in squares if low <= 0.0 <= high]
    says = f"the response bends along {listed(bent)}" if bent else "no curvature is shown"
    return f"At {budget} in {view.where} {says}" + (
        f"; along {listed(open_)} none is shown." if bent and open_ else "."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """Where the model is best, and the corner of the best mean to hold it against (coded). factors: of the model."""

    factors: tuple[Factor, ...]
    point: RegionBest
    label: str
    corner: tuple[float, ...]


def _best(view: StageView, table: Table, fit: SurfaceFit) -> _Best:
    study = view.evidence.study
    known = {factor.letter: factor for factor in study.factors}
    factors = tuple(known[letter] for letter in fit.letters)
    at = [table.letters.index(letter) for letter in fit.letters]
    means: dict[str, list[float]] = {}
    levels: dict[str, tuple[float, ...]] = {}
    for i, label in enumerate(table.conditions):
        own = tuple(float(x) for x in table.levels[i, at])
        if all(abs(x) == 1.0 for x in own):
            means.setdefault(label, []).append(float(table.y[i]))
            levels[label] = own
    label = min(means, key=lambda c: (view.evidence.sign * sum(means[c]) / len(means[c]), c))
    point = best_in_region(fit, _places(factors), direction=study.direction, level=study.gate.level)
    return _Best(factors=factors, point=point, label=label, corner=levels[label])


def _best_table(view: StageView, package: Package, found: _Best, *, name: str) -> SectionTable:
    at = zip(found.factors, found.point.x, found.point.low, found.point.high, found.corner, strict=True)
    return SectionTable(
        name=name,
        title=f"Where the model is best between the levels at {package.budget.label()} ({view.where})",
        columns=columns(
            "factor", "lever", "best:setting", "low:setting", "high:setting", f"corner:setting:corner {found.label}"
        ),
        rows=tuple(
            (f.letter, f.lever, f.decode(x), f.decode(low), f.decode(high), f.decode(corner))
            for f, x, low, high, corner in at
        ),
    )


def _best_claim(view: StageView, package: Package, fit: SurfaceFit, found: _Best) -> str:
    """The best point beside the corner of the best mean: told apart, or not."""
    text = listed(f"{f.lever} {setting(f.decode(x))}" for f, x in zip(found.factors, found.point.x, strict=True))
    where = f"At {package.budget.label()} ({package.name}) the model is best at {text}"
    if found.point.x == found.corner:
        return f"{where}, a corner of the region ({found.label}): what lies beyond it is not known."
    less = surface_difference(fit, found.point.x, found.corner, level=view.evidence.study.gate.level)
    decimals = decimals_of([(less.low, less.high)])
    within = f"{signed(less.estimate, decimals)} [{signed(less.low, decimals)}, {signed(less.high, decimals)}]"
    is_told = max(view.evidence.sign * less.low, view.evidence.sign * less.high) < 0.0
    told = "told apart" if is_told else "not told apart"
    if view.is_descriptive(package):
        told = f"descriptive only, {'one fixed seed' if view.is_fixed else counted(len(package.seeds), 'seed')}"
    return f"{where}; predicted less the corner of the best mean ({found.label}): {within}, {told}."


def _places(factors: Sequence[Factor]) -> list[list[float]]:
    """Coded levels between low and high that each factor can take, ascending."""
    number = MANY_LEVELS if len(factors) < 3 else FEW_LEVELS
    steps = [-1.0 + 2.0 * i / (number - 1) for i in range(number)]
    return [sorted({factor.realised(step) for step in steps}) for factor in factors]
