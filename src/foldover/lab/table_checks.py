"""What a reader of an analysis must be warned of: residuals, unequal variances, lack of fit, suspicious results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foldover.core import AnalysisError
from foldover.report import Caution, CautionKind
from foldover.report.numbers import counted
from foldover.stats import Curvature, Diagnostics, LackOfFit, Table, diagnose, resolve_terms, term_columns

ALPHA = 0.05
_TESTS: dict[str, tuple[CautionKind, str]] = {
    "breusch_pagan": ("variance", "the residual variance changes with the factors (Breusch-Pagan)"),
    "brown_forsythe": ("variance", "the conditions differ in variance (Brown-Forsythe)"),
    "shapiro_wilk": ("normality", "the residuals are not normal (Shapiro-Wilk)"),
    "durbin_watson": ("variance", "residuals follow each other in run order (Durbin-Watson)"),
}
_FLAGS: dict[str, tuple[CautionKind, str]] = {
    "high leverage": ("leverage", "of high leverage: they carry much of the fit"),
    "alone determines a coefficient": ("leverage", "alone determining a coefficient: the residual is 0"),
    "outlier": ("outlier", "outside what the model's error allows: shown, not removed"),
    "influential": ("outlier", "moving the estimates much (Cook's distance above 4/n)"),
}
_ORDERS = ("order", "run_order", "runorder", "run.no")


def fits(table: Table, terms: Sequence[str] | str) -> bool:
    """Whether the distinct conditions of a table can tell the terms apart."""
    parsed = resolve_terms(terms, table.letters)
    levels = np.array(list(dict.fromkeys(map(tuple, table.levels.tolist()))), dtype=np.float64)
    if not len(levels) or len(levels) < len(parsed) + 1:
        return False
    X = np.column_stack([np.ones(len(levels)), term_columns(parsed, levels, table.letters)])
    return bool(np.linalg.matrix_rank(X) == X.shape[1])


def levels_by_condition(table: Table) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """The coded levels of each condition, in order of first appearance."""
    return tuple(dict(zip(table.conditions, map(tuple, table.levels.tolist()), strict=True)).items())


def diagnosis(
    table: Table, terms: Sequence[str], block: str | None, adjust_for: Sequence[str]
) -> tuple[Diagnostics | None, list[Caution]]:
    """Diagnostics of a model, with a caution for each test and each kind of run that stands out; None if saturated."""
    if not terms:
        return None, []
    try:
        found = diagnose(table, terms=terms, block=block, adjust_for=adjust_for, order=_run_order(table))
    except AnalysisError:
        return None, []  # no degree of freedom is left for residuals
    cautions = [
        Caution(kind=_TESTS[test.name][0], message=f"{_TESTS[test.name][1]}, p = {test.p:.2g}")
        for test in found.tests
        if test.p < ALPHA and test.name in _TESTS
    ]
    for flag, (kind, words) in _FLAGS.items():
        rows = tuple(run.run_id for run in found.runs if flag in run.flags)
        if rows:
            cautions.append(Caution(kind=kind, message=f"{counted(len(rows), 'run')} {words}", rows=rows))
    return found, cautions


def checks(misfit: LackOfFit | None, model: str, curved: Curvature | None) -> list[Caution]:
    """Cautions of a model that leaves something out and of a centre that is not the mean of the corners."""
    cautions = []
    if misfit is not None and misfit.p < ALPHA:
        f = f"F({misfit.df_lack}, {misfit.df_error}) = {misfit.f:.3g}, p = {misfit.p:.2g}"
        cautions.append(Caution(kind="lack_of_fit", message=f"{model} alone do not fit: interactions matter ({f})"))
    if curved is not None and curved.p < ALPHA:
        words = "the centre differs from the mean of the corners: the response is curved, add axial runs"
        cautions.append(Caution(kind="curvature", message=f"{words} (p = {curved.p:.2g})"))
    return cautions


def caution_notes(table: Table) -> list[Caution]:
    """The runs left out, with their reasons and lines."""
    notes = table.left_out_note()
    rows = tuple(out.run_id for out in table.left_out)
    return [Caution(kind="left_out", message=note, rows=rows if i == 0 else ()) for i, note in enumerate(notes)]


def same_results(table: Table) -> list[Caution]:
    """Conditions with the same responses throughout: are their levels equal after resolving?"""
    results: dict[str, list[float]] = {}
    for condition, y in zip(table.conditions, table.y.tolist(), strict=True):
        results.setdefault(condition, []).append(y)
    groups: dict[tuple[float, ...], list[str]] = {}
    for condition, values in results.items():
        groups.setdefault(tuple(sorted(values)), []).append(condition)
    # One equal number may be chance where responses are rounded; equal numbers under every seed are not.
    return [
        Caution(
            kind="same_results",
            message=f"conditions {', '.join(names)} gave the same results throughout: are their levels equal once "
            "resolved, or rows copied?",
        )
        for values, names in groups.items()
        if len(names) > 1 and len(values) > 1
    ]


def _run_order(table: Table) -> list[int] | None:
    """The column of run order, if the file has one of whole numbers."""
    name = next((name for name in table.others if name.lower() in _ORDERS), None)
    if name is None:
        return None
    try:
        numbers = [int(float(cell)) for cell in table.others[name]]
    except ValueError:
        return None
    return numbers if len(set(numbers)) == len(numbers) else None
