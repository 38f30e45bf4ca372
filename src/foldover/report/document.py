"""The report as data: one JSON document that every rendering is made from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from foldover.core import AnalysisError, to_json, to_plain
from foldover.report.accounts import describe_packages, describe_provenance, describe_runs, describe_totals
from foldover.report.answer import describe_answer
from foldover.report.curves import describe_curves
from foldover.report.findings import describe_conditions, describe_effects, describe_recommendation, describe_verdicts
from foldover.report.inputs import ReportInputs
from foldover.report.plan import describe_design, describe_study
from foldover.report.reading import Document
from foldover.report.would_change import would_change

SCHEMA = "foldover.report/1"

_NUMBERS_ONLY = re.compile(r"\[\n\s+((?:-?[0-9][0-9.e+-]*|null)(?:,\n\s+(?:-?[0-9][0-9.e+-]*|null))*)\n\s+\]")


def build_report(inputs: ReportInputs) -> Document:
    """The document of `report.json`: plain JSON values, numbers in full precision, no time of rendering.

    Top level: schema, answer, study, design (None where there is none), effects, conditions, verdicts,
    recommendation (None), packages, totals, runs, references, curves, sections, provenance. The same inputs give
    the same document. Raises AnalysisError for a finding that is not a finite number: a failure is a status.
    """
    document: dict[str, object] = {
        "schema": SCHEMA,
        "study": describe_study(inputs),
        "design": describe_design(inputs),
        "effects": describe_effects(inputs),
        "conditions": describe_conditions(inputs),
        "verdicts": describe_verdicts(inputs),
        "recommendation": describe_recommendation(inputs),
        "packages": describe_packages(inputs),
        "totals": describe_totals(inputs),
        "runs": describe_runs(inputs),
        "references": inputs.references,
        "curves": describe_curves(inputs.curves),
        "sections": inputs.sections,
        "provenance": describe_provenance(inputs, SCHEMA),
    }
    plain: Document = to_plain(document)
    plain["answer"] = describe_answer(plain)
    if plain["recommendation"] is not None:
        plain["recommendation"]["would_change"] = would_change(plain)
    _refuse_not_finite(plain, "report")
    return plain


def render_json(document: Mapping[str, Any]) -> str:
    """The text of `report.json`: sorted names, one line a field, arrays of numbers on one line."""
    text = to_json(document, indent=1)
    return _NUMBERS_ONLY.sub(lambda found: "[" + re.sub(r"\s+", " ", found.group(1)) + "]", text) + "\n"


def _refuse_not_finite(value: object, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise AnalysisError(f"{where} is not a finite number", value=value, fix="Leave out what could not be computed.")
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_not_finite(item, f"{where}.{name}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _refuse_not_finite(item, f"{where}[{i}]")
