"""The whole analysis of a plain table: codes the columns, asks the statistics, and keeps what must be said.

Nothing is computed here: each number comes from `foldover.stats`. What a model cannot carry is an AnalysisError of
the statistics; what merely limits it becomes a named caution.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldover.core import AnalysisError
from foldover.lab.coding import AnalysisRequest, Coded, code_table
from foldover.lab.fit_plan import FitPlan, corners_of, design_facts, make_plan
from foldover.lab.table_checks import caution_notes
from foldover.lab.table_part import analyse_part
from foldover.lab.tables import TextTable
from foldover.report import TABLE_SCHEMA, Caution, TableFindings
from foldover.stats import INFORMATIVE, FactorFailures, Relaxation, Table, failures_by_factor, relaxation


def analyse_table(text: TextTable, request: AnalysisRequest, *, sha256: str = "") -> TableFindings:
    """Everything that is known of the effects of the factors on the response.

    sha256: of the file, to be kept with the findings. Raises AnalysisError for data that cannot carry the model.
    """
    coded = code_table(text, request)
    facts, aliases, cautions = design_facts(coded, request)
    plan, more = make_plan(coded, request, aliases)
    parts = []
    labels = coded.table.budget_labels()
    for label in labels:
        table = coded.table.where(budget=label) if len(labels) > 1 else coded.table
        parts.append(analyse_part(table, coded, plan, label))
    failures, failed = _failures(coded.table)
    relaxed, left = _relaxation(coded, plan) if len(labels) > 1 else (None, list[Caution]())
    return TableFindings(
        schema=TABLE_SCHEMA,
        source=text.path,
        sha256=sha256,
        response=request.response,
        direction=request.direction,
        model=request.model,
        level=request.level,
        q=request.q,
        correction=request.correction,
        block=coded.block,
        factors=coded.factors,
        design=facts,
        num_rows=len(coded.table) + len(coded.table.left_out),
        left_out=coded.table.left_out,
        failures=failures,
        parts=tuple(parts),
        relaxation=relaxed,
        cautions=(*coded.cautions, *caution_notes(coded.table), *cautions, *more, *failed, *left),
    )


def _failures(table: Table) -> tuple[tuple[FactorFailures, ...], list[Caution]]:
    if not any(out.status in INFORMATIVE for out in table.left_out):
        return (), []
    found = failures_by_factor(table)
    follows = [f for f in found if f.adjusted < 0.05]
    cautions = [
        Caution(
            kind="failures",
            message=f"failures follow {f.letter}: {f.failed_low} of {f.failed_low + f.other_low} at low, "
            f"{f.failed_high} of {f.failed_high + f.other_high} at high (Fisher, Holm-adjusted p {f.adjusted:.2g}); "
            "the effects of the survivors are biased",
        )
        for f in follows
    ]
    return found, cautions


def _relaxation(coded: Coded, plan: FitPlan) -> tuple[Relaxation | None, list[Caution]]:
    if not plan.corners_only:
        return None, []
    corners = coded.table.rows(np.flatnonzero(corners_of(coded.table)).tolist())
    main = tuple(term for term in plan.terms if term in coded.table.letters)
    try:
        found = relaxation(
            corners,
            terms=main,
            block=plan.block,
            method=plan.method,
            level=plan.request.level,
            adjust_for=plan.request.adjust_for,
        )
    except AnalysisError as error:
        return None, [Caution(kind="budget", message=f"no relaxation over budgets: {error}")]
    return replace(found, effects=tuple(replace(effect, notes=()) for effect in found.effects)), []
