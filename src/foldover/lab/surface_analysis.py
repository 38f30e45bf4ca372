"""The second-order analysis of a table: fit, stationary point, best point inside the region, path to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.lab.coding import AnalysisRequest, Coded
from foldover.lab.table_checks import levels_by_condition
from foldover.report import Caution, Part, SurfaceFindings, SurfaceTerm
from foldover.stats import (
    Canonical,
    LackOfFit,
    LeastSquares,
    SurfaceFit,
    Table,
    canonical_analysis,
    constrained_optimum,
    diagnose_model,
    fit_surface,
    level_means,
    pure_error_lack_of_fit,
    resolve_terms,
    ridge_path,
    summarize_table,
    term_columns,
)
from foldover.stats.tails import t_quantile, t_two_sided

Array = npt.NDArray[np.float64]

DRAWS = 4_000
STEPS = 5


def analyse_surface(table: Table, coded: Coded, request: AnalysisRequest, label: str) -> Part:
    """The second-order model of the runs at one budget. Raises AnalysisError as `fit_surface`."""
    fit = fit_surface(table, block=coded.block)
    cautions = []
    point: Canonical | None = None
    try:
        point = canonical_analysis(fit, draws=DRAWS, level=request.level)
        cautions += [Caution(kind="surface", message=note) for note in point.notes]
    except AnalysisError as error:
        cautions.append(Caution(kind="surface", message=str(error)))
    terms = tuple(name for name in fit.names if name != "1" and not name.startswith("block "))
    misfit = lack_of_second_order(table, table.letters, coded.block)
    if misfit is not None and misfit.p < 0.05:
        cautions.append(
            Caution(kind="lack_of_fit", message=f"the second-order model does not fit (p = {misfit.p:.2g})")
        )
    return Part(
        budget=label,
        num_runs=len(table),
        method="second-order least squares",
        terms=terms,
        effects=(),
        conditional=(),
        conditions=summarize_table(table, level=request.level),
        levels=levels_by_condition(table),
        contrasts=(),
        lenth=None,
        margin=None,
        main_means=tuple(level_means(table, [letter]) for letter in table.letters),
        interactions=(),
        lack_of_fit=misfit,
        lack_of_fit_model="the second-order model",
        curvature=None,
        anova=None,
        diagnostics=diagnose_model(
            _model(table, coded.block), table.y, run_ids=table.run_ids, conditions=table.conditions
        ),
        diagnosed=terms,
        surface=_findings(fit, point, coded, request),
        cautions=tuple(cautions),
    )


def lack_of_second_order(table: Table, letters: Sequence[str], block: str | None) -> LackOfFit | None:
    """Whether conditions depart from the second-order model of some factors, blocks apart; None if not testable."""
    try:
        return pure_error_lack_of_fit(_second_order(table, letters), table.y, blocks=_blocks(table, block))
    except AnalysisError:
        return None  # nothing is replicated, or the model is saturated


def _model(table: Table, block: str | None) -> LeastSquares:
    X = np.column_stack([_second_order(table, table.letters), _blocks(table, block)])
    return LeastSquares(X, [f"column {j}" for j in range(X.shape[1])])


def _second_order(table: Table, letters: Sequence[str]) -> Array:
    levels = table.levels[:, [table.letters.index(letter) for letter in letters]]
    return np.column_stack([np.ones(len(table)), term_columns(resolve_terms("quadratic", letters), levels, letters)])


def _blocks(table: Table, block: str | None) -> Array:
    labels = table.column(block) if block is not None else ()
    names = sorted(set(labels))[1:]
    return np.array([[label == name for name in names] for label in labels], dtype=np.float64).reshape(len(table), -1)


def _findings(fit: SurfaceFit, point: Canonical | None, coded: Coded, request: AnalysisRequest) -> SurfaceFindings:
    half = t_quantile(0.5 + request.level / 2.0, float(fit.df)) * fit.se
    p = t_two_sided(fit.coef / np.where(fit.se > 0.0, fit.se, 1.0), float(fit.df))
    best = constrained_optimum(fit, direction=request.direction)
    radii = [fit.radius * (i + 1) / STEPS for i in range(STEPS)]
    path = ridge_path(fit, radii, direction=request.direction)
    return SurfaceFindings(
        terms=tuple(
            SurfaceTerm(
                term=name,
                estimate=float(fit.coef[j]),
                se=float(fit.se[j]),
                low=float(fit.coef[j] - half[j]),
                high=float(fit.coef[j] + half[j]),
                p=float(p[j]),
            )
            for j, name in enumerate(fit.names)
        ),
        sigma=fit.sigma,
        df=fit.df,
        r2=fit.r2,
        stationary=point.stationary if point else None,
        stationary_low=point.low if point else None,
        stationary_high=point.high if point else None,
        stationary_value=point.value if point else None,
        nature=point.nature if point else "ridge",
        eigenvalues=point.eigenvalues if point else tuple(sorted(np.linalg.eigvalsh(fit.B).tolist(), reverse=True)),
        axes=point.axes if point else (),
        best=best.x,
        best_value=best.predicted,
        natural=_natural(best.x, coded),
        path=tuple((step.distance, step.x, step.predicted) for step in path),
    )


def _natural(x: tuple[float, ...], coded: Coded) -> tuple[tuple[str, str], ...]:
    """The point in the units of the file, for factors whose ends are numbers."""
    found = []
    for factor, code in zip(coded.factors, x, strict=True):
        try:
            low, high = float(factor.low), float(factor.high)
        except ValueError:
            continue
        if factor.coding == "coded" or factor.coding == "design":
            continue
        if factor.coding == "log":
            low, high = math.log(low), math.log(high)
        value = (low + high) / 2.0 + code * (high - low) / 2.0
        found.append((factor.column, f"{math.exp(value) if factor.coding == 'log' else value:.6g}"))
    return tuple(found)
