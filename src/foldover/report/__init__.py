"""Findings in words and pictures: report.json, one self-contained report.html, a page for the terminal, SVG files.

Each name is loaded when it is first used: the analysis of one table does not need the page of a study.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foldover.report.design_card import CARD_SCHEMA as CARD_SCHEMA
    from foldover.report.design_card import DesignCard as DesignCard
    from foldover.report.design_card import Efficiency as Efficiency
    from foldover.report.design_card import TermPower as TermPower
    from foldover.report.design_card import render_design_text as render_design_text
    from foldover.report.design_card import roman as roman
    from foldover.report.document import SCHEMA as SCHEMA
    from foldover.report.document import build_report as build_report
    from foldover.report.document import render_json as render_json
    from foldover.report.effects_text import render_effects_text as render_effects_text
    from foldover.report.figures import figures_of as figures_of
    from foldover.report.inputs import ReportInputs as ReportInputs
    from foldover.report.page import render_html as render_html
    from foldover.report.reading import Document as Document
    from foldover.report.table_findings import TABLE_SCHEMA as TABLE_SCHEMA
    from foldover.report.table_findings import Caution as Caution
    from foldover.report.table_findings import CautionKind as CautionKind
    from foldover.report.table_findings import DesignFacts as DesignFacts
    from foldover.report.table_findings import FactorColumn as FactorColumn
    from foldover.report.table_findings import Interaction as Interaction
    from foldover.report.table_findings import Part as Part
    from foldover.report.table_findings import SurfaceFindings as SurfaceFindings
    from foldover.report.table_findings import SurfaceTerm as SurfaceTerm
    from foldover.report.table_findings import TableFindings as TableFindings
    from foldover.report.text import render_text as render_text

_HOMES: Mapping[str, str] = {
    "design_card": "CARD_SCHEMA DesignCard Efficiency TermPower render_design_text roman",
    "document": "SCHEMA build_report render_json",
    "effects_text": "render_effects_text",
    "figures": "figures_of",
    "inputs": "ReportInputs",
    "page": "render_html",
    "reading": "Document",
    "table_findings": """
        Caution CautionKind DesignFacts FactorColumn Interaction Part SurfaceFindings
        SurfaceTerm TABLE_SCHEMA TableFindings
    """,
    "text": "render_text",
}
_HOME_OF: Mapping[str, str] = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def _load(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module `foldover.report` has no attribute `{name}`")
    value: object = getattr(importlib.import_module(f"foldover.report.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:
    __getattr__ = _load  # a type checker that saw this would let every misspelt name pass


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
